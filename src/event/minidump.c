/* minidump.c: the streams of a minidump.
 *
 *   header: "MDMP", version, number of streams, offset of their directory, checksum, time, flags
 *   directory entry: type, size, offset;  a list stream: number of entries, [padding], entries
 *
 * Everything is offsets into one file, and none can be believed: a dump is written by a process that is dying, or by somebody who wants this
 * one to. So nothing is cast to a struct: part_of() cuts what is really there, numbers are read by offset within a part, and a number that
 * is not there is 0. What the file says of lengths only ever makes loops shorter. Alignment does not matter, and a dump of a big-endian machine is read
 * by the same code.
 *
 * Entries of lists are read once, each into memory that a constant bounds, and where lists are named by a list, a constant bounds them all: so the
 * work is linear in the size of the dump. Strings are UTF-16 with a length before them (Microsoft) or UTF-8 (Crashpad). */
#include "picket/event/minidump.h"

#include "utf16.h"

enum stream {
    STREAM_THREADS = 3,
    STREAM_MODULES = 4,
    STREAM_MEMORY = 5,
    STREAM_EXCEPTION = 6,
    STREAM_SYSTEM = 7,
    STREAM_MEMORY64 = 9,
    STREAM_MISC = 15,
    STREAM_THREAD_NAMES = 24,
    STREAM_CRASHPAD = 0x43500001,
    STREAM_BREAKPAD = 0x47670001,
    STREAM_ASSERTION = 0x47670002,
    STREAM_LSB_RELEASE = 0x47670005,
};
enum { HEADER = 32, ENTRY = 12, MAX_STREAMS = 1000, MAX_RANGES = 100000 };

/* ---- bytes */

uint32_t minidump_u32(const struct minidump *m, struct str part, uint64_t at)
{
    uint32_t v;
    if (part.n < sizeof v || at > part.n - sizeof v)
        return 0;
    memcpy(&v, part.p + at, sizeof v);
    return m->is_swapped ? __builtin_bswap32(v) : v;
}

uint64_t minidump_u64(const struct minidump *m, struct str part, uint64_t at)
{
    uint64_t low = minidump_u32(m, part, at), high = minidump_u32(m, part, at + 4);
    return m->is_swapped ? low << 32 | high : high << 32 | low;
}

static uint16_t u16(const struct minidump *m, struct str part, uint64_t at)
{
    uint32_t v = minidump_u32(m, part, at);
    return (uint16_t)(m->is_swapped ? v >> 16 : v);
}

/* What of [at, at + size) lies in the file. */
static struct str part_of(const struct minidump *m, uint64_t at, uint64_t size)
{
    if (at >= m->bytes.n)
        return STR("");
    return str_take(str_drop(m->bytes, (size_t)at), size < SIZE_MAX ? (size_t)size : SIZE_MAX);
}

/* A location: size, offset. */
static struct str part_at(const struct minidump *m, struct str part, uint64_t at)
{
    return part_of(m, minidump_u32(m, part, at + 4), minidump_u32(m, part, at));
}

static struct str stream(const struct minidump *m, enum stream type)
{
    uint32_t n = minidump_u32(m, m->bytes, 8);
    struct str directory = part_of(m, minidump_u32(m, m->bytes, 12), (uint64_t)(n < MAX_STREAMS ? n : MAX_STREAMS) * ENTRY);
    for (size_t at = 0; at + ENTRY <= directory.n; at += ENTRY)
        if (minidump_u32(m, directory, at) == (uint32_t)type)
            return part_at(m, directory, at + 4);
    return STR("");
}

/* The entries of a list stream, as many as it says and has; some writers align the first one to eight bytes. */
static struct str list(const struct minidump *m, struct str part, size_t entry)
{
    uint64_t wanted = (uint64_t)minidump_u32(m, part, 0) * entry;
    struct str rest = str_drop(part, part.n == wanted + 8 ? 8 : 4);
    size_t n = rest.n < wanted ? rest.n : (size_t)wanted;
    return str_take(rest, n - n % entry);
}

static struct str utf16_at(const struct minidump *m, uint64_t at, struct arena *a)
{
    uint32_t n = at ? minidump_u32(m, m->bytes, at) : 0;
    return utf16_text(part_of(m, at + 4, n < 2 * MINIDUMP_MAX_TEXT ? n : 2 * MINIDUMP_MAX_TEXT), m->is_swapped, a);
}

static struct str utf8_at(const struct minidump *m, uint32_t at)
{
    return at ? part_of(m, (uint64_t)at + 4, minidump_u32(m, m->bytes, at)) : STR("");
}

