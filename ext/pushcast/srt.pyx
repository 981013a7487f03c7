"""SRT callers over libsrt: the library itself, options, sockets until their peer has accepted.

A caller goes through three hands.  SrtCaller holds a socket while it is configured, bound and connecting.
SrtConnector (srtconnector) waits for the pending connects of an event loop.  SrtTransport (srttransport) takes the
socket over when the peer has accepted and sends from a sender thread.

libsrt runs a sending and a receiving thread for each UDP port, so callers bind explicitly and share a few ports (who
shares what is decided in pushcast.egress.multiplexer).  Its last error is thread-local and overwritten by the next
call: it is read in the same nogil stretch as the call that failed, and only `check` turns it into an exception.
libsrt's own logging is silent, because it would write stream ids and addresses to stderr; what matters arrives here
as errors and reject reasons.
"""
cimport cython
from libc.stdint cimport int64_t, uint32_t
from libc.string cimport memcpy, memset, strncpy

from pushcast.libsrt cimport *

import atexit
import os
import socket as system_socket

from pushcast.errors import Retry, SrtError

# ---- errors ----

cdef void note(failure_t* failure) noexcept nogil:
    """Take libsrt's last error of this thread; call it right after the call that failed."""
    failure.code = srt_getlasterror(NULL)
    strncpy(failure.text, srt_getlasterror_str(), sizeof(failure.text) - 1)
    failure.text[sizeof(failure.text) - 1] = 0


cdef int check(int rc, failure_t* failure, str doing) except -1:
    """The return code, or SrtError when it is negative."""
    if rc < 0:
        raise error_of(failure, doing, Retry.SOON)
    return rc


cdef object error_of(failure_t* failure, str doing, retry):
    return SrtError(f"SRT {doing}: {failure.text.decode('utf-8', 'replace')} (libsrt {failure.code})", 0, retry)


# ---- the library ----

cdef bint started = False


cdef void discard_log(void* opaque, int level, const char* file, int line, const char* area, const char* message) noexcept nogil:
    pass


def library_version():
    """libsrt's, as people write it."""
    cdef uint32_t version = srt_getversion()
    return f"{version >> 16}.{version >> 8 & 255}.{version & 255}"


def has_bonding():
    """Whether the libsrt at hand can make groups: it is built without them unless somebody asks."""
    cdef SRTSOCKET group
    start_library()
    with nogil:
        group = srt_create_group(SRT_GTYPE_BROADCAST)
        if group >= 0:
            srt_close(group)
    return group >= 0


cdef int start_library() except -1:
    """srt_startup, once: at the first caller, so that a process that pushes no SRT has none of libsrt's threads."""
    global started
    cdef failure_t failure
    cdef int rc
    if started:
        return 0
    with nogil:
        rc = srt_startup()
        if rc < 0:
            note(&failure)
        srt_resetlogfa(NULL, 0)
        srt_setloghandler(NULL, discard_log)
    check(rc, &failure, "startup")
    started = True
    atexit.register(_stop_library)
    return 0


cdef int new_epoll() except -1:
    """An srt_epoll that may be empty; the library is started for it."""
    cdef failure_t failure
    cdef int made
    start_library()
    with nogil:
        made = srt_epoll_create()
        if made < 0:
            note(&failure)
        else:
            srt_epoll_set(made, SRT_EPOLL_ENABLE_EMPTY)
    return check(made, &failure, "epoll")


open_sockets = set()


def _stop_library():
    """Close what is open, then let libsrt go: left to itself, libsrt 1.5.1 closes sockets under its global lock, for
    which a connect that is just being answered waits on the other side, for ever.
    """
    for socket in list(open_sockets):
        close_now(socket)
    with nogil:
        srt_cleanup()


cdef void close_now(SRTSOCKET socket) noexcept:
    """srt_close, which may block; it fails only for a socket that libsrt has already collected."""
    open_sockets.discard(socket)
    with nogil:
        srt_close(socket)


# ---- options ----

cdef enum:
    INT32 = 1
    INT64 = 2
    TEXT = 3

