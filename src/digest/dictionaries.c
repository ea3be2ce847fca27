/* dictionaries.c: payloads are packed with a dictionary of their project (protocol/payload.h), which the workers make of what they pack.
 *
 * The statement that says what a batch's projects want says which dictionary they have, so a frame is written only with one that is committed. Its content comes with the
 * answer when it is not at hand. A few are kept ready (85 KB each). Making one ready takes 14 µs, what three events gain by it, so there is a credit: READY_COST events
 * for each. With a thousand projects taking turns most are packed with the release's dictionary, which is always there.
 *
 * Samples are taken of one project at a time, the first that wants to be sampled, until there are enough or no event came for SAMPLE_MS. Then a dictionary is made of seven of eight, and
 * tried with the eighth: it must make payloads a tenth smaller than the one in use. Two workers may do that for one project at once; the first wins.
 *
 * A dictionary is known by its checksum and not by its number alone: a database that was restored may give a number out again. */
#include "dictionaries.h"

#include <inttypes.h>
#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/hash.h"
#include "picket/base/log.h"
#include "picket/event/outline.h"

enum {
    READY_COST = 8,
    CREDIT_MAX = 4 * DICTIONARIES_READY * READY_COST,
    SAMPLE_MS = 60 * 1000,
    SAMPLE_BYTES = 512 << 10,
    SAMPLE_MIN_BYTES = 256, /* of a payload */
    TRIED = 8,              /* one of so many */
    NONE_HELPS = 1,         /* the checksum of an empty one */
};

void dictionaries_init(struct dictionaries *d)
{
    *d = (struct dictionaries){.packer = payload_packer_new(), .credit = CREDIT_MAX};
}

static void drop_ready(struct dictionary_ready *r)
{
    payload_dictionary_free(r->dictionary);
    *r = (struct dictionary_ready){0};
}

static void drop_sample(struct dictionaries *d)
{
    buf_done(&d->sample.payloads);
    buf_done(&d->sample.outlines);
    buf_done(&d->sample.tried);
    d->sample = (struct dictionary_sample){0};
}

void dictionaries_done(struct dictionaries *d)
{
    for (unsigned i = 0; i < DICTIONARIES_READY; i++)
        drop_ready(&d->ready[i]);
    drop_sample(d);
    buf_done(&d->made);
    free(d->entries);
    payload_packer_free(d->packer);
}

void dictionaries_clear(struct dictionaries *d)
{
    d->n_entries = 0;
    d->n_asked = 0;
}

void dictionaries_rest(struct dictionaries *d)
{
    d->credit = CREDIT_MAX; /* there is time */
    for (unsigned i = 0; i < DICTIONARIES_READY; i++)
        drop_ready(&d->ready[i]);
}

static struct dictionary_ready *find_ready(struct dictionaries *d, uint64_t project_id)
{
    for (unsigned i = 0; i < DICTIONARIES_READY; i++)
        if (d->ready[i].dictionary && d->ready[i].project_id == project_id)
            return &d->ready[i];
    return NULL;
}

int64_t dictionaries_known(struct dictionaries *d, uint64_t project_id, unsigned n_records)
{
    const struct dictionary_ready *r = find_ready(d, project_id);
    d->credit = d->credit + n_records > CREDIT_MAX ? CREDIT_MAX : d->credit + n_records;
    if (r)
        return r->checksum;
    if (d->credit < (d->n_asked + 1) * READY_COST)
        return -1;
    d->n_asked++;
    return 0;
}

void dictionaries_add(struct dictionaries *d, const struct dictionary_entry *entry)
{
    assert(d->n_entries == 0 || d->entries[d->n_entries - 1].project_id < entry->project_id);
    if (d->n_entries == d->entries_cap) {
        d->entries_cap = d->entries_cap ? 2 * d->entries_cap : 8;
        d->entries = realloc(d->entries, d->entries_cap * sizeof *d->entries);
        if (!d->entries)
            abort();
    }
    d->entries[d->n_entries++] = *entry;
}

