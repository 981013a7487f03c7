/*
 * What libsrt alone adds to latency: each datagram that comes is given to every caller at once.
 *
 *   relay_srt CALLERS PORT,PORT..      connects them to these ports in turn, 250 from one local port
 */
#define _GNU_SOURCE
#include "discard.h"
#include "srt_callers.h"

#include <srt/srt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define MOST_CALLERS 20000
#define BATCH 64

static int sockets[MOST_CALLERS], callers;
static uint64_t refused;

static int arguments(int argc, char **argv, uint16_t *ports)
{
    int count = argc == 3 ? atoi(argv[1]) : 0, given = 0;
    if (count < 1 || count > MOST_CALLERS)
        return 0;
    for (char *at = strtok(argv[2], ","); at && given < count; at = strtok(NULL, ","))
        ports[given++] = (uint16_t)atoi(at);
    for (int i = given; given && i < count; i++)
        ports[i] = ports[i - given];
    return given ? count : 0;
}

static void relay(int fd)
{
    static uint8_t bytes[BATCH][SRT_DATAGRAM];
    static struct iovec iov[BATCH];
    static struct mmsghdr messages[BATCH];
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], SRT_DATAGRAM};
        messages[i].msg_hdr = (struct msghdr){.msg_iov = &iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_DONTWAIT, NULL);
    for (int c = 0; c < callers; c++)
        for (int i = 0; i < n; i++)
            if (srt_sendmsg2(sockets[c], (const char *)bytes[i], (int)messages[i].msg_len, NULL) == SRT_ERROR)
                refused++;
}

int main(int argc, char **argv)
{
    static uint16_t ports[MOST_CALLERS];
    struct caller_options options = {.program = "relay_srt", .host = "127.0.0.1", .passphrase = "", .sockets_per_port = 250,
        .latency_ms = 120, .fc = -1, .send_buffer = -1, .receive_buffer = -1, .udp_send_buffer = -1, .udp_receive_buffer = -1};
    if (!(callers = arguments(argc, argv, ports))) {
        fprintf(stderr, "relay_srt: expected the number of callers, up to %d, and ports with commas between\n", MOST_CALLERS);
        return 2;
    }
    uint16_t port;
    int fd = bound_socket("relay_srt", SOCK_DGRAM, &port), stop = stop_fd(), epoll = epoll_create1(EPOLL_CLOEXEC);
    struct epoll_event event = {.events = EPOLLIN, .data.fd = fd}, ready;
    set_receive_buffer(fd, 4 << 20);
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, fd, &event))
        fail("relay_srt", "epoll");
    event.data.fd = stop;
    if (epoll_ctl(epoll, EPOLL_CTL_ADD, stop, &event))
        fail("relay_srt", "epoll");
    srt_connect_all(&options, ports, sockets, callers);
    announce("relay_srt", &port, 1);
    while (epoll_wait(epoll, &ready, 1, -1) < 1 || ready.data.fd != stop)
        relay(fd);
    printf("{\"event\":\"summary\",\"program\":\"relay_srt\",\"refused\":%lu}\n", refused);
    fflush(stdout);
    srt_drain(sockets, callers);
    _exit(0);
}
