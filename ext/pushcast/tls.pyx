"""TLS client connections over OpenSSL: handshake and reading on the event loop, writing on a sender thread.

OpenSSL wants a write that was not finished to be repeated with the same bytes, which a cursor that may jump cannot
promise.  So the records never wait inside OpenSSL: its writes go to a BIO of ours that always takes them, sends them,
and keeps what the socket does not take (less than a record and what the handshake adds).  While something is kept,
nothing more is encrypted.

One lock for each connection: an SSL object serves one thread at a time, and a read may have to write (a key update).
"""
cimport cython
from libc.errno cimport EAGAIN, EINTR, ENOBUFS, ENOMEM, EPROTO, errno
from libc.stdint cimport uint8_t, uint32_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy, memset

from pushcast.libssl cimport *
from pushcast.tlscontext cimport TlsContext
from pushcast.transport cimport iovec, would_block
from pushcast.wakeup cimport mutex_init, pthread_mutex_destroy, pthread_mutex_lock, pthread_mutex_unlock

import os

cdef extern from "<sys/socket.h>" nogil:
    Py_ssize_t send(int fd, const void* data, size_t size, int flags)
    Py_ssize_t recv(int fd, void* into, size_t room, int flags)
    enum:
        MSG_DONTWAIT
        MSG_NOSIGNAL

cdef enum:
    RECORD_BYTES = 16384         # RFC 8446 5.1: the most that one record holds
    MAX_PENDING_BYTES = 131072   # a peer that makes us answer and reads nothing gets no further


class HandshakeFailure(Exception):
    """The handshake failed.  ``cause`` is one of CAUSES, str() what OpenSSL calls it."""

    def __init__(self, cause, text):
        super().__init__(text)
        self.cause = cause


CAUSES = ("expired", "not yet valid", "wrong name", "self-signed", "unknown issuer", "untrusted", "plain text", "closed", "alert", "other")

_OF_VERIFICATION = {
    X509_V_ERR_CERT_HAS_EXPIRED: "expired",
    X509_V_ERR_CERT_NOT_YET_VALID: "not yet valid",
    X509_V_ERR_HOSTNAME_MISMATCH: "wrong name",
    X509_V_ERR_IP_ADDRESS_MISMATCH: "wrong name",
    X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT: "self-signed",
    X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN: "unknown issuer",
    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT: "unknown issuer",
    X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY: "unknown issuer",
    X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE: "unknown issuer",
}

# ---- the socket as OpenSSL sees it ----

cdef BIO_METHOD* socket_method = NULL


