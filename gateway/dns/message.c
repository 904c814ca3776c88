#include "gateway/dns/message.h"

#include <string.h>

#define LABEL_MAX 63
#define NAME_MAX_OCTETS 255 /* RFC 1035 section 2.3.4, length octets and root label included */

static uint8_t octet(struct slice s, size_t at)
{
    return (uint8_t)s.data[at];
}

static char lower(char c)
{
    return (char)(c >= 'A' && c <= 'Z' ? c + ('a' - 'A') : c);
}

static bool is_host_character(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '-' || c == '_';
}

static bool append_label(struct slice label, char out[DOMAIN_SIZE], size_t *len)
{
    /* One for the dot; the NUL has its place behind DOMAIN_MAX. */
    if (*len + label.len + 1 > DOMAIN_MAX)
        return false;
    if (*len > 0)
        out[(*len)++] = '.';
    for (size_t i = 0; i < label.len; i++) {
        char c = lower(label.data[i]);
        if (!is_host_character(c))
            return false;
        out[(*len)++] = c;
    }
    return true;
}

bool dns_read_name(struct slice *in, char out[DOMAIN_SIZE])
{
    size_t len = 0;
    size_t at = 0;
    for (;;) {
        if (at >= in->len || at >= NAME_MAX_OCTETS)
            return false;
        uint8_t label_len = octet(*in, at++);
        if (label_len == 0)
            break;
        /* The two high bits mark compression (RFC 1035 4.1.4); libunbound hands out whole names, so
         * a pointer here is nonsense, and following it would mean reading outside the record. */
        if (label_len > LABEL_MAX || label_len > in->len - at)
            return false;
        if (!append_label(slice_sub(*in, at, label_len), out, &len))
            return false;
        at += label_len;
    }
    if (at > NAME_MAX_OCTETS)
        return false;
    if (len == 0)
        out[len++] = '.';
    out[len] = '\0';
    *in = slice_sub(*in, at, in->len - at);
    return true;
}

bool dns_read_mx(struct slice rdata, unsigned *preference, char name[DOMAIN_SIZE])
{
    if (rdata.len < 3)
        return false;
    struct slice rest = slice_sub(rdata, 2, rdata.len - 2);
    if (!dns_read_name(&rest, name) || rest.len > 0)
        return false;
    *preference = (unsigned)octet(rdata, 0) << 8 | octet(rdata, 1);
    return true;
}

static void set_address(struct slice rdata, struct net_address *out)
{
    *out = (struct net_address){.family = rdata.len == 4 ? NET_IPV4 : NET_IPV6};
    memcpy(out->bytes, rdata.data, rdata.len);
}

bool dns_read_a(struct slice rdata, struct net_address *out)
{
    if (rdata.len != 4)
        return false;
    set_address(rdata, out);
    return true;
}

bool dns_read_aaaa(struct slice rdata, struct net_address *out)
{
    if (rdata.len != 16)
        return false;
    set_address(rdata, out);
    return true;
}

bool dns_read_tlsa(struct slice rdata, struct dns_tlsa_record *out)
{
    if (rdata.len < 3 || rdata.len - 3 > sizeof out->data)
        return false;
    *out = (struct dns_tlsa_record){
        .usage = octet(rdata, 0),
        .selector = octet(rdata, 1),
        .matching = octet(rdata, 2),
        .len = (uint16_t)(rdata.len - 3),
    };
    memcpy(out->data, rdata.data + 3, out->len);
    return true;
}

bool dns_read_txt(struct slice rdata, char *out, size_t *len)
{
    size_t at = 0;
    *len = 0;
    if (rdata.len == 0)
        return false;
    while (at < rdata.len) {
        size_t string_len = octet(rdata, at++);
        if (string_len > rdata.len - at)
            return false;
        memcpy(out + *len, rdata.data + at, string_len);
        *len += string_len;
        at += string_len;
    }
    return true;
}

bool dns_fold_name(struct slice text, char out[DOMAIN_SIZE])
{
    if (text.len > 1 && text.data[text.len - 1] == '.')
        text.len--;
    if (!slice_copy(text, out, DOMAIN_SIZE))
        return false;
    for (char *c = out; *c; c++)
        *c = lower(*c);
    return true;
}
