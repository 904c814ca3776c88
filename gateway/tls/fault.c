#include "gateway/tls/fault.h"

#include <openssl/err.h>
#include <stdio.h>
#include <string.h>

/* The reason of an error that stands for a received alert is this plus the alert's number. */
enum { ALERT_REASONS = SSL_AD_REASON_OFFSET, ALERT_PROTOCOL_VERSION = 70 };

static bool is_alert(unsigned long code)
{
    return ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) >= ALERT_REASONS;
}

/* Errors that say nothing about the peer. */
static bool is_ours(unsigned long code)
{
    int reason = ERR_GET_REASON(code);
    return reason == ERR_R_MALLOC_FAILURE || reason == ERR_R_INTERNAL_ERROR ||
           reason == ERR_R_INIT_FAIL || ERR_GET_LIB(code) == ERR_LIB_RAND;
}

/* The queue's errors go from the cause up to the protocol step that met it; what the protocol step
 * says ("bad signature", "no shared cipher") are the words people know. */
static unsigned long take_error(bool *has_ours)
{
    unsigned long code, best = 0;
    *has_ours = false;
    while ((code = ERR_get_error()) != 0) {
        if (is_ours(code))
            *has_ours = true;
        if (best == 0 || ERR_GET_LIB(code) == ERR_LIB_SSL || ERR_GET_LIB(best) != ERR_LIB_SSL)
            best = code;
    }
    return best;
}

static void alert_text(int alert, char *out, size_t size)
{
    const char *name = SSL_alert_desc_string_long(alert);
    /* A server that ends below our lowest version says it so; the words for that are the same
     * whoever notices it. */
    const char *before = alert == ALERT_PROTOCOL_VERSION ? "unsupported protocol (" : "";
    const char *behind = alert == ALERT_PROTOCOL_VERSION ? ")" : "";
    if (strcmp(name, "unknown") == 0)
        snprintf(out, size, "peer sent alert: number %d", alert);
    else
        snprintf(out, size, "%speer sent alert: %s%s", before, name, behind);
}

static void error_text(unsigned long code, char *out, size_t size)
{
    const char *reason = ERR_reason_error_string(code);
    if (is_alert(code))
        alert_text(ERR_GET_REASON(code) - ALERT_REASONS, out, size);
    else if (ERR_GET_LIB(code) == ERR_LIB_SSL && ERR_GET_REASON(code) == SSL_R_VERSION_TOO_LOW)
        snprintf(out, size, "unsupported protocol"); /* SSL 3, the same to everybody else */
    else if (ERR_SYSTEM_ERROR(code))
        snprintf(out, size, "%s", strerrordesc_np((int)ERR_GET_REASON(code)));
    else if (reason)
        snprintf(out, size, "%s", reason);
    else
        snprintf(out, size, "TLS library error %lx", code);
}

/* Of our own calls the first error is the cause ("no start line"); what is above it says "PEM lib".
 */
void tls_fault_text(char *out, size_t size)
{
    error_text(ERR_get_error(), out, size);
    ERR_clear_error();
}

bool tls_fault_ours(struct tls_failure *failure, const char *doing)
{
    char why[150] = "";
    bool has_why = ERR_peek_error() != 0;
    if (has_why)
        tls_fault_text(why, sizeof(why));
    failure->kind = TLS_FAILURE_OURS;
    snprintf(failure->text, sizeof(failure->text), "%s%s%s", doing, has_why ? ": " : "", why);
    return false;
}

static enum tls_step failed(struct tls_failure *failure)
{
    bool has_ours;
    unsigned long code = take_error(&has_ours);
    /* An empty queue means that our own BIO refused to take more. */
    failure->kind = has_ours || code == 0 ? TLS_FAILURE_OURS : TLS_FAILURE_HANDSHAKE;
    if (code == 0)
        snprintf(failure->text, sizeof(failure->text), "no room for what must be sent");
    else
        error_text(code, failure->text, sizeof(failure->text));
    return TLS_STEP_FAILED;
}

enum tls_step tls_step_of(const SSL *ssl, int result, struct tls_failure *failure)
{
    switch (SSL_get_error(ssl, result)) {
    case SSL_ERROR_NONE:
        return TLS_STEP_DONE;
    case SSL_ERROR_WANT_READ:
        return TLS_STEP_WAIT;
    case SSL_ERROR_ZERO_RETURN:
        return TLS_STEP_CLOSED;
    default:
        return failed(failure);
    }
}
