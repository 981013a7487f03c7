/*
 * The floor of SRT over libsrt: N callers that share local ports (a multiplexer has one send and one receive thread), each
 * given its bytes as messages of 1316 at its slot.  The cost is that of the process: libsrt's threads do the sending.
 */
#define _GNU_SOURCE
#include "pace.h"
#include "srt_callers.h"

#include <srt/srt.h>
#include <stdio.h>
#include <stdlib.h>

static int *sockets;

static size_t take(struct run *run, int fd, const uint8_t *data, size_t size, uint64_t *calls)
{
    size_t taken = 0;
    (void)run;
    while (taken < size) {
        SRT_MSGCTRL control = srt_msgctrl_default;
        if (srt_sendmsg2(fd, (const char *)data + taken, SRT_DATAGRAM, &control) == SRT_ERROR) {
            if (srt_getlasterror(NULL) == SRT_EASYNCSND)
                break;
            srt_fail("raw_srt", "srt_sendmsg2");
        }
        ++*calls;
        taken += SRT_DATAGRAM;
    }
    return taken;
}

static void connect_all(struct run *run, const struct option_value *options)
{
    struct caller_options callers = {
        .program = run->program,
        .host = option(options, "host"),
        .passphrase = option(options, "passphrase"),
        .sockets_per_port = (int)option_number("raw_srt", options, "sockets-per-port", 1, 20000),
        .latency_ms = (int)option_number("raw_srt", options, "latency-ms", 0, 60000),
        .fc = (int)option_number("raw_srt", options, "fc", -1, 1 << 20),
        .send_buffer = (int)option_number("raw_srt", options, "send-buffer", -1, 1 << 30),
        .receive_buffer = (int)option_number("raw_srt", options, "receive-buffer", -1, 1 << 30),
        .udp_send_buffer = (int)option_number("raw_srt", options, "udp-send-buffer", -1, 1 << 30),
        .udp_receive_buffer = (int)option_number("raw_srt", options, "udp-receive-buffer", -1, 1 << 30),
    };
    uint16_t *ports = calloc((size_t)run->count, sizeof *ports);
    if (!ports || !(sockets = calloc((size_t)run->count, sizeof *sockets)))
        fail("raw_srt", "calloc");
    for (int i = 0; i < run->count; i++)
        ports[i] = run_port("raw_srt", options, i);
    srt_connect_all(&callers, ports, sockets, run->count);
    for (int i = 0; i < run->count; i++)
        run->destinations[i].fd = sockets[i];
    free(ports);
}

int main(int argc, char **argv)
{
    struct option_value options[] = {{"trace", ""}, {"host", "127.0.0.1"}, {"ports", ""}, {"destinations", "100"},
        {"tick-ms", "20"}, {"slot-ms", "0"}, {"warm-s", "1"}, {"window-s", "5"}, {"sockets-per-port", "250"},
        {"latency-ms", "120"}, {"passphrase", ""}, {"fc", "-1"}, {"send-buffer", "-1"}, {"receive-buffer", "-1"},
        {"udp-send-buffer", "-1"}, {"udp-receive-buffer", "-1"}, {NULL, NULL}};
    struct run run = {.program = "raw_srt", .datagram = SRT_DATAGRAM};
    parse_options("raw_srt", argc, argv, options);
    run_prepare(&run, options);
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
    srt_drain(sockets, run.count);
    for (int i = 0; i < run.count; i++)
        srt_close(sockets[i]);
    srt_cleanup();
    return 0;
}
