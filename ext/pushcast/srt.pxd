"""SRT callers over libsrt: see srt.pyx for the theory."""
from pushcast.libsrt cimport SRTSOCKET

ctypedef struct failure_t:
    int code                 # SRT_E*
    char text[160]           # libsrt's words, cut, with its final zero

# Take libsrt's last error of this thread; call it right after the call that failed.
cdef void note(failure_t* failure) noexcept nogil
# The return code, or SrtError when it is negative.
cdef int check(int rc, failure_t* failure, str doing) except -1
cdef int start_library() except -1
cdef int new_epoll() except -1
cdef void close_now(SRTSOCKET socket) noexcept


# What srt_create_socket and srt_accept gave and nobody closed yet.
cdef set open_sockets


cdef class SrtSocket:
    cdef SRTSOCKET socket    # -1 once closed or given to an SrtTransport

    cdef int require_open(self) except -1


cdef class SrtCaller(SrtSocket):
    pass
