#include "gateway/tlsrpt/errand.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "gateway/tlsrpt/letter.h"
#include "gateway/tlsrpt/sign.h"
#include "mail/date.h"
#include "mail/id.h"
#include "queue/incoming.h"

enum {
    DAY_SECONDS = 86400,
    RETRY_SECONDS = 300, /* doubled for each further failure */
    RETRY_DOUBLINGS = 6,
    POST_MS = 60 * 1000,
    ANSWER_MAX = 4096, /* nobody reads it */
    LETTER_MAX = 2 * DOCUMENT_MAX,
    SIGNATURE_MAX = 8192,
};

enum state { WAITING, ASKING, WRITING, MAILING, RESOLVING, POSTING, REMOVING };

/* Written on a pool thread, from copies: settings may change meanwhile. */
struct writing {
    struct queue *queue;
    struct document_head head; /* borrows from the errand */
    char *organization, *contact, *hostname;
    struct buffer report; /* packed */
    size_t policies;
    bool is_written;
};

struct errand {
    struct errand_desk *desk;
    char domain[DOMAIN_SIZE];
    uint32_t day;
    enum state state;
    int64_t due_at;
    unsigned failures;
    struct tlsrpt_places places;
    bool is_done[TLSRPT_PLACES_MAX];
    size_t place; /* posted to, or looked up */
    struct dns_question *question;
    struct https_request *request;
    struct writing writing;
    struct queue_incoming *incoming;
    uint64_t mail_id;
};

/* ---- rest ---- */

static void clear_writing(struct writing *w)
{
    free(w->organization);
    free(w->contact);
    free(w->hostname);
    buffer_free(&w->report);
    *w = (struct writing){0};
}

static void rest(struct errand *e, bool is_gone)
{
    e->state = WAITING;
    clear_writing(&e->writing);
    e->desk->rested(e->desk->context, e, is_gone);
}

static int64_t expires_at(const struct errand *e)
{
    return ((int64_t)e->day + 1) * DAY_SECONDS + ERRAND_KEPT_SECONDS;
}

static void complain(struct errand *e, const char *to, const char *error)
{
    EVENT(e->desk->events, EVENT_WARNING, "tls-report-failed", FIELD(KEY_DOMAIN, e->domain),
          FIELD(KEY_TO, to), FIELD(KEY_ERROR, error), FIELD_NUMBER(KEY_ATTEMPTS, e->failures + 1));
}

static void try_later(struct errand *e)
{
    unsigned doublings = e->failures < RETRY_DOUBLINGS ? e->failures : RETRY_DOUBLINGS;
    e->failures++;
    e->due_at = date_now() + ((int64_t)RETRY_SECONDS << doublings);
    rest(e, false);
}

/* ---- the end ---- */

static void post_to_loop(void *context, void (*run)(void *argument), void *argument)
{
    loop_post(context, run, argument);
}

static struct queue_poster poster_of(const struct errand *e)
{
    return (struct queue_poster){.post = post_to_loop, .context = e->desk->loop};
}

static void removed(void *context, int error)
{
    struct errand *e = context;
    if (error == 0) {
        rest(e, true);
        return;
    }
    /* Kept, so that it is not sent again. */
    complain(e, "", strerror(-error));
    try_later(e);
}

static void remove_counts(struct errand *e)
{
    struct queue_poster poster = poster_of(e);
    e->state = REMOVING;
    queue_tlsrpt_remove(e->desk->queue, e->domain, e->day, &poster, removed, e);
}

static bool is_all_done(const struct errand *e)
{
    for (size_t i = 0; i < e->places.count; i++)
        if (!e->is_done[i])
            return false;
    return e->places.count > 0;
}

/* ---- by HTTPS ---- */

static void post_next(struct errand *e, size_t from);

static void place_text(const struct tlsrpt_place *p, char *out, size_t size)
{
    if (p->kind == TLSRPT_MAILTO)
        snprintf(out, size, "mailto:%s", p->address);
    else
        snprintf(out, size, "https://%s:%u%s", p->url.host, p->url.port, p->url.path);
}

