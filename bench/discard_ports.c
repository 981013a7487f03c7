/*
 * Discards datagrams of destinations that are told apart by the port they were sent to, for senders that use one socket for all.
 * recvmmsg without copying (MSG_TRUNC); what the kernel dropped for want of room is asked of it (SO_MEMINFO).
 *
 *   discard_ports <destinations>
 *   discard_ports <destinations> gro     takes segments of one send together (UDP_GRO): on loopback the sender's send cuts them
 *                                        apart for a receiver that does not, which a network card's offload or the far host does
 */
#define _GNU_SOURCE
#include "discard.h"

#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>

#define MOST_PORTS 4096
#define MOST_READY 1024
#define BATCH 64
#define BUFFER_BYTES (8 << 20)   /* some ten seconds of a stream: a reader that comes late loses nothing */
#define STOP (MOST_PORTS)
#define MARK (MOST_PORTS + 1)

static struct arrival arrivals[MOST_PORTS];
static uint16_t ports[MOST_PORTS];
static int fds[MOST_PORTS];

static void drain(int at)
{
    static struct mmsghdr messages[BATCH];
    uint64_t bytes = 0;
    int n = recvmmsg(fds[at], messages, BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);
    for (int i = 0; i < n; i++)
        bytes += messages[i].msg_len;
    if (n > 0)
        arrived(&arrivals[at], bytes, now_ns());
}

static void print_drops(char *out, size_t size, int count)
{
    uint64_t drops = 0;
    for (int i = 0; i < count; i++) {
        uint32_t info[SK_MEMINFO_VARS] = {0};
        socklen_t bytes = sizeof info;
        if (getsockopt(fds[i], SOL_SOCKET, SO_MEMINFO, info, &bytes))
            fail("discard_ports", "SO_MEMINFO");
        drops += info[SK_MEMINFO_DROPS];
    }
    snprintf(out, size, ",\"dropped\":%lu", drops);
}

static void watch(int epoll, int fd, uint32_t as)
{
    struct epoll_event event = {.events = EPOLLIN, .data.u32 = as};
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("discard_ports", "epoll");
}

int main(int argc, char **argv)
{
    int count = argc > 1 ? atoi(argv[1]) : 0;
    if (count < 1 || count > MOST_PORTS) {
        fprintf(stderr, "discard_ports: destinations: found '%s', allowed: 1 to %d\n", argc > 1 ? argv[1] : "", MOST_PORTS);
        return 2;
    }
    static struct epoll_event ready[MOST_READY];
    int together = argc > 2 && !strcmp(argv[2], "gro");
    int stop = stop_fd(), marks = mark_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    watch(epoll, stop, STOP);
    watch(epoll, marks, MARK);
    for (int i = 0; i < count; i++) {
        fds[i] = bound_socket("discard_ports", SOCK_DGRAM, &ports[i]);
        set_receive_buffer(fds[i], BUFFER_BYTES);
        if (together && setsockopt(fds[i], SOL_UDP, UDP_GRO, &together, sizeof together))
            fail("discard_ports", "UDP_GRO");
        watch(epoll, fds[i], (uint32_t)i);
    }
    announce("discard_ports", ports, count);
    uint64_t deadline = 0;
    char extra[64];
    for (int n; (n = wait_ready(epoll, ready, MOST_READY, deadline ? QUIET_MS : -1)) != 0 && !past(deadline);)
        for (int i = 0; i < n; i++) {
            uint32_t at = ready[i].data.u32;
            if (at == STOP)
                deadline = begin_stop(epoll, stop);
            else if (at == MARK) {
                print_drops(extra, sizeof extra, count);
                mark(marks, arrivals, sizeof *arrivals, count, extra);
            } else
                drain((int)at);
        }
    print_drops(extra, sizeof extra, count);
    summarize("discard_ports", arrivals, count, extra);
    return 0;
}
