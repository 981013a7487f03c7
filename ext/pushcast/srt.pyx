"""SRT callers over libsrt: options, non-blocking connects, the sending Transport.

A caller goes through three hands.  SrtCaller holds a socket while it is configured, bound and connecting.
SrtConnector waits for all pending connects of an event loop with one srt_epoll, asked from a 10 ms loop timer that
runs only while something is pending: no thread is made for a connect.  SrtTransport takes the socket over when the
peer has accepted and sends from a sender thread.

libsrt runs a sending and a receiving thread for each UDP port, so callers bind explicitly and share a few ports (who
shares what is decided in pushcast.egress.multiplexer).  Its last error is thread-local and overwritten by the next
call: it is read in the same nogil stretch as the call that failed, and only `check` turns it into an exception.
libsrt's own logging is silent, because it would write stream ids and addresses to stderr; what matters arrives here
as errors and reject reasons.
"""
cimport cython
from libc.errno cimport ECONNRESET, EIO, EMSGSIZE, ENOBUFS, EPIPE, ETIMEDOUT
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcpy, memset, strncpy

from pushcast.libsrt cimport *
from pushcast.transport cimport CLASS_SRT, Transport, transport_t

import atexit
import socket as system_socket

from pushcast.errors import Retry, SrtError

cdef enum:
    PACKET_BYTES = 188           # one TS packet
    LIVE_PAYLOAD_BYTES = 1456    # the most that a live socket takes: MTU 1500 - IPv4 and UDP 28 - SRT 16
    POLL_BATCH = 64

cdef double POLL_S = 0.010       # libsrt itself looks after connecting sockets every 10 ms


# ---- errors ----

cdef void note(failure_t* failure) noexcept nogil:
    """Take libsrt's last error of this thread; call it right after the call that failed."""
    failure.code = srt_getlasterror(NULL)
    strncpy(failure.text, srt_getlasterror_str(), sizeof(failure.text) - 1)
    failure.text[sizeof(failure.text) - 1] = 0


cdef int check(int rc, failure_t* failure, str doing, object retry=Retry.SOON) except -1:
    """The return code, or SrtError when it is negative."""
    if rc < 0:
        text = failure.text.decode("utf-8", "replace")
        raise SrtError(f"SRT {doing}: {text} (libsrt {failure.code})", 0, retry)
    return rc


cdef int errno_of(int code) noexcept nogil:
    """The errno that says to the sender what a failed srt_sendmsg2 means."""
    if code == SRT_ETIMEOUT:
        return ETIMEDOUT
    if code == SRT_ENOBUF:
        return ENOBUFS
    if code == SRT_ELARGEMSG:
        return EMSGSIZE
    if code == SRT_EPEERERR:
        return EPIPE
    if code == SRT_ECONNLOST or code == SRT_ENOCONN or code == SRT_EINVSOCK or code == SRT_ESCLOSED:
        return ECONNRESET        # libsrt collects broken sockets by itself: a lost connection may show as an unknown socket
    return EIO


# ---- the library ----

cdef bint started = False


cdef void discard_log(void* opaque, int level, const char* file, int line, const char* area, const char* message) noexcept nogil:
    pass


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


# What srt_create_socket gave and nobody closed yet.
cdef set open_sockets = set()


def _stop_library():
    """Close what is open, then let libsrt go: left to itself, libsrt 1.5.1 closes sockets under its global lock, for which a connect that
    is just being answered waits on the other side, for ever.
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
    return check(rc, &failure, f"option {name}", Retry.NEVER)


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


@cython.final
cdef class SrtCaller:
    """A caller socket until its peer has accepted: non-blocking, REUSEADDR set.  Options first, then bind, then
    connect.

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
            raise SrtError("SRT caller is closed")
        return 0

    def __dealloc__(self):
        if self.socket >= 0:
            close_now(self.socket)


@cython.final
cdef class SrtConnector:
    """Waits for the connects of one event loop, without a thread.  Used on that loop only."""

    def __cinit__(self, *args, **kwargs):
        self.epoll = -1
        self.pending = {}

    def __init__(self, loop):
        cdef failure_t failure
        cdef int made
        self.loop = loop
        start_library()
        with nogil:
            made = srt_epoll_create()
            if made < 0:
                note(&failure)
            else:
                srt_epoll_set(made, SRT_EPOLL_ENABLE_EMPTY)
        self.epoll = check(made, &failure, "epoll")

    def connect(self, SrtCaller caller not None, int family, tuple address not None):
        """A future: None when the peer has accepted, else libsrt's reject reason as an int.  Cancelling it stops the
        waiting."""
        cdef failure_t failure
        cdef int events = SRT_EPOLL_OUT | SRT_EPOLL_ERR
        cdef int rc
        cdef SRTSOCKET socket
        caller.require_open()
        socket = caller.socket
        with nogil:
            rc = srt_epoll_add_usock(self.epoll, socket, &events)
            if rc < 0:
                note(&failure)
        check(rc, &failure, "epoll add")
        try:
            caller.connect(family, address)
        except BaseException:
            with nogil:
                srt_epoll_remove_usock(self.epoll, socket)
            raise
        future = self.loop.create_future()
        self.pending[socket] = future
        if self.timer is None:
            self.timer = self.loop.call_later(POLL_S, self._poll)
        return future

    def _poll(self):
        cdef SRT_EPOLL_EVENT events[POLL_BATCH]
        cdef failure_t failure
        cdef SRTSOCKET socket
        cdef int count, i
        self.timer = None
        # A cancelled connect is closed by its owner, and libsrt takes a closed socket out of every epoll.
        for socket in [number for number, future in self.pending.items() if future.cancelled()]:
            self.pending.pop(socket)
            with nogil:
                srt_epoll_remove_usock(self.epoll, socket)
        while True:
            with nogil:
                count = srt_epoll_uwait(self.epoll, events, POLL_BATCH, 0)
                if count < 0:
                    note(&failure)
            check(count, &failure, "epoll wait")
            for i in range(min(count, <int>POLL_BATCH)):
                self.resolve_one(events[i].fd)
            if count < POLL_BATCH:
                break
        if self.pending:
            self.timer = self.loop.call_later(POLL_S, self._poll)

    cdef resolve_one(self, SRTSOCKET socket):
        """Answer the future of a socket that libsrt reported."""
        cdef SRT_SOCKSTATUS state
        cdef int reason
        with nogil:
            srt_epoll_remove_usock(self.epoll, socket)
            state = srt_getsockstate(socket)
            reason = srt_getrejectreason(socket)
        future = self.pending.pop(socket, None)
        if future is not None and not future.done():
            future.set_result(None if state == SRTS_CONNECTED else reason)

    def __dealloc__(self):
        if self.epoll >= 0:
            with nogil:
                srt_epoll_release(self.epoll)


