/*
 * Callers of libsrt that share local ports: a port is a multiplexer and has one send and one receive thread.
 *
 * The program that links this has its own fail() and now_ns(), from pace.c or discard.c.
 */
#ifndef SRT_CALLERS_H
#define SRT_CALLERS_H

#include <stdint.h>
#include <stdnoreturn.h>

#define SRT_DATAGRAM 1316        /* 7 TS packets, the payload that everybody sends */

/* Negative numbers and an empty passphrase leave libsrt's own values. */
struct caller_options {
    const char *program;
    const char *host;
    const char *passphrase;
    int sockets_per_port;
    int latency_ms, fc, send_buffer, receive_buffer, udp_send_buffer, udp_receive_buffer;
};

/* Leaves without libsrt's clean-up: libsrt 1.5.1 can deadlock there while connects are under way. */
noreturn void srt_fail(const char *program, const char *what);
/* Starts libsrt and connects caller i to ports[i]; returns when all are connected, and fails after 10 s. */
void srt_connect_all(const struct caller_options *options, const uint16_t *ports, int *sockets, int count);
/* Waits until libsrt has sent and had acknowledged what it was given, 2 s at the most: closing drops the rest. */
void srt_drain(const int *sockets, int count);

#endif
