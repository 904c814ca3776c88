#include "gateway/tls/context.h"

#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "gateway/tls/context_ssl.h"
#include "gateway/tls/fault.h"
#include "gateway/tls/peer.h"

/* What clients get: forward secrecy and authenticated encryption alone. The DHE lines are for
 * Windows 7 and 8 with an RSA certificate. */
static const char server_ciphers[] = "ECDHE+AESGCM:ECDHE+CHACHA20:DHE+AESGCM:DHE+CHACHA20";
static char server_groups[] = /* not const: OpenSSL's macro casts that away */
    "X25519:P-256:X448:P-384:P-521";

/* What we offer to MX hosts: all that is not broken, as Postfix does, because the other choice is
 * clear text or a stopped message. Level 0 is for hosts that sign with SHA-1 or have small keys;
 * who they are is judged apart. Anonymous ciphers go last. */
static const char client_ciphers[] = "HIGH:MEDIUM:!aNULL:!eNULL:!EXPORT:!LOW:!RC4:!PSK:!SRP";
static const char anonymous_ciphers[] = "HIGH:MEDIUM:!eNULL:!EXPORT:!LOW:!RC4:!PSK:!SRP:+aNULL";

enum { SESSION_SECONDS = 3600 };

static struct tls_context *context_new(bool is_server, SSL_CTX *ssl)
{
    struct tls_context *c = xalloc(sizeof(*c));
    c->references = 1;
    c->is_server = is_server;
    c->ssl = ssl;
    return c;
}

struct tls_context *tls_context_ref(struct tls_context *c)
{
    __atomic_add_fetch(&c->references, 1, __ATOMIC_RELAXED);
    return c;
}

void tls_context_unref(struct tls_context *c)
{
    if (!c || __atomic_sub_fetch(&c->references, 1, __ATOMIC_ACQ_REL) > 0)
        return;
    SSL_CTX_free(c->ssl);
    SSL_CTX_free(c->anonymous);
    tls_tickets_free(c->tickets); /* an SSL that still holds the SSL_CTX holds c, too */
    free(c);
}

/* Both sides: buffers given back between records, no compression, no renegotiation. */
static bool set_common(SSL_CTX *ssl, int min_version)
{
    SSL_CTX_set_mode(ssl, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    SSL_CTX_set_options(ssl, SSL_OP_NO_COMPRESSION | SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_session_cache_mode(ssl, SSL_SESS_CACHE_OFF);
    return SSL_CTX_set_min_proto_version(ssl, min_version) == 1 &&
           SSL_CTX_set_max_proto_version(ssl, 0) == 1;
}

/* Without a callback OpenSSL would ask for the passphrase on the terminal. */
static int no_passphrase(char *out, int size, int is_writing, void *context)
{
    (void)out, (void)size, (void)is_writing, (void)context;
    return -1;
}

static bool complain(char *error, size_t error_size, const char *what, const char *file)
{
    char why[150];
    tls_fault_text(why, sizeof(why));
    snprintf(error, error_size, "%s %s: %s", what, file, why);
    return false;
}

static bool is_readable(const char *what, const char *file, char *error, size_t error_size)
{
    if (access(file, R_OK) == 0)
        return true;
    snprintf(error, error_size, "%s %s: %s", what, file, strerrordesc_np(errno));
    return false;
}

static bool load_identity(SSL_CTX *ssl, const struct tls_server_options *o, char *error,
                          size_t error_size)
{
    if (!is_readable("certificate", o->certificate, error, error_size) ||
        !is_readable("key", o->key, error, error_size))
        return false;
    SSL_CTX_set_default_passwd_cb(ssl, no_passphrase);
    ERR_clear_error();
    if (SSL_CTX_use_certificate_chain_file(ssl, o->certificate) != 1)
        return complain(error, error_size, "certificate", o->certificate);
    if (SSL_CTX_use_PrivateKey_file(ssl, o->key, SSL_FILETYPE_PEM) != 1)
        return complain(error, error_size, "key", o->key);
    if (SSL_CTX_check_private_key(ssl) != 1)
        return complain(error, error_size, "key", o->key);
    return true;
}

struct tls_context *tls_server_new(const struct tls_server_options *o, char *error,
                                   size_t error_size)
{
    static const unsigned char name[] = "sealpost";
    ERR_clear_error();
    SSL_CTX *ssl = SSL_CTX_new(TLS_server_method());
    if (!ssl || !set_common(ssl, o->allows_tls12 ? TLS1_2_VERSION : TLS1_3_VERSION) ||
        SSL_CTX_set_cipher_list(ssl, server_ciphers) != 1 ||
        SSL_CTX_set1_groups_list(ssl, server_groups) != 1 ||
        SSL_CTX_set_session_id_context(ssl, name, sizeof(name) - 1) != 1) {
        complain(error, error_size, "TLS", "settings");
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_options(ssl, SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA);
    SSL_CTX_set_dh_auto(ssl, 1);
    SSL_CTX_set_timeout(ssl, SESSION_SECONDS);
    /* The stream asks for its one ticket itself, with the first thing it writes. */
    SSL_CTX_set_num_tickets(ssl, 0);
    struct tls_context *c = context_new(true, ssl);
    if (!load_identity(ssl, o, error, error_size))
        goto failed;
    c->tickets = tls_tickets_new(ssl);
    if (c->tickets)
        return c;
    complain(error, error_size, "TLS", "session tickets");
failed:
    tls_context_unref(c);
    return NULL;
}

/* The store is where WebPKI looks; DANE has its anchors in the records. */
static bool load_store(SSL_CTX *ssl, const char *ca_file, char *error, size_t error_size)
{
    if (ca_file[0] == '\0')
        return SSL_CTX_set_default_verify_paths(ssl) == 1 ||
               complain(error, error_size, "certificate store", "of the system");
    if (!is_readable("ca_file", ca_file, error, error_size))
        return false;
    return SSL_CTX_load_verify_file(ssl, ca_file) == 1 ||
           complain(error, error_size, "ca_file", ca_file);
}

/* A server without secure renegotiation (RFC 5746) is refused, as Postfix with OpenSSL 3 does: on
 * such a connection a stranger's words can stand before ours. */
static SSL_CTX *client_ctx(const char *ciphers, char *error, size_t error_size)
{
    SSL_CTX *ssl = SSL_CTX_new(TLS_client_method());
    if (!ssl || !set_common(ssl, TLS1_2_VERSION) || SSL_CTX_dane_enable(ssl) != 1) {
        complain(error, error_size, "TLS", "settings");
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_security_level(ssl, 0);
    if (SSL_CTX_set_cipher_list(ssl, ciphers) != 1) {
        complain(error, error_size, "TLS", "ciphers");
        SSL_CTX_free(ssl);
        return NULL;
    }
    SSL_CTX_set_options(ssl, SSL_OP_ALL | SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(ssl, SSL_VERIFY_NONE, NULL);
    SSL_CTX_dane_set_flags(ssl, DANE_FLAG_NO_DANE_EE_NAMECHECKS);
    SSL_CTX_set_cert_verify_callback(ssl, tls_peer_verify, NULL);
    return ssl;
}

struct tls_context *tls_client_new(const char *ca_file, char *error, size_t error_size)
{
    ERR_clear_error();
    struct tls_context *c = context_new(false, client_ctx(client_ciphers, error, error_size));
    if (c->ssl && load_store(c->ssl, ca_file, error, error_size))
        c->anonymous = client_ctx(anonymous_ciphers, error, error_size);
    if (c->anonymous)
        return c;
    tls_context_unref(c);
    return NULL;
}
