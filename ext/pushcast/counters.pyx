"""The counter table: one row for each destination, written by its sender thread, read by anybody.

A row is written by one thread only (but for `reset_gap`), in 64-bit words that are stored and loaded as relaxed atomics, without locks; a reader may see
one word newer than its neighbour.  The table grows in blocks, so that a row never moves while C writes it.  Readers take a copy of the whole table and
compute by column.
"""
cimport cython
from libc.stdint cimport uint64_t
from libc.string cimport memset

from pushcast.atomics cimport load_relaxed, store_relaxed

import numpy as np

COUNTERS = np.dtype([
    ("sent_bytes", np.uint64),
    ("media_bytes", np.uint64),
    ("sends", np.uint64),
    ("jumps", np.uint64),
    ("skipped_spans", np.uint64),
    ("damaged", np.uint64),
    ("first_send_ns", np.uint64),
    ("last_send_ns", np.uint64),
    ("max_gap_ns", np.uint64),
    ("lag_ms", np.uint64),
    ("refused", np.uint64),
    ("short_sends", np.uint64),
    ("dropped_packets", np.uint64),
    ("send_buffer_ms", np.uint64),
    ("send_buffer_allowed_ms", np.uint64),
    ("blocked_since_ns", np.uint64),
])

cdef enum:
    BLOCK_ROWS = 256


cdef class Tally:
    """Tally(): the bytes that transports have taken of all destinations that were made with it, summed while they are sent.

    Who wants the sum of hundreds of destinations every second reads one word.  ``destinations``: those that there are, so that
    who has seen 0 of them knows that the sum is final.
    """

    @property
    def sent_bytes(self):
        return load_relaxed(&self.sent)


cdef class CounterTable:
    """Rows for destinations, handed out by `take` and returned by `give`."""

    def __cinit__(self):
        if COUNTERS.itemsize != sizeof(counters_t):
            raise AssertionError(f"a row is {sizeof(counters_t)} bytes in C and {COUNTERS.itemsize} in numpy")
        self.blocks = []
        self.free_rows = []

    def take(self):
        """Index of a row, zeroed."""
        if not self.free_rows:
            first = len(self.blocks) * BLOCK_ROWS
            self.blocks.append(np.zeros(BLOCK_ROWS, COUNTERS))
            self.free_rows.extend(range(first + BLOCK_ROWS - 1, first - 1, -1))
        index = self.free_rows.pop()
        memset(self.row(index), 0, sizeof(counters_t))
        return index

    def give(self, size_t index):
        """Return a row that nobody writes any more."""
        self.free_rows.append(index)

    cdef counters_t* row(self, size_t index) except NULL:
        cdef uint64_t[::1] words = self.blocks[index // BLOCK_ROWS].view(np.uint64)
        return <counters_t*>&words[(index % BLOCK_ROWS) * (sizeof(counters_t) // sizeof(uint64_t))]

    def snapshot(self):
        """A copy of all rows, in the order of their indices: a numpy array of dtype COUNTERS."""
        cdef size_t words = BLOCK_ROWS * sizeof(counters_t) // sizeof(uint64_t)
        cdef size_t block
        cdef size_t i
        cdef const uint64_t* theirs
        cdef uint64_t[:, ::1] ours
        copied = np.empty(len(self.blocks) * BLOCK_ROWS, COUNTERS)
        if self.blocks:
            ours = copied.view(np.uint64).reshape(-1, words)
            for block in range(<size_t>len(self.blocks)):
                theirs = <const uint64_t*>self.row(block * BLOCK_ROWS)
                for i in range(words):
                    ours[block, i] = load_relaxed(&theirs[i])
        return copied

    def read(self, size_t index):
        """One row as a dict of ints."""
        cdef counters_t* row = self.row(index)
        return {
            "sent_bytes": load_relaxed(&row.sent_bytes),
            "media_bytes": load_relaxed(&row.media_bytes),
            "sends": load_relaxed(&row.sends),
            "jumps": load_relaxed(&row.jumps),
            "skipped_spans": load_relaxed(&row.skipped_spans),
            "damaged": load_relaxed(&row.damaged),
            "first_send_ns": load_relaxed(&row.first_send_ns),
            "last_send_ns": load_relaxed(&row.last_send_ns),
            "max_gap_ns": load_relaxed(&row.max_gap_ns),
            "lag_ms": load_relaxed(&row.lag_ms),
            "refused": load_relaxed(&row.refused),
            "short_sends": load_relaxed(&row.short_sends),
            "dropped_packets": load_relaxed(&row.dropped_packets),
            "send_buffer_ms": load_relaxed(&row.send_buffer_ms),
            "send_buffer_allowed_ms": load_relaxed(&row.send_buffer_allowed_ms),
            "blocked_since_ns": load_relaxed(&row.blocked_since_ns),
        }

    def reset_gap(self, size_t index):
        """Begin a new measurement of max_gap_ns."""
        store_relaxed(&self.row(index).max_gap_ns, 0)