/* Up to its NUL. No more is looked at than is taken: a thousand modules may name the same two hundred megabytes. */
static struct str c_text(struct str part, struct arena *a)
{
    enum { MAX_BYTES = 4 * MINIDUMP_MAX_TEXT };
    bool is_longer = part.n > MAX_BYTES;
    part = str_take(part, MAX_BYTES);
    size_t end = str_find(part, '\0');
    is_longer = is_longer && end == part.n;
    part = str_take(part, end);
    while (is_longer && part.n && ((uint8_t)part.p[part.n - 1] & 0xc0) == 0x80)
        part.n--; /* a character that was cut */
    if (is_longer && part.n && (uint8_t)part.p[part.n - 1] >= 0xc0)
        part.n--;
    return arena_str(a, str_take_code_points(str_is_utf8(part) ? part : STR(""), MINIDUMP_MAX_TEXT));
}

/* ---- system */

static enum minidump_cpu cpu_of(uint16_t number)
{
    static const struct {
        uint16_t number;
        enum minidump_cpu cpu;
    } known[] = {{0, MINIDUMP_CPU_X86}, {10, MINIDUMP_CPU_X86},   {9, MINIDUMP_CPU_AMD64},
                 {5, MINIDUMP_CPU_ARM}, {12, MINIDUMP_CPU_ARM64}, {0x8003, MINIDUMP_CPU_ARM64}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].number == number)
            return known[i].cpu;
    return MINIDUMP_CPU_OTHER;
}

static enum minidump_os os_of(uint32_t number)
{
    static const struct {
        uint32_t number;
        enum minidump_os os;
    } known[] = {{1, MINIDUMP_OS_WINDOWS},  {2, MINIDUMP_OS_WINDOWS},    {0x8101, MINIDUMP_OS_MACOS},
                 {0x8102, MINIDUMP_OS_IOS}, {0x8201, MINIDUMP_OS_LINUX}, {0x8203, MINIDUMP_OS_ANDROID}};
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (known[i].number == number)
            return known[i].os;
    return MINIDUMP_OS_OTHER;
}

static void read_system(struct minidump *m, struct arena *a)
{
    struct str part = stream(m, STREAM_SYSTEM);
    if (part.n == 0)
        return;
    m->cpu = cpu_of(u16(m, part, 0));
    m->n_processors = part.n > 6 ? (unsigned char)part.p[6] : 0;
    m->os_major = minidump_u32(m, part, 8);
    m->os_minor = minidump_u32(m, part, 12);
    m->os_build = minidump_u32(m, part, 16);
    m->os = os_of(minidump_u32(m, part, 20));
    m->os_detail = utf16_at(m, minidump_u32(m, part, 24), a);
}

static void read_process(struct minidump *m)
{
    struct str part = stream(m, STREAM_MISC);
    enum { HAS_PROCESS_ID = 1 };
    if (minidump_u32(m, part, 4) & HAS_PROCESS_ID)
        m->process_id = minidump_u32(m, part, 8);
    part = stream(m, STREAM_BREAKPAD);
    enum { HAS_REQUESTING_THREAD = 2 };
    if (minidump_u32(m, part, 0) & HAS_REQUESTING_THREAD)
        m->requesting_thread = minidump_u32(m, part, 8);
}

/* Lines of name="value", as in /etc/lsb-release and /etc/os-release. */
static void read_distribution(struct minidump *m, struct arena *a)
{
    enum { MAX_BYTES = 64 * 1024 }; /* the file has some hundred */
    for (struct str rest = str_take(stream(m, STREAM_LSB_RELEASE), MAX_BYTES); rest.p;) {
        struct str value = str_cut(&rest, '\n'), name = str_trim(str_cut(&value, '='));
        value = str_trim(value);
        if (value.n > 1 && value.p[0] == '"' && value.p[value.n - 1] == '"')
            value = str_of(value.p + 1, value.n - 2);
        if (str_eq(name, STR("DISTRIB_ID")) || (str_eq(name, STR("NAME")) && m->distribution.n == 0))
            m->distribution = c_text(value, a);
        else if (str_eq(name, STR("DISTRIB_RELEASE")) || (str_eq(name, STR("VERSION_ID")) && m->distribution_version.n == 0))
            m->distribution_version = c_text(value, a);
    }
}

