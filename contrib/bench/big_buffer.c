/* For LD_PRELOAD: pcap_open_live(3) with the buffer that BUFFER_KIB in the environment says, since tcpflow has no
   option for it. */

#include <pcap/pcap.h>
#include <stdio.h>
#include <stdlib.h>

pcap_t *pcap_open_live(const char *device, int snaplen, int promisc, int to_ms, char *error) {
    pcap_t *made = pcap_create(device, error);
    const char *kib = getenv("BUFFER_KIB");
    if (!made)
        return NULL;
    pcap_set_snaplen(made, snaplen);
    pcap_set_promisc(made, promisc);
    pcap_set_timeout(made, to_ms);
    if (kib)
        pcap_set_buffer_size(made, atoi(kib) * 1024);
    if (pcap_activate(made) < 0) {
        snprintf(error, PCAP_ERRBUF_SIZE, "%s", pcap_geterr(made));
        pcap_close(made);
        return NULL;
    }
    return made;
}
