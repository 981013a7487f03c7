/* See rtmp_answer.h. */
#define _GNU_SOURCE
#include "rtmp_answer.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#define HANDSHAKE 1536
#define MOST_IN 16384            /* everything before publish is small */
#define MOST_BODY 4096
#define MOST_CSID 64
#define WINDOW 5000000           /* until the peer asks for another: nginx-rtmp's default */
#define CHUNK_OUT 4096           /* more than any answer, so that each is one chunk */
#define CSID_CONTROL 2
#define CSID_COMMAND 3

enum type { SET_CHUNK_SIZE = 1, ACKNOWLEDGEMENT = 3, WINDOW_ACK_SIZE = 5, SET_PEER_BANDWIDTH = 6, COMMAND_AMF3 = 17, COMMAND = 20 };
enum amf { NUMBER = 0, STRING = 2, OBJECT = 3, NUL = 5, OBJECT_END = 9 };
enum step { WANT_C0C1, WANT_C2, CHUNKS, DONE };

struct header {
    uint32_t size;
    uint8_t type;
};

struct rtmp_answer {
    enum step step;
    uint32_t chunk_bytes, window_bytes;
    uint64_t received;
    struct header headers[MOST_CSID];
    uint32_t have;               /* bytes of the message under way; only one is at a time before publish */
    size_t in_bytes;
    uint8_t body[MOST_BODY];
    uint8_t in[MOST_IN];
};

static uint32_t get_be(const uint8_t *p, int bytes)
{
    uint32_t v = 0;
    while (bytes--)
        v = v << 8 | *p++;
    return v;
}

static uint8_t *put_be(uint8_t *p, uint32_t v, int bytes)
{
    while (bytes--)
        *p++ = (uint8_t)(v >> 8 * bytes);
    return p;
}

static uint8_t *put_key(uint8_t *p, const char *text)
{
    size_t size = strlen(text);
    p = put_be(p, (uint32_t)size, 2);
    memcpy(p, text, size);
    return p + size;
}

static uint8_t *put_string(uint8_t *p, const char *text)
{
    *p++ = STRING;
    return put_key(p, text);
}

static uint8_t *put_number(uint8_t *p, double value)
{
    uint64_t bits;
    memcpy(&bits, &value, 8);
    *p++ = NUMBER;
    return put_be(put_be(p, (uint32_t)(bits >> 32), 4), (uint32_t)bits, 4);
}

static uint8_t *put_status(uint8_t *p, const char *code)
{
    *p++ = OBJECT;
    p = put_string(put_key(p, "level"), "status");
    p = put_string(put_key(p, "code"), code);
    p = put_string(put_key(p, "description"), code);
    return put_be(p, OBJECT_END, 3);
}

/* A message with a header of type 0 and time 0, as one chunk. */
static uint8_t *put_message(uint8_t *p, uint8_t csid, uint8_t type, uint32_t stream, const uint8_t *body, size_t size)
{
    *p++ = csid;
    p = put_be(put_be(p, 0, 3), (uint32_t)size, 3);
    *p++ = type;
    for (int i = 0; i < 4; i++)      /* the one little endian field of RTMP */
        *p++ = (uint8_t)(stream >> 8 * i);
    memcpy(p, body, size);
    return p + size;
}

static uint8_t *put_control(uint8_t *p, uint8_t type, uint32_t value)
{
    uint8_t body[4];
    put_be(body, value, 4);
    return put_message(p, CSID_CONTROL, type, 0, body, sizeof body);
}

/* Answers are far smaller than an empty send buffer; one that does not fit belongs to a peer that does not read. */
static int send_all(int fd, const uint8_t *data, const uint8_t *end)
{
    return send(fd, data, (size_t)(end - data), MSG_DONTWAIT | MSG_NOSIGNAL) == end - data;
}

void rtmp_acknowledge(int fd, uint64_t received_bytes)
{
    uint8_t out[32];
    send_all(fd, out, put_control(out, ACKNOWLEDGEMENT, (uint32_t)received_bytes));
}

static int answer_connect(int fd, double transaction)
{
    uint8_t out[1024], body[512], *p, *b;
    uint8_t bandwidth[5] = {0, 0, 0, 0, 2};
    put_be(bandwidth, WINDOW, 4);
    p = put_control(out, SET_CHUNK_SIZE, CHUNK_OUT);
    p = put_control(p, WINDOW_ACK_SIZE, WINDOW);
    p = put_message(p, CSID_CONTROL, SET_PEER_BANDWIDTH, 0, bandwidth, sizeof bandwidth);
    b = put_number(put_string(body, "_result"), transaction);
    *b++ = OBJECT;
    b = put_number(put_key(b, "capabilities"), 31);
    b = put_be(b, OBJECT_END, 3);
    b = put_status(b, "NetConnection.Connect.Success");
    return send_all(fd, out, put_message(p, CSID_COMMAND, COMMAND, 0, body, (size_t)(b - body)));
}

static int answer_create_stream(int fd, double transaction)
{
    uint8_t out[256], body[128], *b = put_number(put_string(body, "_result"), transaction);
    *b++ = NUL;
    b = put_number(b, 1);
    return send_all(fd, out, put_message(out, CSID_COMMAND, COMMAND, 0, body, (size_t)(b - body)));
}

static int answer_publish(int fd)
{
    uint8_t out[512], body[256], *b = put_number(put_string(body, "onStatus"), 0);
    *b++ = NUL;
    b = put_status(b, "NetStream.Publish.Start");
    return send_all(fd, out, put_message(out, CSID_COMMAND, COMMAND, 1, body, (size_t)(b - body)));
}

