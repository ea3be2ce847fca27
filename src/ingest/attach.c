/* attach.c: attachments at the door (protocol §3.1, §3.3, limits of §2.5).
 *
 * An attachment's bytes do not go through the spool: they are put into the blob store first, which makes them durable, and the record says their
 * name. So a request is acknowledged when both are, and a crash between the two leaves a file that nobody names and that is swept. The file is
 * there before its row, whenever that comes: rows never point to nothing.
 *
 * They wait in admit.files until all of the request is read: only then is it known which event they belong to, and whether quotas leave it. The files of an
 * event that they do not leave are not written. Files for an event that came in another request are asked for by themselves.
 *
 * Left out and counted, but no reason to refuse the request: references to uploads, which are not served; what goes with a transaction and
 * nothing else, wherever that stands in the envelope. */
#include "admit.h"

#include "picket/base/error.h"
#include "picket/protocol/multipart.h"

/* Upload references and attachments of traces (protocol §1.6, §3.2) say what they are by their content type. */
static bool has_type(struct str content_type, struct str prefix)
{
    return str_starts_nocase(str_trim(content_type), prefix);
}

static int check_limits(const struct admit *a, size_t bytes)
{
    const struct admit_limits *l = &a->limits;
    if (a->n_attachments >= l->attachments_max)
        return -ERR_TOO_MANY_ATTACHMENTS;
    return bytes > l->attachment_max_bytes || bytes > l->attachments_max_bytes - a->attachment_bytes ? -ERR_ITEM_TOO_LARGE : 0;
}

int admit_attach(struct admit *a, const struct attachment *attachment, struct str bytes)
{
    int r = check_limits(a, bytes.n);
    if (r < 0)
        return r;
    if (!a->blobs) {
        a->elsewhere = true;
        return 0;
    }
    if (a->n_files == a->files_cap) {
        unsigned room = a->files_cap ? 4 * a->files_cap : 4;
        struct admit_file *more = arena_array(&a->arena, struct admit_file, room);
        if (a->n_files)
            memcpy(more, a->files, a->n_files * sizeof *more);
        a->files = more;
        a->files_cap = room;
    }
    a->files[a->n_files++] = (struct admit_file){.what = {.name = arena_str(&a->arena, attachment->name),
                                                          .content_type = arena_str(&a->arena, attachment->content_type),
                                                          .type = arena_str(&a->arena, attachment->type)},
                                                 .bytes = bytes};
    a->n_attachments++;
    a->attachment_bytes += bytes.n;
    return 1;
}

static int store(struct admit *a, const struct envelope *e, const struct admit_file *file)
{
    struct attachment what = file->what;
    struct admit_taken taken = {.kind = item_kind_of(STR("attachment")), .bytes = file->bytes.n, .quantity = file->bytes.n};
    struct blob_name name;
    char hex[ITEMS_HASH_HEX];
    buf_clear(&a->scratch);
    attachment_write(&what, &a->scratch);
    if (!admit_has_room(a, a->scratch.n + ITEMS_HASH_HEX + 32 + e->header.json.n)) /* before anything is written for nothing */
        return -ERR_TOO_MANY_ITEMS;
    if (!limit_take(a, &taken, &a->quota_reason))
        return -ERR_RATE_LIMITED;
    int r = blob_put(a->blobs, a->project_id, file->bytes, &name);
    if (r < 0) {
        limit_untake(a, &taken);
        return r;
    }
    str_hex_encode(name.sha256, sizeof name.sha256, hex);
    what.sha256 = str_of(hex, sizeof hex);
    what.bytes = file->bytes.n;
    buf_clear(&a->scratch);
    attachment_write(&what, &a->scratch);
    admit_add_record(a, e, SPOOL_ATTACHMENT, arena_str(&a->arena, buf_str(&a->scratch)), a->id);
    a->taken[a->n_records - 1] = taken;
    return 0;
}

/* What of this request the files belong to: its first event, else feedback of that id. NULL: it came in another one, or will. */
static struct admit_taken *owner(const struct admit *a)
{
    const struct spool_record *event = admit_first_event(a);
    for (unsigned i = 0; i < a->n_records; i++)
        if (event ? &a->records[i] == event : a->records[i].kind == SPOOL_FEEDBACK && id_eq(&a->records[i].event_id, &a->id))
            return &a->taken[i];
    return NULL;
}

int admit_attach_settle(struct admit *a, const struct envelope *e)
{
    struct admit_taken *whole = a->n_files ? owner(a) : NULL;
    bool is_left = !whole || limit_take(a, whole, &a->quota_reason);
    bool any_stored = false;
    int first_reason = 0;
    for (unsigned i = 0; i < a->n_files; i++) {
        int r = is_left ? store(a, e, &a->files[i]) : -ERR_RATE_LIMITED;
        any_stored = any_stored || r == 0;
        if (r == 0)
            continue;
        admit_leave_item(a, item_kind_of(STR("attachment")), r, a->files[i].bytes.n);
        a->over_quota = a->over_quota || r == -ERR_BLOB_QUOTA;
        first_reason = first_reason == 0 ? r : first_reason;
    }
    return any_stored ? 1 : first_reason;
}