static void log_sent(const struct errand *e, size_t place, const char *id)
{
    char date[DATE_SIZE];
    char to[DOMAIN_SIZE + HTTPS_PATH_SIZE + 32];
    place_text(&e->places.list[place], to, sizeof to);
    EVENT(e->desk->events, EVENT_INFO, "tls-report", FIELD(KEY_DOMAIN, e->domain),
          FIELD(KEY_TO, to), FIELD(KEY_ID, id),
          FIELD(KEY_SINCE, date_rfc3339((int64_t)e->day * DAY_SECONDS, date)));
}

static void place_failed(struct errand *e, size_t place, const char *error)
{
    char to[DOMAIN_SIZE + HTTPS_PATH_SIZE + 32];
    place_text(&e->places.list[place], to, sizeof to);
    complain(e, to, error);
}

static void posted(void *context, const struct https_answer *answer)
{
    struct errand *e = context;
    char why[64];
    e->request = NULL;
    if (answer->status != HTTPS_ANSWERED) {
        place_failed(e, e->place, answer->detail);
    } else if (answer->code / 100 != 2) {
        snprintf(why, sizeof why, "answered with status %u", answer->code);
        place_failed(e, e->place, why);
    } else {
        e->is_done[e->place] = true;
        log_sent(e, e->place, "");
    }
    post_next(e, e->place + 1);
}

static bool is_blocked(const struct tlsrpt_settings *s, const struct net_address *address)
{
    for (size_t i = 0; i < s->blocked_count; i++)
        if (net_network_has(&s->blocked[i], address))
            return true;
    return false;
}

static bool start_post(struct errand *e, const struct dns_host *host)
{
    const struct tlsrpt_settings *s = &e->desk->settings;
    const struct https_url *url = &e->places.list[e->place].url;
    struct net_address *allowed = xalloc((host->address_count + 1) * sizeof *allowed);
    struct https_call call = {
        .host = url->host,
        .port = url->port,
        .path = url->path,
        .addresses = allowed,
        .content_type = "application/tlsrpt+gzip",
        .body = buffer_slice(&e->writing.report),
        .ca_file = s->ca_file,
        .answer_max = ANSWER_MAX,
        .timeout_ms = POST_MS,
    };
    for (size_t i = 0; i < host->address_count; i++)
        if (!is_blocked(s, &host->addresses[i]))
            allowed[call.address_count++] = host->addresses[i];
    if (call.address_count > 0) {
        e->state = POSTING;
        e->request = https_start(e->desk->loop, &call, posted, e);
    }
    free(allowed);
    return call.address_count > 0;
}

static void host_found(void *asker, const struct dns_host *host)
{
    struct errand *e = asker;
    const char *why = host->detail[0] ? host->detail : "the host has no address";
    e->question = NULL;
    if (host->status == DNS_DATA && start_post(e, host))
        return;
    place_failed(e, e->place,
                 host->status == DNS_DATA ? "every address is in a blocked network" : why);
    post_next(e, e->place + 1);
}

/* The places one after the other; then it is over, for now or for good. */
static void post_next(struct errand *e, size_t from)
{
    struct errand_desk *d = e->desk;
    for (size_t i = from; !d->is_halted && i < e->places.count; i++) {
        if (e->is_done[i] || e->places.list[i].kind != TLSRPT_HTTPS)
            continue;
        e->place = i;
        e->state = RESOLVING;
        e->question = dns_find_host(d->dns, d->loop, e->places.list[i].url.host, 0,
                                    d->settings.ip_version, host_found, e);
        return;
    }
    if (is_all_done(e))
        remove_counts(e);
    else
        try_later(e);
}

/* ---- by mail ---- */

