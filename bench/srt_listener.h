/*
 * An SRT listener that is only as much of SRT as a live sender needs to see, so that hundreds of connections cost the receiver
 * a small part of a core: handshake (induction, conclusion with HSRSP, KMRSP as an echo of KMREQ), a full ACK every 10 ms for
 * each connection that received something, keep-alive after a second of silence, shutdown.
 *
 * It holds nothing back, decrypts nothing and never asks again: a missing sequence number is counted as lost and acknowledged.
 * Layouts: draft-sharabayko-srt, sections 3.1 (data), 3.2.1 (handshake), 3.2.3 (keep-alive), 3.2.4 (ACK), 3.2.7 (shutdown).
 * All fields big endian.  One thread; the program binds the sockets, waits for them and for a timer of ACK_NS.
 */
#ifndef SRT_LISTENER_H
#define SRT_LISTENER_H

#include "discard.h"

#include <netinet/in.h>
#include <stddef.h>

#define MOST_SOCKETS 64
#define MOST_CONNECTIONS 8192
#define HEAD 512                 /* header, handshake, HSREQ and KMREQ fit; a stream id behind them is not needed */
#define MOST_READ_BYTES 1500
#define BUFFER_BYTES (32 << 20)
#define ACK_NS 10000000u

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

extern struct connection connections[MOST_CONNECTIONS];
extern int connection_count;
extern uint64_t start_ns;        /* zero of the time stamps in our packets, to be set first */
extern uint64_t malformed, strangers, shutdowns, control_packets;

/* How much of each packet is read, HEAD to MOST_READ_BYTES; the kernel throws the rest away. */
extern size_t read_bytes;
/* Who takes what a data packet held, when it comes for the first time and as far as it was read; NULL: nobody. */
typedef void (*take_payload_t)(const struct connection *c, const uint8_t *payload, size_t size, uint64_t arrived_ns);
extern take_payload_t take_payload;

/* Reads what has come to a socket. */
void drain(int fd);
/* Sends what is due to the peers of a socket: acknowledgements, signs of life. */
void acknowledge(int fd, uint64_t now);

#endif
