/* promises.c: see promises.h. */
#include "promises.h"

/* The directory was synced: what was taken away before stays away. */
static void others_acked(struct promises *p)
{
    for (unsigned i = 0; i < p->next; i++)
        if (p->of[i].going)
            p->of[i] = (struct promise){.versions = p->of[i].versions};
}

static void follow_event(struct promises *p, const struct event *e, size_t n)
{
    unsigned what = e->seq / VERSIONS_MAX, version = e->seq % VERSIONS_MAX;
    struct promise *one = &p->of[what];
    assert(what < PROMISES_MAX);
    switch (e->kind) {
    case EVENT_BEGAN:
        one->may |= UINT32_C(1) << version;
        one->going = one->gone = false;
        one->versions = version + 1;
        p->next = what + 1 > p->next ? what + 1 : p->next;
        break;
    case EVENT_ACKED:
        one->may = UINT32_C(1) << version;
        one->must = true;
        others_acked(p);
        break;
    case EVENT_SETTLED: /* what it changes on the disk comes later */
        if (e->at < n) {
            one->must = false;
            one->going = true;
        }
        break;
    case EVENT_GONE:
        one->must = false;
        one->going = one->gone = true;
        break;
    case EVENT_SEEN:
    case EVENT_CLOSED:
        break;
    }
}

void promises_follow(struct promises *p, const struct recording *rec, size_t n)
{
    for (size_t e = 0; e < recording_n_events(rec) && recording_event(rec, e)->at <= n; e++)
        follow_event(p, recording_event(rec, e), n);
}

void promises_end(struct promises *p, bool was_cut)
{
    for (unsigned i = 0; i < p->next; i++) {
        struct promise *one = &p->of[i];
        one->gone = one->gone && !was_cut;
        one->going = one->gone; /* what was about to be taken away may still be there, and is then nobody's business */
    }
}
