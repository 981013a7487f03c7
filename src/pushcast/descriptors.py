"""Descriptors: as many as this user may have, with the kernel's table of them made before they are needed.

Each destination is a descriptor, and the usual soft limit of 1024 is fewer than one host can push to.  The table of a
process doubles when it is full.  In a process with threads the kernel waits then until no core reads the old one any
more, some 12 to 18 ms, within the call that wanted a descriptor: at 256, 512 and 1024 of them, and on the event loop.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import resource

# The table holds so many without growing; 8 bytes each of the kernel's memory.
ROOM = 16384


def raise_limit() -> int:
    """How many there may be from now on."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    return hard


def make_room() -> None:
    """To be called while there is one thread, when growing is nothing that anybody waits for."""
    last = min(ROOM, resource.getrlimit(resource.RLIMIT_NOFILE)[0]) - 1
    lowest = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
    try:
        with contextlib.suppress(OSError):  # it grows later, then
            os.close(fcntl.fcntl(lowest, fcntl.F_DUPFD_CLOEXEC, last))
    finally:
        os.close(lowest)
