/* minidump.h: what a minidump says of a crash: system, reason, threads, modules, annotations (Microsoft's minidumpapiset.h with Breakpad's and
 * Crashpad's extensions). Pure; any thread; nothing recurses. Every offset of the dump is checked where it is used: what lies outside of the
 * file is absent, and numbers that are absent are 0. Design: src/event/minidump.c. */
#pragma once

#include "picket/base/arena.h"

enum {
    MINIDUMP_MAX_MODULES = 1000, /* further ones are left out; likewise below */
    MINIDUMP_MAX_THREADS = 500,
    MINIDUMP_MAX_ANNOTATIONS = 500,
    MINIDUMP_MAX_TEXT = 512,   /* UTF-16 units of a name; bytes of an annotation's */
    MINIDUMP_MAX_FRAMES = 100, /* of one stack */
    MINIDUMP_MAX_PARAMETERS = 15,
};

enum minidump_cpu { MINIDUMP_CPU_OTHER, MINIDUMP_CPU_X86, MINIDUMP_CPU_AMD64, MINIDUMP_CPU_ARM, MINIDUMP_CPU_ARM64 };
enum minidump_os { MINIDUMP_OS_OTHER, MINIDUMP_OS_WINDOWS, MINIDUMP_OS_MACOS, MINIDUMP_OS_IOS, MINIDUMP_OS_LINUX, MINIDUMP_OS_ANDROID };

/* Texts are UTF-8 in the arena or, of annotations and files, bytes of the dump. "" when absent. */
struct minidump_module {
    uint64_t address;
    uint32_t size, checksum, time_s;
    struct str file;       /* as the process knew it */
    struct str debug_file; /* CodeView's, "" when it names none */
    struct str debug_id;   /* as Sentry writes it: a UUID, and "-" age in hex where there is an age */
    struct str code_id;    /* build id, or time and size of a PE */
};

struct minidump_thread {
    uint32_t id;
    struct str name;
    uint64_t stack_address;
    struct str stack;   /* memory from stack_address on */
    struct str context; /* registers, as the CPU's layout has them */
};

struct minidump_exception {
    bool is_there;
    uint32_t thread_id, code, flags;
    uint64_t address;
    uint32_t n_parameters;
    uint64_t parameters[MINIDUMP_MAX_PARAMETERS];
    struct str context;
};

struct minidump_annotation {
    struct str key, value;
};

struct minidump {
    struct str bytes;
    bool is_swapped; /* written by a big-endian machine */
    uint32_t time_s; /* of the crash */
    enum minidump_cpu cpu;
    enum minidump_os os;
    uint32_t os_major, os_minor, os_build, n_processors;
    struct str os_detail; /* Windows: service pack; Linux: uname; macOS: build */
    struct str distribution, distribution_version;
    uint32_t process_id;
    struct minidump_exception exception;
    uint32_t requesting_thread; /* Breakpad: who asked for the dump; 0 when not said */
    struct str assertion;       /* Breakpad: expression, function and place */
    struct minidump_module *modules;
    size_t n_modules;
    struct minidump_thread *threads;
    size_t n_threads;
    struct minidump_annotation *annotations; /* Crashpad's, the process's and the modules' */
    size_t n_annotations;
};

/* By the first four bytes. */
bool minidump_is(struct str bytes);
/* False: it is none, or it has no directory of streams that could be read; *ret then only has `bytes`. All is in `a`, or borrows. */
bool minidump_read(struct str bytes, struct arena *a, struct minidump *ret);

/* The module that holds an address; NULL: none. */
const struct minidump_module *minidump_module_at(const struct minidump *m, uint64_t address);

/* The one that the exception is of, or that asked for the dump; NULL: not said, or not in the list. */
const struct minidump_thread *minidump_crashed_thread(const struct minidump *m);

/* What happened, as debuggers name it: "SIGSEGV / SEGV_MAPERR", "EXCEPTION_ACCESS_VIOLATION_READ", "EXC_BAD_ACCESS / KERN_INVALID_ADDRESS"; of unknown
 * codes their number. In the arena or static. */
struct str minidump_reason(const struct minidump *m, struct arena *a);
/* The address that could not be accessed or executed; false: the reason has none. */
bool minidump_crash_address(const struct minidump *m, uint64_t *ret);

enum minidump_trust {
    MINIDUMP_TRUST_CONTEXT, /* the thread's registers */
    MINIDUMP_TRUST_FRAME,   /* found by the chain of frame pointers */
    MINIDUMP_TRUST_SCAN,    /* a value on the stack that points into a module: perhaps a return address */
};
struct minidump_frame {
    uint64_t address;
    const struct minidump_module *module; /* NULL: in none */
    enum minidump_trust trust;
};
struct minidump_register {
    const char *name;
    uint64_t value;
};
enum { MINIDUMP_MAX_REGISTERS = 33 };

/* Newest first. `context` is the thread's or the exception's. Only the first one without `walk`. */
enum minidump_walk { MINIDUMP_TOP, MINIDUMP_WALK };
size_t minidump_stack(const struct minidump *m, const struct minidump_thread *t, struct str context, enum minidump_walk walk,
                      struct minidump_frame ret[MINIDUMP_MAX_FRAMES]);
size_t minidump_registers(const struct minidump *m, struct str context, struct minidump_register ret[MINIDUMP_MAX_REGISTERS]);

/* A number in the dump's byte order; 0 when [at, at + size) is not all in `part`. */
uint32_t minidump_u32(const struct minidump *m, struct str part, uint64_t at);
uint64_t minidump_u64(const struct minidump *m, struct str part, uint64_t at);
