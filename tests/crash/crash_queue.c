/* crash_queue.c - kills a process that works the queue, at every named point of a commit and at
 * random moments, and compares what is in the store afterwards with what it was told is there. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "tests/crash/journal.h"
#include "tests/support/queue_desk.h"

#define LIMIT ((uint64_t)256 << 20)
#define ROUNDS 12
#define BATCH 6

/* The kill. */

static const char *kill_at = ""; /* name of the point; set before the worker has threads */
static int kill_after;           /* times the point is passed before */

void queue_crash_point(const char *name);
void queue_crash_point(const char *name)
{
    if (strcmp(name, kill_at) == 0 && __atomic_sub_fetch(&kill_after, 1, __ATOMIC_SEQ_CST) == 0)
        kill(getpid(), SIGKILL);
}

/* LMDB's own steps are points as well: these stand in front of the C library's. */

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    queue_crash_point("write");
    ssize_t rc = syscall(SYS_pwrite64, fd, data, size, offset);
    queue_crash_point("written");
    return rc;
}

ssize_t writev(int fd, const struct iovec *parts, int count)
{
    queue_crash_point("write");
    ssize_t rc = syscall(SYS_writev, fd, parts, count);
    queue_crash_point("written");
    return rc;
}

int fdatasync(int fd)
{
    queue_crash_point("flush");
    return (int)syscall(SYS_fdatasync, fd);
}

/* The worker. */

struct worker {
    struct desk desk;
    struct model *model; /* its own copy, by fork */
    int journal;
    unsigned waiting; /* for answers */
    bool is_idle;
    int64_t now_ms;
};

struct job {
    struct worker *w;
    uint32_t operation;
};

static void tell(struct worker *w, struct entry e)
{
    model_note(w->model, &e);
    if (write(w->journal, &e, sizeof e) != sizeof e)
        _exit(3);
}

static struct job *start(struct worker *w)
{
    struct job *job = xalloc(sizeof *job);
    *job = (struct job){w, ++w->model->operations};
    w->waiting++;
    w->is_idle = false;
    return job;
}

static void job_done(void *context, int error)
{
    struct job *job = context;
    struct worker *w = job->w;
    if (error != 0)
        panic("an operation was refused: %d", error);
    tell(w, (struct entry){.kind = ENTRY_DONE, .operation = job->operation});
    w->is_idle = --w->waiting == 0;
    free(job);
}

static void intend(struct worker *w, const struct job *job, uint64_t id, uint32_t index,
                   enum place next)
{
    tell(w, (struct entry){.kind = ENTRY_INTENT,
                           .id = id,
                           .index = index,
                           .next = next,
                           .operation = job->operation});
}

static void incoming(struct worker *w, unsigned number)
{
    static const uint32_t sizes[] = {0, 900, 4080, 9000, 65280, 65281, 200000};
    uint32_t size = sizes[number % COUNT_OF(sizes)];
    uint32_t count = 1 + number % 2;
    struct envelope e;
    struct queue_incoming *in = queue_incoming_begin(w->desk.q, &w->desk.poster);
    uint64_t id = queue_incoming_id(in);
    tell(w, (struct entry){.kind = ENTRY_ID, .id = id});
    char *content = desk_content(size, (unsigned)id);
    if (queue_incoming_append(in, (struct slice){content, size}) != 0)
        panic("append was refused");
    free(content);
    if (number % 9 == 8) {
        queue_incoming_abort(in);
        return;
    }
    struct job *job = start(w);
    tell(w, (struct entry){.kind = ENTRY_MAIL,
                           .id = id,
                           .size = size,
                           .count = count,
                           .operation = job->operation});
    envelope_init(&e);
    envelope_set(&e.user, "alice@s.example");
    for (uint32_t i = 0; i < count; i++)
        (void)envelope_add(&e, i == 0 ? "bob@one.example" : "carol@two.example");
    queue_incoming_commit(in, &e, w->now_ms, w->now_ms, job_done, job);
}

