/* stack.c: exceptions, threads and their stack traces, in the types that dashboards demand (contract §7.6, protocol §5.11). */
#include "blocks.h"

/* Protocol §5.11. */
enum { FRAMES_MAX = 250, DETAILED_MAX = 50, PATH_MAX_CHARS = 256, NAME_MAX_CHARS = 512, LINE_MAX_CHARS = 1024 };

/* Lines of source around a frame. Their number is what places them, so a null among them becomes an empty line. */
static void put_lines(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY) {
        block_invalid(b, name, v, "expected a list");
        return;
    }
    json_key(b->json, name);
    json_begin_array(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str line = STR("");
        (void)json_text(it.value, b->arena, &line); /* false for null: stays empty */
        json_put_str(b->json, line);
    }
    json_end_array(b->json);
}

/* Local variables: an object, or a list that becomes one keyed by position (protocol §5.5). */
static void put_vars(struct block_writer *b, struct str name, const struct json *v)
{
    size_t index = 0;
    if (json_type(v) != JSON_ARRAY) {
        block_map(b, name, v);
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it); index++) {
        if (json_type(it.value) <= JSON_NULL)
            continue;
        json_key(b->json, arena_printf(b->arena, "%zu", index));
        block_clean(b, it.value);
    }
    json_end_object(b->json);
}

/* ---- whose code a frame is */

enum ownership { OWN_UNKNOWN, OWN_LIBRARY, OWN_APP };

/* Where package managers and runtimes put what is not the application (our own list; only for frames of which the sender says nothing). */
static enum ownership guess_owner(const struct json *frame, struct arena *a)
{
    static const struct str parts[] = {STR("node_modules/"), STR("site-packages/"), STR("dist-packages/"),    STR("/vendor/"),
                                       STR("/pkg/mod/"),     STR("/gems/"),         STR("/.cargo/registry/"), STR("/rustc/"),
                                       STR("/lib/python"),   STR("/usr/lib/"),      STR("/usr/local/go/"),    STR("/.pub-cache/")};
    static const struct str starts[] = {STR("node:"), STR("internal/"), STR("<frozen "), STR("java."), STR("javax."), STR("jdk."),
                                        STR("sun."),  STR("kotlin."),   STR("System."),  STR("std::"), STR("core::")};
    static const struct str keys[] = {STR("abs_path"), STR("filename"), STR("module")};
    enum ownership owner = OWN_UNKNOWN;
    for (size_t k = 0; k < ARRAY_LEN(keys); k++) {
        const struct json *v = json_get(frame, keys[k]);
        struct str s;
        if (!block_is_scalar(v) || !json_text(v, a, &s) || s.n == 0) /* as the copy has it */
            continue;
        owner = OWN_APP;
        for (size_t i = 0; i < ARRAY_LEN(starts); i++)
            if (str_starts(s, starts[i]))
                return OWN_LIBRARY;
        for (size_t i = 0; i < ARRAY_LEN(parts); i++)
            if (s.n >= parts[i].n && memmem(s.p, s.n, parts[i].p, parts[i].n))
                return OWN_LIBRARY;
    }
    return owner;
}

/* ---- frames */

/* The path of a URL, without query and fragment; false for anything else. */
static bool url_path(struct str s, struct str *ret)
{
    size_t colon = str_find(s, ':');
    struct str rest = str_drop(s, colon);
    for (size_t i = 0; i < colon; i++)
        if (!((s.p[i] >= 'a' && s.p[i] <= 'z') || s.p[i] == '-' || s.p[i] == '+'))
            return false;
    if (colon == 0 || !str_starts(rest, STR("://")))
        return false;
    rest = str_drop(rest, 3);
    rest = str_drop(rest, str_find(rest, '/'));
    rest = str_take(rest, str_find(rest, '?'));
    *ret = str_take(rest, str_find(rest, '#'));
    return ret->n > 1;
}

