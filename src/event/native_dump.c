/* native_dump.c: a minidump's facts in the words of the event format (protocol §5.9, §5.11, §5.12).
 *
 * Frames have addresses and modules and no names: those need symbols. So that crashes of one kind come together all the same, the transaction
 * is the module and the offset in it where the crash happened, which address space randomisation does not change: "libgame.so+0x1a2b". */
#include "native_dump.h"

static struct str hex(uint64_t v, struct arena *a)
{
    return arena_printf(a, "0x%llx", (unsigned long long)v);
}

static void put_hex(struct json_writer *w, struct str name, uint64_t v, struct arena *a)
{
    json_field_str(w, name, hex(v, a));
}

static struct str base_name(struct str path)
{
    for (size_t i = path.n; i > 0; i--)
        if (path.p[i - 1] == '/' || path.p[i - 1] == '\\')
            return str_drop(path, i);
    return path;
}

/* ---- frames */

static void put_frame(struct json_writer *w, const struct minidump_frame *frame, struct arena *a)
{
    static const char *const trusts[] = {
        [MINIDUMP_TRUST_CONTEXT] = "context", [MINIDUMP_TRUST_FRAME] = "fp", [MINIDUMP_TRUST_SCAN] = "scan"};
    json_begin_object(w);
    put_hex(w, STR("instruction_addr"), frame->address, a);
    if (frame->module) {
        json_field_known(w, STR("package"), frame->module->file);
        put_hex(w, STR("image_addr"), frame->module->address, a);
    }
    json_field_str(w, STR("trust"), str_from(trusts[frame->trust]));
    json_end_object(w);
}

static void put_registers(struct json_writer *w, const struct minidump *m, struct str context, struct arena *a)
{
    struct minidump_register registers[MINIDUMP_MAX_REGISTERS];
    size_t n = minidump_registers(m, context, registers);
    if (n == 0)
        return;
    json_key(w, STR("registers"));
    json_begin_object(w);
    for (size_t i = 0; i < n; i++)
        put_hex(w, str_from(registers[i].name), registers[i].value, a);
    json_end_object(w);
}

/* The oldest frame first, as the format wants it. */
static void put_stack(struct json_writer *w, const struct minidump *m, const struct minidump_thread *t, struct str context,
                      enum minidump_walk walk, struct arena *a)
{
    struct minidump_frame frames[MINIDUMP_MAX_FRAMES];
    size_t n = minidump_stack(m, t, context, walk, frames);
    if (n == 0)
        return;
    json_key(w, STR("stacktrace"));
    json_begin_object(w);
    json_key(w, STR("frames"));
    json_begin_array(w);
    while (n > 0)
        put_frame(w, &frames[--n], a);
    json_end_array(w);
    if (walk == MINIDUMP_WALK)
        put_registers(w, m, context, a);
    json_end_object(w);
}

static struct str crash_context(const struct minidump *m)
{
    const struct minidump_thread *t = minidump_crashed_thread(m);
    return m->exception.context.n ? m->exception.context : t ? t->context : STR("");
}

/* ---- exception */

static void put_meta(struct json_writer *w, const struct minidump *m)
{
    const struct minidump_exception *e = &m->exception;
    bool is_mach = m->os == MINIDUMP_OS_MACOS || m->os == MINIDUMP_OS_IOS,
         is_signal = m->os == MINIDUMP_OS_LINUX || m->os == MINIDUMP_OS_ANDROID;
    if (!e->is_there || (!is_mach && !is_signal))
        return;
    json_key(w, STR("meta"));
    json_begin_object(w);
    json_key(w, is_mach ? STR("mach_exception") : STR("signal"));
    json_begin_object(w);
    json_field_i64(w, is_mach ? STR("exception") : STR("number"), e->code);
    json_field_i64(w, STR("code"), is_mach ? (int64_t)e->flags : (int32_t)e->flags);
    if (is_mach)
        json_field_i64(w, STR("subcode"), (int64_t)e->address);
    json_end_object(w);
    json_end_object(w);
}

