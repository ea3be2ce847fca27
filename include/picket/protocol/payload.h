/* payload.h: the form in which payloads lie in PostgreSQL: a zstd frame (RFC 8878) that says its size. Up to 16 KiB it is made with a dictionary of ours, whose
 * number the frame names: an event of 4 KB becomes a fifth smaller by it, in no more time (src/protocol/dictionary.py). */
#pragma once

#include "picket/base/buf.h"

/* One for each thread that packs: some 100 KB. */
struct payload_packer;
struct payload_packer *payload_packer_new(void);
void payload_packer_free(struct payload_packer *p);                          /* NULL is fine */
void payload_pack(struct payload_packer *p, struct str in, struct buf *out); /* appends; cannot fail */

/* Appends what was packed, of this release or one before it. -ERR_TOO_LARGE: it is more than max_bytes. -ERR_CORRUPT_BODY: damaged, or packed with a dictionary that this release
 * does not have; nothing is appended then. Any thread. */
MUST_CHECK int payload_unpack(struct str stored, size_t max_bytes, struct buf *out);

/* How many bytes a stored payload says that it unpacks to; 0 when it does not say or is none. A word of whoever wrote it: ours. */
uint64_t payload_size(struct str stored);