static void put_filename(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s, path;
    if (json_str(v, b->arena, &s) && url_path(s, &path))
        block_put_text(b, name, path, PATH_MAX_CHARS, 0);
    else
        block_limited(b, name, v, PATH_MAX_CHARS, 0);
}

/* Go sends frames with abs_path alone, but a dashboard shows the filename; others send the filename alone (protocol §5.11). */
static void put_paths(struct block_writer *b, const struct json *v)
{
    const struct json *file = json_get(v, STR("filename")), *path = json_get(v, STR("abs_path"));
    if (!block_is_scalar(file) && block_is_scalar(path))
        put_filename(b, STR("filename"), path);
    if (!block_is_scalar(path) && block_is_scalar(file))
        block_limited(b, STR("abs_path"), file, PATH_MAX_CHARS, 0);
}

enum detail { DETAIL_ALL, DETAIL_NONE };

static void put_frame(struct block_writer *b, const struct json *v, enum detail detail)
{
    static const struct block_rule rules[] = {
        BLOCK_RULE("filename", put_filename),
        BLOCK_TEXT("abs_path", PATH_MAX_CHARS, 0),
        BLOCK_TEXT("function", NAME_MAX_CHARS, 0),
        BLOCK_TEXT("raw_function", NAME_MAX_CHARS, 0),
        BLOCK_TEXT("symbol", NAME_MAX_CHARS, 0),
        BLOCK_TEXT("module", PATH_MAX_CHARS, 0),
        BLOCK_TEXT("package", PATH_MAX_CHARS, 0),
        BLOCK_TEXT("platform", EVENT_MAX_PLATFORM, 0),
        BLOCK_TEXT("context_line", LINE_MAX_CHARS, 0),
        BLOCK_RULE("lineno", block_number),
        BLOCK_RULE("colno", block_number),
        BLOCK_RULE("in_app", block_bool),
        BLOCK_RULE("image_addr", block_address),
        BLOCK_RULE("instruction_addr", block_address),
        BLOCK_RULE("symbol_addr", block_address),
        /* the last three are what only some frames of a long stack keep */
        BLOCK_RULE("pre_context", put_lines),
        BLOCK_RULE("post_context", put_lines),
        BLOCK_RULE("vars", put_vars),
    };
    enum { DETAILS = 3 };
    struct members m;
    members_of_object(v, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        const struct block_rule *rule = block_rule_for(rules, ARRAY_LEN(rules), m.at[i].key);
        if (detail == DETAIL_ALL || !rule || rule < &rules[ARRAY_LEN(rules) - DETAILS])
            block_member(b, rule, m.at[i].key, m.at[i].value);
    }
    put_paths(b, v);
}

/* ---- long stacks */

struct frames {
    const struct json *at[FRAMES_MAX];
    enum ownership owner[FRAMES_MAX];
    enum detail detail[FRAMES_MAX];
    size_t n, sent;
};

/* At most FRAMES_MAX: of more, those at both ends, which say where it began and where it broke. Frames may be null. */
static void read_frames(const struct json *v, struct frames *f)
{
    size_t index = 0;
    f->n = f->sent = 0;
    for (struct json_iter it = json_iter(v); json_next(&it);)
        f->sent += json_type(it.value) == JSON_OBJECT;
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        if (json_type(it.value) != JSON_OBJECT)
            continue;
        if (f->sent <= FRAMES_MAX || index < FRAMES_MAX / 2 || index >= f->sent - FRAMES_MAX / 2)
            f->at[f->n++] = it.value;
        index++;
    }
}

/* What the sender says; an SDK that marks frames as the application's marks all that are; else where the frame lies. */
static void read_owners(struct frames *f, struct arena *a)
{
    bool in_app, some_are = false;
    for (size_t i = 0; i < f->n; i++)
        some_are |= block_read_bool(json_get(f->at[i], STR("in_app")), &in_app) && in_app;
    for (size_t i = 0; i < f->n; i++)
        if (block_read_bool(json_get(f->at[i], STR("in_app")), &in_app))
            f->owner[i] = in_app ? OWN_APP : OWN_LIBRARY;
        else if ((f->owner[i] = guess_owner(f->at[i], a)) == OWN_APP && some_are)
            f->owner[i] = OWN_LIBRARY;
}

