#include "tests/unit/gateway/dns/fake_dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void ask(void *context, struct dns_ask *a)
{
    struct fake_dns *f = context;
    if (f->open_count == COUNT_OF(f->open))
        panic("fake dns: too many open questions");
    f->open[f->open_count++] = a;
    size_t used = strlen(f->asked);
    snprintf(f->asked + used, sizeof f->asked - used, "%s%s %s", used ? ", " : "",
             dns_type_name(a->type), a->name);
}

static int64_t now_ms(void *context)
{
    struct fake_dns *f = context;
    return f->now_ms;
}

void fake_dns_init(struct fake_dns *f, const struct fake_answer *answers, size_t count)
{
    *f = (struct fake_dns){.answers = answers, .count = count, .now_ms = 5000};
    f->asker = (struct dns_asker){.ask = ask, .now_ms = now_ms, .context = f};
}

static size_t write_name(const char *name, char *out)
{
    size_t len = 0;
    struct slice rest = slice_of(strcmp(name, ".") == 0 ? "" : name);
    struct slice label;
    while (slice_cut(&rest, '.', &label)) {
        out[len++] = (char)label.len;
        memcpy(out + len, label.data, label.len);
        len += label.len;
    }
    out[len++] = '\0';
    return len;
}

static size_t write_hex(const char *hex, char *out)
{
    size_t len = 0;
    for (; hex[0] && hex[1]; hex += 2)
        out[len++] = (char)strtol((char[3]){hex[0], hex[1], '\0'}, NULL, 16);
    return len;
}

static size_t write_record(enum dns_type type, const char *text, char *out)
{
    struct net_address address;
    char *end;
    if (strncmp(text, "hex:", 4) == 0)
        return write_hex(text + 4, out);
    switch (type) {
    case DNS_TYPE_A:
    case DNS_TYPE_AAAA:
        if (!net_address_parse(slice_of(text), &address))
            panic("fake dns: no address: %s", text);
        size_t len = type == DNS_TYPE_A ? 4 : 16;
        memcpy(out, address.bytes, len);
        return len;
    case DNS_TYPE_MX: {
        long preference = strtol(text, &end, 10);
        out[0] = (char)(preference >> 8);
        out[1] = (char)preference;
        return 2 + write_name(end + 1, out + 2);
    }
    case DNS_TYPE_TLSA: {
        long numbers[4];
        end = NULL;
        for (unsigned i = 0; i < 4; i++, text = end)
            numbers[i] = strtol(text, &end, 10);
        for (unsigned i = 0; i < 3; i++)
            out[i] = (char)numbers[i];
        memset(out + 3, 'd', (size_t)numbers[3]);
        return 3 + (size_t)numbers[3];
    }
    case DNS_TYPE_CNAME:
        return write_name(text, out);
    case DNS_TYPE_TXT: {
        size_t used = 0;
        struct slice rest = slice_of(text);
        struct slice string;
        while (slice_cut(&rest, '|', &string)) {
            out[used++] = (char)string.len;
            memcpy(out + used, string.data, string.len);
            used += string.len;
        }
        return used;
    }
    }
    panic("fake dns: no such type");
}

static void answer_one(struct dns_ask *a, const struct fake_answer *from)
{
    char bytes[COUNT_OF(from->records)][2048];
    struct slice records[COUNT_OF(from->records)];
    size_t count = 0;
    for (; count < COUNT_OF(from->records) && from->records[count]; count++)
        records[count] =
            (struct slice){bytes[count], write_record(a->type, from->records[count], bytes[count])};
    struct dns_answer answer = {
        .status = from->status,
        .security = from->security,
        .expires_at = FAKE_NOW + (from->ttl ? from->ttl : FAKE_TTL),
        .canonical = from->canonical ? from->canonical : "",
        .detail = from->status == DNS_FAILED      ? "SERVFAIL"
                  : from->status == DNS_BOGUS     ? "signature crypto failed"
                  : from->status == DNS_OUR_FAULT ? "no answer from the root"
                                                  : "",
        .count = count,
        .records = records,
    };
    a->answered(a->context, a, &answer);
}

static struct dns_ask *take(struct fake_dns *f)
{
    size_t at = f->is_reversed ? f->open_count - 1 : 0;
    struct dns_ask *a = f->open[at];
    f->open_count--;
    memmove(&f->open[at], &f->open[at + 1], (f->open_count - at) * sizeof f->open[0]);
    return a;
}

void fake_dns_pump(struct fake_dns *f)
{
    while (f->open_count > 0) {
        struct dns_ask *a = take(f);
        const struct fake_answer *found = NULL;
        for (size_t i = 0; i < f->count && !found; i++) {
            if (f->answers[i].type == a->type && strcmp(f->answers[i].name, a->name) == 0)
                found = &f->answers[i];
        }
        if (!found)
            panic("fake dns: asked for %s %s", dns_type_name(a->type), a->name);
        answer_one(a, found);
    }
}

void fake_dns_answer(struct fake_dns *f, enum dns_status status, enum dns_security security)
{
    if (f->open_count != 1)
        panic("fake dns: %zu open questions", f->open_count);
    answer_one(take(f), &(struct fake_answer){.status = status, .security = security});
}
