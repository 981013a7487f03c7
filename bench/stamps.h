/*
 * Times that a publisher wrote into its stream, found again in what arrived.
 *
 * A stamp is 16 bytes of STAMP_NAME and CLOCK_MONOTONIC in ns as 16 hexadecimal digits; bench/stamp.py writes it, as a
 * user_data_unregistered SEI message at the beginning of an access unit.  Both processes are on one host, so one clock serves both.
 */
#ifndef STAMPS_H
#define STAMPS_H

#include <stddef.h>
#include <stdint.h>

#define STAMP_BYTES 32

/* Keeps each stamp that lies whole in these bytes, with who received it and when. */
void stamps_find(const uint8_t *bytes, size_t size, uint32_t destination, uint64_t arrived_ns);
/* The same for a run of TS packets: a stamp lies in the first packet of a PES packet, or nowhere. */
void stamps_find_ts(const uint8_t *packets, size_t size, uint32_t destination, uint64_t arrived_ns);
/* Writes all to a file, 24 bytes each, little endian: u64 sent_ns, u64 arrived_ns, u32 destination, u32 0. */
void stamps_write(const char *program, const char *path);

#endif