static int is(const uint8_t *p, size_t size, const char *name)
{
    return size == strlen(name) && !memcmp(p, name, size);
}

/* A command is its name, its transaction number, and what nobody here needs. */
static int on_command(struct rtmp_answer *a, int fd, const uint8_t *p, size_t size)
{
    if (size < 3 || p[0] != STRING)
        return 0;
    size_t name = get_be(p + 1, 2);
    const uint8_t *number = p + 3 + name;
    if (size < 3 + name + 9 || number[0] != NUMBER)
        return 0;
    uint64_t bits = (uint64_t)get_be(number + 1, 4) << 32 | get_be(number + 5, 4);
    double transaction;
    memcpy(&transaction, &bits, 8);
    if (is(p + 3, name, "connect"))
        return answer_connect(fd, transaction);
    if (is(p + 3, name, "createStream"))
        return answer_create_stream(fd, transaction);
    if (is(p + 3, name, "publish")) {
        a->step = DONE;
        return answer_publish(fd);
    }
    return 1;                        /* releaseStream, FCPublish: nobody waits for their answers */
}

static int on_message(struct rtmp_answer *a, int fd, const struct header *h)
{
    const uint8_t *p = a->body;
    if (h->type == SET_CHUNK_SIZE && h->size >= 4)
        a->chunk_bytes = get_be(p, 4) & 0x7fffffff;
    else if (h->type == WINDOW_ACK_SIZE && h->size >= 4)
        a->window_bytes = get_be(p, 4);
    else if (h->type == COMMAND)
        return on_command(a, fd, p, h->size);
    else if (h->type == COMMAND_AMF3 && h->size > 0)
        return on_command(a, fd, p + 1, h->size - 1);
    return a->chunk_bytes > 0 && a->window_bytes > 0;
}

/* One chunk from the front of what was read: its bytes, 0 when it is not complete, -1 when it is not understood. */
static int take_chunk(struct rtmp_answer *a, int fd, const uint8_t *p, size_t size)
{
    static const size_t HEADER_BYTES[4] = {11, 7, 3, 0};
    if (size < 1)
        return 0;
    int fmt = p[0] >> 6, csid = p[0] & 63;
    size_t head = 1 + HEADER_BYTES[fmt];
    if (csid < 2)                    /* ids of two and three bytes are for more streams than a publisher has */
        return -1;
    if (size < head)
        return 0;
    struct header *h = &a->headers[csid];
    if (fmt < 3 && get_be(p + 1, 3) == 0xffffff)
        return -1;
    if (fmt < 2) {
        if (a->have)
            return -1;
        *h = (struct header){.size = get_be(p + 4, 3), .type = p[7]};
    }
    if (h->size > MOST_BODY)
        return -1;
    size_t part = h->size - a->have < a->chunk_bytes ? h->size - a->have : a->chunk_bytes;
    if (size < head + part)
        return 0;
    memcpy(a->body + a->have, p + head, part);
    a->have += (uint32_t)part;
    if (a->have == h->size) {
        a->have = 0;
        if (!on_message(a, fd, h))
            return -1;
    }
    return (int)(head + part);
}

static int take_handshake(struct rtmp_answer *a, int fd, size_t size)
{
    if (a->step == WANT_C2) {
        if (size < HANDSHAKE)
            return 0;
        a->step = CHUNKS;
        return HANDSHAKE;
    }
    if (size < 1 + HANDSHAKE)
        return 0;
    static uint8_t out[1 + 2 * HANDSHAKE];       /* S1 is all zeros: version 0 asks for no digest */
    out[0] = 3;
    memcpy(out + 1 + HANDSHAKE, a->in + 1, HANDSHAKE);
    a->step = WANT_C2;
    return send_all(fd, out, out + sizeof out) ? 1 + HANDSHAKE : -1;
}

struct rtmp_answer *rtmp_answer_new(void)
{
    struct rtmp_answer *a = calloc(1, sizeof *a);
    if (a) {
        a->chunk_bytes = 128;
        a->window_bytes = WINDOW;
    }
    return a;
}

void rtmp_answer_free(struct rtmp_answer *a)
{
    free(a);
}

uint64_t rtmp_received(const struct rtmp_answer *a)
{
    return a->received;
}

uint32_t rtmp_window(const struct rtmp_answer *a)
{
    return a->window_bytes;
}

enum rtmp_state rtmp_answer_read(struct rtmp_answer *a, int fd, size_t *media_bytes)
{
    int yes = 1;
    if (!a->received)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    ssize_t rc = recv(fd, a->in + a->in_bytes, MOST_IN - a->in_bytes, MSG_DONTWAIT);
    if (rc < 0 && errno == EAGAIN)
        return RTMP_ANSWERING;
    if (rc <= 0)                     /* also when the buffer is full of something that is no chunk */
        return RTMP_OVER;
    a->received += (uint64_t)rc;
    a->in_bytes += (size_t)rc;
    size_t done = 0;
    for (int took = 1; took > 0 && a->step != DONE; done += (size_t)took) {
        if (a->step < CHUNKS && done) {      /* the handshake is looked for at the buffer's front */
            memmove(a->in, a->in + done, a->in_bytes -= done);
            done = 0;
        }
        took = a->step < CHUNKS ? take_handshake(a, fd, a->in_bytes)
                                : take_chunk(a, fd, a->in + done, a->in_bytes - done);
        if (took < 0)
            return RTMP_OVER;
    }
    memmove(a->in, a->in + done, a->in_bytes -= done);
    *media_bytes = a->in_bytes;
    return a->step == DONE ? RTMP_PUBLISHED : RTMP_ANSWERING;
}
