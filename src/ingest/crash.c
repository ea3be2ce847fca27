/* crash.c: crash reports at the door (protocol §1.6 "Minidump", "Unreal", §3.1, §3.3).
 *
 * A report comes as a form with a minidump in it, as the bare dump, as Unreal's archive, or as items of an envelope. Its parts are noted in
 * admit.crash, the event is made of them by native_event(), and the files become attachments of it. Everything is looked at before anything is
 * stored: a form without a dump leaves nothing behind. In an envelope the event that came along is the base, and its record gets the merged payload.
 *
 * What native_event() reads of a form's fields, of __sentry-event and of the breadcrumb files is part of the event and, wherever it came from, not kept as
 * files: the event is scrubbed, files are not. So what of these cannot be read is looked for here, before, and told. */
#include "admit.h"

#include "picket/base/error.h"
#include "picket/event/minidump.h"
#include "picket/protocol/msgpack.h"
#include "picket/protocol/multipart.h"
#include "picket/protocol/unreal.h"

#define DUMP_FIELD STR("upload_file_minidump")

struct crash_file {
    struct attachment what;
    struct str bytes;
};
struct crash_files {
    struct crash_file *at;
    size_t n, cap;
};

/* ---- what a file is */

enum part { PART_FILE, PART_DUMP, PART_APPLE, PART_EVENT, PART_CRUMBS_1, PART_CRUMBS_2, PART_CONTEXT };

struct file_kind {
    struct str name; /* of the field or file */
    enum part part;
    struct str type, content_type;
};
static const struct file_kind known_files[] = {
    {STR("upload_file_minidump"), PART_DUMP, STR("event.minidump"), STR("application/x-dmp")},
    {STR("__sentry-event"), PART_EVENT, STR("event.payload"), STR("application/x-msgpack")},
    {STR("__sentry-breadcrumb1"), PART_CRUMBS_1, STR("event.breadcrumbs"), STR("application/x-msgpack")},
    {STR("__sentry-breadcrumb2"), PART_CRUMBS_2, STR("event.breadcrumbs"), STR("application/x-msgpack")},
    {STR("view-hierarchy.json"), PART_FILE, STR("event.view_hierarchy"), STR("application/json")},
    {STR("CrashContext.runtime-xml"), PART_CONTEXT, STR("unreal.context"), STR("application/xml")},
};
static const struct file_kind dump_kind = {STR(""), PART_DUMP, STR("event.minidump"), STR("application/x-dmp")};
static const struct file_kind apple_kind = {STR(""), PART_APPLE, STR("event.applecrashreport"), STR("text/plain")};
static const struct file_kind log_kind = {STR(""), PART_FILE, STR("unreal.logs"), STR("text/plain")};
static const struct file_kind plain_kind = {STR(""), PART_FILE, STR("event.attachment"), STR("")};

static const struct file_kind *kind_by_name(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(known_files); i++)
        if (str_eq(known_files[i].name, name))
            return &known_files[i];
    return &plain_kind;
}

/* iOS, macOS: the texts; newer ones are JSON and only kept. */
static bool is_apple(struct str bytes)
{
    return str_starts(bytes, STR("Incident Identifier:")) || str_starts(bytes, STR("Process:"));
}

/* Of an archive: by name, else by how it begins. */
static const struct file_kind *kind_of_file(struct str name, struct str bytes)
{
    const struct file_kind *kind = kind_by_name(name);
    if (kind != &plain_kind)
        return kind;
    if (str_ends(name, STR(".log")))
        return &log_kind;
    if (minidump_is(bytes))
        return &dump_kind;
    return is_apple(bytes) ? &apple_kind : &plain_kind;
}

static struct str *slot_of(struct admit *a, enum part part)
{
    struct native_report *r = &a->crash;
    struct str *const slots[] = {[PART_FILE] = NULL,
                                 [PART_DUMP] = &r->dump,
                                 [PART_APPLE] = &r->apple_report,
                                 [PART_EVENT] = &r->event_msgpack,
                                 [PART_CRUMBS_1] = &r->breadcrumbs[0],
                                 [PART_CRUMBS_2] = &r->breadcrumbs[1],
                                 [PART_CONTEXT] = &r->unreal_context};
    return slots[part];
}

/* The first of a kind counts. */
static void note(struct admit *a, enum part part, struct str bytes)
{
    struct str *slot = slot_of(a, part);
    if (!slot)
        return;
    a->has_crash = a->has_crash || part != PART_CONTEXT; /* which only says more about one */
    if (slot->n == 0)
        *slot = bytes;
}