static void put_mechanism(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    uint64_t address;
    json_key(w, STR("mechanism"));
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("minidump"));
    json_field_bool(w, STR("handled"), false);
    json_field_bool(w, STR("synthetic"), true);
    if (m) {
        put_meta(w, m);
        if (minidump_crash_address(m, &address)) {
            json_key(w, STR("data"));
            json_begin_object(w);
            put_hex(w, STR("relevant_address"), address, a);
            json_end_object(w);
        }
    }
    json_end_object(w);
}

static struct str exception_value(const struct minidump *m, struct str reason, struct arena *a)
{
    if (!m)
        return STR("Invalid Minidump");
    if (m->assertion.n)
        return arena_printf(a, "Assertion Error: %.*s", STR_ARG(m->assertion));
    return m->exception.is_there ? arena_printf(a, "Fatal Error: %.*s", STR_ARG(reason)) : STR("Dump without an exception");
}

static void put_exception(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    struct str reason = m ? minidump_reason(m, a) : STR("Minidump");
    json_key(w, STR("exception"));
    json_begin_object(w);
    json_key(w, STR("values"));
    json_begin_array(w);
    json_begin_object(w);
    json_field_str(w, STR("type"), reason);
    json_field_str(w, STR("value"), exception_value(m, reason, a));
    put_mechanism(w, m, a);
    if (m && minidump_crashed_thread(m)) {
        json_field_i64(w, STR("thread_id"), minidump_crashed_thread(m)->id);
        put_stack(w, m, minidump_crashed_thread(m), crash_context(m), MINIDUMP_WALK, a);
    }
    json_end_object(w);
    json_end_array(w);
    json_end_object(w);
}

/* ---- threads, images */

