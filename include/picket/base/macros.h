/* macros.h: the few language helpers that every layer uses. No macro here hides a return or evaluates an argument twice. */
#pragma once

#include <assert.h>
#include <stddef.h>
#include <stdlib.h>
#include <unistd.h>

#ifdef NDEBUG
#error "Picket's asserts guard its own promises and stay on in release builds: do not define NDEBUG"
#endif

#define MUST_CHECK __attribute__((warn_unused_result))
#define PRINTF_LIKE(fmt, first) __attribute__((format(printf, fmt, first)))
#define UNUSED __attribute__((unused))

#define ARRAY_LEN(a) (sizeof(a) / sizeof(*(a)))

/* From a pointer to a member back to the struct that embeds it. */
#define container_of(ptr, type, member) ((type *)((char *)(ptr)-offsetof(type, member)))

/* Cleanup by scope: AUTO_CLOSE int fd; AUTO_FREE char *p. Take the value out with TAKE_FD / TAKE_PTR to keep it. */
static inline void auto_close_(int *fd)
{
    if (*fd >= 0)
        (void)close(*fd); /* nobody waits for this descriptor any more: there is nobody to tell */
}
static inline void auto_free_(void *p)
{
    free(*(void **)p);
}
static inline int take_fd_(int *fd)
{
    int r = *fd;
    *fd = -1;
    return r;
}
static inline void *take_ptr_(void *p)
{
    void *r = *(void **)p;
    *(void **)p = NULL;
    return r;
}
#define AUTO_CLOSE __attribute__((cleanup(auto_close_)))
#define AUTO_FREE __attribute__((cleanup(auto_free_)))
#define TAKE_FD(fd) take_fd_(&(fd))
#define TAKE_PTR(p) ((__typeof__(p))take_ptr_(&(p)))