static void mail_is_over(struct errand *e, int error)
{
    char id[ID_SIZE] = "";
    for (size_t i = 0; i < e->places.count; i++) {
        if (e->is_done[i] || e->places.list[i].kind != TLSRPT_MAILTO)
            continue;
        if (error != 0) {
            place_failed(e, i, strerror(-error));
            continue;
        }
        e->is_done[i] = true;
        log_sent(e, i, id_text(e->mail_id, id));
    }
    post_next(e, 0);
}

static void committed(void *context, int error)
{
    struct errand *e = context;
    e->incoming = NULL;
    mail_is_over(e, error);
}

static void fill_envelope(const struct errand *e, struct envelope *out)
{
    envelope_init(out);
    out->origin = ORIGIN_REPORT;
    envelope_set(&out->reverse_path, e->desk->settings.from);
    for (size_t i = 0; i < e->places.count; i++) {
        if (e->places.list[i].kind != TLSRPT_MAILTO)
            continue;
        struct envelope_recipient *to = envelope_add(out, e->places.list[i].address);
        /* Nobody waits for it, and a notice about it would be reported on in its turn. */
        to->notify = NOTIFY_NEVER;
    }
}

/* The signature first, as it is a field on top of what it signs. */
static int append_signed(struct errand *e, struct slice text)
{
    char why[200];
    struct buffer field;
    const struct sign_key *key = e->desk->settings.key;
    if (!key)
        return queue_incoming_append(e->incoming, text);
    buffer_init(&field, SIGNATURE_MAX);
    int rc = -ECANCELED;
    if (sign_write(key, text, date_now(), &field, why, sizeof why))
        rc = queue_incoming_append(e->incoming, buffer_slice(&field));
    else
        complain(e, "", why);
    buffer_free(&field);
    return rc != 0 ? rc : queue_incoming_append(e->incoming, text);
}

static int write_letter(struct errand *e)
{
    char id[ID_SIZE];
    struct buffer text;
    struct letter letter = {
        .head = e->writing.head,
        .from = e->desk->settings.from,
        .places = &e->places,
        .queue_id = id_text(e->mail_id, id),
        .now = date_now(),
        .report = buffer_slice(&e->writing.report),
    };
    buffer_init(&text, LETTER_MAX);
    int rc = letter_write(&letter, &text) ? append_signed(e, buffer_slice(&text)) : -ENOMEM;
    buffer_free(&text);
    return rc;
}

static void send_mail(struct errand *e)
{
    struct queue_poster poster = poster_of(e);
    struct envelope envelope;
    e->state = MAILING;
    e->incoming = queue_incoming_begin(e->desk->queue, &poster);
    if (!e->incoming) {
        mail_is_over(e, -ENOMEM);
        return;
    }
    e->mail_id = queue_incoming_id(e->incoming);
    int rc = write_letter(e);
    if (rc != 0) {
        queue_incoming_abort(e->incoming);
        e->incoming = NULL;
        mail_is_over(e, rc);
        return;
    }
    fill_envelope(e, &envelope);
    queue_incoming_commit(e->incoming, &envelope, date_now_ms(), date_now_ms(), committed, e);
    envelope_free(&envelope);
}

static bool is_mail_left(const struct errand *e)
{
    for (size_t i = 0; i < e->places.count; i++)
        if (!e->is_done[i] && e->places.list[i].kind == TLSRPT_MAILTO)
            return true;
    return false;
}

/* ---- the document ---- */

static void write_document(void *context)
{
    struct writing *w = &((struct errand *)context)->writing;
    struct document *d = document_new(&w->head);
    struct buffer text;
    buffer_init(&text, DOCUMENT_MAX);
    queue_tlsrpt_read(w->queue, w->head.domain, w->head.day, document_add, d);
    w->policies = document_policies(d);
    w->is_written = document_write(d, &text) && document_pack(buffer_slice(&text), &w->report);
    buffer_free(&text);
    document_free(d);
}