# By libsrt's own names, in libsrt's own units.
_OPTIONS = {
    "bindtodevice": (SRTO_BINDTODEVICE, TEXT),
    "conntimeo": (SRTO_CONNTIMEO, INT32),
    "enforcedencryption": (SRTO_ENFORCEDENCRYPTION, INT32),
    "fc": (SRTO_FC, INT32),
    "inputbw": (SRTO_INPUTBW, INT64),
    "iptos": (SRTO_IPTOS, INT32),
    "ipttl": (SRTO_IPTTL, INT32),
    "kmpreannounce": (SRTO_KMPREANNOUNCE, INT32),
    "kmrefreshrate": (SRTO_KMREFRESHRATE, INT32),
    "lossmaxttl": (SRTO_LOSSMAXTTL, INT32),
    "maxbw": (SRTO_MAXBW, INT64),
    "mininputbw": (SRTO_MININPUTBW, INT64),
    "minversion": (SRTO_MINVERSION, INT32),
    "mss": (SRTO_MSS, INT32),
    "nakreport": (SRTO_NAKREPORT, INT32),
    "oheadbw": (SRTO_OHEADBW, INT32),
    "packetfilter": (SRTO_PACKETFILTER, TEXT),
    "passphrase": (SRTO_PASSPHRASE, TEXT),
    "payloadsize": (SRTO_PAYLOADSIZE, INT32),
    "pbkeylen": (SRTO_PBKEYLEN, INT32),
    "peeridletimeo": (SRTO_PEERIDLETIMEO, INT32),
    "peerlatency": (SRTO_PEERLATENCY, INT32),
    "rcvbuf": (SRTO_RCVBUF, INT32),
    "rcvlatency": (SRTO_RCVLATENCY, INT32),
    "retransmitalgo": (SRTO_RETRANSMITALGO, INT32),
    "sndbuf": (SRTO_SNDBUF, INT32),
    "snddropdelay": (SRTO_SNDDROPDELAY, INT32),
    "streamid": (SRTO_STREAMID, TEXT),
    "tlpktdrop": (SRTO_TLPKTDROP, INT32),
    "udp_rcvbuf": (SRTO_UDP_RCVBUF, INT32),
    "udp_sndbuf": (SRTO_UDP_SNDBUF, INT32),
}


cdef int set_option(SRTSOCKET socket, int option, const void* value, int size, str name) except -1:
    cdef failure_t failure
    cdef int rc
    with nogil:
        rc = srt_setsockflag(socket, <SRT_SOCKOPT>option, value, size)
        if rc < 0:
            note(&failure)
    if rc < 0:
        raise error_of(&failure, f"option {name}", Retry.NEVER)
    return rc


# ---- addresses ----

cdef int put_address(sockaddr_storage* storage, int family, bytes packed, int port, uint32_t scope) except -1:
    """Fill storage and return its length; packed comes from inet_pton and so has the family's length."""
    cdef sockaddr_in* v4 = <sockaddr_in*>storage
    cdef sockaddr_in6* v6 = <sockaddr_in6*>storage
    cdef const char* raw = packed
    if not 0 <= port <= 65535:
        raise ValueError(f"port: found {port}, allowed 0..65535")
    memset(storage, 0, sizeof(sockaddr_storage))
    if family == AF_INET:
        v4.sin_family = AF_INET
        v4.sin_port = htons(<unsigned short>port)
        memcpy(&v4.sin_addr, raw, 4)
        return sizeof(sockaddr_in)
    if family == AF_INET6:
        v6.sin6_family = AF_INET6
        v6.sin6_port = htons(<unsigned short>port)
        memcpy(&v6.sin6_addr, raw, 16)
        v6.sin6_scope_id = scope
        return sizeof(sockaddr_in6)
    raise ValueError(f"address family: found {family}, allowed AF_INET and AF_INET6")


