/*
 * The floor of SRT over libsrt: N callers that share local ports (a multiplexer has one send and one receive thread), each
 * given its bytes as messages of 1316 at its slot.  The cost is that of the process: libsrt's threads do the sending.
 */
#define _GNU_SOURCE
#include "pace.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <srt/srt.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define DATAGRAM 1316
#define MOST_READY 64
#define DRAIN_NS 2000000000u
#define CONNECT_NS 10000000000u

/* Leaves without libsrt's clean-up: libsrt 1.5.1 can deadlock there while connects are under way. */
static noreturn void srt_fail(const char *what)
{
    fprintf(stderr, "raw_srt: %s: %s\n", what, srt_getlasterror_str());
    _exit(2);
}

static size_t take(struct run *run, int fd, const uint8_t *data, size_t size, uint64_t *calls)
{
    size_t taken = 0;
    (void)run;
    while (taken < size) {
        SRT_MSGCTRL control = srt_msgctrl_default;
        if (srt_sendmsg2(fd, (const char *)data + taken, DATAGRAM, &control) == SRT_ERROR) {
            if (srt_getlasterror(NULL) == SRT_EASYNCSND)
                break;
            srt_fail("srt_sendmsg2");
        }
        ++*calls;
        taken += DATAGRAM;
    }
    return taken;
}

static void set(SRTSOCKET s, SRT_SOCKOPT name, int value)
{
    if (value >= 0 && srt_setsockflag(s, name, &value, sizeof value) == SRT_ERROR)
        srt_fail("srt_setsockflag");
}

/* Callers of one port bind to it with the same options, so libsrt gives them one multiplexer. */
static SRTSOCKET caller(const struct option_value *options, struct sockaddr_in *local)
{
    SRTSOCKET s = srt_create_socket();
    if (s == SRT_INVALID_SOCK)
        srt_fail("srt_create_socket");
    const char *passphrase = option(options, "passphrase");
    if (*passphrase && srt_setsockflag(s, SRTO_PASSPHRASE, passphrase, (int)strlen(passphrase)) == SRT_ERROR)
        srt_fail("SRTO_PASSPHRASE");
    set(s, SRTO_SNDSYN, 0);
    set(s, SRTO_RCVSYN, 0);
    set(s, SRTO_PEERLATENCY, (int)option_number("raw_srt", options, "latency-ms", 0, 60000));
    set(s, SRTO_FC, (int)option_number("raw_srt", options, "fc", -1, 1 << 20));
    set(s, SRTO_SNDBUF, (int)option_number("raw_srt", options, "send-buffer", -1, 1 << 30));
    set(s, SRTO_RCVBUF, (int)option_number("raw_srt", options, "receive-buffer", -1, 1 << 30));
    set(s, SRTO_UDP_SNDBUF, (int)option_number("raw_srt", options, "udp-send-buffer", -1, 1 << 30));
    set(s, SRTO_UDP_RCVBUF, (int)option_number("raw_srt", options, "udp-receive-buffer", -1, 1 << 30));
    if (srt_bind(s, (struct sockaddr *)local, sizeof *local) == SRT_ERROR)
        srt_fail("srt_bind");
    int size = sizeof *local;
    if (srt_getsockname(s, (struct sockaddr *)local, &size) == SRT_ERROR)
        srt_fail("srt_getsockname");
    return s;
}

