/* See rtmp_accept.h.  RTMP 1.0: 5.2 handshake, 5.4 control messages, 7.2 commands. */
#define _GNU_SOURCE
#include "rtmp_accept.h"

#include "discard.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define BACKLOG 4096
#define HEARD_BYTES 16384        /* C0 to C2 and the commands of any client */
#define HELLO_BYTES 1537         /* C0 and C1; C2 has one byte less */
#define MESSAGE_BYTES 128        /* one chunk of the default size */
#define HEADER_BYTES 12
#define WINDOW_BYTES 2500000

enum { CSID_CONTROL = 2, CSID_COMMAND = 3, WINDOW_ACK_SIZE = 5, SET_PEER_BANDWIDTH = 6, COMMAND = 20, STREAM_ID = 1 };

static uint8_t *put_u32(uint8_t *p, uint32_t v)
{
    *p++ = (uint8_t)(v >> 24);
    *p++ = (uint8_t)(v >> 16);
    *p++ = (uint8_t)(v >> 8);
    *p++ = (uint8_t)v;
    return p;
}

/* A fmt 0 chunk at time 0 that holds the whole message. */
static uint8_t *put_message(uint8_t *p, int csid, int type, int stream, const uint8_t *body, size_t size)
{
    memset(p, 0, HEADER_BYTES);
    p[0] = (uint8_t)csid;
    p[5] = (uint8_t)(size >> 8);
    p[6] = (uint8_t)size;
    p[7] = (uint8_t)type;
    p[8] = (uint8_t)stream;      /* little endian */
    memcpy(p + HEADER_BYTES, body, size);
    return p + HEADER_BYTES + size;
}

/* AMF0 text without its marker, which is also how the members of an object are named. */
static uint8_t *put_text(uint8_t *p, const char *text)
{
    size_t size = strlen(text);
    *p++ = (uint8_t)(size >> 8);
    *p++ = (uint8_t)size;
    return (uint8_t *)memcpy(p, text, size) + size;
}

/* An answer's name and transaction id (8 bytes as they came), and the null that stands for its object. */
static uint8_t *put_answer(uint8_t *p, const char *name, const uint8_t *transaction)
{
    *p++ = 2;
    p = put_text(p, name);
    *p++ = 0;
    memcpy(p, transaction, 8);
    p[8] = 5;
    return p + 9;
}

static uint8_t *put_status(uint8_t *p, const char *code)
{
    *p++ = 3;
    p = put_text(p, "level");
    *p++ = 2;
    p = put_text(p, "status");
    p = put_text(p, "code");
    *p++ = 2;
    p = put_text(p, code);
    memcpy(p, "\0\0\x09", 3);
    return p + 3;
}

static int say(int fd, const uint8_t *bytes, size_t size)
{
    return send(fd, bytes, size, MSG_NOSIGNAL | MSG_DONTWAIT) == (ssize_t)size;
}

static int answer(int fd, enum rtmp_stage asked, const uint8_t *transaction)
{
    static const uint8_t none[8], one[9] = {0, 0x3f, 0xf0};
    uint8_t out[4 * (HEADER_BYTES + MESSAGE_BYTES)], body[MESSAGE_BYTES], *p = out, *end;
    if (asked == RTMP_CONNECT) {
        put_u32(body, WINDOW_BYTES);
        body[4] = 2;
        p = put_message(p, CSID_CONTROL, WINDOW_ACK_SIZE, 0, body, 4);
        p = put_message(p, CSID_CONTROL, SET_PEER_BANDWIDTH, 0, body, 5);
        end = put_status(put_answer(body, "_result", transaction), "NetConnection.Connect.Success");
        p = put_message(p, CSID_COMMAND, COMMAND, 0, body, (size_t)(end - body));
    } else if (asked == RTMP_CREATE) {
        end = put_answer(body, "_result", transaction);
        memcpy(end, one, sizeof one);
        p = put_message(p, CSID_COMMAND, COMMAND, 0, body, (size_t)(end - body) + sizeof one);
    } else {
        end = put_status(put_answer(body, "onStatus", none), "NetStream.Publish.Start");
        p = put_message(p, CSID_COMMAND, COMMAND, STREAM_ID, body, (size_t)(end - body));
    }
    return say(fd, out, (size_t)(p - out));
}

static void forget(struct rtmp_peer *peer, size_t bytes)
{
    peer->heard_bytes -= bytes;
    memmove(peer->heard, peer->heard + bytes, peer->heard_bytes);
}

/* S0 to S2 for C0 and C1: version 3, a first packet of zeroes, and the peer's own back. */
static int greet(struct rtmp_peer *peer, int fd)
{
    uint8_t hello[2 * HELLO_BYTES - 1] = {3};
    memcpy(hello + HELLO_BYTES, peer->heard + 1, HELLO_BYTES - 1);
    forget(peer, HELLO_BYTES);
    return peer->stage == RTMP_HELLO && say(fd, hello, sizeof hello);
}

/* Goes one step on when what it waits for has come: 1, 0 to wait for more, -1 when the connection cannot go on. */
static int step(struct rtmp_peer *peer, int fd)
{
    static const struct {
        const char *name;        /* AMF0: marker, length, text, and the marker of the number that follows */
        size_t size;
    } wanted[] = {[RTMP_CONNECT] = {"\2\0\7connect", 11}, [RTMP_CREATE] = {"\2\0\14createStream", 16}, [RTMP_PUBLISH] = {"\2\0\7publish", 11}};
    if (peer->stage == RTMP_HELLO) {
        if (peer->heard_bytes < HELLO_BYTES)
            return 0;
        if (!greet(peer, fd))
            return -1;
        peer->stage = RTMP_CONNECT;
        return 1;
    }
    if (peer->stage == RTMP_MEDIA)
        return 0;
    const uint8_t *found = memmem(peer->heard, peer->heard_bytes, wanted[peer->stage].name, wanted[peer->stage].size);
    size_t end = found ? (size_t)(found - peer->heard) + wanted[peer->stage].size + 8 : 0;
    if (!found || end > peer->heard_bytes)
        return peer->heard_bytes < HEARD_BYTES ? 0 : -1;
    if (!answer(fd, peer->stage, peer->heard + end - 8))
        return -1;
    forget(peer, end);
    peer->stage++;
    return 1;
}

int rtmp_listener(const char *program, uint16_t *port)
{
    int fd = bound_socket(program, SOCK_STREAM, port);
    if (listen(fd, BACKLOG))
        fail(program, "listen");
    return fd;
}

enum rtmp_stage rtmp_accept(struct rtmp_peer *peer, int fd)
{
    if (!peer->heard && !(peer->heard = malloc(HEARD_BYTES)))
        return peer->stage = RTMP_GONE;
    ssize_t rc = recv(fd, peer->heard + peer->heard_bytes, HEARD_BYTES - peer->heard_bytes, MSG_DONTWAIT);
    if (rc < 0 && errno == EAGAIN)
        return peer->stage;
    int went = rc > 0 ? 1 : -1;
    peer->heard_bytes += rc > 0 ? (size_t)rc : 0;
    while (went > 0)
        went = step(peer, fd);
    if (went < 0)
        peer->stage = RTMP_GONE;
    if (peer->stage >= RTMP_MEDIA) {
        free(peer->heard);
        *peer = (struct rtmp_peer){.stage = peer->stage};
    }
    return peer->stage;
}
