


cdef class Counters:
    cdef public long long packets
    cdef public long long captured_bytes
    cdef public long long segments
    cdef public long long dissected
    cdef public long long unknown_frames
    cdef public long long not_tcp
    cdef public long long fragments
    cdef public long long bad_headers
    cdef public long long bad_flags
    cdef public long long cut_short
    cdef public long long payload_bytes
    cdef public long long stored_bytes
    cdef public long long duplicate_bytes
    cdef public long long late_bytes
    cdef public long long keepalive_bytes
    cdef public long long dropped_after_fin_bytes
    cdef public long long dropped_after_close_bytes
    cdef public long long dropped_pre_start_bytes
    cdef public long long dropped_window_bytes
    cdef public long long dropped_out_of_order_bytes
    cdef public long long dropped_memory_bytes
    cdef public long long dropped_refused_bytes
    cdef public long long dropped_rst_bytes
    cdef public long long dropped_syn_bytes
    cdef public long long dropped_unacknowledging_bytes
    cdef public long long conflicts
    cdef public long long conflict_bytes
    cdef public long long lost_bytes
    cdef public long long tail_missing_bytes
    cdef public long long retransmitted_syns
    cdef public long long bad_acks
    cdef public long long resynchronised
    cdef public long long rst_ignored
    cdef public long long stray_packets
    cdef public long long late_packets
    cdef public long long connections
    cdef public long long connections_refused
    cdef public long long connections_expired
    cdef public long long flows_total
    cdef public long long flows_refused
    cdef public long long flows_evicted
    cdef public long long evicted_bytes
    cdef public long long trimmed_bytes