static void settle(struct worker *w, const struct queue_recipient *r)
{
    static const struct {
        enum disposition disposition;
        enum queue_report report;
        enum place next;
    } ends[] = {
        {DISPOSITION_DELIVERED, QUEUE_REPORT_NONE, PLACE_ABSENT},
        {DISPOSITION_HELD, QUEUE_REPORT_FAILURE, PLACE_HELD_UNREPORTED},
        {DISPOSITION_DEFERRED, QUEUE_REPORT_NONE, PLACE_DEFERRED},
        {DISPOSITION_FAILED, QUEUE_REPORT_FAILURE, PLACE_FAILED_UNREPORTED},
    };
    size_t end = (r->id + r->index + r->attempts + (size_t)r->exemption) % COUNT_OF(ends);
    struct job *job = start(w);
    intend(w, job, r->id, r->index, ends[end].next);
    struct queue_result result = desk_result(r, ends[end].disposition, ends[end].report, w->now_ms);
    result.next_attempt_at_ms = w->now_ms;
    queue_settle(w->desk.q, &result, 1, &w->desk.poster, job_done, job);
}

static void settle_due(struct worker *w)
{
    struct queue_recipient r[4 * BATCH];
    /* What was made for the postmaster stays: it is looked at, not delivered. Its lane sorts last.
     */
    size_t count = desk_take(&w->desk, w->now_ms, r, COUNT_OF(r));
    for (size_t i = 0; i < count; i++) {
        if (strcmp(r[i].address, "postmaster@zone.example") != 0)
            settle(w, &r[i]);
        queue_recipient_clear(&r[i]);
    }
}

static void make_notice(struct worker *w, uint64_t id)
{
    struct queue_recipient *list;
    size_t count;
    struct queue_reported reported[RECIPIENTS_MAX];
    size_t reported_count = 0;
    struct queue_notice notice = {.id = queue_notice_id(w->desk.q)};
    if (queue_recipients_read(w->desk.q, id, &list, &count) != 0)
        panic("an order without a message");
    struct job *job = start(w);
    tell(w, (struct entry){.kind = ENTRY_ID, .id = notice.id});
    tell(w, (struct entry){.kind = ENTRY_MAIL,
                           .id = notice.id,
                           .size = 5000,
                           .count = 1,
                           .operation = job->operation});
    for (size_t i = 0; i < count; i++) {
        if (list[i].report == QUEUE_REPORT_NONE)
            continue;
        reported[reported_count++] =
            (struct queue_reported){list[i].index, list[i].report, list[i].last_attempt_at_ms, 0};
        intend(w, job, id, list[i].index, list[i].state == QUEUE_HELD ? PLACE_HELD : PLACE_ABSENT);
    }
    queue_recipients_free(list, count);
    envelope_init(&notice.envelope);
    (void)envelope_add(&notice.envelope, "postmaster@zone.example");
    char *content = desk_content(5000, (unsigned)notice.id);
    notice.content = (struct slice){content, 5000};
    queue_notices_commit(w->desk.q, id, reported, reported_count, &notice, 1, &w->desk.poster,
                         job_done, job);
    free(content);
}

static bool administer(void *context, const struct queue_message *m,
                       const struct queue_recipient *r, size_t count)
{
    struct worker *w = context;
    enum { RELEASE, DROP, REMOVE } what = m->id % 3;
    /* One operation at a time for each recipient. */
    for (size_t i = 0; i < count; i++) {
        if (r[i].state != QUEUE_HELD || r[i].report != QUEUE_REPORT_NONE)
            return true;
    }
    struct job *job = start(w);
    for (size_t i = 0; i < count; i++)
        intend(w, job, m->id, r[i].index, what == RELEASE ? PLACE_QUEUED : PLACE_ABSENT);
    if (what == RELEASE)
        queue_release(w->desk.q, m->id, NULL, 0, QUEUE_RELEASE, w->now_ms, &w->desk.poster,
                      job_done, job);
    else if (what == DROP)
        queue_drop(w->desk.q, m->id, &w->desk.poster, job_done, job);
    else
        queue_remove(w->desk.q, m->id, &w->desk.poster, job_done, job);
    return true;
}

