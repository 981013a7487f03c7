"""Times a muxer's C face beside the floor of muxing: what copying the same frames costs when nothing is decided.

Both take the same frames, which lie one behind the other in anonymous memory, in turn: a lap of the muxer, a lap of the
floor.  The floor goes round an arena of its own, mapped as a ring's and of the size that the ring has grown to, so that
the same number of bytes is read and written out of the same caches.  The floor puts

- for TS, 4 header bytes and a copy of at most 184 for each packet, without PES headers, tables, clock or stuffing;
- for RTMP, 8 header bytes and one copy for each frame, one byte more for each chunk boundary.

A lap is nothing but Muxer.write calls, or nothing but copies: no Python call is in the figure.
"""
from libc.stdint cimport int64_t, uint8_t, uint32_t, uint64_t
from libc.stdlib cimport calloc, free, malloc
from libc.string cimport memcpy

from pushcast.frame cimport Frame
from pushcast.monotonic cimport monotonic_ns
from pushcast.muxer cimport Muxer
from pushcast.ring cimport Ring
from pushcast.wire cimport put_u32

cdef enum:
    PACKET_BYTES = 188
    PAYLOAD_BYTES = 184
    CHUNK_BYTES = 65536
    RESERVED_BYTES = 64 << 20    # as a Ring reserves them
    FIRST_HEADER = 0x47010010

ctypedef struct arena_t:
    uint8_t* start
    size_t size
    size_t at

# Copies one frame; returns the units that it became.
ctypedef uint64_t (*floor_t)(arena_t* arena, const uint8_t* data, size_t size) noexcept nogil


cdef inline uint8_t* room(arena_t* arena, size_t size) noexcept nogil:
    if arena.at + size > arena.size:
        arena.at = 0
    arena.at += size
    return arena.start + arena.at - size


cdef uint64_t copy_packets(arena_t* arena, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint64_t packets = (size + PAYLOAD_BYTES - 1) // PAYLOAD_BYTES
    cdef uint8_t* p = room(arena, packets * PACKET_BYTES)
    cdef uint32_t counter = 0
    while size >= PAYLOAD_BYTES:
        memcpy(put_u32(p, FIRST_HEADER | (counter & 15)), data, PAYLOAD_BYTES)
        counter += 1
        p += PACKET_BYTES
        data += PAYLOAD_BYTES
        size -= PAYLOAD_BYTES
    if size:
        memcpy(put_u32(p, FIRST_HEADER | (counter & 15)), data, size)
    return packets


cdef uint64_t copy_message(arena_t* arena, const uint8_t* data, size_t size) noexcept nogil:
    cdef uint8_t* p = room(arena, size + 8 + size // CHUNK_BYTES)
    cdef uint64_t header = size
    memcpy(p, &header, 8)
    p += 8
    while size > CHUNK_BYTES:
        memcpy(p, data, CHUNK_BYTES)
        p[CHUNK_BYTES] = 0xC6
        p += CHUNK_BYTES + 1
        data += CHUNK_BYTES
        size -= CHUNK_BYTES
    memcpy(p, data, size)
    return 1


def time_laps(Muxer muxer not None, str container not None, list frames not None, int64_t lap_ticks, int laps):
    """(ns of each lap of the muxer, ns of each lap of the floor, units of a lap of the floor) over (track, dts, pts,
    flags, data) tuples.

    Times go on from lap to lap, by lap_ticks.  Laps before these, which are not counted, let the ring grow and touch its
    pages.
    """
    cdef Py_ssize_t count = len(frames)
    cdef Frame* laid = <Frame*>calloc(count, sizeof(Frame))
    cdef uint8_t* bytes_of_all = <uint8_t*>malloc(sum(len(data) for *_, data in frames))
    cdef Ring reserved = Ring(RESERVED_BYTES)
    cdef floor_t floor = copy_packets if container == "mpegts" else copy_message
    cdef arena_t arena
    cdef uint64_t units = 0
    engine_ns, floor_ns = [], []
    try:
        if laid == NULL or bytes_of_all == NULL:
            raise MemoryError(f"{count} frames")
        lay(laid, bytes_of_all, frames)
        for _ in range(2):
            write_lap(muxer, laid, count, lap_ticks)
        arena.start, arena.size, arena.at = reserved.c.arena, muxer.ring.c.limit, 0
        copy_lap(floor, &arena, laid, count, &units)
        for _ in range(laps):
            engine_ns.append(write_lap(muxer, laid, count, lap_ticks))
            floor_ns.append(copy_lap(floor, &arena, laid, count, &units))
    finally:
        free(laid)
        free(bytes_of_all)
    return engine_ns, floor_ns, units


cdef lay(Frame* laid, uint8_t* at, list frames):
    for index, (track, dts, pts, flags, data) in enumerate(frames):
        memcpy(at, <const char*>data, len(data))
        laid[<Py_ssize_t>index] = Frame(data=at, size=len(data), dts=dts, pts=pts, track=track, flags=flags)
        at += <size_t>len(data)


cdef int64_t write_lap(Muxer muxer, Frame* frames, Py_ssize_t count, int64_t lap_ticks) except -1:
    cdef Py_ssize_t i
    cdef int64_t taken_ns
    cdef int64_t start_ns = monotonic_ns()
    for i in range(count):
        muxer.write(&frames[i])
    taken_ns = monotonic_ns() - start_ns
    for i in range(count):
        frames[i].dts += lap_ticks
        frames[i].pts += lap_ticks
    return taken_ns


cdef int64_t copy_lap(floor_t floor, arena_t* arena, const Frame* frames, Py_ssize_t count, uint64_t* units) except -1:
    cdef Py_ssize_t i
    cdef int64_t start_ns = monotonic_ns()
    units[0] = 0
    for i in range(count):
        units[0] += floor(arena, frames[i].data, frames[i].size)
    return monotonic_ns() - start_ns
