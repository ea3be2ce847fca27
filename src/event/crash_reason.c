/* crash_reason.c: what the numbers of a crash mean, by operating system. Linux: signal and si_code; macOS and iOS: Mach exception and its code;
 * Windows: exception or NTSTATUS, and what an access violation wanted to do. */
#include "picket/event/minidump.h"

#define ANY_CPU MINIDUMP_CPU_OTHER

struct name {
    uint32_t code;
    const char *name;
};
struct detail {
    uint32_t code, flags;
    enum minidump_cpu cpu; /* ANY_CPU, or the only family: X86 stands for AMD64, too, ARM for ARM64 */
    const char *name;
};

static const struct name signals[] = {
    {1, "SIGHUP"},     {2, "SIGINT"},   {3, "SIGQUIT"},  {4, "SIGILL"},   {5, "SIGTRAP"},
    {6, "SIGABRT"},    {7, "SIGBUS"},   {8, "SIGFPE"},   {9, "SIGKILL"},  {10, "SIGUSR1"},
    {11, "SIGSEGV"},   {12, "SIGUSR2"}, {13, "SIGPIPE"}, {14, "SIGALRM"}, {15, "SIGTERM"},
    {16, "SIGSTKFLT"}, {24, "SIGXCPU"}, {25, "SIGXFSZ"}, {31, "SIGSYS"},  {0xffffffff, "DUMP_REQUESTED"},
};
static const struct detail signal_codes[] = {
    {4, 1, ANY_CPU, "ILL_ILLOPC"},   {4, 2, ANY_CPU, "ILL_ILLOPN"},    {4, 3, ANY_CPU, "ILL_ILLADR"},    {4, 4, ANY_CPU, "ILL_ILLTRP"},
    {4, 5, ANY_CPU, "ILL_PRVOPC"},   {4, 6, ANY_CPU, "ILL_PRVREG"},    {4, 7, ANY_CPU, "ILL_COPROC"},    {4, 8, ANY_CPU, "ILL_BADSTK"},
    {5, 1, ANY_CPU, "TRAP_BRKPT"},   {5, 2, ANY_CPU, "TRAP_TRACE"},    {7, 1, ANY_CPU, "BUS_ADRALN"},    {7, 2, ANY_CPU, "BUS_ADRERR"},
    {7, 3, ANY_CPU, "BUS_OBJERR"},   {7, 4, ANY_CPU, "BUS_MCEERR_AR"}, {7, 5, ANY_CPU, "BUS_MCEERR_AO"}, {8, 1, ANY_CPU, "FPE_INTDIV"},
    {8, 2, ANY_CPU, "FPE_INTOVF"},   {8, 3, ANY_CPU, "FPE_FLTDIV"},    {8, 4, ANY_CPU, "FPE_FLTOVF"},    {8, 5, ANY_CPU, "FPE_FLTUND"},
    {8, 6, ANY_CPU, "FPE_FLTRES"},   {8, 7, ANY_CPU, "FPE_FLTINV"},    {8, 8, ANY_CPU, "FPE_FLTSUB"},    {11, 1, ANY_CPU, "SEGV_MAPERR"},
    {11, 2, ANY_CPU, "SEGV_ACCERR"}, {11, 3, ANY_CPU, "SEGV_BNDERR"},  {11, 4, ANY_CPU, "SEGV_PKUERR"},  {31, 1, ANY_CPU, "SYS_SECCOMP"},
};
static const struct name sender_codes[] = {
    {0, "SI_USER"}, {0x80, "SI_KERNEL"}, {(uint32_t)-1, "SI_QUEUE"}, {(uint32_t)-2, "SI_TIMER"}, {(uint32_t)-6, "SI_TKILL"},
};

