/* format.c: see the header. The format is described in spool.c. */
#include "format.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "disk.h"
#include "picket/base/clock.h"
#include "picket/base/hash.h"

#define SEGMENT_MAGIC UINT64_C(0x4c4f4f5054454b50) /* "PKETPOOL" */
enum { SEGMENT_VERSION = 2, RECORD_MAGIC = 0x43455250 /* "PREC" */, FIND_WINDOW = 64 * 1024 };

static const char SEGMENT_SUFFIX[] = ".seg";

/* ---- names */

void segment_name(uint64_t number, char dst[SEGMENT_NAME_MAX])
{
    (void)snprintf(dst, SEGMENT_NAME_MAX, "%016" PRIx64 "%s", number, SEGMENT_SUFFIX); /* always fits */
}

bool segment_name_parse(const char *name, uint64_t *ret_number)
{
    struct str s = str_from(name);
    uint8_t raw[8];
    uint64_t number = 0;
    if (s.n != 16 + sizeof SEGMENT_SUFFIX - 1 || !str_ends(s, str_from(SEGMENT_SUFFIX)) ||
        !str_hex_decode(str_take(s, 16), raw, sizeof raw))
        return false;
    for (size_t i = 0; i < sizeof raw; i++)
        number = number << 8 | raw[i];
    if (number == 0 || number == UINT64_MAX)
        return false;
    *ret_number = number;
    return true;
}

/* ---- records */

uint64_t record_bytes_padded(uint32_t bytes)
{
    return ((uint64_t)bytes + 7) & ~UINT64_C(7);
}

uint64_t segment_seed(const struct id128 *node, uint64_t number)
{
    return hash64_seeded(node, sizeof *node, number);
}

size_t records_encoded_bytes(const struct spool_record *records, unsigned n)
{
    size_t total = 0;
    for (unsigned i = 0; i < n; i++) {
        size_t meta = records[i].meta.n, payload = records[i].payload.n;
        if (meta > SPOOL_MAX_RECORD || payload > SPOOL_MAX_RECORD || RECORD_HEAD_BYTES + meta + payload > SPOOL_MAX_RECORD)
            return 0;
        total += record_bytes_padded((uint32_t)(RECORD_HEAD_BYTES + meta + payload));
    }
    return total;
}

static size_t record_encode(const struct spool_record *r, char *dst)
{
    struct record_head *h = (struct record_head *)dst;
    char *body = dst + RECORD_HEAD_BYTES;
    size_t body_bytes = r->meta.n + r->payload.n;
    *h = (struct record_head){
        .magic = RECORD_MAGIC,
        .bytes = (uint32_t)(RECORD_HEAD_BYTES + body_bytes),
        .id = r->id,
        .event_id = r->event_id,
        .project_id = r->project_id,
        .key_id = r->key_id,
        .received_us = r->received_us,
        .sent_at_us = r->sent_at_us,
        .kind = (uint32_t)r->kind,
        .meta_bytes = (uint32_t)r->meta.n,
    };
    memcpy(h->addr, r->addr, sizeof h->addr);
    if (r->meta.n > 0)
        memcpy(body, r->meta.p, r->meta.n);
    if (r->payload.n > 0)
        memcpy(body + r->meta.n, r->payload.p, r->payload.n);
    h->body_sum = hash64(body, body_bytes);
    size_t padded = record_bytes_padded(h->bytes);
    memset(dst + h->bytes, 0, padded - h->bytes);
    return padded;
}

void records_encode(const struct spool_record *records, unsigned n, char *dst)
{
    for (unsigned i = 0; i < n; i++)
        dst += record_encode(&records[i], dst);
}

static uint64_t head_sum(const struct record_head *h, uint64_t seed)
{
    return hash64_seeded((const char *)h + sizeof h->head_sum, sizeof *h - sizeof h->head_sum, seed);
}

void records_bind(char *data, size_t bytes, uint64_t seed, uint64_t offset)
{
    for (size_t at = 0; at < bytes;) {
        struct record_head *h = (struct record_head *)(data + at);
        h->offset = offset + at;
        h->head_sum = head_sum(h, seed);
        at += record_bytes_padded(h->bytes);
    }
}

/* S4, first half: length and place make sense and the header is what was written there. */
bool record_head_valid(const struct record_head *h, uint64_t seed, uint64_t at, uint64_t limit)
{
    return h->magic == RECORD_MAGIC && h->offset == at && h->bytes >= RECORD_HEAD_BYTES && h->bytes <= SPOOL_MAX_RECORD &&
           h->meta_bytes <= h->bytes - RECORD_HEAD_BYTES && at + record_bytes_padded(h->bytes) <= limit && h->head_sum == head_sum(h, seed);
}