/* Three arrays of 128 UTF-16 units (expression, function, file), then the line. */
static void read_assertion(struct minidump *m, struct arena *a)
{
    enum { UNITS = 128, BYTES = 2 * UNITS };
    struct str part = stream(m, STREAM_ASSERTION), texts[3];
    for (size_t i = 0; i < ARRAY_LEN(texts); i++)
        texts[i] = utf16_text(str_take(str_drop(part, i * BYTES), BYTES), m->is_swapped, a);
    if (texts[0].n + texts[1].n + texts[2].n)
        m->assertion = arena_printf(a, "%.*s in %.*s (%.*s:%u)", STR_ARG(texts[0]), STR_ARG(texts[1]), STR_ARG(texts[2]),
                                    minidump_u32(m, part, (uint64_t)3 * BYTES));
}

static void read_exception(struct minidump *m)
{
    struct str part = stream(m, STREAM_EXCEPTION);
    struct minidump_exception *e = &m->exception;
    if (part.n == 0)
        return;
    e->is_there = true;
    e->thread_id = minidump_u32(m, part, 0);
    e->code = minidump_u32(m, part, 8);
    e->flags = minidump_u32(m, part, 12);
    e->address = minidump_u64(m, part, 24);
    e->n_parameters = minidump_u32(m, part, 32);
    if (e->n_parameters > MINIDUMP_MAX_PARAMETERS)
        e->n_parameters = MINIDUMP_MAX_PARAMETERS;
    for (uint32_t i = 0; i < e->n_parameters; i++)
        e->parameters[i] = minidump_u64(m, part, 40 + 8 * i);
    e->context = part_at(m, part, 160);
}

/* ---- threads */

/* Where Windows' full dumps have it: the memory that begins at or before `address` and holds it. */
static struct str memory_at(const struct minidump *m, uint64_t address, uint64_t *ret_start)
{
    struct str part = stream(m, STREAM_MEMORY), ranges = list(m, part, 16);
    for (size_t at = 0; at < ranges.n && at < (size_t)16 * MAX_RANGES; at += 16) {
        uint64_t start = minidump_u64(m, ranges, at);
        if (address >= start && address - start < minidump_u32(m, ranges, at + 8)) {
            *ret_start = start;
            return part_at(m, ranges, at + 8);
        }
    }
    part = stream(m, STREAM_MEMORY64);
    uint64_t n = minidump_u64(m, part, 0), offset = minidump_u64(m, part, 8);
    for (uint64_t i = 0; i < n && i < MAX_RANGES && 16 + 16 * i + 16 <= part.n; i++) {
        uint64_t start = minidump_u64(m, part, 16 + 16 * i), size = minidump_u64(m, part, 24 + 16 * i);
        if (address >= start && address - start < size) {
            *ret_start = start;
            return part_of(m, offset, size);
        }
        if (__builtin_add_overflow(offset, size, &offset))
            break;
    }
    return STR("");
}

static int by_thread_id(const void *pa, const void *pb)
{
    const struct minidump_thread *a = pa, *b = pb;
    return (a->id > b->id) - (a->id < b->id);
}

static struct minidump_thread *thread_of(const struct minidump *m, uint32_t id)
{
    struct minidump_thread key = {.id = id};
    return m->n_threads ? bsearch(&key, m->threads, m->n_threads, sizeof key, by_thread_id) : NULL;
}

static uint32_t crashed_id(const struct minidump *m)
{
    return m->exception.is_there ? m->exception.thread_id : m->requesting_thread;
}

static void read_thread_names(struct minidump *m, struct arena *a)
{
    struct str names = list(m, stream(m, STREAM_THREAD_NAMES), 12);
    for (size_t at = 0; at < names.n && at < (size_t)12 * 2 * MINIDUMP_MAX_THREADS; at += 12) {
        struct minidump_thread *t = thread_of(m, minidump_u32(m, names, at));
        if (t && t->name.n == 0)
            t->name = utf16_at(m, minidump_u64(m, names, at + 4), a);
    }
}

static void read_threads(struct minidump *m, struct arena *a)
{
    enum { SIZE = 48 };
    struct str threads = list(m, stream(m, STREAM_THREADS), SIZE);
    bool has_crashed = false;
    m->threads = arena_array(a, struct minidump_thread, MINIDUMP_MAX_THREADS);
    for (size_t at = 0; at < threads.n; at += SIZE) {
        uint32_t id = minidump_u32(m, threads, at);
        bool crashed = id == crashed_id(m);
        has_crashed = has_crashed || crashed;
        if (m->n_threads == MINIDUMP_MAX_THREADS - 1 && !has_crashed)
            continue; /* the last place is for the one that crashed */
        if (m->n_threads == MINIDUMP_MAX_THREADS)
            break;
        m->threads[m->n_threads++] = (struct minidump_thread){
            .id = id,
            .stack_address = minidump_u64(m, threads, at + 24),
            .stack = part_at(m, threads, at + 32),
            .context = part_at(m, threads, at + 40),
        };
    }
    if (m->n_threads)
        qsort(m->threads, m->n_threads, sizeof *m->threads, by_thread_id);
    read_thread_names(m, a);
}

