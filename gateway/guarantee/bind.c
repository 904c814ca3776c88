#include "gateway/guarantee/bind.h"

#include <string.h>

/* The users that some header fields name, each once, found in the directory. Of those that only an
 * unreadable field shows the strictest is enough: none of them exempts, so the others change
 * nothing.
 */
#define NAMED_MAX (HEADER_FORWARDING_COUNT * HEADER_NAMED_MAX + 1)
struct named_users {
    const struct guarantee_directory *directory;
    const struct address *recipient;
    size_t count;
    struct named_user {
        struct guarantee_user user;
        bool is_certain; /* a field that parses names him; only such a one can exempt */
        int strength;
    } all[NAMED_MAX];
};

/* What the administrator has set for this owner, whatever the message is. A flag that is off needs
 * no lifting. */
static enum exemption lifted_by(const struct guarantee_user *owner, const struct address *recipient,
                                const struct guarantee_directory *directory)
{
    if (owner->level == LEVEL_OFF)
        return EXEMPTION_NONE;
    if (directory->has_exception != NULL &&
        directory->has_exception(directory->context, owner->address, recipient))
        return EXEMPTION_EXCEPTION;
    return owner->is_dry_run ? EXEMPTION_DRY_RUN : EXEMPTION_NONE;
}

/* How strict a flag is among those of several users. One that is lifted counts less than any that
 * is not: one user's exception or dry run never takes away what another's flag asks for. */
static int strength_of(const struct guarantee_user *user, const struct named_users *users)
{
    bool is_lifted = lifted_by(user, users->recipient, users->directory) != EXEMPTION_NONE;
    return user->level == LEVEL_OFF || is_lifted ? (int)user->level
                                                 : (int)user->level + (int)LEVEL_VERIFIED;
}

static struct named_user *find_named(struct named_users *users, const char *address)
{
    for (size_t i = 0; i < users->count; i++)
        if (strcmp(users->all[i].user.address, address) == 0)
            return &users->all[i];
    return NULL;
}

static bool add_certain(void *context, const struct address *address)
{
    struct named_users *users = context;
    struct named_user found = {.is_certain = true};
    if (users->directory->find_user(users->directory->context, address, &found.user) &&
        find_named(users, found.user.address) == NULL) {
        found.strength = strength_of(&found.user, users);
        users->all[users->count++] = found;
    }
    return true;
}

/* Comes when all certain ones are there; the uncertain one stands last. */
static bool add_uncertain(void *context, const struct address *address)
{
    struct named_users *users = context;
    struct named_user found = {.is_certain = false};
    if (!users->directory->find_user(users->directory->context, address, &found.user) ||
        find_named(users, found.user.address) != NULL)
        return true;
    found.strength = strength_of(&found.user, users);
    struct named_user *last = users->count > 0 ? &users->all[users->count - 1] : NULL;
    if (last == NULL || last->is_certain)
        users->all[users->count++] = found;
    else if (found.strength > last->strength)
        *last = found;
    return true;
}

/* An unreadable field binds whoever is seen in it: the flag is a floor, and a field that somebody
 * broke must not take it away. It never exempts. */
static void add_named(struct named_users *users, const struct header_named *fields, size_t count)
{
    for (size_t i = 0; i < count; i++)
        if (!fields[i].is_unreadable)
            header_named_walk(&fields[i], add_certain, users);
    for (size_t i = 0; i < count; i++)
        if (fields[i].is_unreadable)
            header_named_walk(&fields[i], add_uncertain, users);
}

static int greatest_strength(const struct named_users *users)
{
    int greatest = 0;
    for (size_t i = 0; i < users->count; i++)
        if (users->all[i].strength > greatest)
            greatest = users->all[i].strength;
    return greatest;
}

static bool may_forward(const struct named_user *named, const struct address *recipient,
                        const struct guarantee_directory *directory)
{
    return named->is_certain &&
           directory->has_forward(directory->context, named->user.address, recipient);
}

/* Of several users with the same strictest flag the one whose forward does not lead to this
 * recipient: so a forward of one never exempts the other. */
static const struct guarantee_user *strictest_user(const struct named_users *users,
                                                   const struct address *recipient,
                                                   const struct guarantee_directory *directory)
{
    int strictest = greatest_strength(users);
    const struct guarantee_user *chosen = NULL;
    for (size_t i = 0; i < users->count; i++) {
        if (users->all[i].strength != strictest)
            continue;
        if (!may_forward(&users->all[i], recipient, directory))
            return &users->all[i].user;
        if (chosen == NULL)
            chosen = &users->all[i].user;
    }
    return chosen;
}

/* Whose flag binds what comes in on the relay listener. False: no user is named, the flag is off.
 */
static bool find_owner(const struct guarantee_message *message, const struct address *recipient,
                       const struct guarantee_directory *directory, struct guarantee_user *owner)
{
    if (!address_is_null(&message->reverse_path) &&
        directory->find_user(directory->context, &message->reverse_path, owner))
        return true;
    struct named_users users = {.directory = directory, .recipient = recipient};
    add_named(&users, message->header->forwarding, HEADER_FORWARDING_COUNT);
    if (users.count == 0 && address_is_null(&message->reverse_path))
        add_named(&users, &message->header->from, 1);
    const struct guarantee_user *chosen = strictest_user(&users, recipient, directory);
    if (chosen == NULL)
        return false;
    *owner = *chosen;
    return true;
}

