"""The part of libsrt's C API that pushcast calls (libsrt >= 1.5.1)."""
from libc.stdint cimport int32_t, int64_t, uint64_t


cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    ctypedef unsigned short sa_family_t
    int AF_INET
    int AF_INET6

    struct sockaddr:
        sa_family_t sa_family

    struct sockaddr_storage:
        sa_family_t ss_family


cdef extern from "<netinet/in.h>" nogil:
    struct in_addr:
        unsigned int s_addr

    struct in6_addr:
        unsigned char s6_addr[16]

    struct sockaddr_in:
        sa_family_t sin_family
        unsigned short sin_port      # network byte order
        in_addr sin_addr

    struct sockaddr_in6:
        sa_family_t sin6_family
        unsigned short sin6_port     # network byte order
        unsigned int sin6_flowinfo
        in6_addr sin6_addr
        unsigned int sin6_scope_id

    unsigned short htons(unsigned short)
    unsigned short ntohs(unsigned short)


cdef extern from "<srt/srt.h>" nogil:
    ctypedef int32_t SRTSOCKET

    ctypedef enum SRT_SOCKSTATUS:
        SRTS_INIT
        SRTS_OPENED
        SRTS_LISTENING
        SRTS_CONNECTING
        SRTS_CONNECTED
        SRTS_BROKEN
        SRTS_CLOSING
        SRTS_CLOSED
        SRTS_NONEXIST

    ctypedef enum SRT_SOCKOPT:
        SRTO_MSS
        SRTO_SNDSYN
        SRTO_RCVSYN
        SRTO_FC
        SRTO_SNDBUF
        SRTO_RCVBUF
        SRTO_UDP_SNDBUF
        SRTO_UDP_RCVBUF
        SRTO_REUSEADDR
        SRTO_MAXBW
        SRTO_INPUTBW
        SRTO_MININPUTBW
        SRTO_OHEADBW
        SRTO_PASSPHRASE
        SRTO_PBKEYLEN
        SRTO_IPTTL
        SRTO_IPTOS
        SRTO_TSBPDMODE
        SRTO_TLPKTDROP
        SRTO_SNDDROPDELAY
        SRTO_NAKREPORT
        SRTO_CONNTIMEO
        SRTO_LOSSMAXTTL
        SRTO_RCVLATENCY
        SRTO_PEERLATENCY
        SRTO_MINVERSION
        SRTO_STREAMID
        SRTO_PAYLOADSIZE
        SRTO_KMREFRESHRATE
        SRTO_KMPREANNOUNCE
        SRTO_ENFORCEDENCRYPTION
        SRTO_IPV6ONLY
        SRTO_PEERIDLETIMEO
        SRTO_BINDTODEVICE
        SRTO_PACKETFILTER
        SRTO_RETRANSMITALGO

    enum:
        SRT_EINVSOCK
        SRT_ECONNLOST
        SRT_ENOCONN
        SRT_ESCLOSED
        SRT_ENOBUF
        SRT_ELARGEMSG
        SRT_EASYNCSND
        SRT_EASYNCRCV
        SRT_ECONGEST
        SRT_ETIMEOUT
        SRT_EPEERERR
        SRT_EPOLL_IN
        SRT_EPOLL_OUT
        SRT_EPOLL_ERR
        SRT_EPOLL_ENABLE_EMPTY

    ctypedef struct SRT_EPOLL_EVENT:
        SRTSOCKET fd
        int events

    ctypedef struct SRT_MSGCTRL:
        int32_t pktseq           # received: sequence number of the message's first packet

    # Docs: docs/API/statistics.md of libsrt.
    ctypedef struct SRT_TRACEBSTATS:
        int64_t msTimeStamp
        int64_t pktSentTotal
        int64_t pktSentUniqueTotal
        int pktSndLossTotal
        int pktRetransTotal
        int pktRecvACKTotal
        int pktRecvNAKTotal
        int64_t usSndDurationTotal
        int pktSndDropTotal
        int pktSndFilterExtraTotal
        uint64_t byteSentTotal
        uint64_t byteSentUniqueTotal
        uint64_t byteRetransTotal
        uint64_t byteSndDropTotal
        double mbpsSendRate
        double msRTT
        double mbpsBandwidth
        int pktFlowWindow
        int pktCongestionWindow
        int pktFlightSize
        int byteAvailSndBuf
        int pktSndBuf
        int byteSndBuf
        int msSndBuf
        int msSndTsbPdDelay
        double mbpsMaxBW
        int byteMSS
        int64_t pktRecvTotal
        int pktRcvLossTotal
        int pktRcvDropTotal
        int pktRcvUndecryptTotal
        uint64_t byteRecvTotal
        int msRcvBuf
        int msRcvTsbPdDelay

    int srt_startup()
    unsigned int srt_getversion()
    SRTSOCKET srt_create_group(int type)
    enum:
        SRT_GTYPE_BROADCAST
    int srt_cleanup()
    SRTSOCKET srt_create_socket()
    int srt_bind(SRTSOCKET u, const sockaddr* name, int namelen)
    int srt_bind_acquire(SRTSOCKET u, int udp)
    int srt_connect(SRTSOCKET u, const sockaddr* name, int namelen)
    int srt_listen(SRTSOCKET u, int backlog)
    SRTSOCKET srt_accept(SRTSOCKET u, sockaddr* name, int* namelen)
    int srt_listen_callback(SRTSOCKET lsn, int (*hook)(void* opaque, SRTSOCKET ns, int hsversion, const sockaddr* peer,
                                                       const char* streamid) noexcept, void* opaque)
    int srt_setrejectreason(SRTSOCKET u, int value)
    int srt_close(SRTSOCKET u)
    int srt_getsockname(SRTSOCKET u, sockaddr* name, int* namelen)
    int srt_setsockflag(SRTSOCKET u, SRT_SOCKOPT opt, const void* optval, int optlen)
    SRT_SOCKSTATUS srt_getsockstate(SRTSOCKET u)
    int srt_getrejectreason(SRTSOCKET u)
    int srt_getsockflag(SRTSOCKET u, SRT_SOCKOPT opt, void* optval, int* optlen)
    int srt_recvmsg2(SRTSOCKET u, char* buf, int len, SRT_MSGCTRL* mctrl)
    int srt_sendmsg2(SRTSOCKET u, const char* buf, int len, SRT_MSGCTRL* mctrl)
    int srt_bistats(SRTSOCKET u, SRT_TRACEBSTATS* perf, int clear, int instantaneous)
    const char* srt_getlasterror_str()
    int srt_getlasterror(int* errno_loc)
    int srt_epoll_create()
    int srt_epoll_set(int eid, int32_t flags)
    int srt_epoll_add_usock(int eid, SRTSOCKET u, const int* events)
    int srt_epoll_remove_usock(int eid, SRTSOCKET u)
    int srt_epoll_uwait(int eid, SRT_EPOLL_EVENT* fds, int size, int64_t timeout_ms)
    int srt_epoll_release(int eid)
    void srt_setloghandler(void* opaque, void (*handler)(void* opaque, int level, const char* file, int line, const char* area,
                                                          const char* message) noexcept nogil)
    void srt_resetlogfa(const int* areas, size_t count)