/* The crashed thread's stack is what is walked; of Windows' full dumps it lies with the rest of the memory. */
static void find_stack(struct minidump *m)
{
    struct minidump_thread *t = thread_of(m, crashed_id(m));
    if (t && t->stack.n == 0 && t->stack_address)
        t->stack = memory_at(m, t->stack_address, &t->stack_address);
}

const struct minidump_thread *minidump_crashed_thread(const struct minidump *m)
{
    return thread_of(m, crashed_id(m));
}

/* ---- modules */

/* A GUID's first three fields are numbers of the machine. */
static struct str guid_text(const struct minidump *m, struct str part, struct arena *a)
{
    char tail[16];
    if (part.n < 16)
        return STR("");
    str_hex_encode(part.p + 8, 8, tail);
    return arena_printf(a, "%08x-%04x-%04x-%.4s-%.12s", minidump_u32(m, part, 0), u16(m, part, 4), u16(m, part, 6), tail, tail + 4);
}

static struct str pe_code_id(const struct minidump_module *module, struct arena *a)
{
    return module->time_s || module->size ? arena_printf(a, "%08x%x", module->time_s, module->size) : STR("");
}

static void read_pdb70(const struct minidump *m, struct minidump_module *module, struct str record, struct arena *a)
{
    struct str guid = guid_text(m, str_drop(record, 4), a);
    uint32_t age = minidump_u32(m, record, 20);
    bool is_pe = m->os == MINIDUMP_OS_WINDOWS, is_mac = m->os == MINIDUMP_OS_MACOS || m->os == MINIDUMP_OS_IOS;
    module->debug_id = age && guid.n ? arena_printf(a, "%.*s-%x", STR_ARG(guid), age) : guid;
    module->debug_file = c_text(str_drop(record, 24), a);
    if (is_pe)
        module->code_id = pe_code_id(module, a);
    else if (is_mac && guid.n)
        module->code_id = arena_printf(a, "%.8s%.4s%.4s%.4s%.12s", guid.p, guid.p + 9, guid.p + 14, guid.p + 19, guid.p + 24);
}

/* The debug id is made of the build id's first 16 bytes, read as a GUID whose numbers are little-endian. */
static void read_build_id(struct minidump_module *module, struct str id, struct arena *a)
{
    static const struct minidump little = {0};
    char padded[16] = {0};
    enum { MAX_BUILD_ID = 64 };
    id = str_take(id, MAX_BUILD_ID);
    if (id.n == 0)
        return;
    memcpy(padded, id.p, id.n < sizeof padded ? id.n : sizeof padded);
    module->debug_id = guid_text(&little, str_of(padded, sizeof padded), a);
    char *hex = arena_alloc(a, 2 * id.n);
    str_hex_encode(id.p, id.n, hex);
    module->code_id = str_of(hex, 2 * id.n);
}

static void read_code_view(const struct minidump *m, struct minidump_module *module, struct str record, struct arena *a)
{
    enum { PDB20 = 0x3031424e, PDB70 = 0x53445352, ELF = 0x4270454c };
    switch (minidump_u32(m, record, 0)) {
    case PDB70:
        read_pdb70(m, module, record, a);
        break;
    case ELF:
        read_build_id(module, str_drop(record, 4), a);
        break;
    case PDB20:
        module->debug_id = arena_printf(a, "%08x-%x", minidump_u32(m, record, 8), minidump_u32(m, record, 12));
        module->debug_file = c_text(str_drop(record, 16), a);
        module->code_id = pe_code_id(module, a);
        break;
    default:
        module->code_id = m->os == MINIDUMP_OS_WINDOWS ? pe_code_id(module, a) : STR("");
        break;
    }
}

static int by_address(const void *pa, const void *pb)
{
    const struct minidump_module *a = pa, *b = pb;
    return (a->address > b->address) - (a->address < b->address);
}