/* Did somebody else than the owner write the message? Only one readable From with one address that
 * is none of his says so. */
static bool is_from_another(const struct header_facts *header, const struct guarantee_user *owner,
                            const struct guarantee_directory *directory)
{
    if (header->from.fields != 1 || header->from.is_unreadable || header->from.count != 1)
        return false;
    struct guarantee_user author;
    return !directory->find_user(directory->context, &header->from.addresses[0], &author) ||
           strcmp(author.address, owner->address) != 0;
}

/* A configured forward (GUARANTEE.md section 1). Delivered to the owner and sent on by his forward;
 * where the header names several users, all with the strictest flag must have set the forward, and
 * the owner must be one of them: one user's forward never lifts another user's flag. */
static bool is_configured_forward(const struct guarantee_message *message,
                                  const struct address *recipient,
                                  const struct guarantee_user *owner,
                                  const struct guarantee_directory *directory)
{
    if (!is_from_another(message->header, owner, directory))
        return false;
    struct named_users users = {.directory = directory, .recipient = recipient};
    add_named(&users, message->header->forwarding, HEADER_FORWARDING_COUNT);
    int strictest = greatest_strength(&users);
    bool is_owner_named = false;
    for (size_t i = 0; i < users.count; i++) {
        if (users.all[i].strength != strictest)
            continue;
        if (!may_forward(&users.all[i], recipient, directory))
            return false;
        is_owner_named |= strcmp(users.all[i].user.address, owner->address) == 0;
    }
    return is_owner_named;
}

/* TLS-Required: No comes first: it is the only one that binds a sender whose flag is off too, as it
 * also lifts DANE and MTA-STS (RFC 8689 section 5). In a message with REQUIRETLS it says
 * nothing (section 4.1 there). What the
 * administrator has set lifts a locked flag too: the lock is against the user. */
static enum exemption submission_exemption(const struct guarantee_message *message,
                                           const struct address *recipient,
                                           const struct guarantee_directory *directory)
{
    const struct guarantee_user *user = message->user;
    if (!user->is_locked && message->header->tls_required_no && !message->requiretls)
        return EXEMPTION_TLS_REQUIRED_NO;
    if (!user->is_locked && user->level != LEVEL_OFF && message->exempt_auto_replies &&
        message->header->is_auto_replied)
        return EXEMPTION_AUTO_REPLY;
    return lifted_by(user, recipient, directory);
}

/* The relay listener is the site's own mail store, so what it sends is what it says it is, for a
 * locked flag too. TLS-Required: No is honoured of an authenticated sender alone. */
static enum exemption relay_exemption(const struct guarantee_message *message,
                                      const struct address *recipient,
                                      const struct guarantee_user *owner,
                                      const struct guarantee_directory *directory)
{
    if (owner->level == LEVEL_OFF)
        return EXEMPTION_NONE;
    if (message->exempt_auto_replies && message->header->is_auto_replied)
        return EXEMPTION_AUTO_REPLY;
    if (is_configured_forward(message, recipient, owner, directory))
        return EXEMPTION_FORWARD;
    return lifted_by(owner, recipient, directory);
}

static struct guarantee_binding bound_by(const struct guarantee_user *owner,
                                         enum exemption exemption)
{
    struct guarantee_binding binding = {.level = owner->level, .exemption = exemption};
    _Static_assert(sizeof binding.owner == sizeof owner->address, "both hold an address");
    memcpy(binding.owner, owner->address, sizeof binding.owner);
    return binding;
}

struct guarantee_binding guarantee_bind(const struct guarantee_message *message,
                                        const struct address *recipient,
                                        const struct guarantee_directory *directory)
{
    struct guarantee_user owner;
    switch (message->origin) {
    case ORIGIN_NOTICE:
    case ORIGIN_REPORT:
        return (struct guarantee_binding){.level = LEVEL_OFF};
    case ORIGIN_SUBMISSION:
        if (message->user == NULL)
            panic("guarantee_bind: a submission without a user");
        return bound_by(message->user, submission_exemption(message, recipient, directory));
    case ORIGIN_RELAY:
        if (!find_owner(message, recipient, directory, &owner))
            return (struct guarantee_binding){.level = LEVEL_OFF};
        return bound_by(&owner, relay_exemption(message, recipient, &owner, directory));
    }
    panic("guarantee_bind: origin %d", (int)message->origin);
}

static bool owns_all(const struct header_named *field,
                     bool (*owns)(void *context, const struct address *a), void *context)
{
    if (field->fields != 1 || field->is_unreadable || field->count == 0)
        return false;
    for (unsigned i = 0; i < field->count; i++)
        if (!owns(context, &field->addresses[i]))
            return false;
    return true;
}

bool guarantee_owns_from(const struct header_facts *header,
                         bool (*owns)(void *context, const struct address *a), void *context)
{
    return owns_all(&header->from, owns, context) &&
           (header->sender.fields == 0 || owns_all(&header->sender, owns, context));
}
