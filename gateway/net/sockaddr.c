#include <netinet/in.h>
#include <string.h>
#include <sys/un.h>

#include "gateway/net/conn_uv.h"

socklen_t sockaddr_of(const struct net_address *a, struct sockaddr_storage *out)
{
    struct sockaddr_in v4 = {.sin_family = AF_INET, .sin_port = htons(a->port)};
    struct sockaddr_in6 v6 = {
        .sin6_family = AF_INET6, .sin6_port = htons(a->port), .sin6_scope_id = a->scope};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    memset(out, 0, sizeof(*out));
    switch (a->family) {
    case NET_NONE:
        break;
    case NET_IPV4:
        memcpy(&v4.sin_addr, a->bytes, 4);
        memcpy(out, &v4, sizeof(v4));
        return sizeof(v4);
    case NET_IPV6:
        memcpy(&v6.sin6_addr, a->bytes, 16);
        memcpy(out, &v6, sizeof(v6));
        return sizeof(v6);
    case NET_UNIX:
        memcpy(un.sun_path, a->path, strnlen(a->path, sizeof(un.sun_path) - 1));
        memcpy(out, &un, sizeof(un));
        return sizeof(un);
    }
    return 0;
}

void sockaddr_read(const struct sockaddr_storage *from, socklen_t len, struct net_address *out)
{
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un un;
    *out = (struct net_address){.family = NET_NONE};
    if (from->ss_family == AF_INET && len >= sizeof(v4)) {
        memcpy(&v4, from, sizeof(v4));
        out->family = NET_IPV4;
        out->port = ntohs(v4.sin_port);
        memcpy(out->bytes, &v4.sin_addr, 4);
    } else if (from->ss_family == AF_INET6 && len >= sizeof(v6)) {
        memcpy(&v6, from, sizeof(v6));
        out->family = NET_IPV6;
        out->port = ntohs(v6.sin6_port);
        out->scope = v6.sin6_scope_id;
        memcpy(out->bytes, &v6.sin6_addr, 16);
    } else if (from->ss_family == AF_UNIX) {
        /* The path is empty on the connecting side. */
        size_t before = offsetof(struct sockaddr_un, sun_path);
        memcpy(&un, from, sizeof(un));
        out->family = NET_UNIX;
        if (len > before)
            memcpy(out->path, un.sun_path, strnlen(un.sun_path, sizeof(out->path) - 1));
    }
}
