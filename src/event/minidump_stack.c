/* minidump_stack.c: registers and stacks.
 *
 * Without symbols nobody can unwind a stack for certain. What can be said: where the thread stood (its registers); where the chain of frame
 * pointers leads, if the program was compiled with them (each frame begins with the address of the next one and a return address); and which
 * values on the stack point into a module, perhaps because a function will return there. Each frame says which of the three it is. The chain is
 * followed as long as it goes up and its return addresses lie in modules. Where it leads nowhere, what lies above its end is scanned, up to a bound and to the
 * number of frames that a person reads; a chain that held for some frames is worth more than what a scan would add to it. */
#include "picket/event/minidump.h"

enum {
    MAX_SCANNED = 4096,
    MAX_SCANNED_FRAMES = 40,
    LONG_CHAIN = 4
}; /* words of stack; frames that a scan adds; frames after which none is made */

struct layout {
    uint32_t flags_at, flags; /* of the context: how it says that it is this CPU's */
    uint32_t flags_or;        /* another way to say it; 0: none */
    unsigned word;            /* bytes of a register */
    unsigned n;               /* registers, from the tables below */
    const struct place {
        const char *name;
        uint32_t at;
    } * registers;
    uint32_t pc, sp, fp;
};

static const struct place x86[] = {{"eip", 184}, {"esp", 196}, {"ebp", 180}, {"eax", 176}, {"ebx", 164},
                                   {"ecx", 172}, {"edx", 168}, {"esi", 160}, {"edi", 156}, {"eflags", 192}};
static const struct place amd64[] = {{"rip", 248}, {"rsp", 152}, {"rbp", 160}, {"rax", 120}, {"rbx", 144}, {"rcx", 128},
                                     {"rdx", 136}, {"rsi", 168}, {"rdi", 176}, {"r8", 184},  {"r9", 192},  {"r10", 200},
                                     {"r11", 208}, {"r12", 216}, {"r13", 224}, {"r14", 232}, {"r15", 240}};
static const struct place arm[] = {{"pc", 64}, {"sp", 56}, {"lr", 60}, {"r0", 4},  {"r1", 8},  {"r2", 12},  {"r3", 16},  {"r4", 20},
                                   {"r5", 24}, {"r6", 28}, {"r7", 32}, {"r8", 36}, {"r9", 40}, {"r10", 44}, {"r11", 48}, {"r12", 52}};
static const struct place arm64[] = {{"pc", 264},  {"sp", 256},  {"lr", 248},  {"fp", 240},  {"x0", 8},    {"x1", 16},   {"x2", 24},
                                     {"x3", 32},   {"x4", 40},   {"x5", 48},   {"x6", 56},   {"x7", 64},   {"x8", 72},   {"x9", 80},
                                     {"x10", 88},  {"x11", 96},  {"x12", 104}, {"x13", 112}, {"x14", 120}, {"x15", 128}, {"x16", 136},
                                     {"x17", 144}, {"x18", 152}, {"x19", 160}, {"x20", 168}, {"x21", 176}, {"x22", 184}, {"x23", 192},
                                     {"x24", 200}, {"x25", 208}, {"x26", 216}, {"x27", 224}, {"x28", 232}};

static const struct layout layouts[] = {
    [MINIDUMP_CPU_X86] = {0, 0x10000, 0, 4, ARRAY_LEN(x86), x86, 184, 196, 180},
    [MINIDUMP_CPU_AMD64] = {48, 0x100000, 0, 8, ARRAY_LEN(amd64), amd64, 248, 152, 160},
    [MINIDUMP_CPU_ARM] = {0, 0x40000000, 0x200000, 4, ARRAY_LEN(arm), arm, 64, 56, 48},
    [MINIDUMP_CPU_ARM64] = {0, 0x400000, 0x80000000, 8, ARRAY_LEN(arm64), arm64, 264, 256, 240},
};