static const struct name mach[] = {
    {1, "EXC_BAD_ACCESS"},     {2, "EXC_BAD_INSTRUCTION"},
    {3, "EXC_ARITHMETIC"},     {4, "EXC_EMULATION"},
    {5, "EXC_SOFTWARE"},       {6, "EXC_BREAKPOINT"},
    {7, "EXC_SYSCALL"},        {8, "EXC_MACH_SYSCALL"},
    {9, "EXC_RPC_ALERT"},      {10, "EXC_CRASH"},
    {11, "EXC_RESOURCE"},      {12, "EXC_GUARD"},
    {13, "EXC_CORPSE_NOTIFY"}, {0x43507378, "Simulated Exception"},
};
static const struct detail mach_codes[] = {
    {1, 1, ANY_CPU, "KERN_INVALID_ADDRESS"},
    {1, 2, ANY_CPU, "KERN_PROTECTION_FAILURE"},
    {1, 8, ANY_CPU, "KERN_NO_ACCESS"},
    {1, 9, ANY_CPU, "KERN_MEMORY_FAILURE"},
    {1, 10, ANY_CPU, "KERN_MEMORY_ERROR"},
    {1, 50, ANY_CPU, "KERN_CODESIGN_ERROR"},
    {1, 13, MINIDUMP_CPU_X86, "EXC_I386_GPFLT"},
    {1, 0x101, MINIDUMP_CPU_ARM, "EXC_ARM_DA_ALIGN"},
    {1, 0x102, MINIDUMP_CPU_ARM, "EXC_ARM_DA_DEBUG"},
    {2, 1, MINIDUMP_CPU_X86, "EXC_I386_INVOP"},
    {2, 1, MINIDUMP_CPU_ARM, "EXC_ARM_UNDEFINED"},
    {2, 11, MINIDUMP_CPU_X86, "EXC_I386_SEGNPFLT"},
    {2, 12, MINIDUMP_CPU_X86, "EXC_I386_STKFLT"},
    {2, 13, MINIDUMP_CPU_X86, "EXC_I386_GPFLT"},
    {3, 1, MINIDUMP_CPU_X86, "EXC_I386_DIV"},
    {3, 2, MINIDUMP_CPU_X86, "EXC_I386_INTO"},
    {5, 0x10003, ANY_CPU, "SIGABRT"},
    {5, 0x10000, ANY_CPU, "SIGSYS"},
    {5, 0x10001, ANY_CPU, "SIGPIPE"},
    {6, 1, MINIDUMP_CPU_X86, "EXC_I386_SGL"},
    {6, 2, MINIDUMP_CPU_X86, "EXC_I386_BPT"},
    {6, 1, MINIDUMP_CPU_ARM, "EXC_ARM_BREAKPOINT"},
};

static const struct name windows[] = {
    {0x40010005, "DBG_CONTROL_C"},
    {0x80000001, "EXCEPTION_GUARD_PAGE"},
    {0x80000002, "EXCEPTION_DATATYPE_MISALIGNMENT"},
    {0x80000003, "EXCEPTION_BREAKPOINT"},
    {0x80000004, "EXCEPTION_SINGLE_STEP"},
    {0xc0000005, "EXCEPTION_ACCESS_VIOLATION"},
    {0xc0000006, "EXCEPTION_IN_PAGE_ERROR"},
    {0xc0000008, "EXCEPTION_INVALID_HANDLE"},
    {0xc0000017, "STATUS_NO_MEMORY"},
    {0xc000001d, "EXCEPTION_ILLEGAL_INSTRUCTION"},
    {0xc0000025, "EXCEPTION_NONCONTINUABLE_EXCEPTION"},
    {0xc0000026, "EXCEPTION_INVALID_DISPOSITION"},
    {0xc000008c, "EXCEPTION_ARRAY_BOUNDS_EXCEEDED"},
    {0xc000008d, "EXCEPTION_FLT_DENORMAL_OPERAND"},
    {0xc000008e, "EXCEPTION_FLT_DIVIDE_BY_ZERO"},
    {0xc000008f, "EXCEPTION_FLT_INEXACT_RESULT"},
    {0xc0000090, "EXCEPTION_FLT_INVALID_OPERATION"},
    {0xc0000091, "EXCEPTION_FLT_OVERFLOW"},
    {0xc0000092, "EXCEPTION_FLT_STACK_CHECK"},
    {0xc0000093, "EXCEPTION_FLT_UNDERFLOW"},
    {0xc0000094, "EXCEPTION_INT_DIVIDE_BY_ZERO"},
    {0xc0000095, "EXCEPTION_INT_OVERFLOW"},
    {0xc0000096, "EXCEPTION_PRIV_INSTRUCTION"},
    {0xc00000fd, "EXCEPTION_STACK_OVERFLOW"},
    {0xc0000135, "STATUS_DLL_NOT_FOUND"},
    {0xc000013a, "STATUS_CONTROL_C_EXIT"},
    {0xc0000194, "EXCEPTION_POSSIBLE_DEADLOCK"},
    {0xc0000374, "STATUS_HEAP_CORRUPTION"},
    {0xc0000409, "STATUS_STACK_BUFFER_OVERRUN"},
    {0xc0000417, "STATUS_INVALID_CRUNTIME_PARAMETER"},
    {0xc0000420, "STATUS_ASSERTION_FAILURE"},
    {0xc0000602, "STATUS_FAIL_FAST_EXCEPTION"},
    {0xe0000008, "Out of Memory"},
    {0xe0434352, "CLR exception"},
    {0xe06d7363, "Unhandled C++ Exception"},
    {0x0517a7ed, "Simulated Exception"},
};
static const struct name accesses[] = {{0, "_READ"}, {1, "_WRITE"}, {8, "_EXEC"}};