/* What is part of the event and nothing else. */
static bool is_of_event(enum part part)
{
    return part == PART_EVENT || part == PART_CRUMBS_1 || part == PART_CRUMBS_2;
}

/* As native_event() reads them: an event is one map; breadcrumbs are values one behind the other, and those before a damage count. 1: all of it is
 * sound; 0: the beginning is. */
static int check_msgpack(enum part part, struct str bytes)
{
    AUTO_BUF struct buf text = {0};
    struct str rest = bytes;
    int r = part == PART_EVENT ? msgpack_read(&rest, &text) : 0;
    if (part == PART_EVENT)
        return r == 0 && str_starts(buf_str(&text), STR("{")) ? 1 : -ERR_BAD_MSGPACK;
    while (r == 0 && rest.n > 0) {
        buf_clear(&text);
        r = msgpack_read(&rest, &text);
    }
    return r == 0 ? 1 : rest.n < bytes.n ? 0 : -ERR_BAD_MSGPACK;
}

/* 1, or what is not read of it, and why. */
static int note_of_event(struct admit *a, enum part part, struct str bytes)
{
    if (part == PART_CRUMBS_1 && slot_of(a, part)->n > 0)
        part = PART_CRUMBS_2;
    if (slot_of(a, part)->n > 0)
        return -ERR_SURPLUS_EVENT;
    if (bytes.n > 2 * a->limits.event_max_bytes) /* native.h: more is not read */
        return -ERR_ITEM_TOO_LARGE;
    if (bytes.n == 0 && part != PART_EVENT)
        return 1; /* a file of breadcrumbs that was never written to */
    int sound = check_msgpack(part, bytes);
    if (sound >= 0)
        note(a, part, bytes);
    return sound == 0 ? -ERR_BAD_MSGPACK : sound;
}

/* The same of a report that has no items: what is not read is told. */
static void join_file(struct admit *a, enum part part, struct str bytes)
{
    int r = note_of_event(a, part, bytes);
    if (r < 0)
        admit_leave_item(a, item_kind_of(STR("form_data")), r, bytes.n);
}

/* False: there are too many. */
static bool note_field(struct admit *a, struct str name, struct str value)
{
    if (!a->crash_fields)
        a->crash_fields = arena_array(&a->arena, struct native_field, MULTIPART_MAX_PARTS);
    if (a->crash.n_fields == MULTIPART_MAX_PARTS)
        return false;
    a->crash_fields[a->crash.n_fields++] = (struct native_field){name, value};
    a->crash.fields = a->crash_fields;
    return true;
}

static void add_file(struct admit *a, struct crash_files *files, const struct file_kind *kind, struct str name, struct str content_type,
                     struct str bytes)
{
    if (!files->at) {
        files->cap = MULTIPART_MAX_PARTS;
        files->at = arena_array(&a->arena, struct crash_file, files->cap);
    }
    if (files->n == files->cap) {
        admit_leave_item(a, item_kind_of(STR("attachment")), -ERR_TOO_MANY_ATTACHMENTS, bytes.n);
        return;
    }
    files->at[files->n++] = (struct crash_file){.what = {.name = name,
                                                         .content_type = kind->content_type.n ? kind->content_type : content_type,
                                                         .type = kind->type},
                                                .bytes = bytes};
}

/* ---- the event, and its files */

/* What is said about an event must not make it something that is not stored (§2.6: the first counts). */
static bool is_still_event(struct str payload)
{
    struct id128 id;
    enum event_class class;
    return event_peek(payload, &id, &class) == 0 && class != EVENT_TRANSACTION;
}

int admit_crash_settle(struct admit *a, const struct envelope *e)
{
    AUTO_BUF struct buf out = {0};
    struct spool_record *first = admit_first_event(a);
    bool says_more =
        first && (a->crash.n_fields || a->crash.unreal_context.n); /* of the event that came with it; alone it makes none (protocol §3.3) */
    if (!a->has_crash && !says_more)
        return 0;
    a->crash.event = first ? first->payload : STR("");
    a->crash.max_bytes = a->limits.event_max_bytes;
    native_event(&a->crash, &out);
    struct str payload = arena_str(&a->arena, buf_str(&out));
    if (!first)
        return admit_take_event(a, e, payload);
    if (!is_still_event(payload)) {
        admit_leave_joined(a, -ERR_SURPLUS_EVENT);
        return 0;
    }
    a->record_bytes = a->record_bytes - first->payload.n + payload.n;
    first->payload = payload;
    return 0;
}