/* NULL: of another CPU, or cut off. */
static const struct layout *layout_of(const struct minidump *m, struct str context)
{
    const struct layout *l = m->cpu != MINIDUMP_CPU_OTHER ? &layouts[m->cpu] : NULL;
    if (!l || context.n < l->pc + l->word || context.n < l->sp + l->word)
        return NULL;
    uint32_t flags = minidump_u32(m, context, l->flags_at);
    return (flags & l->flags) || (flags & l->flags_or) ? l : NULL;
}

static uint64_t word(const struct minidump *m, const struct layout *l, struct str part, uint64_t at)
{
    return l->word == 8 ? minidump_u64(m, part, at) : minidump_u32(m, part, at);
}

size_t minidump_registers(const struct minidump *m, struct str context, struct minidump_register ret[MINIDUMP_MAX_REGISTERS])
{
    const struct layout *l = layout_of(m, context);
    for (size_t i = 0; l && i < l->n; i++)
        ret[i] = (struct minidump_register){l->registers[i].name, word(m, l, context, l->registers[i].at)};
    return l ? l->n : 0;
}

/* ---- stacks */

struct walk {
    const struct minidump *m;
    const struct layout *l;
    const struct minidump_thread *t;
    struct minidump_frame *frames;
    size_t n;
    uint64_t sp; /* nothing below it is looked at any more */
};

/* Is the word at `address` on the stack? */
static bool is_on_stack(const struct walk *w, uint64_t address)
{
    return address >= w->sp && address >= w->t->stack_address && w->t->stack.n >= w->l->word &&
           address - w->t->stack_address <= w->t->stack.n - w->l->word;
}

static uint64_t stack_word(const struct walk *w, uint64_t address)
{
    return word(w->m, w->l, w->t->stack, address - w->t->stack_address);
}

/* On 64-bit ARM the high bits may hold an authentication code (of Apple's systems), which is no part of the address. */
static uint64_t plain(const struct walk *w, uint64_t address)
{
    return w->m->cpu == MINIDUMP_CPU_ARM64 ? address & ((UINT64_C(1) << 47) - 1) : address;
}

static bool add(struct walk *w, uint64_t address, enum minidump_trust trust)
{
    address = plain(w, address);
    const struct minidump_module *module = minidump_module_at(w->m, address);
    if (!module && trust != MINIDUMP_TRUST_CONTEXT)
        return false;
    if (w->n == MINIDUMP_MAX_FRAMES)
        return false;
    w->frames[w->n++] = (struct minidump_frame){.address = address, .module = module, .trust = trust};
    return true;
}

static void follow_frames(struct walk *w, uint64_t fp)
{
    unsigned step = w->l->word;
    while (fp % step == 0 && is_on_stack(w, fp) && is_on_stack(w, fp + step)) {
        if (!add(w, stack_word(w, fp + step), MINIDUMP_TRUST_FRAME))
            return;
        w->sp = fp + 2 * (uint64_t)step; /* so that the next one lies above */
        fp = plain(w, stack_word(w, fp));
    }
}

static void scan(struct walk *w)
{
    unsigned step = w->l->word, found = 0;
    uint64_t address = w->sp > w->t->stack_address ? w->sp : w->t->stack_address;
    address += (step - address % step) % step;
    for (unsigned i = 0; i < MAX_SCANNED && found < MAX_SCANNED_FRAMES && is_on_stack(w, address); i++, address += step)
        found += add(w, stack_word(w, address), MINIDUMP_TRUST_SCAN);
}

size_t minidump_stack(const struct minidump *m, const struct minidump_thread *t, struct str context, enum minidump_walk walk,
                      struct minidump_frame ret[MINIDUMP_MAX_FRAMES])
{
    const struct layout *l = layout_of(m, context);
    struct walk w = {.m = m, .l = l, .t = t, .frames = ret};
    if (!l)
        return 0;
    (void)add(&w, word(m, l, context, l->pc), MINIDUMP_TRUST_CONTEXT); /* the first one always fits */
    w.sp = word(m, l, context, l->sp);
    if (walk == MINIDUMP_WALK && t) {
        follow_frames(&w, word(m, l, context, l->fp));
        if (w.n < LONG_CHAIN)
            scan(&w);
    }
    return w.n;
}
