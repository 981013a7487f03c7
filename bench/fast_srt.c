/*
 * An SRT listener that is only as much of SRT as a live sender needs to see, so that hundreds of connections cost the receiver
 * a small part of a core: handshake (induction, conclusion with HSRSP, KMRSP as an echo of KMREQ), a full ACK every 10 ms for
 * each connection that received something, keep-alive after a second of silence, shutdown.
 *
 * It delivers nothing, decrypts nothing and never asks again: a missing sequence number is counted as lost and acknowledged.
 * Packets are read to their first HEAD bytes only.  Layouts: draft-sharabayko-srt, sections 3.1 (data), 3.2.1 (handshake),
 * 3.2.3 (keep-alive), 3.2.4 (ACK), 3.2.7 (shutdown).  All fields big endian.
 *
 *   fast_srt [sockets]           default 4 ports, one thread
 */
#define _GNU_SOURCE
#include "discard.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <sys/timerfd.h>
#include <unistd.h>

#define MOST_SOCKETS 64
#define MOST_CONNECTIONS 8192
#define FIRST_ID 0x20000         /* socket id of connection 0 */
#define BATCH 128
#define HEAD 512                 /* header, handshake, HSREQ and KMREQ fit; a stream id behind them is not needed */
#define BUFFER_BYTES (32 << 20)
#define ACK_NS 10000000u
#define KEEP_ALIVE_NS 1000000000u
#define ACK_BYTES 44             /* header and 7 fields */
#define SEQUENCE_MASK 0x7fffffffu

enum control { HANDSHAKE = 0, KEEP_ALIVE = 1, ACK = 2, NAK = 3, SHUTDOWN = 5, ACKACK = 6 };
enum extension { HSREQ = 1, HSRSP = 2, KMREQ = 3, KMRSP = 4 };
enum { HANDSHAKE_BYTES = 64, WINDOW = 8192, INDUCTION = 1, MAGIC = 0x4A17, SRT_VERSION = 0x010501 };

struct connection {
    struct arrival arrival;      /* payload bytes */
    struct sockaddr_in peer;
    uint64_t last_sent_ns;
    uint32_t peer_id;
    uint32_t next;               /* sequence number expected */
    uint32_t acknowledged;
    uint32_t ack_number;
    uint32_t lost, again, packets;
    int fd;
    int open;
};

static struct connection connections[MOST_CONNECTIONS];
static int connection_count;
static uint64_t start_ns, handshakes, malformed, shutdowns, control_packets;

static uint32_t get(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static void put(uint8_t *p, uint32_t v)
{
    p[0] = (uint8_t)(v >> 24);
    p[1] = (uint8_t)(v >> 16);
    p[2] = (uint8_t)(v >> 8);
    p[3] = (uint8_t)v;
}

static void put_control(uint8_t *p, enum control type, uint32_t info, uint32_t to, uint64_t now)
{
    put(p, 0x80000000u | (uint32_t)type << 16);
    put(p + 4, info);
    put(p + 8, (uint32_t)((now - start_ns) / 1000));
    put(p + 12, to);
}

static struct connection *connection_for(int fd, const struct sockaddr_in *peer, const uint8_t *handshake)
{
    uint32_t id = get(handshake + 40);
    for (int i = connection_count - 1; i >= 0; i--) {
        struct connection *c = &connections[i];
        if (c->peer_id == id && c->peer.sin_port == peer->sin_port && c->peer.sin_addr.s_addr == peer->sin_addr.s_addr)
            return c;
    }
    if (connection_count == MOST_CONNECTIONS)
        return NULL;
    struct connection *c = &connections[connection_count++];
    uint32_t first = get(handshake + 24) & SEQUENCE_MASK;
    *c = (struct connection){.peer = *peer, .peer_id = id, .next = first, .acknowledged = first, .fd = fd, .open = 1};
    return c;
}

/* Answers HSREQ with HSRSP and KMREQ with the same key material; returns the end of the answer. */
static uint8_t *put_extensions(uint8_t *out, const uint8_t *in, const uint8_t *end)
{
    while (end - in >= 4) {
        uint32_t type = get(in) >> 16, size = (get(in) & 0xffff) * 4;
        if ((size_t)(end - in) < 4 + size)
            break;
        if (type == HSREQ && size == 12) {
            put(out, HSRSP << 16 | 3);
            put(out + 4, SRT_VERSION);
            memcpy(out + 8, in + 8, 8);
            out += 16;
        } else if (type == KMREQ) {
            memcpy(out, in, 4 + size);
            put(out, KMRSP << 16 | size / 4);
            out += 4 + size;
        }
        in += 4 + size;
    }
    return out;
}

static void on_handshake(int fd, const struct sockaddr_in *peer, const uint8_t *p, size_t size, uint64_t now)
{
    uint8_t answer[2 * HEAD] = {0}, *end = answer + HANDSHAKE_BYTES;
    if (size < HANDSHAKE_BYTES) {
        malformed++;
        return;
    }
    handshakes++;
    memcpy(answer, p, HANDSHAKE_BYTES);
    put_control(answer, HANDSHAKE, 0, get(p + 40), now);
    put(answer + 16, 5);
    if (get(p + 36) == INDUCTION) {
        put(answer + 20, MAGIC);
        put(answer + 44, 0x5eed0000u | ntohs(peer->sin_port));
    } else {
        struct connection *c = connection_for(fd, peer, p);
        if (!c)
            return;
        end = put_extensions(end, p + HANDSHAKE_BYTES, p + size);
        put(answer + 32, WINDOW);
        put(answer + 20, (get(p + 20) & 0xffff0000u) | (get(p + 20) & 3));
        put(answer + 40, FIRST_ID + (uint32_t)(c - connections));
        c->last_sent_ns = now;
    }
    sendto(fd, answer, (size_t)(end - answer), 0, (const struct sockaddr *)peer, sizeof *peer);
}

static void on_data(struct connection *c, const uint8_t *p, size_t payload, uint64_t now)
{
    uint32_t ahead = (get(p) - c->next) & SEQUENCE_MASK;
    c->packets++;
    arrived(&c->arrival, payload, now);
    if (ahead > SEQUENCE_MASK / 2) {
        c->again++;
        return;
    }
    c->lost += ahead;
    c->next = (c->next + ahead + 1) & SEQUENCE_MASK;
}

static void on_packet(int fd, const struct sockaddr_in *peer, const uint8_t *p, size_t size, uint64_t now)
{
    if (size < 16) {
        malformed++;
        return;
    }
    uint32_t index = get(p + 12) - FIRST_ID, control = get(p) >> 16 & 0x7fff;
    struct connection *c = index < (uint32_t)connection_count ? &connections[index] : NULL;
    if (!(p[0] & 0x80)) {
        if (c && c->open)
            on_data(c, p, size - 16, now);
        else
            malformed++;
        return;
    }
    control_packets++;
    if (control == HANDSHAKE)
        on_handshake(fd, peer, p, size < HEAD ? size : HEAD, now);
    else if (control == SHUTDOWN && c && c->open) {
        c->open = 0;
        shutdowns++;
    }
}

static void drain(int fd)
{
    static struct mmsghdr messages[BATCH];
    static struct sockaddr_in from[BATCH];
    static struct iovec iov[BATCH];
    static uint8_t heads[BATCH][HEAD];
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){heads[i], HEAD};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++)
        on_packet(fd, &from[i], heads[i], messages[i].msg_len, now);
}