static int by_project(const void *key, const void *entry)
{
    uint64_t a = *(const uint64_t *)key, b = ((const struct dictionary_entry *)entry)->project_id;
    return a < b ? -1 : a > b;
}

/* ---- packing */

static struct dictionary_ready *least_used(struct dictionaries *d)
{
    struct dictionary_ready *least = &d->ready[0];
    for (unsigned i = 1; i < DICTIONARIES_READY; i++)
        if (d->ready[i].used < least->used)
            least = &d->ready[i];
    return least;
}

/* NULL: the release's is to be used. */
static const struct payload_dictionary *dictionary_for(struct dictionaries *d, struct dictionary_entry *e)
{
    if (e->number == 0)
        return NULL;
    struct dictionary_ready *r = find_ready(d, e->project_id);
    if (r && r->checksum != e->checksum) { /* of before */
        drop_ready(r);
        r = NULL;
    }
    if (!r && e->content.n > 0 && d->credit >= READY_COST) {
        d->credit -= READY_COST;
        r = least_used(d);
        drop_ready(r);
        *r = (struct dictionary_ready){.project_id = e->project_id,
                                       .checksum = e->checksum,
                                       .dictionary = payload_dictionary_new(e->content)};
    }
    if (!r || !r->dictionary)
        return NULL;
    r->used = ++d->uses;
    return r->dictionary;
}

static bool is_full(const struct dictionary_sample *s)
{
    return s->n == DICTIONARY_SAMPLES || s->payloads.n + s->tried.n + PAYLOAD_DICTIONARY_PAYLOAD_MAX > SAMPLE_BYTES;
}

/* Is this project the one that is sampled, from now on if not before? */
static bool is_sampled(struct dictionaries *d, const struct dictionary_entry *e)
{
    struct dictionary_sample *s = &d->sample;
    if (s->project_id == e->project_id && (!e->wants_samples || s->checksum != e->checksum))
        drop_sample(d); /* another worker was faster */
    if (!e->wants_samples || (s->project_id == 0 && clock_mono_us() < d->no_samples_before_us))
        return false;
    if (s->project_id != e->project_id && (s->project_id == 0 || clock_mono_us() - s->fed_us > SAMPLE_MS * INT64_C(1000))) {
        drop_sample(d);
        *s = (struct dictionary_sample){.project_id = e->project_id, .number = e->number, .checksum = e->checksum};
    }
    return s->project_id == e->project_id && !is_full(s);
}

static void take_sample(struct dictionary_sample *s, struct str payload)
{
    unsigned at = s->n - s->n_tried;
    size_t before = s->outlines.n;
    if (payload.n < SAMPLE_MIN_BYTES || payload.n > PAYLOAD_DICTIONARY_PAYLOAD_MAX)
        return;
    if (s->n % TRIED == TRIED - 1) {
        buf_append_str(&s->tried, payload);
        s->tried_bytes[s->n_tried++] = payload.n;
    } else if (event_outline(payload, &s->outlines) == 0) {
        s->outline_bytes[at] = s->outlines.n - before;
        buf_append_str(&s->payloads, payload);
        s->payload_bytes[at] = payload.n;
    } else {
        return;
    }
    s->n++;
    s->fed_us = clock_mono_us();
}

void dictionaries_pack(struct dictionaries *d, uint64_t project_id, struct str payload, struct buf *out)
{
    struct dictionary_entry *e = d->n_entries ? bsearch(&project_id, d->entries, d->n_entries, sizeof *e, by_project) : NULL;
    payload_pack(d->packer, e ? dictionary_for(d, e) : NULL, payload, out);
    if (e && is_sampled(d, e))
        take_sample(&d->sample, payload);
}

/* ---- a new one */

