/* nth.c: a library for LD_PRELOAD that makes the n-th call of a kind fail, be cut short, or be the last thing that its process does. It stands
 * between the program and libc or libpq, so it meets every call of Picket, libh2o, libuv, OpenSSL and libpq alike, in the very binary that is
 * shipped.
 *
 *   NTH_KIND    open | write | sync | rename | mmap | alloc | pq
 *   NTH         which call, from 1; 0: only count
 *   NTH_ACTION  fail | short (write) | kill | hold: every call waits for as long as there is a file NTH_HOLD
 *   NTH_FILE    8 bytes that exist: the count of calls so far, for the test that must know when no call is left to fail
 *   NTH_SITES   with NTH 0: a file that exists, filled with the places that memory was asked for from, 8 bytes for each call
 *   NTH_SITE    one of these, in hex: only calls from there are met and counted. A place is the same in every life of a binary
 *
 * Without NTH_FILE it does nothing. libc's calls to itself are not met, so the functions of libc that open a file for their caller (fopen,
 * opendir ...) stand here by name. A write is one to a regular file: sockets and pipes are another subject
 * (test_wire.py). What a failing libpq call returns is what its manual says. */
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <libpq-fe.h>
#include <link.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>
#include <unwind.h>

extern void *__libc_malloc(size_t n);
extern void *__libc_calloc(size_t n, size_t size);
extern void *__libc_realloc(void *p, size_t n);

static _Atomic uint64_t *counter; /* in NTH_FILE; NULL: not armed */
static uint64_t nth;
static enum action { FAIL, SHORT, KILL, HOLD } action;
static const char *hold; /* of HOLD */
static enum kind { OPEN, WRITE, SYNC, RENAME, MAP, ALLOC, PQ, KINDS } kind = KINDS;
static uint64_t *sites;               /* in NTH_SITES; NULL: not asked for */
static uint64_t n_sites, wanted_site; /* 0: any */
static const char *const kinds[KINDS] = {"open", "write", "sync", "rename", "mmap", "alloc", "pq"};

/* libh2o's tables do not look at what they got, nor does libcrypto when it is used first, libzstd when it makes a dictionary, libc when it looks for a
 * user: there, want of memory ends the process by SIGSEGV instead of SIGABRT, and nobody can help it. Whoever else follows a pointer that is none ends as
 * such. */
static _Unwind_Reason_Code judge_frame(struct _Unwind_Context *context, void *arg)
{
    struct dl_find_object object;
    bool *is_theirs = arg;
    void *pc = (void *)_Unwind_GetIP(context);
    if (_dl_find_object(pc, &object) != 0)
        return _URC_END_OF_STACK;
    const char *name = object.dlfo_link_map->l_name;
    Dl_info function;
    bool is_user_lookup = dladdr(pc, &function) != 0 && function.dli_sname && strcmp(function.dli_sname, "getpwnam") == 0;
    *is_theirs = strstr(name, "libh2o") || strstr(name, "libcrypto") || strstr(name, "libzstd") || is_user_lookup;
    if (is_user_lookup)
        return _URC_END_OF_STACK;
    bool goes_on =
        strstr(name, "libc.so") || strstr(name, "nth.so"); /* who called libc is to be asked, and this handler is on the stack, too */
    return goes_on ? _URC_NO_REASON : _URC_END_OF_STACK;
}

static void tell_libraries_fault(int signal_number)
{
    bool is_theirs = false;
    (void)_Unwind_Backtrace(judge_frame, &is_theirs);
    if (is_theirs)
        abort();
    (void)signal(signal_number, SIG_DFL); /* it comes again */
}

static void watch_libraries(void)
{
    struct sigaction watch = {.sa_handler = tell_libraries_fault};
    (void)sigaction(SIGSEGV, &watch, NULL);
}

