"""TlsContext: what all TLS connections with the same settings share."""
cimport cython

from pushcast.libssl cimport *


cdef int no_password(char* buffer, int size, int writing, void* opaque) noexcept nogil:
    """OpenSSL's own would ask on the terminal."""
    return -1


@cython.final
cdef class TlsContext:
    """TlsContext(verify=True, authorities=b"", certificate=b"", key=b"")

    ``verify``: hold the peer's certificate against the authorities and the name; ``authorities``: certificates as PEM,
    the system's when empty; ``certificate`` (its chain behind it) and ``key`` as PEM: what we show.  ValueError when
    one cannot be read; the text names which, and shows nothing of it.  TLS 1.2 at the least.
    """

    def __cinit__(self, bint verify=True, bytes authorities not None=b"", bytes certificate not None=b"", bytes key not None=b""):
        self.c = SSL_CTX_new(TLS_client_method())
        if self.c == NULL:
            raise MemoryError("a TLS context")
        SSL_CTX_set_min_proto_version(self.c, TLS1_2_VERSION)
        SSL_CTX_set_options(self.c, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF)
        SSL_CTX_set_mode(self.c, SSL_MODE_RELEASE_BUFFERS)
        SSL_CTX_set_session_cache_mode(self.c, SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL)
        SSL_CTX_set_verify(self.c, SSL_VERIFY_PEER if verify else SSL_VERIFY_NONE, NULL)
        if authorities:
            self.trust(authorities)
        elif verify:
            self.trust_system()
        if certificate or key:
            self.show(certificate, key)

    cdef int trust_system(self) except -1:
        cdef int rc
        with nogil:                  # reads some 140 certificates
            rc = SSL_CTX_set_default_verify_paths(self.c)
        if rc != 1:
            raise ValueError("authorities: this system has none")
        return 0

    cdef int trust(self, bytes authorities) except -1:
        cdef X509_STORE* store = SSL_CTX_get_cert_store(self.c)
        cdef X509* found
        cdef int count = 0
        cdef BIO* pem = BIO_new_mem_buf(<const char*>authorities, <int>len(authorities))
        if pem == NULL:
            raise MemoryError("a TLS context")
        while True:
            found = PEM_read_bio_X509(pem, NULL, no_password, NULL)
            if found == NULL:
                break
            X509_STORE_add_cert(store, found)
            X509_free(found)
            count += 1
        BIO_free(pem)
        ERR_clear_error()
        if count == 0:
            raise ValueError("authorities: no certificate in PEM form in it")
        return 0

    cdef int show(self, bytes certificate, bytes key) except -1:
        cdef BIO* pem = BIO_new_mem_buf(<const char*>certificate, <int>len(certificate))
        cdef X509* shown = PEM_read_bio_X509(pem, NULL, no_password, NULL) if pem != NULL else NULL
        cdef EVP_PKEY* secret
        cdef bint fits
        if shown == NULL:
            BIO_free(pem)
            raise ValueError("certificate: no certificate in PEM form in it")
        SSL_CTX_use_certificate(self.c, shown)
        X509_free(shown)
        while True:
            shown = PEM_read_bio_X509(pem, NULL, no_password, NULL)
            if shown == NULL:
                break
            SSL_CTX_add1_chain_cert(self.c, shown)
            X509_free(shown)
        BIO_free(pem)
        pem = BIO_new_mem_buf(<const char*>key, <int>len(key))
        secret = PEM_read_bio_PrivateKey(pem, NULL, no_password, NULL) if pem != NULL else NULL
        BIO_free(pem)
        if secret == NULL:
            ERR_clear_error()
            raise ValueError("key: no private key in PEM form, without a password, in it")
        fits = SSL_CTX_use_PrivateKey(self.c, secret) == 1 and SSL_CTX_check_private_key(self.c) == 1
        EVP_PKEY_free(secret)
        ERR_clear_error()
        if not fits:
            raise ValueError("key: it does not belong to the certificate")
        return 0

    def __dealloc__(self):
        SSL_CTX_free(self.c)