static void put_threads(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    const struct minidump_thread *crashed = minidump_crashed_thread(m);
    json_key(w, STR("threads"));
    json_begin_object(w);
    json_key(w, STR("values"));
    json_begin_array(w);
    for (size_t i = 0; i < m->n_threads; i++) {
        const struct minidump_thread *t = &m->threads[i];
        json_begin_object(w);
        json_field_i64(w, STR("id"), t->id);
        json_field_known(w, STR("name"), t->name);
        json_field_bool(w, STR("crashed"), t == crashed && m->exception.is_there);
        json_field_bool(w, STR("current"), t == crashed);
        if (t != crashed) /* whose stack is the exception's */
            put_stack(w, m, t, t->context, MINIDUMP_TOP, a);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

static struct str image_type(enum minidump_os os)
{
    return os == MINIDUMP_OS_WINDOWS ? STR("pe") : os == MINIDUMP_OS_MACOS || os == MINIDUMP_OS_IOS ? STR("macho") : STR("elf");
}

static void put_images(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    json_key(w, STR("debug_meta"));
    json_begin_object(w);
    json_key(w, STR("images"));
    json_begin_array(w);
    for (size_t i = 0; i < m->n_modules; i++) {
        const struct minidump_module *module = &m->modules[i];
        json_begin_object(w);
        json_field_str(w, STR("type"), image_type(m->os));
        json_field_known(w, STR("code_file"), module->file);
        json_field_known(w, STR("code_id"), module->code_id);
        json_field_known(w, STR("debug_file"), module->debug_file);
        json_field_known(w, STR("debug_id"), module->debug_id);
        put_hex(w, STR("image_addr"), module->address, a);
        json_field_i64(w, STR("image_size"), module->size);
        json_end_object(w);
    }
    json_end_array(w);
    json_end_object(w);
}

void native_put_certain(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    json_begin_object(w);
    json_field_str(w, STR("platform"), STR("native"));
    json_field_str(w, STR("type"), STR("error"));
    put_exception(w, m, a);
    if (m && m->n_threads)
        put_threads(w, m, a);
    if (m && m->n_modules)
        put_images(w, m, a);
    json_end_object(w);
}

/* ---- contexts */

/* "Linux 5.10.0-8 #1 SMP … x86_64" as Breakpad and Crashpad write it; Crashpad leaves out the first word. */
static struct str kernel_version(struct str uname)
{
    struct str rest = uname, word = str_cut(&rest, ' ');
    if (str_eq(word, STR("Linux")))
        word = str_cut(&rest, ' ');
    return word.n && word.p[0] >= '0' && word.p[0] <= '9' ? word : STR("");
}

static void put_os(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    static const char *const names[] = {[MINIDUMP_OS_WINDOWS] = "Windows", [MINIDUMP_OS_MACOS] = "macOS",     [MINIDUMP_OS_IOS] = "iOS",
                                        [MINIDUMP_OS_LINUX] = "Linux",     [MINIDUMP_OS_ANDROID] = "Android", [MINIDUMP_OS_OTHER] = NULL};
    bool is_linux = m->os == MINIDUMP_OS_LINUX || m->os == MINIDUMP_OS_ANDROID;
    struct str kernel = is_linux ? kernel_version(m->os_detail) : STR("");
    if (!names[m->os])
        return;
    json_key(w, STR("os"));
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("os"));
    json_field_str(w, STR("name"), str_from(names[m->os]));
    if (m->os_major || m->os_minor || m->os_build)
        json_field_str(w, STR("version"), arena_printf(a, "%u.%u.%u", m->os_major, m->os_minor, m->os_build));
    else
        json_field_known(w, STR("version"), kernel);
    json_field_known(w, STR("kernel_version"), kernel);
    json_field_known(w, is_linux ? STR("raw_description") : STR("build"), m->os_detail);
    json_field_known(w, STR("distribution_name"), m->distribution);
    json_field_known(w, STR("distribution_version"), m->distribution_version);
    json_end_object(w);
}

static void put_device(struct json_writer *w, const struct minidump *m)
{
    static const char *const names[] = {[MINIDUMP_CPU_OTHER] = NULL,
                                        [MINIDUMP_CPU_X86] = "x86",
                                        [MINIDUMP_CPU_AMD64] = "x86_64",
                                        [MINIDUMP_CPU_ARM] = "arm",
                                        [MINIDUMP_CPU_ARM64] = "arm64"};
    if (!names[m->cpu])
        return;
    json_key(w, STR("device"));
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("device"));
    json_field_str(w, STR("arch"), str_from(names[m->cpu]));
    if (m->n_processors)
        json_field_i64(w, STR("processor_count"), m->n_processors);
    json_end_object(w);
}

static void put_transaction(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    struct minidump_frame frames[MINIDUMP_MAX_FRAMES];
    if (!m->exception.is_there || minidump_stack(m, NULL, crash_context(m), MINIDUMP_TOP, frames) == 0 || !frames[0].module)
        return;
    struct str module = base_name(frames[0].module->file);
    uint64_t at = frames[0].address - frames[0].module->address;
    if (module.n)
        json_field_str(w, STR("transaction"), arena_printf(a, "%.*s+0x%llx", STR_ARG(module), (unsigned long long)at));
}

void native_put_likely(struct json_writer *w, const struct minidump *m, struct arena *a)
{
    json_begin_object(w);
    json_field_str(w, STR("level"), STR("fatal"));
    if (!m) {
        json_key(w, STR("errors"));
        json_begin_array(w);
        json_begin_object(w);
        json_field_str(w, STR("type"), STR("invalid_data"));
        json_field_str(w, STR("name"), STR("minidump"));
        json_end_object(w);
        json_end_array(w);
        json_end_object(w);
        return;
    }
    if (m->time_s)
        json_field_i64(w, STR("timestamp"), m->time_s);
    put_transaction(w, m, a);
    json_key(w, STR("contexts"));
    json_begin_object(w);
    put_os(w, m, a);
    put_device(w, m);
    json_end_object(w);
    json_end_object(w);
}