/* The event counts more than its files: one that cannot be kept is left out and told. */
static void attach_files(struct admit *a, const struct crash_files *files)
{
    for (size_t i = 0; i < files->n; i++) {
        int r = admit_attach(a, &files->at[i].what, files->at[i].bytes);
        if (r < 0)
            admit_leave_item(a, item_kind_of(STR("attachment")), r, files->at[i].bytes.n);
    }
}

/* Of a request that is nothing but a report: its event, then the files in this order. */
static int take_report(struct admit *a, const struct envelope *e, const struct crash_files *first_files, const struct crash_files *files)
{
    int r = admit_crash_settle(a, e);
    if (r < 0)
        return r;
    attach_files(a, first_files);
    attach_files(a, files);
    a->is_read = true;
    const struct spool_record *first = admit_first_event(a);
    a->has_id = true;
    a->id = first ? first->event_id : a->records[0].event_id; /* what the sender calls feedback is no event */
    (void)admit_attach_settle(a, e);                          /* what is not kept it tells itself */
    return 0;
}

/* ---- dumps */

static struct str without_suffix(struct str name)
{
    static const struct str suffixes[] = {STR(".gz"), STR(".xz"), STR(".bz2"), STR(".zst")};
    for (size_t i = 0; i < ARRAY_LEN(suffixes); i++)
        if (str_ends(name, suffixes[i]))
            return str_take(name, name.n - suffixes[i].n);
    return name;
}

/* Undoes what it was compressed with. *name loses the suffix that says so. */
static int open_dump(struct admit *a, struct str bytes, struct str *name, struct str *ret)
{
    enum content_encoding encoding = encoding_of_file(bytes);
    if (encoding != ENCODING_IDENTITY) {
        buf_clear(&a->unwrapped);
        int r = encoding_decode(encoding, bytes, a->limits.attachment_max_bytes, &a->unwrapped);
        if (r < 0)
            return r;
        bytes = buf_str(&a->unwrapped);
        *name = without_suffix(*name);
    }
    if (!minidump_is(bytes))
        return -ERR_BAD_MINIDUMP;
    *ret = bytes;
    return 0;
}

/* ---- forms */

struct form {
    struct crash_files files;
    bool has_dump;
    struct str dump, dump_name;
};

static void take_part(struct admit *a, struct form *f, const struct multipart_part *part)
{
    const struct file_kind *kind = kind_by_name(part->name);
    if (kind->part == PART_DUMP && !f->has_dump) {
        f->has_dump = true;
        f->dump = part->content;
        f->dump_name = part->file_name.n ? part->file_name : STR("Minidump");
    } else if (!part->is_file) {
        if (!note_field(a, part->name, part->content))
            admit_leave_item(a, item_kind_of(STR("form_data")), -ERR_TOO_MANY_PARTS, part->content.n);
    } else if (is_of_event(kind->part)) {
        join_file(a, kind->part, part->content);
    } else if (part->file_name.n) { /* without a name there was no file (§1.6) */
        add_file(a, &f->files, kind, part->file_name, part->content_type, part->content);
    }
}

/* Old Electron has a form where the dump should be. One level: a form within that is none of ours. */
static bool open_nested(struct admit *a, const struct multipart_part *part, struct multipart *ret)
{
    return str_eq(part->name, DUMP_FIELD) && !minidump_is(part->content) && multipart_open_nested(part->content, &a->arena, ret);
}

static int read_form(struct admit *a, struct form *f, struct str body)
{
    struct multipart levels[2];
    struct multipart_part part;
    unsigned depth = 1;
    int r = multipart_open(a->content_type, body, &a->arena, &levels[0]);
    if (r < 0)
        return r;
    while (depth > 0) {
        struct multipart *m = &levels[depth - 1];
        r = multipart_next(m, &part);
        if (r < 0)
            return r;
        if (r == 0)
            depth--;
        else if (depth == 1 && open_nested(a, &part, &levels[1]))
            depth++;
        else
            take_part(a, f, &part);
    }
    return f->has_dump ? 0 : -ERR_NO_MINIDUMP;
}

int admit_minidump(struct admit *a, struct str body)
{
    struct envelope e = {.arena = &a->arena, .header.json = STR("{}")};
    struct form f = {.dump = body, .dump_name = STR("Minidump")};
    struct str dump;
    int r = multipart_is_form(a->content_type) ? read_form(a, &f, body) : 0;
    if (r == 0)
        r = open_dump(a, f.dump, &f.dump_name, &dump);
    if (r < 0)
        return r;
    note(a, PART_DUMP, dump);
    struct crash_file file = {.what = {.name = f.dump_name, .content_type = dump_kind.content_type, .type = dump_kind.type}, .bytes = dump};
    return take_report(a, &e, &(struct crash_files){&file, 1, 1}, &f.files); /* whichever of the others is one too many */
}