static const char *name_of(const struct name *names, size_t n, uint64_t code)
{
    for (size_t i = 0; i < n; i++)
        if (names[i].code == code)
            return names[i].name;
    return NULL;
}

static enum minidump_cpu family(enum minidump_cpu cpu)
{
    return cpu == MINIDUMP_CPU_AMD64 ? MINIDUMP_CPU_X86 : cpu == MINIDUMP_CPU_ARM64 ? MINIDUMP_CPU_ARM : cpu;
}

static const char *detail_of(const struct detail *details, size_t n, const struct minidump *m)
{
    const struct minidump_exception *e = &m->exception;
    for (size_t i = 0; i < n; i++)
        if (details[i].code == e->code && details[i].flags == e->flags && (details[i].cpu == ANY_CPU || details[i].cpu == family(m->cpu)))
            return details[i].name;
    return NULL;
}

static struct str joined(const char *name, const char *detail, const struct minidump_exception *e, struct arena *a)
{
    if (name && detail)
        return arena_printf(a, "%s / %s", name, detail);
    if (name)
        return arena_printf(a, "%s / 0x%08x", name, e->flags);
    return arena_printf(a, "0x%08x / 0x%08x", e->code, e->flags);
}

static struct str linux_reason(const struct minidump *m, struct arena *a)
{
    enum { DUMP_REQUESTED = 0xffffffff };
    const struct minidump_exception *e = &m->exception;
    const char *name = name_of(signals, ARRAY_LEN(signals), e->code);
    const char *detail = detail_of(signal_codes, ARRAY_LEN(signal_codes), m);
    if (e->code == (uint32_t)DUMP_REQUESTED)
        return str_from(name);
    if (!detail)
        detail = name_of(sender_codes, ARRAY_LEN(sender_codes), e->flags);
    return joined(name, detail, e, a);
}

static bool is_access(const struct minidump_exception *e)
{
    return (e->code == 0xc0000005 || e->code == 0xc0000006) && e->n_parameters >= 2;
}

static struct str windows_reason(const struct minidump *m, struct arena *a)
{
    const struct minidump_exception *e = &m->exception;
    const char *name = name_of(windows, ARRAY_LEN(windows), e->code);
    const char *access = is_access(e) ? name_of(accesses, ARRAY_LEN(accesses), e->parameters[0]) : NULL;
    if (!name)
        return arena_printf(a, "0x%08x", e->code);
    return access ? arena_printf(a, "%s%s", name, access) : str_from(name);
}

struct str minidump_reason(const struct minidump *m, struct arena *a)
{
    const struct minidump_exception *e = &m->exception;
    if (!e->is_there)
        return STR("Minidump");
    switch (m->os) {
    case MINIDUMP_OS_LINUX:
    case MINIDUMP_OS_ANDROID:
        return linux_reason(m, a);
    case MINIDUMP_OS_MACOS:
    case MINIDUMP_OS_IOS:
        return joined(name_of(mach, ARRAY_LEN(mach), e->code), detail_of(mach_codes, ARRAY_LEN(mach_codes), m), e, a);
    case MINIDUMP_OS_WINDOWS:
        return windows_reason(m, a);
    case MINIDUMP_OS_OTHER:
        break;
    }
    return joined(NULL, NULL, e, a);
}

bool minidump_crash_address(const struct minidump *m, uint64_t *ret)
{
    const struct minidump_exception *e = &m->exception;
    if (!e->is_there)
        return false;
    uint64_t address = m->os == MINIDUMP_OS_WINDOWS && is_access(e) ? e->parameters[1] : e->address;
    bool is_narrow = m->cpu == MINIDUMP_CPU_X86 || m->cpu == MINIDUMP_CPU_ARM; /* some writers extend the sign */
    *ret = is_narrow ? address & UINT32_MAX : address;
    return true;
}
