/* arena.h: memory that is freed all at once. One owner, one thread at a time. Under AddressSanitizer every allocation is a malloc
 * of its own, so that overruns are seen. Running out of memory aborts. */
#pragma once

#include "picket/base/str.h"

struct arena_chunk;
struct arena {
    struct arena_chunk *head; /* private */
    char *at, *end;           /* private */
    size_t bytes;             /* handed out since arena_init or arena_reset */
};

void arena_init(struct arena *a);
void arena_reset(struct arena *a); /* frees all but one chunk for reuse */
void arena_done(struct arena *a);

void *arena_alloc(struct arena *a, size_t n);        /* aligned to 16, uninitialised */
void *arena_zalloc(struct arena *a, size_t n);       /* zeroed */
struct str arena_str(struct arena *a, struct str s); /* a copy, NUL-terminated behind its end */
char *arena_cstr(struct arena *a, struct str s);     /* a NUL-terminated copy */
struct str arena_printf(struct arena *a, const char *fmt, ...) PRINTF_LIKE(2, 3);
#define AUTO_ARENA __attribute__((cleanup(arena_done)))
#define arena_new(a, type) ((type *)arena_zalloc((a), sizeof(type)))
#define arena_array(a, type, count) ((type *)arena_zalloc((a), sizeof(type) * (count)))
