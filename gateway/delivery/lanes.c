#include "gateway/delivery/lanes.h"

#include <search.h>
#include <stdlib.h>
#include <string.h>

static int compare(const void *a, const void *b)
{
    const struct lane *x = a;
    const struct lane *y = b;
    if (x->key.flow != y->key.flow)
        return x->key.flow < y->key.flow ? -1 : 1;
    return strcmp(x->key.domain, y->key.domain);
}

void lanes_init(struct lanes *l)
{
    *l = (struct lanes){0};
}

void lanes_free(struct lanes *l)
{
    tdestroy(l->tree, free);
    free(l->heap);
    lanes_init(l);
}

static void place(struct lanes *l, struct lane *lane, size_t position)
{
    l->heap[position] = lane;
    lane->position = position;
}

static void sift_up(struct lanes *l, struct lane *lane, size_t position)
{
    while (position > 0) {
        size_t parent = (position - 1) / 2;
        if (l->heap[parent]->due_at_ms <= lane->due_at_ms)
            break;
        place(l, l->heap[parent], position);
        position = parent;
    }
    place(l, lane, position);
}

static void sift_down(struct lanes *l, struct lane *lane, size_t position)
{
    for (;;) {
        size_t child = 2 * position + 1;
        if (child >= l->count)
            break;
        if (child + 1 < l->count && l->heap[child + 1]->due_at_ms < l->heap[child]->due_at_ms)
            child++;
        if (l->heap[child]->due_at_ms >= lane->due_at_ms)
            break;
        place(l, l->heap[child], position);
        position = child;
    }
    place(l, lane, position);
}

void lanes_wait(struct lanes *l, struct lane *lane, int64_t due_at_ms)
{
    if (lane->position != LANE_OUTSIDE)
        panic("lane %s waits twice", lane->key.domain);
    if (l->count == l->capacity) {
        l->capacity = l->capacity ? 2 * l->capacity : 64;
        /* NOLINTNEXTLINE(bugprone-sizeof-expression): the elements are pointers */
        l->heap = xrealloc(l->heap, l->capacity * sizeof *l->heap);
    }
    lane->due_at_ms = due_at_ms;
    l->count++;
    sift_up(l, lane, l->count - 1);
}

void lanes_note(struct lanes *l, const struct queue_lane *key, int64_t due_at_ms)
{
    struct lane probe = {.key = *key};
    void *node = tfind(&probe, &l->tree, compare);
    if (node) {
        struct lane *lane = *(struct lane **)node;
        if (lane->position != LANE_OUTSIDE && due_at_ms < lane->due_at_ms) {
            lane->due_at_ms = due_at_ms;
            sift_up(l, lane, lane->position);
        }
        return;
    }
    struct lane *lane = xalloc(sizeof *lane);
    lane->key = *key;
    lane->position = LANE_OUTSIDE;
    if (!tsearch(lane, &l->tree, compare))
        panic("out of memory");
    lanes_wait(l, lane, due_at_ms);
}

int64_t lanes_next_due(const struct lanes *l)
{
    return l->count > 0 ? l->heap[0]->due_at_ms : INT64_MAX;
}

struct lane *lanes_take_due(struct lanes *l, int64_t now_ms)
{
    if (lanes_next_due(l) > now_ms)
        return NULL;
    struct lane *first = l->heap[0];
    struct lane *last = l->heap[--l->count];
    if (first != last)
        sift_down(l, last, 0);
    first->position = LANE_OUTSIDE;
    return first;
}

void lanes_forget(struct lanes *l, struct lane *lane)
{
    if (lane->position != LANE_OUTSIDE)
        panic("lane %s is forgotten while it waits", lane->key.domain);
    tdelete(lane, &l->tree, compare);
    free(lane);
}