static void connect_all(struct run *run, const struct option_value *options)
{
    int per_port = (int)option_number("raw_srt", options, "sockets-per-port", 1, 20000);
    int epoll = srt_epoll_create(), events = SRT_EPOLL_OUT | SRT_EPOLL_ERR;
    struct sockaddr_in local;
    for (int i = 0; i < run->count; i++) {
        struct sockaddr_in to = {.sin_family = AF_INET, .sin_port = htons(run_port("raw_srt", options, i))};
        errno = 0;
        if (inet_pton(AF_INET, option(options, "host"), &to.sin_addr) != 1)
            fail("raw_srt", "--host");
        if (i % per_port == 0)
            local = (struct sockaddr_in){.sin_family = AF_INET};
        SRTSOCKET s = caller(options, &local);
        if (srt_epoll_add_usock(epoll, s, &events) == SRT_ERROR || srt_connect(s, (struct sockaddr *)&to, sizeof to) == SRT_ERROR)
            srt_fail("srt_connect");
        run->destinations[i].fd = s;
    }
    SRT_EPOLL_EVENT ready[MOST_READY];
    uint64_t deadline = now_ns() + CONNECT_NS;
    for (int left = run->count; left > 0;) {
        int n = srt_epoll_uwait(epoll, ready, MOST_READY, 100);
        if (now_ns() > deadline)
            srt_fail("not connected within 10 s");
        for (int i = 0; i < n && i < MOST_READY; i++) {   /* n counts the ready ones beyond the array too */
            if (srt_getsockstate(ready[i].fd) != SRTS_CONNECTED) {
                fprintf(stderr, "raw_srt: connect: %s\n", srt_rejectreason_str(srt_getrejectreason(ready[i].fd)));
                _exit(2);
            }
            srt_epoll_remove_usock(epoll, ready[i].fd);
            left--;
        }
    }
    srt_epoll_release(epoll);
}

/* Waits, outside the window, until libsrt has sent and had acknowledged what it was given: closing drops the rest. */
static void drain(const struct run *run)
{
    struct timespec pause = {.tv_nsec = 5000000};
    uint64_t deadline = now_ns() + DRAIN_NS;
    for (int i = 0; i < run->count; i++) {
        size_t blocks, bytes;
        while (srt_getsndbuffer(run->destinations[i].fd, &blocks, &bytes) != SRT_ERROR && blocks && now_ns() < deadline)
            nanosleep(&pause, NULL);
    }
}

int main(int argc, char **argv)
{
    struct option_value options[] = {{"trace", ""}, {"host", "127.0.0.1"}, {"ports", ""}, {"destinations", "100"},
        {"tick-ms", "20"}, {"slot-ms", "0"}, {"warm-s", "1"}, {"window-s", "5"}, {"sockets-per-port", "250"},
        {"latency-ms", "120"}, {"passphrase", ""}, {"fc", "-1"}, {"send-buffer", "-1"}, {"receive-buffer", "-1"},
        {"udp-send-buffer", "-1"}, {"udp-receive-buffer", "-1"}, {NULL, NULL}};
    struct run run = {.program = "raw_srt", .datagram = DATAGRAM};
    parse_options("raw_srt", argc, argv, options);
    run_prepare(&run, options);
    if (srt_startup() < 0)
        srt_fail("srt_startup");
    connect_all(&run, options);
    run_slots(&run, take);
    long dropped = 0, lost = 0, retransmitted = 0, broken = 0, buffered_ms = 0;
    for (int i = 0; i < run.count; i++) {
        SRT_TRACEBSTATS stats;
        if (srt_bstats(run.destinations[i].fd, &stats, 0) == SRT_ERROR) {
            broken++;
            continue;
        }
        dropped += stats.pktSndDropTotal;
        lost += stats.pktSndLossTotal;
        retransmitted += stats.pktRetransTotal;
        if (stats.msSndBuf > buffered_ms)
            buffered_ms = stats.msSndBuf;
    }
    char extra[256];
    snprintf(extra, sizeof extra,
             ",\"srt_dropped\":%ld,\"srt_lost\":%ld,\"srt_retransmitted\":%ld,\"srt_broken\":%ld,\"srt_buffered_ms\":%ld",
             dropped, lost, retransmitted, broken, buffered_ms);
    run_report(&run, extra);
    drain(&run);
    for (int i = 0; i < run.count; i++)
        srt_close(run.destinations[i].fd);
    srt_cleanup();
    return 0;
}
