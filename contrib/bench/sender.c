/* sender CAPTURE INTERFACE PACKETS_PER_S SECONDS: replays a capture, over and over, at a steady rate.

   The capture is a native pcap of Ethernet and IPv4. From pass to pass the upper halves of the addresses move, the
   clients' up and the servers' down, so that connections are new and no checksum changes. A sender that falls
   behind by LAG_NS does not catch up, which would be a burst, but goes on later. In the end it prints JSON: the
   packets and bytes of payload that it sent, the passes that it began, and the seconds it took. */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define MOST_BATCH 64
#define SPIN_NS 60000    /* what clock_nanosleep(2) may be late */
#define LAG_NS 5000000
#define FILE_HEADER 24
#define RECORD_HEADER 16
#define SECOND_NS 1000000000LL

typedef struct {
    unsigned char *frame;
    unsigned length;
    unsigned payload;
    int by_client; /* whose addresses begin with 10 */
} packet;

static void fail(const char *what) {
    perror(what);
    exit(1);
}

static int64_t now_ns(void) {
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return now.tv_sec * SECOND_NS + now.tv_nsec;
}

static void wait_until(int64_t due_ns) {
    if (due_ns - now_ns() > SPIN_NS) {
        int64_t early_ns = due_ns - SPIN_NS;
        struct timespec early = {early_ns / SECOND_NS, early_ns % SECOND_NS};
        clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &early, NULL);
    }
    while (now_ns() < due_ns)
        ;
}

static packet *load(const char *name, size_t *count) {
    struct stat known;
    int file = open(name, O_RDONLY);
    if (file < 0 || fstat(file, &known) < 0)
        fail(name);
    unsigned char *base =
        mmap(NULL, known.st_size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_POPULATE, file, 0);
    if (base == MAP_FAILED)
        fail(name);
    packet *packets = malloc((known.st_size / RECORD_HEADER) * sizeof *packets);
    size_t found = 0;
    for (off_t at = FILE_HEADER; at + RECORD_HEADER < known.st_size;) {
        uint32_t length;
        memcpy(&length, base + at + 8, sizeof length);
        unsigned char *frame = base + at + RECORD_HEADER;
        if (frame[12] != 0x08 || frame[13] != 0x00 || frame[14] != 0x45) {
            fprintf(stderr, "%s: a packet that is not plain IPv4\n", name);
            exit(1);
        }
        unsigned total = frame[16] << 8 | frame[17];
        packets[found++] = (packet){frame, length, total - 20 - (frame[46] >> 4) * 4, frame[26] == 10};
        at += RECORD_HEADER + length;
    }
    *count = found;
    return packets;
}

static void add(unsigned char *half, int much) {
    unsigned value = (half[0] << 8 | half[1]) + much;
    half[0] = value >> 8;
    half[1] = value;
}

/* To the addresses of the next pass. */
static void move_on(packet *one) {
    add(one->frame + 26, one->by_client ? 1 : -1);
    add(one->frame + 30, one->by_client ? -1 : 1);
}

static int open_socket(const char *interface) {
    int one = 1, made = socket(AF_PACKET, SOCK_RAW, 0);
    struct sockaddr_ll address = {.sll_family = AF_PACKET, .sll_ifindex = if_nametoindex(interface)};
    if (made < 0 || !address.sll_ifindex || bind(made, (struct sockaddr *)&address, sizeof address) < 0)
        fail(interface);
    setsockopt(made, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof one);
    return made;
}

static void send_all(int out, struct mmsghdr *messages, int count) {
    int64_t patience_ns = now_ns() + SECOND_NS;
    for (int done = 0; done < count;) {
        int sent = sendmmsg(out, messages + done, count - done, 0);
        if (sent < 0 && ((errno != ENOBUFS && errno != EINTR) || now_ns() > patience_ns))
            fail("sendmmsg");
        done += sent > 0 ? sent : 0;
    }
}

int main(int argc, char **argv) {
    if (argc != 5) {
        fputs("usage: sender CAPTURE INTERFACE PACKETS_PER_S SECONDS\n", stderr);
        return 2;
    }
    double rate = atof(argv[3]), seconds = atof(argv[4]);
    size_t count, at = 0;
    packet *packets = load(argv[1], &count);
    int out = open_socket(argv[2]);
    struct mmsghdr messages[MOST_BATCH];
    struct iovec parts[MOST_BATCH];
    memset(messages, 0, sizeof messages);
    for (int i = 0; i < MOST_BATCH; i++)
        messages[i].msg_hdr = (struct msghdr){.msg_iov = parts + i, .msg_iovlen = 1};
    int64_t wanted = rate * seconds, sent = 0, payload = 0, passes = 1;
    int size = rate / 5000 < 1 ? 1 : rate / 5000 > MOST_BATCH ? MOST_BATCH : rate / 5000; /* 0.2 ms */
    int64_t begin_ns = now_ns(), first_ns = begin_ns;
    while (sent < wanted) {
        int batch = wanted - sent < size ? wanted - sent : size;
        int64_t due_ns = begin_ns + sent / rate * SECOND_NS;
        wait_until(due_ns);
        if (now_ns() - due_ns > LAG_NS)
            begin_ns += now_ns() - due_ns;
        for (int i = 0; i < batch; i++) {
            packet *one = packets + at;
            if (passes > 1)
                move_on(one);
            parts[i] = (struct iovec){one->frame, one->length};
            payload += one->payload;
            if (++at == count) {
                at = 0;
                passes++;
                batch = i + 1; /* a packet may be in a batch once */
            }
        }
        send_all(out, messages, batch);
        sent += batch;
    }
    printf("{\"packets\": %lld, \"payload_bytes\": %lld, \"passes\": %lld, \"seconds\": %.6f}\n", (long long)sent,
           (long long)payload, (long long)passes, (now_ns() - first_ns) / 1e9);
    return 0;
}