/* ---- Unreal */

/* Looks at all files before one is noted. */
static int read_archive(struct admit *a, struct str archive, struct crash_files *files)
{
    struct unreal u;
    struct unreal_file file;
    int r = unreal_open(archive, &u);
    if (r < 0)
        return r;
    while ((r = unreal_next(&u, &file)) == 1)
        add_file(a, files, kind_of_file(file.name, file.content), file.name, STR(""), file.content);
    if (r < 0)
        return r;
    size_t kept = 0;
    for (size_t i = 0; i < files->n; i++) {
        struct crash_file f = files->at[i];
        enum part part = kind_of_file(f.what.name, f.bytes)->part;
        if (is_of_event(part)) {
            join_file(a, part, f.bytes);
            continue;
        }
        note(a, part, f.bytes);
        files->at[kept++] = f;
    }
    files->n = kept;
    return 0;
}

static int unpack(struct admit *a, struct str body, struct crash_files *files)
{
    buf_clear(&a->unwrapped);
    int r = encoding_decode(ENCODING_DEFLATE, body, a->limits.attachments_max_bytes, &a->unwrapped);
    if (r == 0)
        r = read_archive(a, buf_str(&a->unwrapped), files);
    if (r == 0)
        a->has_crash = true; /* an archive is one whatever is in it */
    return r == -ERR_CORRUPT_BODY ? -ERR_BAD_UNREAL : r;
}

int admit_unreal(struct admit *a, struct str body)
{
    struct envelope e = {.arena = &a->arena, .header.json = STR("{}")};
    struct crash_files files = {0};
    int r = unpack(a, body, &files);
    return r < 0 ? r : take_report(a, &e, &files, &(struct crash_files){0});
}

int admit_unreal_item(struct admit *a, const struct envelope_item *item)
{
    struct crash_files files = {0};
    if (!a->blobs) {
        a->elsewhere = true;
        return 0;
    }
    if (a->unwrapped.n)
        return -ERR_SURPLUS_EVENT; /* what is unpacked of the first one is still in use */
    int r = unpack(a, item->payload, &files);
    if (r == 0)
        attach_files(a, &files);
    return r < 0 ? r : 1;
}

/* ---- items of an envelope */

void admit_crash_note(struct admit *a, struct str type, struct str bytes)
{
    if (str_eq(type, dump_kind.type) && minidump_is(bytes))
        note(a, PART_DUMP, bytes);
    else if (str_eq(type, apple_kind.type) && is_apple(bytes))
        note(a, PART_APPLE, bytes);
    else if (str_eq(type, STR("unreal.context")))
        note(a, PART_CONTEXT, bytes);
}

bool admit_crash_makes_event(const struct envelope_item *item)
{
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_ARENA struct arena arena = {0};
    struct str type;
    if (item->kind->use != ITEM_USE_ATTACHMENT || json_parse(item->header, &doc, NULL) < 0)
        return false;
    if (!json_str(json_get(json_root(doc), STR("attachment_type")), &arena, &type))
        return false;
    return str_eq(type, dump_kind.type) || str_eq(type, apple_kind.type) || admit_crash_joins(type);
}

bool admit_crash_joins(struct str type)
{
    return str_eq(type, STR("event.payload")) || str_eq(type, STR("event.breadcrumbs"));
}

int admit_crash_join(struct admit *a, struct str type, struct str bytes)
{
    return note_of_event(a, str_eq(type, STR("event.payload")) ? PART_EVENT : PART_CRUMBS_1, bytes);
}

static int note_pair(struct admit *a, const struct json *pair)
{
    AUTO_ARENA struct arena arena = {0};
    struct str name, value;
    if (a->crash.n_fields == MULTIPART_MAX_PARTS)
        return -ERR_TOO_MANY_PARTS;
    if (!json_str(json_at(pair, 0), &arena, &name) || !json_text(json_at(pair, 1), &arena, &value))
        return -ERR_BAD_JSON;
    if (name.n + value.n > 2 * a->limits.event_max_bytes - a->crash_copied) /* more is not read */
        return -ERR_ITEM_TOO_LARGE;
    a->crash_copied += name.n + value.n;
    return note_field(a, arena_str(&a->arena, name), arena_str(&a->arena, value)) ? 0 : -ERR_TOO_MANY_PARTS;
}

int admit_crash_form(struct admit *a, const struct json *pairs)
{
    int r = 1;
    for (struct json_iter it = json_iter(pairs); json_next(&it);) {
        int noted = note_pair(a, it.value);
        r = noted < 0 ? noted : r;
    }
    return r;
}
