/* See srt_listener.h. */
#define _GNU_SOURCE
#include "srt_listener.h"

#include <arpa/inet.h>
#include <string.h>
#include <sys/socket.h>

#define FIRST_ID 0x20000         /* socket id of connection 0 */
#define BATCH 128
#define KEEP_ALIVE_NS 1000000000u
#define ACK_BYTES 44             /* header and 7 fields */
#define SEQUENCE_MASK 0x7fffffffu

enum control { HANDSHAKE = 0, KEEP_ALIVE = 1, ACK = 2, NAK = 3, SHUTDOWN = 5, ACKACK = 6 };
enum extension { HSREQ = 1, HSRSP = 2, KMREQ = 3, KMRSP = 4 };
enum { HANDSHAKE_BYTES = 64, WINDOW = 8192, INDUCTION = 1, MAGIC = 0x4A17, SRT_VERSION = 0x010501 };

struct connection connections[MOST_CONNECTIONS];
int connection_count;
uint64_t start_ns, malformed, strangers, shutdowns, control_packets;
size_t read_bytes = HEAD;
take_payload_t take_payload;

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

static int from(const struct connection *c, const struct sockaddr_in *peer)
{
    return c->peer.sin_port == peer->sin_port && c->peer.sin_addr.s_addr == peer->sin_addr.s_addr;
}

static struct connection *connection_for(int fd, const struct sockaddr_in *peer, const uint8_t *handshake)
{
    uint32_t id = get(handshake + 40);
    for (int i = connection_count - 1; i >= 0; i--) {
        struct connection *c = &connections[i];
        if (c->peer_id == id && from(c, peer))
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
    if (take_payload)
        take_payload(c, p + 16, payload < read_bytes - 16 ? payload : read_bytes - 16, now);
}

/* What nobody here asked for is no fault of those who did: a sender of an earlier listener on this port goes on for seconds. */
static void on_unexpected(const struct sockaddr_in *peer)
{
    for (int i = 0; i < connection_count; i++)
        if (from(&connections[i], peer)) {
            malformed++;
            return;
        }
    strangers++;
}

static void on_packet(int fd, const struct sockaddr_in *peer, const uint8_t *p, size_t size, uint64_t now)
{
    if (size < 16) {
        malformed++;
        return;
    }
    uint32_t index = get(p + 12) - FIRST_ID, control = get(p) >> 16 & 0x7fff;
    struct connection *c = index < (uint32_t)connection_count ? &connections[index] : NULL;
    if (c && !from(c, peer))
        c = NULL;
    if (!(p[0] & 0x80)) {
        if (c && c->open)
            on_data(c, p, size - 16, now);
        else
            on_unexpected(peer);
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

void drain(int fd)
{
    static struct mmsghdr messages[BATCH];
    static struct sockaddr_in from[BATCH];
    static struct iovec iov[BATCH];
    static uint8_t bytes[BATCH][MOST_READ_BYTES];
    for (int i = 0; i < BATCH; i++) {
        iov[i] = (struct iovec){bytes[i], read_bytes};
        messages[i].msg_hdr =
            (struct msghdr){.msg_name = &from[i], .msg_namelen = sizeof from[i], .msg_iov = &iov[i], .msg_iovlen = 1};
    }
    int n = recvmmsg(fd, messages, BATCH, MSG_TRUNC | MSG_DONTWAIT, NULL);
    uint64_t now = now_ns();
    for (int i = 0; i < n; i++)
        on_packet(fd, &from[i], bytes[i], messages[i].msg_len, now);
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

void acknowledge(int fd, uint64_t now)
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