/* S4, second half. */
bool record_body_valid(const struct record_head *h)
{
    return hash64((const char *)h + RECORD_HEAD_BYTES, h->bytes - RECORD_HEAD_BYTES) == h->body_sum;
}

void record_decode(const struct record_head *h, struct spool_record *ret)
{
    const char *body = (const char *)h + RECORD_HEAD_BYTES;
    *ret = (struct spool_record){
        .id = h->id,
        .event_id = h->event_id,
        .project_id = h->project_id,
        .key_id = h->key_id,
        .received_us = h->received_us,
        .sent_at_us = h->sent_at_us,
        .kind = (enum spool_kind)h->kind,
        .meta = str_of(body, h->meta_bytes),
        .payload = str_of(body + h->meta_bytes, h->bytes - RECORD_HEAD_BYTES - h->meta_bytes),
    };
    memcpy(ret->addr, h->addr, sizeof ret->addr);
}

/* The place of the first valid header within window[0..n), which starts at `at`; n when there is none. */
static size_t window_find(const char *window, size_t n, uint64_t at, uint64_t seed, uint64_t limit)
{
    for (size_t i = 0; i + RECORD_HEAD_BYTES <= n; i += 8)
        if (record_head_valid((const struct record_head *)(window + i), seed, at + i, limit))
            return i;
    return n;
}

int record_find(int fd, uint64_t seed, uint64_t from, uint64_t limit, uint64_t *ret, uint64_t *lost_to)
{
    AUTO_FREE char *window = malloc(FIND_WINDOW);
    if (!window)
        return -ENOMEM;
    uint64_t at = (from + 7) & ~UINT64_C(7);
    while (at + RECORD_HEAD_BYTES <= limit) {
        size_t want = limit - at < FIND_WINDOW ? (size_t)(limit - at) : FIND_WINDOW;
        int n = disk_salvage(fd, window, want, at, "spool.segment.read", lost_to);
        if (n < 0)
            return n;
        size_t i = window_find(window, (size_t)n, at, seed, limit);
        if (i < (size_t)n) {
            *ret = at + i;
            return 1;
        }
        if ((size_t)n < want || (size_t)n < RECORD_HEAD_BYTES)
            return 0;
        at += ((size_t)n - RECORD_HEAD_BYTES + 8) & ~(size_t)7; /* the last places had no whole header in this window */
    }
    return 0;
}

/* ---- segments */

static uint64_t segment_head_sum(const struct segment_head *h)
{
    return hash64(h, offsetof(struct segment_head, sum));
}

void segment_head_init(struct segment_head *h, const struct id128 *node, uint64_t number)
{
    *h = (struct segment_head){
        .magic = SEGMENT_MAGIC,
        .version = SEGMENT_VERSION,
        .head_bytes = SEGMENT_HEAD_BYTES,
        .number = number,
        .created_us = clock_wall_us(),
        .node = *node,
    };
    h->sum = segment_head_sum(h);
}

bool segment_head_valid(const struct segment_head *h)
{
    return h->magic == SEGMENT_MAGIC && h->version == SEGMENT_VERSION && h->head_bytes == SEGMENT_HEAD_BYTES &&
           h->sum == segment_head_sum(h);
}

bool segment_head_foreign(const struct segment_head *h, size_t n)
{
    uint64_t sum;
    if (n < sizeof *h || h->magic != SEGMENT_MAGIC || h->head_bytes < sizeof *h || h->head_bytes > n || h->head_bytes % 8 != 0)
        return false;
    memcpy(&sum, (const char *)h + h->head_bytes - sizeof sum, sizeof sum);
    return sum == hash64(h, h->head_bytes - sizeof sum) && !segment_head_valid(h);
}

void segment_trailer_init(struct record_head *h, const struct id128 *node, uint64_t n_records, uint64_t seed, uint64_t at)
{
    *h = (struct record_head){.magic = RECORD_MAGIC,
                              .bytes = sizeof *h,
                              .body_sum = hash64(NULL, 0),
                              .id = *node,
                              .project_id = n_records,
                              .kind = RECORD_KIND_TRAILER};
    records_bind((char *)h, sizeof *h, seed, at);
}

bool segment_trailer_any(const struct record_head *h, size_t n, uint64_t seed, uint64_t at)
{
    return n >= offsetof(struct record_head, id) && h->magic == RECORD_MAGIC && h->bytes == n && h->offset == at &&
           h->body_sum == hash64(NULL, 0) &&
           h->head_sum == hash64_seeded((const char *)h + sizeof h->head_sum, n - sizeof h->head_sum, seed);
}