static void document_written(void *context)
{
    struct errand *e = context;
    const struct writing *w = &e->writing;
    if (e->desk->is_halted) {
        rest(e, false);
    } else if (w->policies == 0) { /* swept meanwhile */
        rest(e, true);
    } else if (!w->is_written) {
        complain(e, "", "the report cannot be written");
        try_later(e);
    } else if (is_mail_left(e)) {
        send_mail(e);
    } else {
        post_next(e, 0);
    }
}

static void begin_document(struct errand *e)
{
    const struct tlsrpt_settings *s = &e->desk->settings;
    struct writing *w = &e->writing;
    *w = (struct writing){.queue = e->desk->queue,
                          .organization = xstrdup(s->organization),
                          .contact = xstrdup(s->contact),
                          .hostname = xstrdup(s->hostname)};
    w->head = (struct document_head){.organization = w->organization,
                                     .contact = w->contact,
                                     .hostname = w->hostname,
                                     .domain = e->domain,
                                     .day = e->day};
    buffer_init(&w->report, DOCUMENT_MAX);
    e->state = WRITING;
    if (loop_job(e->desk->loop, write_document, document_written, e))
        return;
    complain(e, "", "no resources");
    try_later(e);
}

/* ---- the TXT record ---- */

static void use_record(struct errand *e, const struct dns_txt *txt)
{
    const char *why;
    enum tlsrpt_txt found = tlsrpt_txt_read(txt->texts, txt->count, &e->places, &why);
    if (found == TLSRPT_TXT_VALID) {
        begin_document(e);
        return;
    }
    if (found == TLSRPT_TXT_INVALID)
        EVENT(e->desk->events, EVENT_INFO, "tls-report-unwanted", FIELD(KEY_DOMAIN, e->domain),
              FIELD(KEY_REASON, why));
    remove_counts(e);
}

static void txt_found(void *asker, const struct dns_txt *txt)
{
    struct errand *e = asker;
    e->question = NULL;
    switch (txt->status) {
    case DNS_DATA:
        use_record(e, txt);
        break;
    case DNS_NODATA:
    case DNS_NXDOMAIN:
        remove_counts(e); /* nobody asks for it */
        break;
    case DNS_FAILED:
    case DNS_BOGUS:
    case DNS_OUR_FAULT:
        complain(e, "", txt->detail);
        try_later(e);
        break;
    }
}

static void ask(struct errand *e)
{
    char name[DOMAIN_SIZE + sizeof TLSRPT_NAME_PREFIX];
    snprintf(name, sizeof name, TLSRPT_NAME_PREFIX "%s", e->domain);
    if (strlen(name) > DOMAIN_MAX) {
        remove_counts(e); /* no name, and no record */
        return;
    }
    e->state = ASKING;
    e->question = dns_find_txt(e->desk->dns, e->desk->loop, name, txt_found, e);
}

/* ---- its life ---- */

struct errand *errand_new(struct errand_desk *desk, const char *domain, uint32_t day)
{
    struct errand *e = xalloc(sizeof *e);
    e->desk = desk;
    snprintf(e->domain, sizeof e->domain, "%s", domain);
    e->day = day;
    return e;
}

bool errand_is_about(const struct errand *e, const char *domain, uint32_t day)
{
    return e->day == day && strcmp(e->domain, domain) == 0;
}

int64_t errand_due_at(const struct errand *e)
{
    return e->due_at;
}

bool errand_is_running(const struct errand *e)
{
    return e->state != WAITING;
}

void errand_run(struct errand *e)
{
    if (is_all_done(e) || date_now() >= expires_at(e))
        remove_counts(e);
    else if (e->places.count > 0)
        begin_document(e);
    else
        ask(e);
}

bool errand_interrupt(struct errand *e)
{
    if (e->question)
        dns_cancel(e->question);
    else if (e->request)
        https_cancel(e->request);
    else
        return e->state == WAITING;
    e->question = NULL;
    e->request = NULL;
    e->state = WAITING;
    clear_writing(&e->writing);
    return true;
}

void errand_free(struct errand *e)
{
    tlsrpt_places_clear(&e->places);
    clear_writing(&e->writing);
    free(e);
}
