/* A host that says anything at any time, to a client with any requirement. Whatever it says: no
 * MAIL goes out in clear when the requirement demands TLS, nobody is delivered before the end of
 * data went out, and every transaction ends exactly once.
 *
 * Three bytes choose requirement, host and facts of the certificate; then events follow: an
 * upper-case letter is one of those below, anything else begins a line that the host says. */
#include <string.h>

#include "gateway/delivery/session.h"
#include "tests/fuzz/fuzz.h"

enum { RECIPIENTS = 3, TRANSACTIONS_MAX = 3 };

struct host {
    struct delivery_session *session;
    struct guarantee_requirement requirement;
    bool is_local_route;
    bool is_secure, is_handshaking, is_closed, is_in_call, is_awaited;
    bool has_said_mail, has_ended_data;
    unsigned pieces;
    unsigned begun, sent;
    struct client_transaction transaction;
    struct client_recipient recipients[RECIPIENTS];
};

static bool host_send(void *context, struct slice bytes)
{
    struct host *h = context;
    HOLDS(!h->is_closed && !h->is_handshaking && bytes.len > 0);
    if (slice_starts_nocase(bytes, SLICE("MAIL"))) {
        HOLDS(h->is_secure || h->is_local_route || !guarantee_demands_tls(&h->requirement));
        h->has_said_mail = true;
    }
    return true;
}

static bool host_start_tls(void *context, struct tls_failure *failure)
{
    struct host *h = context;
    (void)failure;
    HOLDS(!h->is_secure && !h->is_handshaking);
    h->is_handshaking = true;
    return true;
}

static void host_set_deadline(void *context, int64_t in_ms)
{
    (void)context;
    (void)in_ms;
}

static enum delivery_content_step host_content(void *context, struct buffer *out)
{
    struct host *h = context;
    HOLDS(h->has_said_mail);
    if (h->pieces-- > 1)
        return buffer_append_text(out, "one piece\r\n") ? DELIVERY_CONTENT_MORE
                                                        : DELIVERY_CONTENT_FAILED;
    h->has_ended_data = true;
    return buffer_append_text(out, ".\r\n") ? DELIVERY_CONTENT_END : DELIVERY_CONTENT_FAILED;
}

static void host_wake(void *context)
{
    struct host *h = context;
    h->is_awaited = true;
}

static void host_close(void *context, bool abort)
{
    struct host *h = context;
    (void)abort;
    HOLDS(!h->is_closed);
    h->is_closed = true;
}

static void host_rested(void *context)
{
    const struct host *h = context;
    HOLDS(!h->is_in_call && h->begun == h->sent);
}

static void host_sent(void *context)
{
    struct host *h = context;
    HOLDS(!h->is_in_call && h->begun == ++h->sent);
    for (unsigned i = 0; i < RECIPIENTS; i++) {
        const struct client_recipient *r = &h->recipients[i];
        if (r->answer == GUARANTEE_ANSWER_NONE)
            continue;
        HOLDS(r->verdict.kind == GUARANTEE_ACCEPTABLE && r->reply.status.class != 0);
        if (r->answer == GUARANTEE_ANSWER_DELIVERED || r->answer == GUARANTEE_ANSWER_UNDECIDED)
            HOLDS(h->has_ended_data);
    }
}

static int64_t host_now(void *context)
{
    (void)context;
    return 1000;
}

static const struct delivery_session_port port = {
    .send = host_send,
    .start_tls = host_start_tls,
    .set_deadline = host_set_deadline,
    .content = host_content,
    .wake = host_wake,
    .close = host_close,
    .rested = host_rested,
    .sent = host_sent,
    .now = host_now,
};

static void wake(struct host *h)
{
    while (h->is_awaited) {
        h->is_awaited = false;
        delivery_session_woken(h->session);
    }
}

static void finish_handshake(struct host *h, unsigned choice)
{
    static const struct tls_failure failures[] = {
        {TLS_FAILURE_CUT, "cut"}, {TLS_FAILURE_HANDSHAKE, "alert"}, {TLS_FAILURE_OURS, "memory"}};
    if (!h->is_handshaking)
        return;
    h->is_handshaking = false;
    if (choice < COUNT_OF(failures)) {
        delivery_session_tls_failed(h->session, &failures[choice]);
        return;
    }
    h->is_secure = true;
    struct tls_facts facts = {.protocol = "TLSv1.2",
                              .cipher = "ECDHE-RSA-AES128-GCM-SHA256",
                              .dane = (enum tls_dane_result)(choice % 4),
                              .is_pkix_valid = choice & 4};
    delivery_session_secured(h->session, &facts);
}

