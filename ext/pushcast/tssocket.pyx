"""TsStreamSocket and TsDatagramSocket: transport streams over TCP, UDP and RTP into a TsInput, in C.

Datagrams have no connection, so whoever sends first is the sender; what others send is counted and dropped for as long
as that one is heard, because two streams at one port would be none.  RTP (RFC 3550 5.1, payload RFC 2250) is taken in
the order in which it comes: a packet that is late or twice there is dropped, and its place counts as lost.
"""
cimport cython
from libc.errno cimport EAGAIN, ECONNREFUSED, EINTR, errno
from libc.stdint cimport int64_t, uint8_t, uint32_t
from libc.string cimport memcmp, memcpy

import os
import socket as system_socket

from pushcast.mediasocket cimport ReadySocket
from pushcast.monotonic cimport monotonic_ns
from pushcast.tstap cimport TsTap
from pushcast.wire cimport get_u16

cdef extern from "<sys/uio.h>" nogil:
    struct iovec:
        void* iov_base
        size_t iov_len

cdef extern from "<sys/socket.h>" nogil:
    ctypedef unsigned int socklen_t
    struct msghdr:
        void* msg_name
        socklen_t msg_namelen
        iovec* msg_iov
        size_t msg_iovlen
    struct mmsghdr:
        msghdr msg_hdr
        unsigned int msg_len
    Py_ssize_t recv(int fd, void* buffer, size_t size, int flags)
    int recvmmsg(int fd, mmsghdr* messages, unsigned int count, int flags, void* timeout)
    enum:
        MSG_DONTWAIT

cdef enum:
    READ_BYTES = 128 * 1024
    DATAGRAMS = 32               # in one system call
    DATAGRAM_BYTES = 2048        # more than any network carries whole; a longer one is cut, and its last packet lost
    RTP_HEAD = 12
    REORDER_MOST = 3000          # RTP numbers behind by so many are late, others a sender that began anew: RFC 3550 A.1

# Used on the intake's thread alone: what a read brought is used up before the next begins.
cdef uint8_t[READ_BYTES] room
cdef uint8_t[DATAGRAMS][28] names
cdef iovec[DATAGRAMS] pieces
cdef mmsghdr[DATAGRAMS] messages


cdef class TsSocket(ReadySocket):
    """TsSocket(fd, tap, end): the base."""

    def __init__(self, int fd, TsTap tap not None, end not None):
        ReadySocket.__init__(self, fd, end)
        self.tap = tap

    def figures(self):
        """What it counts, by the names of the API."""
        return {}


cdef class TsStreamSocket(TsSocket):
    """A transport stream over a connected TCP socket."""

    cdef bint read(self) except -1:
        cdef Py_ssize_t size = recv(self.fd, room, READ_BYTES, MSG_DONTWAIT)
        if size < 0 and (errno == EAGAIN or errno == EINTR):
            return False
        if size <= 0:
            self.stop(OSError(errno, os.strerror(errno)) if size < 0 else None)
            return False
        try:
            self.tap.receive(room, <size_t>size)
        except Exception as error:
            self.stop(error)
            return False
        return size == READ_BYTES


cdef class TsDatagramSocket(TsSocket):
    """TsDatagramSocket(fd, tap, end, rtp, silent_s): a transport stream in the datagrams of a bound UDP socket.

    ``rtp``: behind RTP headers.  ``silent_s``: so long after its last datagram another sender is taken.
    """

    def __init__(self, int fd, TsTap tap not None, end not None, bint rtp, double silent_s):
        TsSocket.__init__(self, fd, tap, end)
        self.rtp = rtp
        self.silent_ns = <int64_t>(silent_s * 1e9)
        self.next_number = -1

    cdef bint read(self) except -1:
        cdef int count, index
        for index in range(DATAGRAMS):
            pieces[index].iov_base = &room[index * DATAGRAM_BYTES]
            pieces[index].iov_len = DATAGRAM_BYTES
            messages[index].msg_hdr.msg_name = &names[index][0]
            messages[index].msg_hdr.msg_namelen = sizeof(names[index])
            messages[index].msg_hdr.msg_iov = &pieces[index]
            messages[index].msg_hdr.msg_iovlen = 1
        count = recvmmsg(self.fd, messages, DATAGRAMS, MSG_DONTWAIT, NULL)
        if count < 0:
            # ECONNREFUSED is what became of a datagram that somebody sent from this port.
            if errno != EAGAIN and errno != EINTR and errno != ECONNREFUSED:
                self.stop(OSError(errno, os.strerror(errno)))
            return False
        try:
            for index in range(count):
                self.take(&room[index * DATAGRAM_BYTES], messages[index].msg_len, &names[index][0], messages[index].msg_hdr.msg_namelen)
        except Exception as error:
            self.stop(error)
            return False
        return count == DATAGRAMS

    cdef int64_t take(self, const uint8_t* data, size_t size, const uint8_t* sender, uint32_t sender_bytes) except -1:
        cdef size_t at = 0
        sender_bytes = min(sender_bytes, <uint32_t>sizeof(self.sender))
        if self.sender_bytes != sender_bytes or memcmp(&self.sender[0], sender, sender_bytes) != 0:
            if self.sender_bytes and monotonic_ns() - self.tap.heard_ns < self.silent_ns:
                self.strangers += 1
                return 0
            memcpy(&self.sender[0], sender, sender_bytes)
            self.sender_bytes = sender_bytes
            self.next_number = -1
        if self.rtp:
            at = self.payload_at(data, &size)
        if size > at:
            self.tap.receive(data + at, size - at)
        return 0

    def figures(self):
        counted = {"strangersDatagrams": self.strangers}
        if self.rtp:
            counted |= {"rtpPacketsLost": self.lost, "rtpMalformed": self.malformed}
        return counted

    cdef size_t payload_at(self, const uint8_t* data, size_t* size) noexcept nogil:
        """Where the payload of an RTP packet begins, and in *size where it ends; the same when there is none to take."""
        cdef size_t at = RTP_HEAD, end = size[0]
        cdef int number, ahead
        if end < RTP_HEAD or data[0] >> 6 != 2:
            self.malformed += 1
            size[0] = 0
            return 0
        at += 4 * <size_t>(data[0] & 15)
        if data[0] & 0x10:
            at += 4 + 4 * <size_t>get_u16(data + at + 2) if at + 4 <= end else end
        if data[0] & 0x20:
            end -= min(<size_t>data[end - 1], end)
        if at > end:
            self.malformed += 1
            size[0] = 0
            return 0
        number = get_u16(data + 2)
        if self.next_number >= 0:
            ahead = (number - self.next_number) & 0xFFFF
            if ahead >= 0x10000 - REORDER_MOST:
                size[0] = at
                return at
            if ahead < 0x8000:
                self.lost += <uint32_t>ahead
        self.next_number = (number + 1) & 0xFFFF
        size[0] = end
        return at

    @property
    def sender_address(self):
        """(host, port) of the sender, None before the first datagram."""
        if not self.sender_bytes:
            return None
        return _address((<const char*>&self.sender[0])[:self.sender_bytes])


def _address(bytes name):
    """A struct sockaddr of either family."""
    port = int.from_bytes(name[2:4], "big")
    if int.from_bytes(name[:2], "little") == system_socket.AF_INET6:
        return system_socket.inet_ntop(system_socket.AF_INET6, name[8:24]), port
    return system_socket.inet_ntop(system_socket.AF_INET, name[4:8]), port
