/*
 * Receives MPEG-TS over SRT and notes when the stamps in it arrived on the wire: a receiver's latency is not in it.
 *
 *   stamp_srt FILE               written at the end, see stamps.h; a destination is a connection, in the order of their coming
 */
#define _GNU_SOURCE
#include "srt_listener.h"
#include "stamps.h"

#include <stdio.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define SOCKETS 4

enum { STOP = SOCKETS, TIMER };

static void take(const struct connection *c, const uint8_t *payload, size_t size, uint64_t arrived_ns)
{
    stamps_find_ts(payload, size, (uint32_t)(c - connections), arrived_ns);
}

static void watch(int epoll, int fd, uint32_t as)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = as};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("stamp_srt", "epoll");
}

static void report(void)
{
    static struct arrival arrivals[MOST_CONNECTIONS];
    uint64_t lost = 0;
    for (int i = 0; i < connection_count; i++) {
        arrivals[i] = connections[i].arrival;
        lost += connections[i].lost;
    }
    char extra[64];
    snprintf(extra, sizeof extra, ",\"lost\":%lu,\"malformed\":%lu", lost, malformed);
    summarize("stamp_srt", arrivals, connection_count, extra);
}

int main(int argc, char **argv)
{
    if (argc != 2) {
        fprintf(stderr, "stamp_srt: expected the path of a file for the stamps\n");
        return 2;
    }
    uint16_t ports[SOCKETS];
    int fds[SOCKETS], stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    int timer = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    struct itimerspec every = {.it_interval.tv_nsec = ACK_NS, .it_value.tv_nsec = ACK_NS};
    struct epoll_event ready[SOCKETS + 2];
    start_ns = now_ns();
    read_bytes = MOST_READ_BYTES;
    take_payload = take;
    if (timerfd_settime(timer, 0, &every, NULL))
        fail("stamp_srt", "timerfd");
    watch(epoll, stop, STOP);
    watch(epoll, timer, TIMER);
    for (int i = 0; i < SOCKETS; i++) {
        fds[i] = bound_socket("stamp_srt", SOCK_DGRAM, &ports[i]);
        set_receive_buffer(fds[i], BUFFER_BYTES);
        watch(epoll, fds[i], (uint32_t)i);
    }
    announce("stamp_srt", ports, SOCKETS);
    for (int going = 1; going;) {
        int n = epoll_wait(epoll, ready, SOCKETS + 2, -1);
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            uint64_t expired;
            if (at == STOP)
                going = 0;
            else if (at != TIMER)
                drain(fds[at]);
            else if (read(timer, &expired, 8) == 8)
                for (int k = 0; k < SOCKETS; k++)
                    acknowledge(fds[k], now_ns());
        }
    }
    stamps_write("stamp_srt", argv[1]);
    report();
    return 0;
}