cdef int bio_write(BIO* bio, const char* data, int size) noexcept nogil:
    """Takes all or fails: what the socket does not take is kept."""
    cdef tls_t* tls = <tls_t*>BIO_get_data(bio)
    cdef Py_ssize_t taken = 0
    BIO_clear_retry_flags(bio)
    if tls.lost:
        return -1
    if tls.pending_bytes == 0:
        taken = send(tls.fd, data, <size_t>size, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken < 0:
            if not would_block(errno):
                tls.lost = errno
                return -1
            taken = 0
    if taken < size and not keep(tls, <const uint8_t*>data + taken, <size_t>(size - taken)):
        return -1
    return size


cdef int bio_read(BIO* bio, char* into, int room) noexcept nogil:
    cdef tls_t* tls = <tls_t*>BIO_get_data(bio)
    cdef Py_ssize_t taken = recv(tls.fd, into, <size_t>room, MSG_DONTWAIT)
    BIO_clear_retry_flags(bio)
    if taken < 0:
        if errno == EAGAIN or errno == EINTR:
            BIO_set_retry_read(bio)
        else:
            tls.lost = errno
    return <int>taken


cdef long bio_ctrl(BIO* bio, int command, long number, void* pointer) noexcept nogil:
    return 1 if command == BIO_CTRL_FLUSH else 0


cdef bint keep(tls_t* tls, const uint8_t* data, size_t size) noexcept nogil:
    cdef size_t end = tls.pending_at + tls.pending_bytes
    cdef uint8_t* grown
    if end + size > MAX_PENDING_BYTES:
        tls.lost = ENOBUFS
        return False
    if end + size > tls.pending_room:
        grown = <uint8_t*>realloc(tls.pending, end + size)
        if grown == NULL:
            tls.lost = ENOMEM
            return False
        tls.pending = grown
        tls.pending_room = end + size
    memcpy(tls.pending + end, data, size)
    tls.pending_bytes += size
    return True


cdef bint flush(tls_t* tls) noexcept nogil:
    """Send what is kept, as far as the socket takes it; False when the connection is lost."""
    cdef Py_ssize_t taken
    while tls.pending_bytes and not tls.lost:
        taken = send(tls.fd, tls.pending + tls.pending_at, tls.pending_bytes, MSG_DONTWAIT | MSG_NOSIGNAL)
        if taken < 0:
            if would_block(errno):
                return True
            tls.lost = errno
            return False
        tls.pending_at += <size_t>taken
        tls.pending_bytes -= <size_t>taken
    if tls.pending_bytes == 0 and tls.pending != NULL:
        free(tls.pending)        # needed only while a peer is slow
        tls.pending = NULL
        tls.pending_at = tls.pending_room = 0
    return tls.lost == 0


cdef Py_ssize_t tls_write(tls_t* tls, const iovec* pieces, uint32_t count) noexcept nogil:
    cdef Py_ssize_t taken
    pthread_mutex_lock(&tls.lock)
    taken = encrypt(tls, pieces, count) if flush(tls) else -tls.lost
    pthread_mutex_unlock(&tls.lock)
    return taken


cdef Py_ssize_t encrypt(tls_t* tls, const iovec* pieces, uint32_t count) noexcept nogil:
    cdef size_t taken = 0
    cdef size_t at
    cdef size_t written
    cdef uint32_t index
    for index in range(count):
        at = 0
        while at < pieces[index].iov_len:
            if tls.pending_bytes:
                return <Py_ssize_t>taken
            ERR_clear_error()
            if SSL_write_ex(tls.ssl, <uint8_t*>pieces[index].iov_base + at, min(pieces[index].iov_len - at, <size_t>RECORD_BYTES), &written) != 1:
                if not tls.lost:
                    tls.lost = EPROTO
                return -tls.lost
            at += written
            taken += written
    return <Py_ssize_t>taken


# ---- one connection ----

cdef str library_error():
    cdef const char* text = ERR_reason_error_string(ERR_peek_last_error())
    return text.decode("ascii", "replace") if text != NULL else "unknown error"


@cython.final
cdef class TlsSession:
    """What a later connection to the same peer resumes; made by TlsConnection.session()."""

    def __dealloc__(self):
        SSL_SESSION_free(self.c)


@cython.final
cdef class TlsConnection:
    """TlsConnection(context, fd, name, is_address=False, session=None): the client's side over a connected socket.

    ``name``: what the certificate must be for, asked for by SNI (RFC 6066 3) unless it is an address.  The socket is
    the caller's to close, after this object is used no more.
    """

    def __cinit__(self, TlsContext context not None, int fd, str name not None, bint is_address=False, TlsSession session=None):
        cdef bytes wanted = name.encode("idna" if not is_address else "ascii")
        cdef const char* asked = wanted
        cdef bint ready
        cdef BIO* bio
        self.context = context
        self.c.fd = fd
        mutex_init(&self.c.lock)
        self.c.ssl = SSL_new(context.c)
        bio = BIO_new(the_method())
        if self.c.ssl == NULL or bio == NULL:
            BIO_free(bio)
            raise MemoryError("a TLS connection")
        BIO_set_data(bio, &self.c)
        BIO_set_init(bio, 1)
        SSL_set_bio(self.c.ssl, bio, bio)
        SSL_set_connect_state(self.c.ssl)
        if is_address:
            ready = X509_VERIFY_PARAM_set1_ip_asc(SSL_get0_param(self.c.ssl), asked) == 1
        else:
            ready = SSL_set1_host(self.c.ssl, asked) == 1 and SSL_set_tlsext_host_name(self.c.ssl, asked) == 1
        if not ready:
            raise ValueError(f"name: found {name!r}, expected the name or the address of a host")
        if session is not None:
            SSL_set_session(self.c.ssl, session.c)

    def __dealloc__(self):
        SSL_free(self.c.ssl)
        free(self.c.pending)
        pthread_mutex_destroy(&self.c.lock)

    def handshake(self):
        """Go on with the handshake: True when it is done, False when the peer has to say something first.

        Raises HandshakeFailure, OSError when the connection is lost.
        """
        cdef int rc, why
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            ERR_clear_error()
            flush(&self.c)
            rc = SSL_do_handshake(self.c.ssl)
            why = SSL_get_error(self.c.ssl, rc)
            pthread_mutex_unlock(&self.c.lock)
        if rc == 1:
            return True
        if why == SSL_ERROR_WANT_READ:
            return False
        raise self.failure(why)

    cdef object failure(self, int why):
        """What the handshake's error is raised as."""
        cdef long verified = SSL_get_verify_result(self.c.ssl)
        cdef unsigned long error = ERR_peek_last_error()
        cdef int reason = ERR_GET_REASON(error)
        cdef str text = library_error()
        ERR_clear_error()
        if verified != X509_V_OK:
            said = X509_verify_cert_error_string(verified).decode("ascii", "replace")
            return HandshakeFailure(_OF_VERIFICATION.get(verified, "untrusted"), said)
        if self.c.lost:
            return OSError(self.c.lost, os.strerror(self.c.lost))
        if error == 0 or why == SSL_ERROR_ZERO_RETURN or reason == SSL_R_UNEXPECTED_EOF_WHILE_READING:
            return HandshakeFailure("closed", "the peer closed the connection")
        if reason in (SSL_R_WRONG_VERSION_NUMBER, SSL_R_HTTP_REQUEST, SSL_R_PACKET_LENGTH_TOO_LONG):
            return HandshakeFailure("plain text", text)
        return HandshakeFailure("alert" if reason > SSL_AD_REASON_OFFSET else "other", text)

    def receive(self):
        """Up to 16 KiB of what has come, empty at the end.  BlockingIOError when nothing has come, OSError when the connection is lost."""
        cdef uint8_t into[RECORD_BYTES]
        cdef size_t taken = 0
        cdef int rc, why, lost
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            ERR_clear_error()
            rc = SSL_read_ex(self.c.ssl, into, RECORD_BYTES, &taken)
            why = SSL_get_error(self.c.ssl, rc)
            lost = self.c.lost
            pthread_mutex_unlock(&self.c.lock)
        if rc == 1:
            return into[:taken]
        if why == SSL_ERROR_WANT_READ:
            raise BlockingIOError(EAGAIN, os.strerror(EAGAIN))
        if why == SSL_ERROR_ZERO_RETURN:
            return b""
        text = library_error()
        ERR_clear_error()
        raise OSError(lost, os.strerror(lost)) if lost else OSError(EPROTO, f"TLS: {text}")

    def send(self, const uint8_t[::1] data not None):
        """Bytes taken, 0 when the socket takes nothing now; OSError when the connection is lost."""
        cdef iovec piece
        cdef Py_ssize_t taken
        if data.shape[0] == 0:
            return 0
        piece.iov_base = <void*>&data[0]
        piece.iov_len = data.shape[0]
        with nogil:
            taken = tls_write(&self.c, &piece, 1)
        if taken < 0:
            raise OSError(<int>-taken, os.strerror(<int>-taken))
        return taken

    def flush(self):
        """Send what the socket did not take before: True when nothing waits any more, OSError when the connection is lost."""
        cdef bint lives, waits
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            lives = flush(&self.c)
            waits = self.c.pending_bytes != 0
            pthread_mutex_unlock(&self.c.lock)
        if not lives:
            raise OSError(self.c.lost, os.strerror(self.c.lost))
        return not waits

    def close_notify(self):
        """Say that no more will come (RFC 8446 6.1)."""
        with nogil:
            pthread_mutex_lock(&self.c.lock)
            ERR_clear_error()
            if not self.c.lost:
                SSL_shutdown(self.c.ssl)
            ERR_clear_error()
            pthread_mutex_unlock(&self.c.lock)

    def session(self):
        """A TlsSession when the peer lets it be resumed, else None.  In TLS 1.3 it says so behind the handshake."""
        cdef SSL_SESSION* found
        pthread_mutex_lock(&self.c.lock)
        found = SSL_get1_session(self.c.ssl)
        pthread_mutex_unlock(&self.c.lock)
        cdef TlsSession kept = TlsSession()
        kept.c = found
        return kept if found != NULL and SSL_SESSION_is_resumable(found) else None

    @property
    def resumed(self):
        return bool(SSL_session_reused(self.c.ssl))

    @property
    def version(self):
        """TLSv1.2 or TLSv1.3, as OpenSSL calls it."""
        return SSL_get_version(self.c.ssl).decode()

    @property
    def cipher(self):
        cdef const SSL_CIPHER* cipher = SSL_get_current_cipher(self.c.ssl)
        return SSL_CIPHER_get_name(cipher).decode() if cipher != NULL else ""

    @property
    def fingerprint(self):
        """SHA-256 of the peer's certificate, 32 bytes; empty when it showed none."""
        cdef uint8_t digest[64]
        cdef unsigned int size = 0
        cdef X509* certificate = SSL_get1_peer_certificate(self.c.ssl)
        if certificate == NULL:
            return b""
        X509_digest(certificate, EVP_sha256(), digest, &size)
        X509_free(certificate)
        return digest[:size]


cdef BIO_METHOD* the_method() except NULL:
    global socket_method
    if socket_method == NULL:
        socket_method = BIO_meth_new(BIO_TYPE_SOURCE_SINK, b"pushcast socket")
        if socket_method == NULL:
            raise MemoryError("a TLS connection")
        BIO_meth_set_write(socket_method, bio_write)
        BIO_meth_set_read(socket_method, bio_read)
        BIO_meth_set_ctrl(socket_method, bio_ctrl)
    return socket_method
