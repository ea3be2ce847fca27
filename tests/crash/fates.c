/* fates.c: see fates.h. Numbers are given in the order of appending, and so lie in that order in the spool. */
#include "fates.h"

#include <string.h>

/* The cursor is the first record that is not settled. Numbers that were begun and never seen again are not on the disk. */
static void closed(struct fates *f)
{
    for (uint64_t i = 0; i < f->next && f->fate[i] != FATE_ACKED && f->fate[i] != FATE_SEEN; i++)
        if (f->fate[i] == FATE_SETTLED)
            f->fate[i] = FATE_PASSED;
}

static void follow_event(struct fates *f, const struct recording *rec, const struct event *e, size_t n)
{
    enum fate *fate = &f->fate[e->seq];
    assert(e->seq < FATES_MAX);
    switch (e->kind) {
    case EVENT_BEGAN:
        *fate = FATE_BEGUN;
        f->payload_bytes[e->seq] = e->payload_bytes;
        f->next = e->seq + 1 > f->next ? e->seq + 1 : f->next;
        break;
    case EVENT_ACKED:
        *fate = FATE_ACKED;
        f->node = rec->node;
        f->has_node = true;
        break;
    case EVENT_SEEN:
        if (*fate != FATE_ACKED)
            *fate = FATE_SEEN;
        break;
    case EVENT_SETTLED: /* what it changes on the disk comes later */
        if (e->at < n)
            *fate = FATE_SETTLED;
        break;
    case EVENT_CLOSED:
        closed(f);
        break;
    case EVENT_GONE:
        break;
    }
}

void fates_follow(struct fates *f, const struct recording *rec, size_t n)
{
    size_t e = 0, n_events = recording_n_events(rec);
    for (size_t i = 0; i <= n; i++) {
        for (; e < n_events && recording_event(rec, e)->at <= i; e++)
            follow_event(f, rec, recording_event(rec, e), n);
    }
}