/* DETAILED_MAX frames keep source and variables: the application's newest, then the others' newest. No notes: the protocol has none for this (Relay
 * leaves none either), and two hundred of them would leave no room for others. */
static void choose_detailed(struct frames *f)
{
    size_t left = DETAILED_MAX;
    for (size_t i = 0; i < f->n; i++)
        f->detail[i] = f->n > DETAILED_MAX ? DETAIL_NONE : DETAIL_ALL;
    for (unsigned round = 0; round < 2 && f->n > DETAILED_MAX; round++)
        for (size_t i = f->n; i-- > 0 && left > 0;) {
            if ((f->owner[i] == OWN_APP) != (round == 0) || f->detail[i] == DETAIL_ALL)
                continue;
            f->detail[i] = DETAIL_ALL;
            left--;
        }
}

static void put_owner(struct block_writer *b, const struct frames *f, size_t i)
{
    bool said;
    if (!block_read_bool(json_get(f->at[i], STR("in_app")), &said) && f->owner[i] != OWN_UNKNOWN)
        json_field_bool(b->json, STR("in_app"), f->owner[i] == OWN_APP);
}

static void put_frames(struct block_writer *b, struct str name, const struct json *v)
{
    struct frames f;
    const struct json *wrong = block_no_object(v);
    if (json_type(v) != JSON_ARRAY) {
        block_invalid(b, name, v, "expected a list");
        return;
    }
    read_frames(v, &f);
    read_owners(&f, b->arena);
    choose_detailed(&f);
    if (wrong) /* says that not all are there, too */
        block_dropped(b, name, wrong, "expected objects", json_count(v));
    else if (f.sent > f.n)
        block_shortened(b, name, f.sent);
    json_key(b->json, name);
    json_begin_array(b->json);
    notes_enter(&b->notes, name);
    for (size_t i = 0; i < f.n; i++) {
        json_begin_object(b->json);
        notes_enter_index(&b->notes, i);
        put_frame(b, f.at[i], f.detail[i]);
        put_owner(b, &f, i);
        notes_leave(&b->notes);
        json_end_object(b->json);
    }
    notes_leave(&b->notes);
    json_end_array(b->json);
}