/* One full ACK: next expected, RTT and its variance (us), free buffer (packets), rates (packets/s, packets/s, bytes/s). */
static size_t put_ack(uint8_t *p, struct connection *c, uint64_t now)
{
    put_control(p, ACK, ++c->ack_number, c->peer_id, now);
    put(p + 16, c->next);
    put(p + 20, 1000);
    put(p + 24, 250);
    put(p + 28, WINDOW);
    put(p + 32, 1000);
    put(p + 36, 100000);
    put(p + 40, 1000 * 1332);
    c->acknowledged = c->next;
    return ACK_BYTES;
}

static void flush(int fd, struct mmsghdr *messages, int count)
{
    for (int sent = 0, rc; sent < count; sent += rc)
        if ((rc = sendmmsg(fd, messages + sent, (unsigned)(count - sent), 0)) <= 0)
            break;
}

static void acknowledge(int fd, uint64_t now)
{
    static struct mmsghdr messages[BATCH];
    static struct iovec iov[BATCH];
    static uint8_t bytes[BATCH][ACK_BYTES];
    int count = 0;
    for (int i = 0; i < connection_count; i++) {
        struct connection *c = &connections[i];
        if (!c->open || c->fd != fd || (c->next == c->acknowledged && now - c->last_sent_ns < KEEP_ALIVE_NS))
            continue;
        size_t size = 20;
        if (c->next != c->acknowledged)
            size = put_ack(bytes[count], c, now);
        else
            put_control(memset(bytes[count], 0, 20), KEEP_ALIVE, 0, c->peer_id, now);
        c->last_sent_ns = now;
        iov[count] = (struct iovec){bytes[count], size};
        messages[count].msg_hdr = (struct msghdr){
            .msg_name = &c->peer, .msg_namelen = sizeof c->peer, .msg_iov = &iov[count], .msg_iovlen = 1};
        if (++count == BATCH) {
            flush(fd, messages, count);
            count = 0;
        }
    }
    flush(fd, messages, count);
}

static void print_totals(char *out, size_t size)
{
    uint64_t packets = 0, lost = 0, again = 0;
    for (int i = 0; i < connection_count; i++) {
        packets += connections[i].packets;
        lost += connections[i].lost;
        again += connections[i].again;
    }
    snprintf(out, size,
             ",\"connections\":%d,\"shutdowns\":%lu,\"datagrams\":%lu,\"lost\":%lu,\"again\":%lu,\"malformed\":%lu,\"control\":%lu",
             connection_count, shutdowns, packets, lost, again, malformed, control_packets);
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
