/*
 * The answering half of an RTMP publish: handshake, connect, createStream, publish, and acknowledgements afterwards, so that a
 * receiver which throws media away looks like a server to whoever publishes.  Nothing is refused, nothing is checked beyond what
 * is needed to answer.  Adobe's RTMP specification 1.0: 5.2 (handshake), 5.3 (chunks), 5.4 (control messages), 7.2 (commands).
 */
#ifndef RTMP_ANSWER_H
#define RTMP_ANSWER_H

#include <stddef.h>
#include <stdint.h>

struct rtmp_answer;              /* one connection until its publish is answered */

enum rtmp_state { RTMP_ANSWERING, RTMP_PUBLISHED, RTMP_OVER };

struct rtmp_answer *rtmp_answer_new(void);
void rtmp_answer_free(struct rtmp_answer *a);
/*
 * Reads once from a non-blocking socket and answers.  RTMP_PUBLISHED: onStatus is sent, *media_bytes have come behind the publish
 * command, and the caller reads the rest itself.  RTMP_OVER: closed by the peer, or not RTMP as far as this understands it.
 */
enum rtmp_state rtmp_answer_read(struct rtmp_answer *a, int fd, size_t *media_bytes);
/* After RTMP_PUBLISHED: bytes of everything received so far, and how many the peer wants between two acknowledgements. */
uint64_t rtmp_received(const struct rtmp_answer *a);
uint32_t rtmp_window(const struct rtmp_answer *a);
void rtmp_acknowledge(int fd, uint64_t received_bytes);

#endif