static void put_registers(struct block_writer *b, struct str name, const struct json *v)
{
    struct members m;
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    members_of_object(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    for (size_t i = 0; i < m.n; i++)
        if (json_type(m.at[i].value) > JSON_NULL)
            block_address(b, m.at[i].key, m.at[i].value);
    notes_leave(&b->notes);
    json_end_object(b->json);
}

void block_stacktrace(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {BLOCK_RULE("frames", put_frames), BLOCK_RULE("registers", put_registers)};
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

const struct json *block_homeless_stack(const struct event_view *view, struct arena *a)
{
    const struct json **elements, *stack = view->at[EVENT_KEY_STACKTRACE];
    size_t n = block_elements(view->at[EVENT_KEY_EXCEPTION], a, &elements);
    if (n != 1 || json_type(stack) != JSON_OBJECT || json_type(json_get(elements[0], STR("stacktrace"))) == JSON_OBJECT)
        return NULL;
    return stack;
}

void block_event_stacktrace(struct block_writer *b, struct str name, const struct json *v)
{
    if (!b->homeless_stack)
        block_stacktrace(b, name, v);
}

/* The signal or Mach exception of old native SDKs has moved into `meta`. */
static void put_native(struct block_writer *b, const struct json *v)
{
    const struct json *posix = json_get(v, STR("posix_signal")), *mach = json_get(v, STR("mach_exception"));
    if (json_type(json_get(v, STR("meta"))) == JSON_OBJECT || (json_type(posix) != JSON_OBJECT && json_type(mach) != JSON_OBJECT))
        return;
    json_key(b->json, STR("meta"));
    json_begin_object(b->json);
    if (json_type(posix) == JSON_OBJECT)
        block_map(b, STR("signal"), posix);
    if (json_type(mach) == JSON_OBJECT)
        block_map(b, STR("mach_exception"), mach);
    json_end_object(b->json);
}

static void put_mechanism(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_TEXT("type", 128, 0),
        BLOCK_TEXT("description", 8192, 0),
        BLOCK_TEXT("help_link", 256, 40),
        BLOCK_RULE("handled", block_bool),
        BLOCK_RULE("synthetic", block_bool),
        BLOCK_TEXT("source", 256, 0),
        BLOCK_RULE("is_exception_group", block_bool),
        BLOCK_RULE("exception_id", block_number),
        BLOCK_RULE("parent_id", block_number),
        BLOCK_RULE("data", block_map),
        BLOCK_RULE("meta", block_map),
        BLOCK_RULE("posix_signal", block_skip),
        BLOCK_RULE("mach_exception", block_skip),
    };
    const struct json *type = json_get(v, STR("type"));
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    block_members(b, v, rules, ARRAY_LEN(rules));
    put_native(b, v);
    if (!block_is_scalar(type))
        json_field_str(b->json, STR("type"), STR("generic"));
    notes_leave(&b->notes);
    json_end_object(b->json);
}

/* JSON-lenient (protocol §5.5): whatever was thrown is shown as text. */
static void put_value(struct block_writer *b, struct str name, const struct json *v)
{
    struct str s;
    if (json_text(v, b->arena, &s))
        block_put_text(b, name, s, 8192, 200);
}

/* A thread's id: an integer or a text. */
static void put_thread_id(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_NUMBER && json_type(v) != JSON_STRING) {
        block_invalid(b, name, v, "expected a number or a string");
        return;
    }
    json_key(b->json, name);
    json_put_value(b->json, v);
}

static void put_exception(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_TEXT("type", 256, 0),
        BLOCK_RULE("value", put_value),
        BLOCK_TEXT("module", 256, 0),
        BLOCK_RULE("stacktrace", block_stacktrace),
        BLOCK_RULE("raw_stacktrace", block_stacktrace),
        BLOCK_RULE("mechanism", put_mechanism),
        BLOCK_RULE("thread_id", put_thread_id),
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
    if (b->homeless_stack)
        block_stacktrace(b, event_key_name(EVENT_KEY_STACKTRACE), b->homeless_stack);
    if (!block_is_scalar(json_get(v, STR("type"))) && json_type(json_get(v, STR("value"))) <= JSON_NULL)
        notes_error(&b->notes, STR("value"), STR("missing_attribute"), STR("expected a type or a value"), NULL);
}

void block_exception(struct block_writer *b, struct str name, const struct json *v)
{
    const struct json **elements;
    if (block_elements(v, b->arena, &elements) > 0) /* dashboards read the first without looking whether there is one */
        block_values(b, name, v, put_exception);
    else if (event_values(v))
        block_values_left(b, name, v);
    else if (json_type(v) != JSON_OBJECT || json_count(v) > 0)
        block_invalid(b, name, v, "expected a list of values");
}

static void put_thread(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_RULE("id", put_thread_id),
        BLOCK_TEXT("name", 1024, 0),
        BLOCK_RULE("crashed", block_bool),
        BLOCK_RULE("current", block_bool),
        BLOCK_RULE("main", block_bool),
        BLOCK_TEXT("state", 128, 0),
        BLOCK_RULE("held_locks", block_map),
        BLOCK_RULE("stacktrace", block_stacktrace),
        BLOCK_RULE("raw_stacktrace", block_stacktrace),
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
}

void block_threads(struct block_writer *b, struct str name, const struct json *v)
{
    block_values(b, name, v, put_thread);
}
