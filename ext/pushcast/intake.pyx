"""Intake: one thread that reads the sockets of all publishers whose media flows.

A frame that comes wakes this thread and no event loop: it waits without Python's lock, takes it for the reads, and runs no line of Python while what
they bring is media.  So a frame costs less than a turn of the event loop, and a loop that is busy with requests delays no media.

Python's lock is what keeps sockets and sources whole.  A socket is read under it, so nobody closes a descriptor that is being read; what its owner
is told, it is told on this thread, and hands on to its loop.
"""
from libc.errno cimport EINTR, errno

import os

from pushcast.epoll cimport EPOLL_CLOEXEC, EPOLL_CTL_ADD, EPOLL_CTL_DEL, EPOLLIN, epoll_create1, epoll_ctl, epoll_event, epoll_wait
from pushcast.mediasocket cimport ReadySocket
from pushcast.wakeup cimport close_fd, drain_fd, new_eventfd, wake

cdef enum:
    EVENTS_AT_ONCE = 64          # sockets that are read before the thread looks who else has something


cdef class Intake:
    """Intake()

    ``run`` in a thread of its own; the other methods from anywhere.
    """

    def __cinit__(self):
        self.wake_fd = -1
        self.sockets = {}
        self.epoll_fd = epoll_create1(EPOLL_CLOEXEC)
        self.wake_fd = new_eventfd()
        if self.epoll_fd < 0 or self.wake_fd < 0:
            raise OSError("no file descriptors left for reading publishers")
        self.watch(self.wake_fd)

    def __dealloc__(self):
        close_fd(self.epoll_fd)
        close_fd(self.wake_fd)

    cdef int watch(self, int fd) except -1:
        cdef epoll_event event
        event.events = EPOLLIN
        event.data.u32 = <unsigned int>fd
        if epoll_ctl(self.epoll_fd, EPOLL_CTL_ADD, fd, &event):
            raise OSError(errno, os.strerror(errno))
        return 0

    def add(self, ReadySocket socket not None):
        """Read this socket from now on; what came before is read at once."""
        self.sockets[socket.fd] = socket
        try:
            self.watch(socket.fd)
        except OSError:
            del self.sockets[socket.fd]
            raise

    def remove(self, ReadySocket socket not None):
        """Read it no more; to be called before it is closed.  One that is not there is no error."""
        if self.sockets.get(socket.fd) is socket:
            del self.sockets[socket.fd]
            epoll_ctl(self.epoll_fd, EPOLL_CTL_DEL, socket.fd, NULL)

    def run(self):
        """The thread's body: returns after stop()."""
        cdef epoll_event ready[EVENTS_AT_ONCE]
        cdef int count
        cdef int index
        cdef ReadySocket socket
        while not self.stopping:
            with nogil:
                count = epoll_wait(self.epoll_fd, ready, EVENTS_AT_ONCE, -1)
            if count < 0 and errno != EINTR:
                raise OSError(errno, os.strerror(errno))
            for index in range(count):
                if <int>ready[index].data.u32 == self.wake_fd:
                    drain_fd(self.wake_fd)
                    continue
                socket = self.sockets.get(<int>ready[index].data.u32)
                if socket is not None and not socket.read_all():
                    self.remove(socket)

    def stop(self):
        """Have run() return soon."""
        self.stopping = True
        wake(self.wake_fd)
