#include "queue/lease.h"

#include <pthread.h>
#include <stdlib.h>

/* Open addressing with linear probing; a slot with id 0 is free (no message has that ID). */
struct lease {
    uint64_t id;
    uint32_t index;
};

struct leases {
    pthread_mutex_t lock;
    struct lease *slots; /* owned */
    size_t room;         /* a power of two, never more than half full */
    size_t count;
};

enum { SMALLEST = 64 };

struct leases *leases_new(void)
{
    struct leases *l = xalloc(sizeof *l);
    pthread_mutex_init(&l->lock, NULL);
    l->room = SMALLEST;
    l->slots = xalloc(l->room * sizeof *l->slots);
    return l;
}

void leases_free(struct leases *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l->slots);
    free(l);
}

static size_t home(const struct leases *l, uint64_t id, uint32_t index)
{
    uint64_t mixed = (id ^ (uint64_t)index << 40) * 0x9e3779b97f4a7c15u;
    return (size_t)(mixed >> 32) & (l->room - 1);
}

/* The slot that holds it, or the free one where it belongs. */
static struct lease *find(const struct leases *l, uint64_t id, uint32_t index)
{
    size_t at = home(l, id, index);
    while (l->slots[at].id != 0 && (l->slots[at].id != id || l->slots[at].index != index))
        at = (at + 1) & (l->room - 1);
    return &l->slots[at];
}

static void grow(struct leases *l)
{
    struct lease *old = l->slots;
    size_t old_room = l->room;
    l->room *= 2;
    l->slots = xalloc(l->room * sizeof *l->slots);
    for (size_t i = 0; i < old_room; i++) {
        if (old[i].id != 0)
            *find(l, old[i].id, old[i].index) = old[i];
    }
    free(old);
}

bool leases_take(struct leases *l, uint64_t id, uint32_t index)
{
    pthread_mutex_lock(&l->lock);
    struct lease *slot = find(l, id, index);
    bool is_free = slot->id == 0;
    if (is_free) {
        *slot = (struct lease){id, index};
        if (++l->count > l->room / 2)
            grow(l);
    }
    pthread_mutex_unlock(&l->lock);
    return is_free;
}

/* Empties a slot and moves up what stands behind it and would not be found past the hole. */
static void empty(struct leases *l, size_t hole)
{
    size_t mask = l->room - 1;
    for (size_t at = (hole + 1) & mask; l->slots[at].id != 0; at = (at + 1) & mask) {
        size_t wants = home(l, l->slots[at].id, l->slots[at].index);
        if (((at - wants) & mask) >= ((at - hole) & mask)) {
            l->slots[hole] = l->slots[at];
            hole = at;
        }
    }
    l->slots[hole] = (struct lease){0};
}

void leases_end(struct leases *l, uint64_t id, uint32_t index)
{
    pthread_mutex_lock(&l->lock);
    struct lease *slot = find(l, id, index);
    if (slot->id != 0) {
        empty(l, (size_t)(slot - l->slots));
        l->count--;
    }
    pthread_mutex_unlock(&l->lock);
}

bool leases_has(struct leases *l, uint64_t id, uint32_t index)
{
    pthread_mutex_lock(&l->lock);
    bool has = find(l, id, index)->id != 0;
    pthread_mutex_unlock(&l->lock);
    return has;
}

size_t leases_count(struct leases *l)
{
    pthread_mutex_lock(&l->lock);
    size_t count = l->count;
    pthread_mutex_unlock(&l->lock);
    return count;
}