static void start_tls(struct host *h)
{
    struct guarantee_host facts = delivery_session_facts(h->session);
    if (delivery_session_state(h->session) != CLIENT_GREETED ||
        facts.tls != GUARANTEE_TLS_UNTRIED || !delivery_session_ehlo(h->session)->starttls)
        return;
    h->is_in_call = true;
    delivery_session_start_tls(h->session);
    h->is_in_call = false;
}

static void send_message(struct host *h, unsigned choice)
{
    enum client_state state = delivery_session_state(h->session);
    if ((state != CLIENT_GREETED && state != CLIENT_SECURED) || h->begun == TRANSACTIONS_MAX)
        return;
    h->begun++;
    h->pieces = 1 + choice % 3;
    h->has_said_mail = h->has_ended_data = false;
    for (unsigned i = 0; i < RECIPIENTS; i++)
        h->recipients[i] = (struct client_recipient){
            .address = "a@b.example", .orcpt = "", .requirement = h->requirement};
    h->transaction = (struct client_transaction){.reverse_path = "",
                                                 .envid = "",
                                                 .size = 100,
                                                 .content_8bit = choice & 8,
                                                 .count = 1 + choice % RECIPIENTS,
                                                 .recipients = h->recipients};
    h->is_in_call = true;
    delivery_session_send(h->session, &h->transaction);
    h->is_in_call = false;
}

/* Says `len` octets of the input in one piece. */
static void speak(struct host *h, struct slice *in, size_t len)
{
    struct slice piece = slice_sub(*in, 0, len);
    *in = slice_sub(*in, len, in->len);
    if (h->is_handshaking) {
        finish_handshake(h, 1);
        return;
    }
    delivery_session_data(h->session, &piece);
    HOLDS(piece.len == 0);
}

static size_t line_len(struct slice in)
{
    ptrdiff_t end = slice_find(in, '\n');
    return end < 0 ? in.len : (size_t)end + 1;
}

static void happen(struct host *h, struct slice *in)
{
    switch (in->len > 0 ? in->data[0] : 0) {
    case 'T':
        *in = slice_sub(*in, 1, in->len);
        start_tls(h);
        return;
    case 'H':
        *in = slice_sub(*in, 1, in->len);
        finish_handshake(h, fuzz_choice(in) % 16);
        return;
    case 'S':
        *in = slice_sub(*in, 1, in->len);
        send_message(h, fuzz_choice(in));
        return;
    case 'D':
        *in = slice_sub(*in, 1, in->len);
        delivery_session_drained(h->session);
        return;
    case 'L':
        *in = slice_sub(*in, 1, in->len);
        delivery_session_deadline(h->session);
        return;
    case 'G':
        *in = slice_sub(*in, 1, in->len);
        delivery_session_gone(h->session, NULL);
        return;
    case 'B':
        *in = slice_sub(*in, 1, in->len);
        speak(h, in, fuzz_choice(in));
        return;
    default:
        speak(h, in, line_len(*in));
        return;
    }
}

static struct guarantee_requirement choose_requirement(unsigned choice)
{
    return (struct guarantee_requirement){.level = (enum level)(choice % 3),
                                          .policy = (enum guarantee_policy)(choice / 3 % 6),
                                          .route = choice & 64 ? GUARANTEE_POLICY_ENCRYPT
                                                               : GUARANTEE_POLICY_MAY,
                                          .requiretls = choice & 32,
                                          .ignores_promises = choice & 128};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct slice in = fuzz_input(data, size);
    struct host h = {.requirement = choose_requirement(fuzz_choice(&in))};
    unsigned choice = fuzz_choice(&in);
    h.is_local_route = (choice & 7) == 7;
    struct delivery_session_options o = {
        .protocol = choice & 8 ? CLIENT_LMTP : CLIENT_SMTP,
        .connect_timeout_ms = 1000,
        .hostname = "client.example",
        .host = {.name = "mx.example",
                 .address = "192.0.2.1",
                 .port = 25,
                 .is_name_secure = choice & 16,
                 .is_literal = choice & 32,
                 .is_local_route = h.is_local_route,
                 .tlsa = (enum guarantee_tlsa)(choice >> 6)},
        .number = "1",
    };
    choice = fuzz_choice(&in);
    if ((choice & 15) == 15)
        o.host.tls = choice & 16 ? GUARANTEE_TLS_CUT : GUARANTEE_TLS_FAILED;
    h.session = delivery_session_new(&o, &port, &h);
    delivery_session_opened(h.session);
    while (in.len > 0 && !h.is_closed) {
        happen(&h, &in);
        wake(&h);
    }
    if (!h.is_closed)
        delivery_session_quit(h.session);
    else
        HOLDS(h.begun == h.sent);
    delivery_session_free(h.session);
    return 0;
}