__attribute__((constructor)) static void arm(void)
{
    const char *file = getenv("NTH_FILE"), *name = getenv("NTH_KIND"), *number = getenv("NTH"), *what = getenv("NTH_ACTION");
    if (!file || !name || !number || !what)
        return;
    void *(*map)(void *, size_t, int, int, int, off_t) = (void *(*)(void *, size_t, int, int, int, off_t))dlsym(RTLD_NEXT, "mmap");
    int (*real)(const char *, int, ...) = (int (*)(const char *, int, ...))dlsym(RTLD_NEXT, "open");
    int fd = real(file, O_RDWR | O_CLOEXEC);
    void *p = fd < 0 ? MAP_FAILED : map(NULL, sizeof *counter, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (p == MAP_FAILED)
        abort();
    (void)close(fd);
    const char *record = getenv("NTH_SITES"), *site = getenv("NTH_SITE");
    struct stat st;
    fd = record ? real(record, O_RDWR | O_CLOEXEC) : -1;
    if (fd >= 0 && fstat(fd, &st) == 0) {
        void *places = map(NULL, (size_t)st.st_size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        n_sites = (uint64_t)st.st_size / sizeof *sites;
        sites = places == MAP_FAILED ? NULL : places;
        (void)close(fd);
    }
    wanted_site = site ? strtoull(site, NULL, 16) : 0;
    nth = strtoull(number, NULL, 10);
    hold = getenv("NTH_HOLD");
    action = strcmp(what, "kill") == 0 ? KILL : strcmp(what, "short") == 0 ? SHORT : strcmp(what, "hold") == 0 && hold ? HOLD : FAIL;
    while (kind > 0 && strcmp(kinds[kind - 1], name) != 0)
        kind--;
    kind = kind ? kind - 1 : KINDS;
    if (kind == ALLOC && action == FAIL)
        watch_libraries();
    counter = p;
}

/* Threads leave signals to the main thread; that of their own fault must come through, or nobody can say whose it was. */
int pthread_sigmask(int how, const sigset_t *set, sigset_t *before)
{
    static int (*real)(int, const sigset_t *, sigset_t *);
    sigset_t others;
    if (!real)
        real = (int (*)(int, const sigset_t *, sigset_t *))dlsym(RTLD_NEXT, "pthread_sigmask");
    if (!counter || kind != ALLOC || !set || how == SIG_UNBLOCK)
        return real(how, set, before);
    others = *set;
    (void)sigdelset(&others, SIGSEGV);
    return real(how, &others, before);
}

/* ---- places: who asked, and for whom: the function that allocates is often only a helper */

enum { SITE_SKIPPED = 2, SITE_DEPTH = 4 }; /* frames of this file; callers that make a place */
struct site {
    unsigned frame;
    uint64_t hash;
};

static _Unwind_Reason_Code add_frame(struct _Unwind_Context *context, void *arg)
{
    struct site *site = arg;
    struct dl_find_object object;
    uintptr_t pc = _Unwind_GetIP(context);
    if (site->frame++ < SITE_SKIPPED)
        return _URC_NO_REASON;
    if (pc == 0 || _dl_find_object((void *)(pc - 1), &object) != 0)
        return _URC_END_OF_STACK;
    site->hash = (site->hash ^ (pc - (uintptr_t)object.dlfo_map_start)) * UINT64_C(0x9e3779b97f4a7c15);
    return site->frame < SITE_SKIPPED + SITE_DEPTH ? _URC_NO_REASON : _URC_END_OF_STACK;
}

__attribute__((noinline)) static uint64_t site_of_caller(void)
{
    struct site site = {.hash = 1};
    (void)_Unwind_Backtrace(add_frame, &site);
    return site.hash;
}

/* Is this the call that fails? Of several threads one meets it. */
__attribute__((noinline)) static int struck(enum kind k)
{
    if (!counter || kind != k)
        return 0;
    if (wanted_site && site_of_caller() != wanted_site)
        return 0;
    while (action == HOLD && access(hold, F_OK) == 0)
        (void)nanosleep(&(struct timespec){.tv_nsec = 5000000}, NULL);
    uint64_t n = atomic_fetch_add(counter, 1) + 1;
    if (sites && n <= n_sites)
        sites[n - 1] = site_of_caller();
    if (action == HOLD || n != nth)
        return 0;
    if (action == KILL)
        (void)raise(SIGKILL);
    return 1;
}

#define REAL(result, name, ...) \
    static result (*real)(__VA_ARGS__); \
    if (!real) \
    real = (result(*)(__VA_ARGS__))dlsym(RTLD_NEXT, name)

/* ---- memory */

void *malloc(size_t n)
{
    if (!struck(ALLOC))
        return __libc_malloc(n);
    errno = ENOMEM;
    return NULL;
}

void *calloc(size_t n, size_t size)
{
    if (!struck(ALLOC))
        return __libc_calloc(n, size);
    errno = ENOMEM;
    return NULL;
}

void *realloc(void *p, size_t n)
{
    if (!struck(ALLOC))
        return __libc_realloc(p, n);
    errno = ENOMEM;
    return NULL;
}

void *mmap(void *at, size_t n, int protection, int flags, int fd, off_t offset)
{
    REAL(void *, "mmap", void *, size_t, int, int, int, off_t);
    if (!struck(MAP))
        return real(at, n, protection, flags, fd, offset);
    errno = ENOMEM;
    return MAP_FAILED;
}

/* ---- files */

static int open_fails(void)
{
    if (!struck(OPEN))
        return 0;
    errno = EMFILE;
    return 1;
}

/* The mode is there when O_CREAT (or O_TMPFILE) is; else nobody looks at what is read in its place. */
#define MODE(flags, mode) \
    mode_t mode = 0; \
    if ((flags) & (O_CREAT | O_TMPFILE)) { \
        va_list more; \
        va_start(more, flags); \
        mode = va_arg(more, mode_t); \
        va_end(more); \
    }

int open(const char *path, int flags, ...)
{
    REAL(int, "open", const char *, int, ...);
    MODE(flags, mode);
    return open_fails() ? -1 : real(path, flags, mode);
}

int openat(int dir, const char *path, int flags, ...)
{
    REAL(int, "openat", int, const char *, int, ...);
    MODE(flags, mode);
    return open_fails() ? -1 : real(dir, path, flags, mode);
}

int __open_2(const char *path, int flags)
{
    REAL(int, "open", const char *, int, ...);
    return open_fails() ? -1 : real(path, flags);
}

int __openat_2(int dir, const char *path, int flags)
{
    REAL(int, "openat", int, const char *, int, ...);
    return open_fails() ? -1 : real(dir, path, flags);
}

int creat(const char *path, mode_t mode)
{
    REAL(int, "creat", const char *, mode_t);
    return open_fails() ? -1 : real(path, mode);
}

FILE *fopen(const char *path, const char *how)
{
    REAL(FILE *, "fopen", const char *, const char *);
    return open_fails() ? NULL : real(path, how);
}

FILE *freopen(const char *path, const char *how, FILE *f)
{
    REAL(FILE *, "freopen", const char *, const char *, FILE *);
    if (!open_fails())
        return real(path, how, f);
    int why = errno;
    (void)fclose(f); /* as it does when it cannot open */
    errno = why;
    return NULL;
}

DIR *opendir(const char *path)
{
    REAL(DIR *, "opendir", const char *);
    return open_fails() ? NULL : real(path);
}

/* Opens nothing, but asks for memory and looks at its descriptor. */
DIR *fdopendir(int fd)
{
    REAL(DIR *, "fdopendir", int);
    return open_fails() ? NULL : real(fd);
}

/* 0: go on; 1: fail, errno is set; 2: write half. */
static int write_struck(int fd)
{
    struct stat st;
    if (!counter || kind != WRITE || fstat(fd, &st) < 0 || !S_ISREG(st.st_mode) || !struck(WRITE))
        return 0;
    errno = ENOSPC;
    return action == SHORT ? 2 : 1;
}

ssize_t write(int fd, const void *p, size_t n)
{
    REAL(ssize_t, "write", int, const void *, size_t);
    int how = write_struck(fd);
    return how == 1 ? -1 : real(fd, p, how == 2 ? (n + 1) / 2 : n);
}

ssize_t pwrite(int fd, const void *p, size_t n, off_t at)
{
    REAL(ssize_t, "pwrite", int, const void *, size_t, off_t);
    int how = write_struck(fd);
    return how == 1 ? -1 : real(fd, p, how == 2 ? (n + 1) / 2 : n, at);
}

ssize_t pwritev(int fd, const struct iovec *iov, int n, off_t at)
{
    REAL(ssize_t, "pwritev", int, const struct iovec *, int, off_t);
    int how = write_struck(fd);
    if (how == 2) {
        struct iovec half = {iov->iov_base, (iov->iov_len + 1) / 2};
        return real(fd, &half, 1, at);
    }
    return how == 1 ? -1 : real(fd, iov, n, at);
}

static int sync_fails(void)
{
    if (!struck(SYNC))
        return 0;
    errno = EIO;
    return 1;
}

int fdatasync(int fd)
{
    REAL(int, "fdatasync", int);
    return sync_fails() ? -1 : real(fd);
}

int fsync(int fd)
{
    REAL(int, "fsync", int);
    return sync_fails() ? -1 : real(fd);
}

static int rename_fails(void)
{
    if (!struck(RENAME))
        return 0;
    errno = EIO;
    return 1;
}

int rename(const char *from, const char *to)
{
    REAL(int, "rename", const char *, const char *);
    return rename_fails() ? -1 : real(from, to);
}

int renameat(int from_dir, const char *from, int to_dir, const char *to)
{
    REAL(int, "renameat", int, const char *, int, const char *);
    return rename_fails() ? -1 : real(from_dir, from, to_dir, to);
}

/* The names that programs with large files use. */
#define SAME(result, name, of, ...) result name(__VA_ARGS__) __attribute__((alias(of)))
SAME(FILE *, fopen64, "fopen", const char *, const char *);
SAME(FILE *, freopen64, "freopen", const char *, const char *, FILE *);
SAME(int, creat64, "creat", const char *, mode_t);
SAME(int, open64, "open", const char *, int, ...);
SAME(int, openat64, "openat", int, const char *, int, ...);
SAME(int, __open64_2, "__open_2", const char *, int);
SAME(int, __openat64_2, "__openat_2", int, const char *, int);
SAME(ssize_t, pwrite64, "pwrite", int, const void *, size_t, off_t);
SAME(ssize_t, pwritev64, "pwritev", int, const struct iovec *, int, off_t);
SAME(void *, mmap64, "mmap", void *, size_t, int, int, int, off_t);

/* ---- libpq: the calls of src/db that can fail (src/db/io.c, pool.c, listen.c, cluster.c) */

PGconn *PQconnectStart(const char *conninfo)
{
    REAL(PGconn *, "PQconnectStart", const char *);
    return real(struck(PQ) ? "port=0" : conninfo); /* a bad connection; NULL would be the want of memory, which is ALLOC's */
}

PostgresPollingStatusType PQconnectPoll(PGconn *c)
{
    REAL(PostgresPollingStatusType, "PQconnectPoll", PGconn *);
    return struck(PQ) ? PGRES_POLLING_FAILED : real(c);
}

int PQsetnonblocking(PGconn *c, int on)
{
    REAL(int, "PQsetnonblocking", PGconn *, int);
    return struck(PQ) ? -1 : real(c, on);
}

int PQenterPipelineMode(PGconn *c)
{
    REAL(int, "PQenterPipelineMode", PGconn *);
    return struck(PQ) ? 0 : real(c);
}

int PQpipelineSync(PGconn *c)
{
    REAL(int, "PQpipelineSync", PGconn *);
    return struck(PQ) ? 0 : real(c);
}

int PQsendPrepare(PGconn *c, const char *name, const char *text, int n, const Oid *types)
{
    REAL(int, "PQsendPrepare", PGconn *, const char *, const char *, int, const Oid *);
    return struck(PQ) ? 0 : real(c, name, text, n, types);
}

int PQsendQuery(PGconn *c, const char *text)
{
    REAL(int, "PQsendQuery", PGconn *, const char *);
    return struck(PQ) ? 0 : real(c, text);
}

int PQsendQueryParams(PGconn *c, const char *text, int n, const Oid *types, const char *const *values, const int *lengths,
                      const int *formats, int format)
{
    REAL(int, "PQsendQueryParams", PGconn *, const char *, int, const Oid *, const char *const *, const int *, const int *, int);
    return struck(PQ) ? 0 : real(c, text, n, types, values, lengths, formats, format);
}

int PQsendQueryPrepared(PGconn *c, const char *name, int n, const char *const *values, const int *lengths, const int *formats, int format)
{
    REAL(int, "PQsendQueryPrepared", PGconn *, const char *, int, const char *const *, const int *, const int *, int);
    return struck(PQ) ? 0 : real(c, name, n, values, lengths, formats, format);
}

int PQconsumeInput(PGconn *c)
{
    REAL(int, "PQconsumeInput", PGconn *);
    return struck(PQ) ? 0 : real(c);
}

int PQflush(PGconn *c)
{
    REAL(int, "PQflush", PGconn *);
    return struck(PQ) ? -1 : real(c);
}