static void await_all(struct worker *w)
{
    if (w->waiting > 0 && !desk_wait_for(&w->desk, &w->is_idle, 10000))
        panic("no answer");
}

/* First what is in the store, then what is new: so no operation is started on what another one, not
 * yet answered, has just put there. */
static void work(struct worker *w)
{
    uint64_t ids[2 * BATCH];
    int64_t next;
    for (unsigned round = 0; round < ROUNDS; round++) {
        w->now_ms += 2000;
        settle_due(w);
        for (unsigned i = 0; i < BATCH; i++)
            incoming(w, round * BATCH + i + (unsigned)w->model->operations);
        await_all(w);
        (void)queue_held_walk(w->desk.q, 0, 1000, administer, w);
        ptrdiff_t count = queue_notices_due(w->desk.q, w->now_ms, ids, COUNT_OF(ids), &next);
        for (ptrdiff_t i = 0; i < count; i++)
            make_notice(w, ids[i]);
        await_all(w);
    }
}

static void worker_main(struct model *model, const char *directory, int journal, int64_t now_ms)
{
    static struct worker w;
    w = (struct worker){.model = model, .journal = journal, .now_ms = now_ms};
    desk_open_at(&w.desk, directory, LIMIT);
    work(&w);
    desk_shut(&w.desk);
    _exit(0);
}

/* The parent. */

static struct model model;

/* Runs one worker; returns whether it was killed. */
static bool run_worker(const char *directory, unsigned kill_ms, int64_t now_ms)
{
    int ends[2];
    struct entry e;
    int status;
    if (pipe(ends) != 0)
        panic("pipe: %s", strerror(errno));
    /* Room for all a worker says: the parent reads after the kill, in its own time. */
    (void)fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
    pid_t pid = fork();
    if (pid < 0)
        panic("fork: %s", strerror(errno));
    if (pid == 0) {
        close(ends[0]);
        worker_main(&model, directory, ends[1], now_ms);
    }
    close(ends[1]);
    if (kill_ms > 0) {
        struct timespec pause = {0, (long)kill_ms * 1000000};
        nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
    }
    while (read(ends[0], &e, sizeof e) == sizeof e) {
        model_note(&model, &e);
        if (e.operation > model.operations)
            model.operations = e.operation;
    }
    close(ends[0]);
    if (waitpid(pid, &status, 0) != pid)
        panic("waitpid: %s", strerror(errno));
    if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL)
        return true;
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        panic("the worker failed by itself: %x", (unsigned)status);
    return false;
}

int main(int argc, char **argv)
{
    static const char *const points[] = {"operation", "before-commit", "after-commit", "answered",
                                         "write",     "written",       "flush"};
    static const int counts[] = {2, 7, 23, 40};
    struct desk d;
    unsigned kills = 0;
    int64_t now_ms = 1000;
    unsigned random_kills = argc > 1 ? (unsigned)strtoul(argv[1], NULL, 10) : 20;
    desk_open(&d, LIMIT); /* makes the directory */
    desk_shut(&d);
    for (size_t i = 0; i < COUNT_OF(points); i++) {
        unsigned hits = 0;
        for (size_t j = 0; j < COUNT_OF(counts); j++) {
            kill_at = points[i];
            kill_after = counts[j];
            hits += run_worker(d.directory, 0, now_ms += 1000000);
            kill_at = "";
            model_check(&model, d.directory, LIMIT);
        }
        if (hits == 0)
            panic("the point %s was never passed", points[i]);
        kills += hits;
    }
    srand(20);
    for (unsigned i = 0; i < random_kills; i++) {
        kills += run_worker(d.directory, 5 + (unsigned)rand() % 120, now_ms += 1000000);
        model_check(&model, d.directory, LIMIT);
    }
    printf("%u kills, %zu messages in the store, %u operations\n", kills, model.count,
           model.operations);
    desk_close(&d);
    return 0;
}