bool dictionaries_are_ripe(struct dictionaries *d)
{
    const struct dictionary_sample *s = &d->sample;
    const struct dictionary_ready *used = find_ready(d, s->project_id);
    return is_full(s) && (s->checksum <= NONE_HELPS || (used && used->checksum == s->checksum)); /* what it is compared with must be here */
}

/* Bytes that the payloads become which are tried. */
static size_t packed_bytes(struct dictionaries *d, const struct payload_dictionary *own)
{
    const struct dictionary_sample *s = &d->sample;
    AUTO_BUF struct buf out = {0};
    struct str rest = buf_str(&s->tried);
    for (unsigned i = 0; i < s->n_tried; i++) {
        payload_pack(d->packer, own, str_take(rest, s->tried_bytes[i]), &out);
        rest = str_drop(rest, s->tried_bytes[i]);
    }
    return out.n;
}

/* Appends one to d->made if it makes payloads a tenth smaller. False, without that: it does not, or none can be made. */
static bool make_better(struct dictionaries *d, unsigned number)
{
    const struct dictionary_sample *s = &d->sample;
    const unsigned n = s->n - s->n_tried;
    const struct payload_samples outlines = {buf_str(&s->outlines), s->outline_bytes, n},
                                 payloads = {buf_str(&s->payloads), s->payload_bytes, n};
    if (!payload_train(&outlines, &payloads, number, &d->made))
        return false;
    struct payload_dictionary *better = payload_dictionary_new(buf_str(&d->made));
    const struct dictionary_ready *used = s->checksum > NONE_HELPS ? find_ready(d, s->project_id) : NULL;
    size_t before = packed_bytes(d, used ? used->dictionary : NULL), after = better ? packed_bytes(d, better) : SIZE_MAX;
    payload_dictionary_free(better);
    bool helps = after < before - before / 10;
    if (helps)
        log_line(LOG_INFO, "payloads of a project are packed with a new dictionary",
                 "project=%" PRIu64 " number=%u tried=%u bytes_before=%zu bytes_after=%zu", s->project_id, number, s->n_tried, before,
                 after);
    else
        buf_clear(&d->made);
    return helps;
}

/* Of a content that is not empty; never what has another meaning. */
static int64_t checksum_of(struct str content)
{
    int64_t sum = (int64_t)(hash64(content.p, content.n) >> 1);
    return sum > NONE_HELPS ? sum : NONE_HELPS + 1;
}

void dictionaries_bind(struct dictionaries *d, struct db_query *q, db_done_fn *done)
{
    const struct dictionary_sample *s = &d->sample;
    unsigned number = s->number ? (unsigned)s->number + 1 : PAYLOAD_DICTIONARY_FIRST;
    buf_clear(&d->made);
    bool helps = make_better(d, number);
    if (!helps && s->number) {
        db_query_init(q, STMT_PAYLOAD_DICTIONARY_CHECKED, done);
        db_bind_i32(q, (int32_t)s->project_id);
        db_bind_i16(q, s->number);
        return;
    }
    db_query_init(q, STMT_PAYLOAD_DICTIONARY_ADD, done);
    db_bind_i32(q, (int32_t)s->project_id);
    db_bind_i16(q, (int16_t)number);
    db_bind_i64(q, helps ? checksum_of(buf_str(&d->made)) : NONE_HELPS);
    db_bind_bytes(q, helps ? buf_str(&d->made) : STR(""));
}

void dictionaries_kept(struct dictionaries *d, int r, const struct db_query *q)
{
    if (r < 0) {
        log_line(LOG_WARN, "a dictionary for payloads could not be kept and will be made again", "error=%s sqlstate=%s", err_name(r),
                 q->sqlstate[0] ? q->sqlstate : "-");
        d->no_samples_before_us = clock_mono_us() + SAMPLE_MS * INT64_C(1000);
    }
    buf_done(&d->made);
    drop_sample(d);
}