# ---- sending ----

cdef Py_ssize_t srt_send_run(transport_t* self, const uint8_t* data, size_t size) noexcept nogil:
    """One srt_sendmsg2 for each datagram: libsrt has no call that takes many."""
    cdef size_t at = 0
    cdef size_t piece
    cdef int code
    while at < size:
        piece = size - at
        if piece > self.datagram:
            piece = self.datagram
        if srt_sendmsg2(self.fd, <const char*>data + at, <int>piece, NULL) < 0:
            code = srt_getlasterror(NULL)
            if code == SRT_EASYNCSND or code == SRT_ECONGEST:
                self.short_sends += 1
                break
            if at == 0:
                return -errno_of(code)
            break
        at += piece
    return <Py_ssize_t>at


@cython.final
cdef class SrtTransport(Transport):
    """SrtTransport(caller, datagram_bytes=1316): takes the socket of a connected SrtCaller.

    ``datagram_bytes``: whole TS packets, up to 1316 (1456 is the most that a live socket takes).
    """

    def __cinit__(self, SrtCaller caller not None, uint32_t datagram_bytes=7 * PACKET_BYTES):
        if datagram_bytes == 0 or datagram_bytes % PACKET_BYTES or datagram_bytes > LIVE_PAYLOAD_BYTES:
            raise ValueError(
                f"datagram_bytes: found {datagram_bytes}, allowed multiples of {PACKET_BYTES} up to {LIVE_PAYLOAD_BYTES}"
            )
        caller.require_open()
        self.c.send = srt_send_run
        self.c.datagram = datagram_bytes
        self.c.class_ = CLASS_SRT
        self.c.fd = caller.socket
        caller.socket = -1

    @property
    def connected(self):
        """False once the connection is broken or closed."""
        cdef SRT_SOCKSTATUS state
        cdef SRTSOCKET socket = self.c.fd
        with nogil:
            state = srt_getsockstate(socket)
        return state == SRTS_CONNECTED

    def stats(self):
        """libsrt's sender-side figures since connect, and what they are now; empty once the connection is gone.

        ``lost`` was reported missing by the peer and may have been repaired; ``dropped`` was given up.
        ``send_buffer_ms`` against ``peer_latency_ms`` shows congestion.  libsrt docs/API/statistics.md.
        """
        cdef SRT_TRACEBSTATS s
        cdef SRTSOCKET socket = self.c.fd
        cdef int rc
        with nogil:
            rc = srt_bistats(socket, &s, 0, 1)
        if rc < 0:
            return {}
        return {
            "sent_packets": s.pktSentTotal,
            "sent_unique_packets": s.pktSentUniqueTotal,
            "lost_packets": s.pktSndLossTotal,
            "retransmitted_packets": s.pktRetransTotal,
            "dropped_packets": s.pktSndDropTotal,
            "filter_extra_packets": s.pktSndFilterExtraTotal,
            "received_acks": s.pktRecvACKTotal,
            "received_naks": s.pktRecvNAKTotal,
            "sent_bytes": s.byteSentTotal,
            "sent_unique_bytes": s.byteSentUniqueTotal,
            "retransmitted_bytes": s.byteRetransTotal,
            "dropped_bytes": s.byteSndDropTotal,
            "connected_ms": s.msTimeStamp,
            "send_duration_us": s.usSndDurationTotal,
            "mean_send_rate_mbps": s.mbpsSendRate,
            "rtt_ms": s.msRTT,
            "bandwidth_mbps": s.mbpsBandwidth,
            "max_bandwidth_mbps": s.mbpsMaxBW,
            "flow_window_packets": s.pktFlowWindow,
            "congestion_window_packets": s.pktCongestionWindow,
            "flight_packets": s.pktFlightSize,
            "send_buffer_packets": s.pktSndBuf,
            "send_buffer_bytes": s.byteSndBuf,
            "send_buffer_ms": s.msSndBuf,
            "send_buffer_free_bytes": s.byteAvailSndBuf,
            "peer_latency_ms": s.msSndTsbPdDelay,
            "mss_bytes": s.byteMSS,
            "short_sends": self.c.short_sends,
        }

    cdef close_socket(self):
        """srt_close may block: call close() off the event loop."""
        cdef SRTSOCKET socket = self.c.fd
        self.c.fd = -1
        if socket >= 0:
            close_now(socket)

    cdef void release_socket(self) noexcept:
        close_now(self.c.fd)
