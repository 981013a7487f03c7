/*
 * Discards SRT: packets are read to their first HEAD bytes only, see srt_listener.h.
 *
 *   fast_srt [sockets]           default 4 ports, one thread
 */
#define _GNU_SOURCE
#include "srt_listener.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

static void print_totals(char *out, size_t size)
{
    uint64_t packets = 0, lost = 0, again = 0;
    for (int i = 0; i < connection_count; i++) {
        packets += connections[i].packets;
        lost += connections[i].lost;
        again += connections[i].again;
    }
    snprintf(out, size,
             ",\"connections\":%d,\"shutdowns\":%lu,\"datagrams\":%lu,\"lost\":%lu,\"again\":%lu,\"malformed\":%lu,\"strangers\":%lu,\"control\":%lu",
             connection_count, shutdowns, packets, lost, again, malformed, strangers, control_packets);
}

static void report(void)
{
    static struct arrival arrivals[MOST_CONNECTIONS];
    char extra[256];
    for (int i = 0; i < connection_count; i++)
        arrivals[i] = connections[i].arrival;
    print_totals(extra, sizeof extra);
    summarize("fast_srt", arrivals, connection_count, extra);
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 4;
    if (count < 1 || count > MOST_SOCKETS) {
        fprintf(stderr, "fast_srt: sockets: found '%s', allowed: 1 to %d\n", argv[1], MOST_SOCKETS);
        return 2;
    }
    uint16_t ports[MOST_SOCKETS];
    int fds[MOST_SOCKETS], stop = stop_fd(), marks = mark_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec every = {.it_interval.tv_nsec = ACK_NS, .it_value.tv_nsec = ACK_NS};
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = MOST_SOCKETS}, ready[MOST_SOCKETS + 3];
    start_ns = now_ns();
    epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event);
    event.data.u32 = MOST_SOCKETS + 1;
    if (timerfd_settime(timer, 0, &every, NULL) || epoll_ctl(epoll, EPOLL_CTL_ADD, timer, &event))
        fail("fast_srt", "timerfd");
    event.data.u32 = MOST_SOCKETS + 2;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, marks, &event))
        fail("fast_srt", "epoll");
    for (int i = 0; i < count; i++) {
        fds[i] = bound_socket("fast_srt", SOCK_DGRAM, &ports[i]);
        set_receive_buffer(fds[i], BUFFER_BYTES);
        event.data.u32 = (uint32_t)i;
        if (epoll_ctl(epoll, EPOLL_CTL_ADD, fds[i], &event))
            fail("fast_srt", "epoll");
    }
    announce("fast_srt", ports, count);
    for (int going = 1; going;) {
        int n = wait_ready(epoll, ready, MOST_SOCKETS + 3, -1);
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            uint64_t expired;
            char extra[256];
            if (at == MOST_SOCKETS)
                going = 0;
            else if (at < MOST_SOCKETS)
                drain(fds[at]);
            else if (at == MOST_SOCKETS + 2) {
                print_totals(extra, sizeof extra);
                mark(marks, &connections->arrival, sizeof *connections, connection_count, extra);
            }
            else if (read(timer, &expired, 8) == 8)
                for (int k = 0; k < count; k++)
                    acknowledge(fds[k], now_ns());
        }
    }
    report();
    return 0;
}
