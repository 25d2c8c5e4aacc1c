"""`.flowfs/README`: what is here, for whoever looks around in a mount."""

GUIDE = b"""\
Each file in the directory above is what one side of a TCP connection sent to the other. The bytes of
128.129.130.131.02345-010.011.012.013.45103 went from port 2345 of 128.129.130.131 to port 45103 of
10.11.12.13. At the end, --42: on VLAN 42; c1: a later connection with the same addresses and ports.
With --names they have other names, and may lie in directories: "names" of status.json has the template. A
name that another file has already gets ~ and a number behind it. In this directory, NAME is what a file is
called without --names, which the attribute user.flowfs.canonical then says; there are no directories.
Files grow as packets come. What was read never changes; lost bytes read as zeros and are listed.
rm frees a file, all else is read-only.

This directory is found by its name and listed only with -o visible, so that grep -r and tar read each byte
once.

status.json     the mount in numbers: what was captured, dropped, refused, freed; warnings
metrics         the same for Prometheus
flows.jsonl     a line of JSON for each flow: jq, pandas, DuckDB read it
events.jsonl    a line for whatever happens to a flow, from the first look at this file on: new, fin, rst,
                idle, open (again), evicted, removed; when full it becomes events.jsonl.1 (tail -F goes on)
meta/NAME.json  what is known of one flow: holes, conflicts, what became of bytes that are not in the file
conversations/NAME
                both sides of the connection of a flow, by turns, in the order of time. Each turn has a
                heading, === TIME FROM > TO LENGTH bytes, then so many bytes and a newline. It grows by turns
                that are over: the other side spoke, there was silence for a second, or it took five (tail -f
                goes on)
follow/NAME     a FIFO: the flow from its start, as it grows, until it ends, or to where bytes were freed.
                Of several readers each has a stream of its own, and gets the whole
by-host/ADDR    links to the flows from and to an address
by-port/PORT    ... a port
by-state/open   ... those that may still grow; by-state/closed, all others
by-time/HOUR    ... those whose first packet came in that hour, UTC

Of a flow: size is what can be read; mtime its last data, ctime when its state changed, atime its first
packet.
getfattr -d NAME tells more: state, role, peer, packets, gaps (offset-end, in bytes), freed, source.

In meta and flows.jsonl, of a flow:
name, peer          what it is called, and the other direction; canonical: without --names
state               open, fin, rst, or idle: silent for --idle-timeout
source              the interface or file that it came by
role                client: it opened the connection; server; or unknown
size, freed_bytes   bytes, and how many of them were freed, from the beginning on
first_ns, last_ns, changed_ns
                    nanoseconds since 1970: its first packet, its last data, when its state changed
origin, partial     the place in the stream of the file's first byte; whether what was before was not seen
packets             segments that this side sent, until the connection was over
unverified          there are bytes in it whose TCP checksum was wrong
holes               what was lost and reads as zeros: offset, length, reason
conflicts           bytes that came twice and differed; urgent: where urgent data ends
bytes_by_fate       payload that is not in the file, by what became of it
beyond_bytes        of the stream, behind the end of a file that reached -b
tail_missing_bytes  acknowledged behind the end of the file, and never seen
dropped_packets     lost on its interfaces while it lived: some may have been its own
What the numbers of status.json mean is said in metrics, behind # HELP.

df . shows how much memory is used for bytes of flows, df -i . how many flows there are.
"""
