/*
 * The server's side of RTMP connections until they publish: the handshake, then answers to connect, createStream and publish.
 *
 * Chunks are not put together: a command begins with its name and its transaction id, which lie within the first chunk of its
 * message whatever the chunk size, so the name is looked for and the id read behind it.  All else a client says is passed over.
 * From publish on every byte is the caller's, who reads without answering: no acknowledgement, no end.
 */
#ifndef RTMP_ACCEPT_H
#define RTMP_ACCEPT_H

#include <stddef.h>
#include <stdint.h>

enum rtmp_stage { RTMP_HELLO, RTMP_CONNECT, RTMP_CREATE, RTMP_PUBLISH, RTMP_MEDIA, RTMP_GONE };

struct rtmp_peer {
    enum rtmp_stage stage;       /* what is waited for; all zero is a new connection */
    uint8_t *heard;              /* what it said so far, until it publishes */
    size_t heard_bytes;
};

/* Listens on a free port of the loopback device, non-blocking; *port receives the number. */
int rtmp_listener(const char *program, uint16_t *port);
/* Reads what a connection says before its media, and answers.  RTMP_GONE: it closed, or said what no publisher says. */
enum rtmp_stage rtmp_accept(struct rtmp_peer *peer, int fd);

#endif