static void read_modules(struct minidump *m, struct arena *a)
{
    enum { SIZE = 108 };
    struct str modules = list(m, stream(m, STREAM_MODULES), SIZE);
    size_t n = modules.n / SIZE < MINIDUMP_MAX_MODULES ? modules.n / SIZE : MINIDUMP_MAX_MODULES;
    m->modules = arena_array(a, struct minidump_module, n + 1);
    for (size_t i = 0; i < n; i++) {
        struct str part = str_take(str_drop(modules, i * SIZE), SIZE);
        m->modules[i] = (struct minidump_module){
            .address = minidump_u64(m, part, 0),
            .size = minidump_u32(m, part, 8),
            .checksum = minidump_u32(m, part, 12),
            .time_s = minidump_u32(m, part, 16),
            .file = utf16_at(m, minidump_u32(m, part, 20), a),
        };
        read_code_view(m, &m->modules[i], part_at(m, part, 76), a);
    }
    m->n_modules = n;
    if (n)
        qsort(m->modules, n, sizeof *m->modules, by_address);
}

const struct minidump_module *minidump_module_at(const struct minidump *m, uint64_t address)
{
    size_t from = 0, to = m->n_modules; /* the last one that begins at or before it */
    while (from < to) {
        size_t middle = from + (to - from) / 2;
        if (m->modules[middle].address <= address)
            from = middle + 1;
        else
            to = middle;
    }
    const struct minidump_module *module = from ? &m->modules[from - 1] : NULL;
    return module && address - module->address < module->size ? module : NULL;
}

/* ---- annotations */

/* Lists may lie upon each other, and keys, too: what bounds the work is what is looked at, not what is kept. */
struct annotations {
    struct minidump *m;
    unsigned entries_left;
};

static bool next_entry(struct annotations *as)
{
    if (as->m->n_annotations == MINIDUMP_MAX_ANNOTATIONS || as->entries_left == 0)
        return false;
    as->entries_left--;
    return true;
}

static void add_annotation(struct minidump *m, struct str key, struct str value)
{
    if (key.n && key.n <= MINIDUMP_MAX_TEXT)
        m->annotations[m->n_annotations++] = (struct minidump_annotation){key, value};
}

/* A list of pairs of offsets of texts. */
static void read_pairs(struct annotations *as, struct str part)
{
    struct minidump *m = as->m;
    struct str pairs = list(m, part, 8);
    for (size_t at = 0; at < pairs.n && next_entry(as); at += 8)
        add_annotation(m, utf8_at(m, minidump_u32(m, pairs, at)), utf8_at(m, minidump_u32(m, pairs, at + 4)));
}

/* Objects: offset of a name, type (16 bits) and padding, offset of a value. */
static void read_objects(struct annotations *as, struct str part)
{
    enum { TYPE_STRING = 1 };
    struct minidump *m = as->m;
    struct str objects = list(m, part, 12);
    for (size_t at = 0; at < objects.n && next_entry(as); at += 12)
        if (u16(m, objects, at + 4) == TYPE_STRING)
            add_annotation(m, utf8_at(m, minidump_u32(m, objects, at)), utf8_at(m, minidump_u32(m, objects, at + 8)));
}

static void read_annotations(struct minidump *m, struct arena *a)
{
    struct annotations as = {.m = m, .entries_left = 20 * MINIDUMP_MAX_ANNOTATIONS};
    struct str part = stream(m, STREAM_CRASHPAD), modules;
    if (part.n == 0)
        return;
    m->annotations = arena_array(a, struct minidump_annotation, MINIDUMP_MAX_ANNOTATIONS);
    read_pairs(&as, part_at(m, part, 36));
    modules = list(m, part_at(m, part, 44), 12);
    for (size_t at = 0; at < modules.n && at < (size_t)12 * MINIDUMP_MAX_MODULES; at += 12) {
        struct str module = part_at(m, modules, at + 4);
        read_pairs(&as, part_at(m, module, 12));
        read_objects(&as, part_at(m, module, 20));
    }
}

/* ---- all of it */

bool minidump_is(struct str bytes)
{
    return str_starts(bytes, STR("MDMP")) || str_starts(bytes, STR("PMDM"));
}

bool minidump_read(struct str bytes, struct arena *a, struct minidump *ret)
{
    *ret = (struct minidump){.bytes = bytes, .is_swapped = str_starts(bytes, STR("PMDM"))};
    enum { VERSION = 0xa793 };
    if (!minidump_is(bytes) || bytes.n < HEADER || (minidump_u32(ret, bytes, 4) & 0xffff) != VERSION)
        return false;
    if (part_of(ret, minidump_u32(ret, bytes, 12), ENTRY).n < ENTRY || minidump_u32(ret, bytes, 8) == 0)
        return false;
    ret->time_s = minidump_u32(ret, bytes, 20);
    read_system(ret, a);
    read_process(ret);
    read_distribution(ret, a);
    read_assertion(ret, a);
    read_exception(ret);
    read_threads(ret, a);
    find_stack(ret);
    read_modules(ret, a);
    read_annotations(ret, a);
    return true;
}
