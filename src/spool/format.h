/* format.h: segments and records as bytes (spool.c, "Format"): making and judging them. Private to spool. Pure, but for
 * record_find(), which reads a file, and the time in a new segment's header. */
#pragma once

#include "picket/spool/spool.h"

enum {
    SEGMENT_HEAD_BYTES = 64,
    RECORD_HEAD_BYTES = 120,
    RECORD_KIND_TRAILER = 0xffff, /* closes a segment that was finished in good order; never handed out */
    SEGMENT_NAME_MAX = 32,
    HEAD_MAX_BYTES = 4096, /* of a segment's or record's header in any version */
};

/* ---- as it lies on disk: little-endian, 8-byte aligned */
struct segment_head {
    uint64_t magic;
    uint32_t version, head_bytes;
    uint64_t number;
    int64_t created_us;
    struct id128 node;
    uint64_t reserved;
    uint64_t sum; /* of everything before it */
};
_Static_assert(sizeof(struct segment_head) == SEGMENT_HEAD_BYTES, "the format has no holes");

struct record_head {
    uint64_t head_sum; /* of the rest of this header, seeded with the segment's seed */
    uint32_t magic;
    uint32_t bytes;  /* header, meta and payload, without padding */
    uint64_t offset; /* of this header in its segment */
    uint64_t body_sum;
    struct id128 id, event_id;
    uint64_t project_id, key_id;
    int64_t received_us, sent_at_us;
    uint8_t addr[16];
    uint32_t kind, meta_bytes;
};
_Static_assert(sizeof(struct record_head) == RECORD_HEAD_BYTES, "the format has no holes");
_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "records are written as they lie in memory");

/* ---- segments */
uint64_t segment_seed(const struct id128 *node, uint64_t number); /* of the checksums in it */
void segment_name(uint64_t number, char dst[SEGMENT_NAME_MAX]);
MUST_CHECK bool segment_name_parse(const char *name, uint64_t *ret_number);
void segment_head_init(struct segment_head *h, const struct id128 *node, uint64_t number);
bool segment_head_valid(const struct segment_head *h);
/* The first n bytes of a segment: true when its header is sound and of another version of the format. */
bool segment_head_foreign(const struct segment_head *h, size_t n);
void segment_trailer_init(struct record_head *h, const struct id128 *node, uint64_t n_records, uint64_t seed, uint64_t at);
/* The last n bytes of a segment of any version, which begin at `at`: true when they are its trailer. */
bool segment_trailer_any(const struct record_head *h, size_t n, uint64_t seed, uint64_t at);

/* ---- records */
uint64_t record_bytes_padded(uint32_t bytes);
size_t records_encoded_bytes(const struct spool_record *records, unsigned n); /* 0: one is too large */
void records_encode(const struct spool_record *records, unsigned n, char *dst);
void records_bind(char *data, size_t bytes, uint64_t seed, uint64_t offset); /* gives the records their place */
bool record_head_valid(const struct record_head *h, uint64_t seed, uint64_t at, uint64_t limit);
bool record_body_valid(const struct record_head *h);                       /* h stands before its meta and payload */
void record_decode(const struct record_head *h, struct spool_record *ret); /* borrows */
/* 1: *ret is the place of the first valid header in [from, limit), 0: none, <0: unreadable. `lost_to`: as in disk_salvage. */
MUST_CHECK int record_find(int fd, uint64_t seed, uint64_t from, uint64_t limit, uint64_t *ret, uint64_t *lost_to);
