/* payload.h: the form in which payloads lie in PostgreSQL: a zstd frame (RFC 8878) that says its size. Up to 16 KiB it is made with a dictionary, whose number
 * the frame names: one of ours, of what SDKs send (src/protocol/dictionary.py), or the project's own, of what its program looks like. An event of 4 KB
 * becomes a fifth smaller by the first and two fifths by the second, in less time than without.
 *
 * Numbers: 1 to 31 are ours, one for each that a release has ever packed with; 32 to 255 are a project's, in the order in which they were made. (Small, because a
 * frame spends one byte on them.) Whoever stores frames with a project's dictionary keeps it as long as them. */
#pragma once

#include "picket/base/buf.h"

enum {
    PAYLOAD_DICTIONARY_FIRST = 32,
    PAYLOAD_DICTIONARY_LAST = 255,
    PAYLOAD_DICTIONARY_BYTES = 4096,
    PAYLOAD_DICTIONARY_PAYLOAD_MAX = 16 << 10
};

/* A dictionary, ready for packing: some 85 KB, for any number of packers, one at a time or all at once. */
struct payload_dictionary;
/* `content`: what payload_train() made, copied. NULL: it is none, or none with a project's number. */
struct payload_dictionary *payload_dictionary_new(struct str content);
void payload_dictionary_free(struct payload_dictionary *d); /* NULL is fine */

/* One for each thread that packs: some 100 KB. */
struct payload_packer;
struct payload_packer *payload_packer_new(void);
void payload_packer_free(struct payload_packer *p); /* NULL is fine */
/* Appends the frame of `in`; cannot fail. `own`: the project's dictionary; NULL: ours. Neither is used for more than 16 KiB. */
void payload_pack(struct payload_packer *p, const struct payload_dictionary *own, struct str in, struct buf *out);

/* The dictionary's number in a frame or a project's content; 0: none. */
unsigned payload_dictionary_number(struct str stored);

/* Appends what was packed, of this release or one before it. `own`: the content of the project's dictionary with the frame's number, else "".
 * -ERR_TOO_LARGE: it is more than max_bytes. -ERR_CORRUPT_BODY: damaged, or packed with a dictionary that is not there; nothing is appended then. Any thread. */
MUST_CHECK int payload_unpack(struct str stored, struct str own, size_t max_bytes, struct buf *out);

/* How many bytes a stored payload says that it unpacks to; 0 when it does not say or is none. A word of whoever wrote it: ours. */
uint64_t payload_size(struct str stored);

struct payload_samples {
    struct str text; /* one after the other */
    const size_t *sizes;
    unsigned n;
};
/* Appends a dictionary with that number. Its text is of the outlines alone, its tables of the payloads; 100 of each are enough.
 * False: there are too few, or nothing repeats in them. Some 30 ms and 6 MB; the same samples make the same dictionary. Any thread. */
MUST_CHECK bool payload_train(const struct payload_samples *outlines, const struct payload_samples *payloads, unsigned number,
                              struct buf *out);
