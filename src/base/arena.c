/* arena.c: chunks of at least 4 KiB that double up to 1 MiB; a larger request gets a chunk of its own. Under AddressSanitizer each
 * allocation is a chunk of its own, so that an overrun meets a red zone instead of a neighbour. */
#include "picket/base/arena.h"

#include <stdarg.h>
#include <stdio.h>

enum { CHUNK_MIN = 512, CHUNK_MAX = 1 << 20, ALIGN = 16 };

struct arena_chunk {
    struct arena_chunk *next;
    size_t size; /* of data */
    char data[] __attribute__((aligned(ALIGN)));
};

#if defined(__SANITIZE_ADDRESS__)
#define ARENA_CHUNK_EACH 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define ARENA_CHUNK_EACH 1
#endif
#endif
#ifndef ARENA_CHUNK_EACH
#define ARENA_CHUNK_EACH 0
#endif

void arena_init(struct arena *a)
{
    *a = (struct arena){0};
}

static void free_chunks(struct arena_chunk *c)
{
    while (c) {
        struct arena_chunk *next = c->next;
        free(c);
        c = next;
    }
}

void arena_done(struct arena *a)
{
    free_chunks(a->head);
    arena_init(a);
}

void arena_reset(struct arena *a)
{
    struct arena_chunk *keep = a->head;
    if (!keep || ARENA_CHUNK_EACH || keep->size > CHUNK_MAX) {
        arena_done(a);
        return;
    }
    free_chunks(keep->next);
    keep->next = NULL;
    a->at = keep->data;
    a->end = keep->data + keep->size;
    a->bytes = 0;
}

static void add_chunk(struct arena *a, size_t need)
{
    size_t size = a->head ? a->head->size * 2 : CHUNK_MIN;
    if (size > CHUNK_MAX)
        size = CHUNK_MAX;
    if (size < need || ARENA_CHUNK_EACH)
        size = need;
    struct arena_chunk *c = malloc(sizeof *c + size);
    if (!c)
        abort();
    c->size = size;
    c->next = a->head;
    a->head = c;
    a->at = c->data;
    a->end = c->data + size;
}

void *arena_alloc(struct arena *a, size_t n)
{
    if (n > SIZE_MAX / 2)
        abort();
    size_t need = ARENA_CHUNK_EACH ? n : (n + ALIGN - 1) & ~(size_t)(ALIGN - 1);
    if (ARENA_CHUNK_EACH || need > (size_t)(a->end - a->at))
        add_chunk(a, need);
    void *p = a->at;
    a->at += need;
    a->bytes += n;
    return p;
}

void *arena_zalloc(struct arena *a, size_t n)
{
    void *p = arena_alloc(a, n);
    return n ? memset(p, 0, n) : p;
}

char *arena_cstr(struct arena *a, struct str s)
{
    char *p = arena_alloc(a, s.n + 1);
    if (s.n)
        memcpy(p, s.p, s.n);
    p[s.n] = '\0';
    return p;
}

struct str arena_str(struct arena *a, struct str s)
{
    return (struct str){arena_cstr(a, s), s.n};
}

struct str arena_printf(struct arena *a, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    int n = vsnprintf(NULL, 0, fmt, args);
    va_end(args);
    assert(n >= 0);
    char *p = arena_alloc(a, (size_t)n + 1);
    va_start(args, fmt);
    (void)vsnprintf(p, (size_t)n + 1, fmt, args); /* measured above */
    va_end(args);
    return (struct str){p, (size_t)n};
}