cdef class SrtSocket:
    """A socket of libsrt's: non-blocking, REUSEADDR set.  Options first, then bind.

    ``options``: pairs of libsrt's option name and its value in libsrt's unit, set in their order.  Raises SrtError
    when libsrt refuses one (the text names the option, never its value) and KeyError for a name that is not known
    here.
    """

    def __cinit__(self, *args, **kwargs):
        self.socket = -1

    def __init__(self, options=()):
        cdef failure_t failure
        cdef SRTSOCKET made
        cdef int number
        start_library()
        with nogil:
            made = srt_create_socket()
            if made < 0:
                note(&failure)
        self.socket = check(made, &failure, "socket")
        open_sockets.add(made)
        number = 0
        set_option(self.socket, SRTO_SNDSYN, &number, sizeof(number), "sndsyn")
        set_option(self.socket, SRTO_RCVSYN, &number, sizeof(number), "rcvsyn")
        number = 1
        set_option(self.socket, SRTO_REUSEADDR, &number, sizeof(number), "reuseaddr")
        for name, value in options:
            self.set(name, value)

    def set(self, str name not None, value):
        """Set one option by libsrt's name, in libsrt's unit."""
        cdef int number
        cdef int64_t large
        cdef bytes text
        self.require_open()
        option, kind = _OPTIONS[name]
        if kind == TEXT:
            text = value.encode() if isinstance(value, str) else bytes(value)
            set_option(self.socket, option, <const char*>text, <int>len(text), name)
        elif kind == INT64:
            large = value
            set_option(self.socket, option, &large, sizeof(large), name)
        else:
            number = value
            set_option(self.socket, option, &number, sizeof(number), name)

    def bind(self, int family, str address not None, int port):
        """Bind to a local UDP port, 0 for any; returns the port.  An empty address means every interface."""
        cdef sockaddr_storage storage
        cdef failure_t failure
        cdef int size, rc
        cdef int only = 1
        self.require_open()
        if family == AF_INET6:
            # libsrt asks for an explicit answer before it binds to the IPv6 wildcard.
            set_option(self.socket, SRTO_IPV6ONLY, &only, sizeof(only), "ipv6only")
        wildcard = "::" if family == AF_INET6 else "0.0.0.0"
        size = put_address(&storage, family, system_socket.inet_pton(family, address or wildcard), port, 0)
        with nogil:
            rc = srt_bind(self.socket, <sockaddr*>&storage, size)
            if rc < 0:
                note(&failure)
        check(rc, &failure, f"bind to UDP port {port}")
        size = sizeof(storage)
        with nogil:
            rc = srt_getsockname(self.socket, <sockaddr*>&storage, &size)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "socket name")
        return ntohs((<sockaddr_in*>&storage).sin_port)

    def bind_to(self, int udp):
        """Instead of bind: use the UDP socket of this descriptor, which is bound, by a descriptor of its own."""
        cdef failure_t failure
        cdef int rc, own
        self.require_open()
        own = os.dup(udp)
        with nogil:
            rc = srt_bind_acquire(self.socket, own)
            if rc < 0:
                note(&failure)
        if rc < 0:
            os.close(own)
        check(rc, &failure, "bind to a UDP socket")

    def close(self):
        """Close the socket unless an SrtTransport has it.  May block: not on the event loop."""
        cdef SRTSOCKET socket = self.socket
        self.socket = -1
        if socket >= 0:
            close_now(socket)

    @property
    def closed(self):
        return self.socket < 0

    cdef int require_open(self) except -1:
        if self.socket < 0:
            raise SrtError("SRT socket is closed")
        return 0

    def __dealloc__(self):
        if self.socket >= 0:
            close_now(self.socket)


@cython.final
cdef class SrtCaller(SrtSocket):
    """A caller socket until its peer has accepted: options first, then bind, then connect."""

    def connect(self, int family, tuple address not None):
        """Begin to connect to (host, port) or (host, port, flow, scope); an SrtConnector tells how it ends."""
        cdef sockaddr_storage storage
        cdef failure_t failure
        cdef int size, rc
        self.require_open()
        packed = system_socket.inet_pton(family, address[0].partition("%")[0])
        size = put_address(&storage, family, packed, address[1], address[3] if len(address) > 3 else 0)
        with nogil:
            rc = srt_connect(self.socket, <sockaddr*>&storage, size)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "connect")
