/* recording.c: see recording.h. Changes are told by disk_observe() in the order in which they took effect. */
#include "recording.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "picket/base/str.h"

enum { WAIT_S = 10 };

struct recording *recording_new(void)
{
    struct recording *rec = calloc(1, sizeof *rec);
    pthread_condattr_t monotonic;
    if (!rec)
        abort();
    (void)pthread_mutex_init(&rec->lock, NULL);
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(&rec->more, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
    return rec;
}

void recording_free(struct recording *rec)
{
    if (!rec)
        return;
    for (size_t i = 0; i < rec->n_changes; i++) {
        free(rec->changes[i]->data);
        free(rec->changes[i]);
    }
    free(rec->changes);
    buf_done(&rec->events);
    (void)pthread_cond_destroy(&rec->more);
    (void)pthread_mutex_destroy(&rec->lock);
    free(rec);
}

/* ---- recording */

static void text_keep(char *dst, size_t max, const char *text)
{
    struct str s = str_from(text);
    assert(s.n < max);
    memcpy(dst, s.p, s.n);
}

static char *bytes_keep(const struct iovec *iov, uint64_t bytes)
{
    char *data = malloc(bytes + 1);
    if (!data)
        abort();
    for (uint64_t at = 0; at < bytes; iov++) {
        size_t n = bytes - at < iov->iov_len ? (size_t)(bytes - at) : iov->iov_len;
        memcpy(data + at, iov->iov_base, n);
        at += n;
    }
    return data;
}

static struct change *change_keep(const struct disk_change *from)
{
    struct change *c = calloc(1, sizeof *c);
    if (!c)
        abort();
    c->effect = from->effect;
    c->dir_fd = from->dir_fd;
    c->fd = from->fd;
    c->flags = from->flags;
    c->at = from->at;
    c->bytes = from->bytes;
    c->time_us = from->time_us;
    text_keep(c->point, sizeof c->point, from->point);
    if (from->name)
        text_keep(c->name, sizeof c->name, from->name);
    if (from->to)
        text_keep(c->to, sizeof c->to, from->to);
    if (from->bytes > 0)
        c->data = bytes_keep(from->iov, from->bytes);
    return c;
}

static void changes_push(struct recording *rec, struct change *c)
{
    if (rec->n_changes == rec->max_changes) {
        rec->max_changes = rec->max_changes ? 2 * rec->max_changes : 64;
        rec->changes = realloc(rec->changes, rec->max_changes * sizeof *rec->changes);
        if (!rec->changes)
            abort();
    }
    rec->changes[rec->n_changes++] = c;
}

void recording_add(struct recording *rec, const struct disk_change *from)
{
    struct change *c = change_keep(from);
    (void)pthread_mutex_lock(&rec->lock);
    changes_push(rec, c);
    (void)pthread_cond_broadcast(&rec->more);
    (void)pthread_mutex_unlock(&rec->lock);
}

/* The path of the spool itself is named "spool": it lies elsewhere each time. */
static void change_seen(void *arg, const struct disk_change *from)
{
    struct disk_change change = *from;
    if (change.dir_fd == AT_FDCWD && change.name)
        change.name = "spool";
    recording_add(arg, &change);
}

void recording_start(struct recording *rec)
{
    disk_observe(change_seen, rec);
}

void recording_stop(void)
{
    disk_observe(NULL, NULL);
}

void recording_note(struct recording *rec, enum event_kind kind, uint64_t seq, size_t payload_bytes)
{
    (void)pthread_mutex_lock(&rec->lock);
    struct event e = {.kind = kind, .at = rec->n_changes, .seq = (uint32_t)seq, .payload_bytes = (uint32_t)payload_bytes};
    (void)pthread_mutex_unlock(&rec->lock);
    buf_append(&rec->events, &e, sizeof e);
}

void recording_note_at(struct recording *rec, uint64_t at, enum event_kind kind, uint64_t seq)
{
    struct event e = {.kind = kind, .at = at, .seq = (uint32_t)seq};
    buf_append(&rec->events, &e, sizeof e);
}

/* ---- looking at it */

bool change_is_lookup(const struct change *c)
{
    return c->effect == DISK_OPENED && !(c->flags & (O_CREAT | O_TRUNC));
}

/* Under lock. */
static unsigned count(const struct recording *rec, const char *point)
{
    unsigned n = 0;
    for (size_t i = 0; i < rec->n_changes; i++)
        n += strcmp(rec->changes[i]->point, point) == 0;
    return n;
}

unsigned recording_count(struct recording *rec, const char *point)
{
    (void)pthread_mutex_lock(&rec->lock);
    unsigned n = count(rec, point);
    (void)pthread_mutex_unlock(&rec->lock);
    return n;
}

bool recording_wait(struct recording *rec, const char *point, unsigned n)
{
    struct timespec until;
    int r = clock_gettime(CLOCK_MONOTONIC, &until);
    assert(r == 0);
    until.tv_sec += WAIT_S;
    (void)pthread_mutex_lock(&rec->lock);
    while (r == 0 && count(rec, point) <= n)
        r = pthread_cond_timedwait(&rec->more, &rec->lock, &until);
    (void)pthread_mutex_unlock(&rec->lock);
    return r == 0;
}

static void change_print(FILE *f, size_t i, const struct change *c)
{
    static const char *const effects[] = {"open", "mkdir", "write", "sync", "rename", "unlink", "truncate", "touch"};
    (void)fprintf(f, "  %5zu %-8s %-22s", i, effects[c->effect], c->point);
    if (c->effect == DISK_WROTE)
        (void)fprintf(f, " fd %d, %" PRIu64 " bytes at %" PRIu64, c->fd, c->bytes, c->at);
    else if (c->effect == DISK_TRUNCATED)
        (void)fprintf(f, " fd %d, to %" PRIu64, c->fd, c->at);
    else if (c->effect == DISK_TOUCHED)
        (void)fprintf(f, " fd %d, %" PRId64 " us", c->fd, c->time_us);
    else if (c->effect == DISK_SYNCED)
        (void)fprintf(f, " fd %d", c->fd);
    else
        (void)fprintf(f, " %s%s%s", c->name, c->to[0] ? " -> " : "", c->to);
    if (c->effect == DISK_OPENED)
        (void)fprintf(f, " (%s%s) = %d", c->flags & O_CREAT ? "create" : "", c->flags & O_TRUNC ? ", truncate" : "", c->fd);
    (void)fputc('\n', f);
}

static void event_print(FILE *f, const struct event *e)
{
    static const char *const kinds[] = {"began", "acknowledged", "seen", "settled", "closed", "gone"};
    (void)fprintf(f, "        %s", kinds[e->kind]);
    if (e->kind != EVENT_CLOSED)
        (void)fprintf(f, " %" PRIu32, e->seq);
    (void)fputc('\n', f);
}

void recording_print(FILE *f, const struct recording *rec, size_t n, size_t tail)
{
    size_t e = 0;
    for (size_t i = 0; i <= n; i++) {
        bool show = i + tail >= n;
        for (; e < recording_n_events(rec) && recording_event(rec, e)->at <= i; e++)
            if (show)
                event_print(f, recording_event(rec, e));
        if (show && i < n)
            change_print(f, i, rec->changes[i]);
    }
}

/* ---- keeping it */

bool recording_save(FILE *f, const struct recording *rec)
{
    uint64_t sizes[2] = {rec->n_changes, recording_n_events(rec)};
    bool ok = fwrite(sizes, sizeof sizes, 1, f) == 1 && fwrite(&rec->node, sizeof rec->node, 1, f) == 1;
    for (size_t i = 0; ok && i < rec->n_changes; i++) {
        const struct change *c = rec->changes[i];
        ok = fwrite(c, sizeof *c, 1, f) == 1 && fwrite(c->data ? c->data : "", 1, c->bytes, f) == c->bytes;
    }
    return ok && fwrite(rec->events.p ? rec->events.p : "", 1, rec->events.n, f) == rec->events.n;
}

static struct change *change_load(FILE *f)
{
    struct change *c = malloc(sizeof *c);
    if (!c || fread(c, sizeof *c, 1, f) != 1) {
        free(c);
        return NULL;
    }
    c->data = malloc(c->bytes + 1);
    if (!c->data || fread(c->data, 1, c->bytes, f) != c->bytes) {
        free(c->data);
        free(c);
        return NULL;
    }
    return c;
}

struct recording *recording_load(FILE *f)
{
    uint64_t sizes[2];
    struct recording *rec = recording_new();
    bool ok = fread(sizes, sizeof sizes, 1, f) == 1 && fread(&rec->node, sizeof rec->node, 1, f) == 1;
    for (uint64_t i = 0; ok && i < sizes[0]; i++) {
        struct change *c = change_load(f);
        ok = c != NULL;
        if (ok)
            changes_push(rec, c);
    }
    struct event e;
    for (uint64_t i = 0; ok && i < sizes[1]; i++) {
        ok = fread(&e, sizeof e, 1, f) == 1;
        buf_append(&rec->events, &e, sizeof e);
    }
    if (ok)
        return rec;
    recording_free(rec);
    return NULL;
}