static struct str member(const struct json *header, const char *name, struct arena *arena)
{
    struct str s;
    return json_str(json_get(header, str_from(name)), arena, &s) ? s : STR("");
}

/* What was read into the event is scrubbed with it; the bytes themselves are not kept, for nobody would look for secrets in them. */
static int join(struct admit *a, int r, size_t bytes)
{
    if (r < 1)
        return r;
    a->joined.n++;
    a->joined.bytes += bytes;
    a->n_attachments++;
    a->attachment_bytes += bytes;
    return 1;
}

static bool must_wait(struct admit *a)
{
    a->elsewhere = a->elsewhere || !a->blobs; /* where the whole envelope is looked at before, and blocking does no harm */
    return !a->blobs;
}

/* A form's fields: [[name, value], …]. */
static int take_form(struct admit *a, const struct envelope_item *item)
{
    AUTO_JSON struct json_doc *doc = NULL;
    if (must_wait(a))
        return 0;
    int r = item->payload.n > a->limits.event_max_bytes ? -ERR_ITEM_TOO_LARGE : check_limits(a, item->payload.n);
    if (r == 0)
        r = json_parse(item->payload, &doc, NULL);
    if (r == 0)
        r = json_type(json_root(doc)) == JSON_ARRAY ? admit_crash_form(a, json_root(doc)) : -ERR_BAD_JSON;
    return join(a, r, item->payload.n);
}

int admit_attach_item(struct admit *a, const struct envelope_item *item)
{
    AUTO_JSON struct json_doc *doc = NULL;
    AUTO_ARENA struct arena arena = {0}; /* what is kept of these texts is short */
    if (item->kind->use == ITEM_USE_FORM_DATA)
        return take_form(a, item);
    int r = json_parse(item->header, &doc, NULL);
    if (r < 0)
        return r;
    const struct json *header = json_root(doc);
    const struct attachment what = {.name = member(header, "filename", &arena),
                                    .content_type = member(header, "content_type", &arena),
                                    .type = member(header, "attachment_type", &arena)};
    if (has_type(what.content_type, STR("application/vnd.sentry.attachment-ref")))
        return -ERR_ATTACHMENT_REF;
    if (has_type(what.content_type, STR("application/vnd.sentry.trace-attachment")) ||
        has_type(what.content_type, STR("application/vnd.sentry.attachment.v2")))
        return 0; /* of a trace, and traces are not stored */
    if (must_wait(a))
        return 0;
    if (a->of_transaction)
        return -ERR_TRANSACTION_ATTACHMENT;
    if (admit_crash_joins(what.type)) {
        a->kind = item_kind_of(STR("form_data")); /* what it counts as */
        r = check_limits(a, item->payload.n);
        return join(a, r < 0 ? r : admit_crash_join(a, what.type, item->payload), item->payload.n);
    }
    admit_crash_note(a, what.type, item->payload); /* the event counts, even when the file cannot be kept */
    return admit_attach(a, &what, item->payload);
}

/* ---- forms */

/* All of it must be sound before anything is stored. */
static int check_form(struct admit *a, struct str body)
{
    AUTO_ARENA struct arena arena = {0};
    struct multipart m;
    struct multipart_part part;
    int r = multipart_open(a->content_type, body, &arena, &m);
    while (r == 0 || r == 1) {
        r = multipart_next(&m, &part);
        if (r <= 0)
            return r;
    }
    return r;
}

/* Files without a name are places where none was chosen (protocol §1.6). */
static int attach_part(struct admit *a, const struct multipart_part *part)
{
    const struct attachment what = {.name = part->file_name, .content_type = part->content_type};
    bool is_file = part->is_file && part->file_name.n > 0;
    int r = is_file ? admit_attach(a, &what, part->content) : 0;
    if (r <= 0 && (is_file || !part->is_file))
        admit_leave_item(a, item_kind_of(is_file ? STR("attachment") : STR("form_data")), r, part->content.n);
    return r;
}

int admit_files(struct admit *a, struct str body)
{
    struct envelope e = {.arena = &a->arena, .header.json = STR("{}")};
    struct multipart m;
    struct multipart_part part;
    int first_reason = 0;
    bool any_sound = false;
    if (!a->blobs) {
        a->elsewhere = true;
        return 1;
    }
    a->kind = item_kind_of(STR("attachment"));
    int r = check_form(a, body);
    if (r == 0)
        r = multipart_open(a->content_type, body, &a->arena, &m);
    if (r < 0)
        return r;
    while (multipart_next(&m, &part) == 1) {
        r = attach_part(a, &part);
        any_sound = any_sound || r == 0;
        first_reason = r < 0 && first_reason == 0 ? r : first_reason;
    }
    a->is_read = true;
    r = admit_attach_settle(a, &e);
    first_reason = r < 0 && first_reason == 0 ? r : first_reason;
    return any_sound || r > 0 ? 0 : first_reason;
}
