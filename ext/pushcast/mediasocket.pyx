"""MediaSocket: the socket of an RTMP publisher whose media flows; ReadySocket: what any socket is to the intake (tssocket for others).

Nearly every read brings media and nothing else, which the chunk reader hands to its sink in C, without a line of Python; what it brings besides, and
what must be answered, is told to its owner, on the thread that reads (intake.pyx).

All of them read into one buffer, for what a read brought is used up before the next one begins: a second of 8 Mbit/s in 8 reads.
"""
from libc.errno cimport EAGAIN, EINTR, errno
from libc.stdint cimport UINT64_MAX, uint8_t

import os

from pushcast.chunk cimport ChunkReader

cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t recv(int fd, void* buffer, size_t size, int flags)
    enum:
        MSG_DONTWAIT

cdef extern from "<unistd.h>" nogil:
    int close_fd "close"(int fd)

cdef enum:
    READ_BYTES = 128 * 1024
    READS_A_CALL = 8             # what one publisher may have of the thread's time

cdef uint8_t buffer[READ_BYTES]


cdef class ReadySocket:
    """ReadySocket(fd, end): what the intake reads.

    ``end(error)``: the peer closed (None), the socket failed (OSError), or what came cannot be taken (whatever was raised); nothing
    is read after that.  ``fd``: owned from here on.
    """

    def __cinit__(self, int fd, *args, **kwargs):
        self.fd = fd

    def __init__(self, int fd, end not None):
        self.end = end

    def __dealloc__(self):
        if self.fd >= 0:
            close_fd(self.fd)

    cdef bint read_all(self) except -1:
        """The socket is readable: read what is there, within READS_A_CALL.  False when nothing will come any more."""
        cdef int reads
        for reads in range(READS_A_CALL):
            if self.ended or not self.read():
                break
        return not self.ended

    def __call__(self):
        """The same for those who have it in Python."""
        return self.read_all()

    cdef bint read(self) except -1:
        raise NotImplementedError

    cdef int stop(self, error) except -1:
        self.ended = True
        self.end(error)
        return 0

    def close(self):
        """Read no more and tell nothing; the intake must have forgotten it before.  A second call does nothing."""
        self.ended = True
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1


cdef class MediaSocket(ReadySocket):
    """MediaSocket(fd, reader, attend, end): of an RTMP publisher, a connected socket.

    ``attend(messages)``: something came that is no media for the reader's sink (the list may be empty), or ``attend_at`` bytes have come; the
    owner sets ``attend_at`` anew then.
    """

    def __init__(self, int fd, ChunkReader reader not None, attend not None, end not None):
        ReadySocket.__init__(self, fd, end)
        self.reader = reader
        self.attend = attend

    cdef bint read(self) except -1:
        cdef Py_ssize_t size = recv(self.fd, buffer, READ_BYTES, MSG_DONTWAIT)
        cdef list messages
        if size < 0 and (errno == EAGAIN or errno == EINTR):
            return False
        if size <= 0:
            self.stop(OSError(errno, os.strerror(errno)) if size < 0 else None)
            return False
        try:
            messages = self.reader.receive_bytes(buffer, <size_t>size)
            if messages or self.reader.bytes_received >= self.attend_at:
                self.attend_at = UINT64_MAX
                self.attend(messages)
        except Exception as error:
            self.stop(error)
            return False
        # Of a message that has begun the rest is on its way: encoders send a chunk's header alone and its bytes right behind it.  A low-water mark
        # would spare that first read, but the read is what has the kernel acknowledge the header, which Nagle's algorithm waits for at the sender.
        return size == READ_BYTES or not self.reader.between_messages()
