"""The part of OpenSSL's C API that pushcast calls (OpenSSL >= 3.0)."""
from libc.stdint cimport uint64_t


cdef extern from "<openssl/bio.h>" nogil:
    ctypedef struct BIO
    ctypedef struct BIO_METHOD
    enum:
        BIO_CTRL_FLUSH
        BIO_TYPE_SOURCE_SINK
    BIO_METHOD* BIO_meth_new(int type, const char* name)
    int BIO_meth_set_write(BIO_METHOD* method, int (*write)(BIO*, const char*, int) noexcept nogil)
    int BIO_meth_set_read(BIO_METHOD* method, int (*read)(BIO*, char*, int) noexcept nogil)
    int BIO_meth_set_ctrl(BIO_METHOD* method, long (*ctrl)(BIO*, int, long, void*) noexcept nogil)
    BIO* BIO_new(const BIO_METHOD* method)
    BIO* BIO_new_mem_buf(const void* data, int size)
    int BIO_free(BIO* bio)
    void BIO_set_data(BIO* bio, void* data)
    void* BIO_get_data(BIO* bio)
    void BIO_set_init(BIO* bio, int init)
    void BIO_clear_retry_flags(BIO* bio)
    void BIO_set_retry_read(BIO* bio)


cdef extern from "<openssl/err.h>" nogil:
    void ERR_clear_error()
    unsigned long ERR_peek_last_error()
    int ERR_GET_REASON(unsigned long code)
    const char* ERR_reason_error_string(unsigned long code)


cdef extern from "<openssl/evp.h>" nogil:
    ctypedef struct EVP_MD
    ctypedef struct EVP_PKEY
    const EVP_MD* EVP_sha256()
    void EVP_PKEY_free(EVP_PKEY* key)


cdef extern from "<openssl/x509_vfy.h>" nogil:
    enum:
        X509_V_OK
        X509_V_ERR_CERT_NOT_YET_VALID
        X509_V_ERR_CERT_HAS_EXPIRED
        X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT
        X509_V_ERR_SELF_SIGNED_CERT_IN_CHAIN
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT
        X509_V_ERR_UNABLE_TO_GET_ISSUER_CERT_LOCALLY
        X509_V_ERR_UNABLE_TO_VERIFY_LEAF_SIGNATURE
        X509_V_ERR_HOSTNAME_MISMATCH
        X509_V_ERR_IP_ADDRESS_MISMATCH
    ctypedef struct X509
    ctypedef struct X509_STORE
    ctypedef struct X509_VERIFY_PARAM
    void X509_free(X509* certificate)
    int X509_digest(const X509* certificate, const EVP_MD* kind, unsigned char* digest, unsigned int* size)
    int X509_STORE_add_cert(X509_STORE* store, X509* certificate)
    int X509_VERIFY_PARAM_set1_ip_asc(X509_VERIFY_PARAM* parameters, const char* address)
    const char* X509_verify_cert_error_string(long code)


cdef extern from "<openssl/pem.h>" nogil:
    ctypedef int (*pem_password_cb)(char* buffer, int size, int writing, void* opaque) noexcept nogil
    X509* PEM_read_bio_X509(BIO* bio, X509** into, pem_password_cb password, void* opaque)
    EVP_PKEY* PEM_read_bio_PrivateKey(BIO* bio, EVP_PKEY** into, pem_password_cb password, void* opaque)


cdef extern from "<openssl/ssl.h>" nogil:
    enum:
        TLS1_2_VERSION
        SSL_VERIFY_NONE
        SSL_VERIFY_PEER
        SSL_ERROR_WANT_READ
        SSL_ERROR_ZERO_RETURN
        SSL_MODE_RELEASE_BUFFERS
        SSL_SESS_CACHE_CLIENT
        SSL_SESS_CACHE_NO_INTERNAL
        SSL_R_WRONG_VERSION_NUMBER
        SSL_R_HTTP_REQUEST
        SSL_R_PACKET_LENGTH_TOO_LONG
        SSL_R_UNEXPECTED_EOF_WHILE_READING
        SSL_AD_REASON_OFFSET
    uint64_t SSL_OP_NO_RENEGOTIATION
    uint64_t SSL_OP_IGNORE_UNEXPECTED_EOF
    ctypedef struct SSL
    ctypedef struct SSL_CTX
    ctypedef struct SSL_METHOD
    ctypedef struct SSL_SESSION
    ctypedef struct SSL_CIPHER
    const SSL_METHOD* TLS_client_method()
    SSL_CTX* SSL_CTX_new(const SSL_METHOD* method)
    void SSL_CTX_free(SSL_CTX* context)
    int SSL_CTX_set_min_proto_version(SSL_CTX* context, int version)
    uint64_t SSL_CTX_set_options(SSL_CTX* context, uint64_t options)
    long SSL_CTX_set_mode(SSL_CTX* context, long mode)
    void SSL_CTX_set_verify(SSL_CTX* context, int mode, void* callback)
    long SSL_CTX_set_session_cache_mode(SSL_CTX* context, long mode)
    int SSL_CTX_set_default_verify_paths(SSL_CTX* context)
    X509_STORE* SSL_CTX_get_cert_store(const SSL_CTX* context)
    int SSL_CTX_use_certificate(SSL_CTX* context, X509* certificate)
    long SSL_CTX_add1_chain_cert(SSL_CTX* context, X509* certificate)
    int SSL_CTX_use_PrivateKey(SSL_CTX* context, EVP_PKEY* key)
    int SSL_CTX_check_private_key(const SSL_CTX* context)
    SSL* SSL_new(SSL_CTX* context)
    void SSL_free(SSL* ssl)
    void SSL_set_bio(SSL* ssl, BIO* reading, BIO* writing)
    void SSL_set_connect_state(SSL* ssl)
    int SSL_set1_host(SSL* ssl, const char* name)
    long SSL_set_tlsext_host_name(SSL* ssl, const char* name)
    X509_VERIFY_PARAM* SSL_get0_param(SSL* ssl)
    int SSL_do_handshake(SSL* ssl)
    int SSL_get_error(const SSL* ssl, int result)
    int SSL_read_ex(SSL* ssl, void* into, size_t room, size_t* read)
    int SSL_write_ex(SSL* ssl, const void* data, size_t size, size_t* written)
    int SSL_shutdown(SSL* ssl)
    long SSL_get_verify_result(const SSL* ssl)
    X509* SSL_get1_peer_certificate(const SSL* ssl)
    const char* SSL_get_version(const SSL* ssl)
    const SSL_CIPHER* SSL_get_current_cipher(const SSL* ssl)
    const char* SSL_CIPHER_get_name(const SSL_CIPHER* cipher)
    int SSL_session_reused(const SSL* ssl)
    SSL_SESSION* SSL_get1_session(SSL* ssl)
    int SSL_set_session(SSL* ssl, SSL_SESSION* session)
    int SSL_SESSION_is_resumable(const SSL_SESSION* session)
    void SSL_SESSION_free(SSL_SESSION* session)
