"""Intake: the thread that reads publishers' sockets.  Theory in intake.pyx."""


cdef class Intake:
    cdef int epoll_fd
    cdef int wake_fd
    cdef dict sockets            # fd -> ReadySocket
    cdef bint stopping

    cdef int watch(self, int fd) except -1
