/* admit.c: what of an envelope is taken (decisions.md "broken items", "too large"; protocol §2.2, §2.6).
 *
 * Lost framing refuses the request. A payload that is broken or too large costs that item only; when nothing at all survives because
 * everything was broken or too large, the request is refused with the first reason. Items of kinds that are not stored are skipped, and so are those beyond
 * ENVELOPE_MAX_ITEMS, which are only counted.
 *
 * SDKs put one event into an envelope (§2.6); several are all taken. The first one's id, which is also the answer's, is the envelope header's, else its
 * own, else one that is made here. A further one's is its own; without one it follows from the first one's and its place, so that an envelope that is
 * sent again is stored once; feedback has its ids the same way. An id that the envelope has had already is a second copy. Attachments (attach.c) belong to the first one's id. */
#include "admit.h"

#include "picket/base/error.h"
#include "picket/protocol/dsn.h"

const struct item_kind *admit_kind(enum admit_form form)
{
    static const struct str names[] = {[ADMIT_ENVELOPE] = STR(""),         [ADMIT_STORE] = STR("event"),
                                       [ADMIT_REPORT] = STR("security"),   [ADMIT_NEL] = STR("nel"),
                                       [ADMIT_WORDS] = STR("user_report"), [ADMIT_CRON] = STR("check_in"),
                                       [ADMIT_MINIDUMP] = STR("event"),    [ADMIT_UNREAL] = STR("unreal_report"),
                                       [ADMIT_FILES] = STR("attachment"),  [ADMIT_TRACES] = STR("otel_traces_data"),
                                       [ADMIT_LOGS] = STR("otel_log")};
    return item_kind_of(names[form]);
}

void admit_init(struct admit *a)
{
    *a = (struct admit){0};
    arena_init(&a->arena);
}

void admit_init_like(struct admit *a, const struct admit *from)
{
    admit_init(a);
    a->limits = from->limits;
    a->form = from->form;
    a->quota = from->quota;
    a->own_authority = from->own_authority;
    a->encoding = from->encoding;
    a->credentials = from->credentials;
    a->project_id = from->project_id;
    a->key_id = from->key_id;
    a->received_us = from->received_us;
    memcpy(a->addr, from->addr, sizeof a->addr);
    a->reported.release = arena_str(&a->arena, from->reported.release);
    a->reported.environment = arena_str(&a->arena, from->reported.environment);
    a->reported.user_agent = arena_str(&a->arena, from->reported.user_agent);
    a->reported.origin = arena_str(&a->arena, from->reported.origin);
    a->slug = arena_str(&a->arena, from->slug);
    a->content_type = arena_str(&a->arena, from->content_type);
    a->crash.unreal_user = arena_str(&a->arena, from->crash.unreal_user);
    a->has_id = from->has_id;
    a->id = from->id;
}

void admit_forget(struct admit *a)
{
    buf_done(&a->decoded);
    buf_done(&a->unwrapped);
    buf_done(&a->scratch);
}

void admit_done(struct admit *a)
{
    admit_forget(a);
    arena_done(&a->arena);
}

/* ---- what is left out */

static bool are_alike(const struct admit_left *a, const struct admit_left *b)
{
    return a->kind == b->kind && a->reason == b->reason && a->quota == b->quota;
}

void admit_leave(struct admit *a, const struct admit_left *one)
{
    unsigned i = 0;
    while (i < a->n_left && !are_alike(&a->left[i], one))
        i++;
    if (i == ADMIT_MAX_LEFT)
        i--; /* no envelope has so many kinds and reasons; if one has, the last stands for the rest */
    if (i == a->n_left) {
        a->left[i] = (struct admit_left){.kind = one->kind, .reason = one->reason, .quota = one->quota};
        a->n_left++;
    }
    a->left[i].n += one->n ? one->n : 1;
    a->left[i].bytes += one->bytes;
    a->left[i].quantity += one->quantity;
    a->left[i].spans += one->spans;
}

void admit_leave_item(struct admit *a, const struct item_kind *kind, int reason, size_t bytes)
{
    const char *quota = reason == -ERR_RATE_LIMITED ? a->quota_reason : NULL;
    admit_leave(a, &(struct admit_left){.kind = kind, .reason = reason, .quota = quota, .bytes = bytes, .quantity = 1});
}

void admit_leave_joined(struct admit *a, int reason)
{
    const char *quota = reason == -ERR_RATE_LIMITED ? a->quota_reason : NULL;
    struct admit_left left = {.kind = item_kind_of(STR("form_data")), .reason = reason, .quota = quota, .bytes = a->joined.bytes};
    left.n = a->joined.n;
    left.quantity = a->joined.n;
    if (a->joined.n > 0)
        admit_leave(a, &left);
    a->joined = (struct admit_joined){0};
}

/* ---- what is taken */

bool admit_has_room(const struct admit *a, size_t bytes)
{
    return a->n_records == 0 || (a->n_records < ADMIT_MAX_RECORDS && a->record_bytes + bytes <= a->limits.records_max_bytes);
}

void admit_add_record(struct admit *a, const struct envelope *e, enum spool_kind kind, struct str payload, struct id128 event_id)
{
    if (a->n_records == a->records_cap) { /* most have one */
        unsigned room = a->records_cap ? 4 * a->records_cap : 1;
        struct spool_record *more = arena_array(&a->arena, struct spool_record, room);
        struct admit_taken *more_taken = arena_array(&a->arena, struct admit_taken, room);
        if (a->n_records) {
            memcpy(more, a->records, a->n_records * sizeof *more);
            memcpy(more_taken, a->taken, a->n_records * sizeof *more_taken);
        }
        a->records = more;
        a->taken = more_taken;
        a->records_cap = room;
    }
    a->taken[a->n_records] = (struct admit_taken){.kind = a->kind ? a->kind : admit_kind(a->form), .bytes = payload.n, .quantity = 1};
    struct spool_record *record = &a->records[a->n_records++];
    *record = (struct spool_record){
        .id = id_v7(a->received_us),
        .event_id = event_id,
        .project_id = a->project_id,
        .key_id = a->key_id,
        .received_us = a->received_us,
        .sent_at_us = e->header.sent_at_us,
        .kind = kind,
        .meta = e->header.json,
        .payload = payload,
    };
    memcpy(record->addr, a->addr, sizeof record->addr);
    a->record_bytes += payload.n + e->header.json.n;
}

struct spool_record *admit_first_event(const struct admit *a)
{
    for (unsigned i = 0; i < a->n_records; i++)
        if (a->records[i].kind == SPOOL_EVENT)
            return &a->records[i];
    return NULL;
}

static struct id128 event_id(const struct admit *a, const struct envelope *e, struct id128 own)
{
    const struct spool_record *first = admit_first_event(a);
    if (!first && e->header.has_event_id)
        return e->header.event_id;
    if (!id_is_nil(&own))
        return own;
    if (!first)
        return id_random();
    struct id128 id = first->event_id;
    id.b[sizeof id.b - 1] ^= (uint8_t)a->n_events; /* below ADMIT_MAX_RECORDS: no two alike */
    if (id_is_nil(&id))
        id.b[0] = 0x80; /* it came from an id below a hundred; nil names no event */
    return id;
}

static bool is_taken(const struct admit *a, const struct id128 *id)
{
    for (unsigned i = 0; i < a->n_records; i++)
        if (a->records[i].kind == SPOOL_EVENT && id_eq(&a->records[i].event_id, id))
            return true;
    return false;
}

static int add_event(struct admit *a, const struct envelope *e, struct str payload, struct id128 id)
{
    if (is_taken(a, &id))
        return -ERR_SURPLUS_EVENT;
    if (!admit_has_room(a, payload.n + e->header.json.n))
        return -ERR_TOO_MANY_ITEMS;
    admit_add_record(a, e, SPOOL_EVENT, payload, id);
    a->n_events++;
    return 1;
}

static bool is_feedback(const struct admit *a, const struct id128 *id)
{
    for (unsigned i = 0; i < a->n_records && !id_is_nil(id); i++)
        if (a->records[i].kind == SPOOL_FEEDBACK && id_eq(&a->records[i].event_id, id))
            return true;
    return false;
}

/* As events have theirs: where the first piece of feedback has taken the id, its own, else one that follows from it. */
static struct id128 feedback_id(const struct admit *a, struct id128 id, struct id128 own)
{
    if (!is_feedback(a, &id))
        return id;
    if (!id_is_nil(&own))
        return own;
    id.b[sizeof id.b - 1] ^= (uint8_t)a->n_records;
    return id;
}

/* As an item or as an event (protocol §7.3). */
static int add_feedback(struct admit *a, const struct envelope *e, struct str payload, struct id128 id)
{
    struct item_origin origin = {.received_us = a->received_us, .project_id = a->project_id, .event_id = id};
    if (is_feedback(a, &id))
        return -ERR_SURPLUS_EVENT;
    buf_clear(&a->scratch);
    int r = feedback_read(payload, &origin, &a->scratch);
    if (r < 0)
        return r;
    if (!admit_has_room(a, payload.n + e->header.json.n))
        return -ERR_TOO_MANY_ITEMS;
    a->kind = item_kind_of(STR("feedback")); /* what it counts as */
    admit_add_record(a, e, SPOOL_FEEDBACK, payload, id);
    return 1;
}

/* 1: taken; 0: it is of a kind that is not stored; <0: why it is left out. */
static int take_event(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    struct id128 own;
    enum event_class class;
    int r = event_peek(item->payload, &own, &class);
    if (r < 0)
        return r;
    if (class == EVENT_TRANSACTION) {
        a->kind = item_kind_of(STR("transaction")); /* what it counts as */
        a->unwanted = a->unwanted || a->kind->fate == ITEM_UNWANTED;
        return 0;
    }
    struct id128 id = event_id(a, e, own);
    return class == EVENT_FEEDBACK ? add_feedback(a, e, item->payload, feedback_id(a, id, own)) : add_event(a, e, item->payload, id);
}

int admit_add_event(struct admit *a, const struct envelope *e, struct str payload)
{
    return add_event(a, e, payload, event_id(a, e, (struct id128){0}));
}

int admit_take_event(struct admit *a, const struct envelope *e, struct str payload)
{
    struct envelope_item item = {.kind = item_kind_of(STR("event")), .payload = payload};
    a->kind = item.kind;
    int r = take_event(a, e, &item);
    return r == 0 ? -ERR_SURPLUS_EVENT : r;
}

static int take_reports(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    struct security_reader reader;
    int r = security_open(item->payload, &reader);
    if (r < 0)
        return r;
    r = reader.is_event ? take_event(a, e, item) : admit_reports(a, e, item, &reader);
    security_done(&reader);
    return r;
}

/* ---- what is no event */

/* Of aggregates each counts (protocol §4.5): as many as the account of what was read says. */
static uint64_t quantity_of(struct str read)
{
    AUTO_JSON struct json_doc *doc = NULL;
    int64_t sum = 0, n;
    if (json_parse(read, &doc, NULL) < 0)
        return 1;
    for (struct json_iter it = json_iter(json_get(json_root(doc), STR("outcomes"))); json_next(&it);)
        sum += json_i64(json_get(it.value, STR("n")), &n) ? n : 0;
    return (uint64_t)sum;
}

typedef int read_fn(struct str payload, const struct item_origin *origin, struct buf *out);

/* Reads it as the digest will: what is sound here is sound there. */
static int take_item(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    static const struct {
        enum spool_kind kind;
        read_fn *read;
    } uses[] = {
        [ITEM_USE_CLIENT_REPORT] = {SPOOL_CLIENT_REPORT, client_report_read},
        [ITEM_USE_SESSION] = {SPOOL_SESSION, session_read},
        [ITEM_USE_SESSIONS] = {SPOOL_SESSIONS, sessions_read},
        [ITEM_USE_USER_REPORT] = {SPOOL_USER_REPORT, user_report_read},
        [ITEM_USE_CHECK_IN] = {SPOOL_CHECK_IN, check_in_read},
    };
    struct item_origin origin = {.received_us = a->received_us, .sent_at_us = e->header.sent_at_us, .project_id = a->project_id};
    if (e->header.has_event_id)
        origin.event_id = e->header.event_id;
    read_fn *read = uses[item->kind->use].read;
    assert(read); /* of every kind that is stored and no event */
    buf_clear(&a->scratch);
    int r = read(item->payload, &origin, &a->scratch);
    if (r < 0)
        return r;
    if (!admit_has_room(a, item->payload.n + e->header.json.n))
        return -ERR_TOO_MANY_ITEMS;
    admit_add_record(a, e, uses[item->kind->use].kind, item->payload, origin.event_id);
    if (item->kind->use == ITEM_USE_SESSIONS)
        a->taken[a->n_records - 1].quantity = quantity_of(buf_str(&a->scratch));
    return 1;
}

static int take_feedback(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    struct id128 own;
    enum event_class class;
    if (event_peek(item->payload, &own, &class) < 0)
        own = (struct id128){{0}};
    return add_feedback(a, e, item->payload, feedback_id(a, e->header.has_event_id ? e->header.event_id : own, own));
}

static bool has_check_in(const struct admit *a)
{
    for (unsigned i = 0; i < a->n_records; i++)
        if (a->records[i].kind == SPOOL_CHECK_IN)
            return true;
    return false;
}

/* §2.5: one of an envelope, and a small one. */
static int take_check_in(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    if (item->payload.n > a->limits.check_in_max_bytes && a->form != ADMIT_CRON) /* what a body without a slug became is a little longer */
        return -ERR_ITEM_TOO_LARGE;
    return has_check_in(a) ? -ERR_SURPLUS_EVENT : take_item(a, e, item);
}

/* Kinds that have limits of their own (protocol §2.5). What is beyond them is left out. */
static int take_share(const struct admit_share *limit, struct admit_share *used, size_t bytes)
{
    if (used->items >= limit->items || bytes > limit->bytes - used->bytes)
        return -ERR_ITEM_TOO_LARGE;
    used->items++;
    used->bytes += bytes;
    return 0;
}

/* Of one item. What is parsed as a whole has the bound of an event, which is one of memory: a parsed value takes up to 13 bytes for each byte of its text.
 * Attachments have their own (attach.c). */
static int check_size(struct admit *a, const struct envelope_item *item)
{
    enum item_use use = item->kind->use;
    if (use == ITEM_USE_ATTACHMENT || use == ITEM_USE_FORM_DATA || use == ITEM_USE_UNREAL)
        return 0;
    if (item->payload.n > a->limits.event_max_bytes)
        return -ERR_ITEM_TOO_LARGE;
    if (item->kind->category == CATEGORY_SESSION)
        return take_share(&a->limits.sessions, &a->n_sessions, item->payload.n);
    if (use == ITEM_USE_CLIENT_REPORT)
        return take_share(&a->limits.client_reports, &a->n_client_reports, item->payload.n);
    return 0;
}

static int take(struct admit *a, const struct envelope *e, const struct envelope_item *item)
{
    a->kind = item->kind;
    if (item->is_surplus) {
        a->elsewhere = !a->blobs; /* there may be very many */
        return -ERR_SURPLUS_ITEM;
    }
    if (item->kind->fate != ITEM_STORED)
        return 0;
    if (check_size(a, item) < 0)
        return -ERR_ITEM_TOO_LARGE;
    switch (item->kind->use) {
    case ITEM_USE_EVENT:
        return take_event(a, e, item);
    case ITEM_USE_SECURITY:
        return take_reports(a, e, item);
    case ITEM_USE_CLIENT_REPORT:
    case ITEM_USE_SESSION:
    case ITEM_USE_SESSIONS:
    case ITEM_USE_USER_REPORT:
        return take_item(a, e, item);
    case ITEM_USE_FEEDBACK:
        return take_feedback(a, e, item);
    case ITEM_USE_CHECK_IN:
        return take_check_in(a, e, item);
    case ITEM_USE_ATTACHMENT:
    case ITEM_USE_FORM_DATA:
        return admit_attach_item(a, item);
    case ITEM_USE_UNREAL:
        return admit_unreal_item(a, item);
    case ITEM_USE_NONE:
        break;
    }
    return 0;
}

/* Itself and those in it, which are not read but counted. One that is larger than any is looked at (§2.5) counts as one. */
static uint64_t spans_of(const struct admit *a, struct str transaction)
{
    return 1 + (transaction.n > a->limits.event_max_bytes ? 0 : json_skim_count(transaction, STR("spans")));
}

/* Containers of what is not stored say how many are in them (protocol §2.3); each is some bytes long. What is not stored, or part of an event, may be of
 * another kind than its header says. */
static void leave_item(struct admit *a, const struct envelope_item *item, int reason)
{
    const struct item_kind *kind = reason == 0 || a->kind->use == ITEM_USE_FORM_DATA ? a->kind : item->kind;
    AUTO_JSON struct json_doc *doc = NULL;
    int64_t n = 0;
    if (reason == 0 && kind->fate == ITEM_UNWANTED && json_parse(item->header, &doc, NULL) == 0)
        (void)json_i64(json_get(json_root(doc), STR("item_count")), &n);
    if (kind->category == CATEGORY_TRANSACTION)
        admit_leave(a, &(struct admit_left){
                           .kind = kind, .reason = reason, .bytes = item->payload.n, .quantity = 1, .spans = spans_of(a, item->payload)});
    else if (n <= 1 || (uint64_t)n > item->payload.n)
        admit_leave_item(a, kind, reason, item->payload.n);
    else
        admit_leave(a, &(struct admit_left){.kind = kind, .bytes = item->payload.n, .quantity = (uint64_t)n});
}

/* `r`: what admit_crash_settle says. */
static void settle_joined(struct admit *a, int r)
{
    const struct spool_record *first = admit_first_event(a);
    if (a->joined.n == 0)
        return;
    if (first || r == 1) { /* a report may turn out to be feedback: the last record */
        a->joined.with = first ? (unsigned)(first - a->records) : a->n_records - 1;
        return;
    }
    admit_leave_joined(a, r < 0 ? r : -ERR_NO_EVENT);
}

static int read_items(struct admit *a, struct envelope *e)
{
    struct envelope_item item;
    int r, first_reason = 0;
    bool needs_id = false, any_sound = false;
    while ((r = envelope_next(e, &item)) == 1) {
        needs_id = needs_id || item.kind->needs_event_id;
        a->unwanted = a->unwanted || item.kind->fate == ITEM_UNWANTED;
        unsigned n_files = a->n_files;
        int taken = take(a, e, &item);
        if (a->elsewhere)
            return 1;
        any_sound =
            any_sound || (taken >= 0 && a->n_files == n_files) || err_status(taken) == 200; /* 200: the sender has done nothing wrong */
        if (taken < 0 && first_reason == 0) {
            first_reason = taken;
            a->at = item.at;
        }
        if (taken <= 0)
            leave_item(a, &item, taken);
    }
    if (r < 0) {
        a->at = e->at;
        return r;
    }
    a->is_read = true;
    r = admit_crash_settle(a, e); /* makes an event also of a dump whose file could not be kept */
    if (r < 0)
        admit_leave_item(a, item_kind_of(STR("event")), r, 0);
    settle_joined(a, r);
    const struct spool_record *first = admit_first_event(a);
    a->has_id = e->header.has_event_id;
    a->id = first ? first->event_id : a->has_id ? e->header.event_id : id_random();
    int files = admit_attach_settle(a, e);
    if (files < 0 && first_reason == 0)
        first_reason = files;
    if (first_reason < 0 && !any_sound && files <= 0 && r <= 0)
        return first_reason;
    a->has_id = a->has_id || needs_id;
    return 0;
}

/* A tunnel (browsers behind ad blockers) has no project in its path and no key in its headers: the dsn says both, if it is one of ours. */
static int join_dsn(struct admit *a, struct str text)
{
    struct dsn dsn;
    if (a->own_authority.n == 0)
        return credentials_join_dsn(&a->credentials, text, a->project_id);
    if (text.n == 0)
        return -ERR_NO_CREDENTIALS;
    int r = dsn_parse(text, &dsn);
    if (r == 0 && !str_eq_nocase(dsn_host(dsn.scheme, dsn.authority), a->own_authority))
        r = -ERR_FOREIGN_DSN;
    if (r < 0)
        return r;
    a->project_id = dsn.project_id;
    a->credentials.key = dsn.key;
    a->credentials.present = true;
    return 0;
}

static bool can_have_attachments(const struct item_kind *kind)
{
    bool is_one = kind->use == ITEM_USE_ATTACHMENT || kind->use == ITEM_USE_FORM_DATA;
    return kind->fate == ITEM_STORED && kind->needs_event_id && !is_one;
}

/* Before any attachment's bytes are written: is all of it there, and whose are they? A transaction's only if there is nothing else that is an event or makes
 * one, wherever it stands. */
static int look_ahead(struct admit *a, struct envelope e)
{
    struct envelope_item item;
    bool has_transaction = false, has_other = false;
    int r;
    while ((r = envelope_next(&e, &item)) == 1) {
        if (item.is_surplus)
            continue;
        has_transaction = has_transaction || str_eq(item.kind->name, STR("transaction"));
        has_other = has_other || can_have_attachments(item.kind) || admit_crash_makes_event(&item);
    }
    a->of_transaction = has_transaction && !has_other;
    a->at = e.at;
    return r;
}

/* Those who come through a tunnel, or with nothing but a dsn, say nothing of themselves before. */
static void name_client(struct admit *a, const struct envelope *e)
{
    struct str name, version;
    if (credentials_client(&a->credentials).n > 0)
        return;
    event_header_sdk(e->header.json, &a->arena, &name, &version);
    credentials_name_client(&a->credentials, name, version);
}

static int read_envelope(struct admit *a, struct str body)
{
    struct envelope e;
    int r = envelope_open(body, &a->arena, &e);
    if (r < 0) {
        a->at = e.at;
        return r;
    }
    name_client(a, &e);
    r = join_dsn(a, e.header.dsn);
    if (r == 0 && a->blobs)
        r = look_ahead(a, e);
    return r < 0 ? r : read_items(a, &e);
}

int admit_peek(struct admit *a)
{
    struct str start = a->body;
    struct envelope e;
    int r = 0;
    if (a->encoding != ENCODING_IDENTITY) {
        buf_clear(&a->decoded);
        r = encoding_peek(a->encoding, a->body, ENVELOPE_MAX_HEADER + 2, &a->decoded);
        start = buf_str(&a->decoded);
    }
    if (r < 0)
        return r;
    r = envelope_open(start, &a->arena, &e);
    a->at = e.at;
    if (r < 0)
        return r;
    name_client(a, &e);
    return join_dsn(a, e.header.dsn);
}

/* ---- one event without an envelope */

static bool is_json(struct str s)
{
    s = str_trim(s);
    return str_starts(s, STR("{")) || str_starts(s, STR("\xEF\xBB\xBF"));
}

/* Base64 as it comes through forms and mail: lines, and blanks where a '+' was decoded as in a query. <0: it is none. */
static int unwrap_base64(struct str in, struct buf *out)
{
    AUTO_BUF struct buf clean = {0};
    size_t text = 0; /* where the last byte ends that is no blank */
    for (size_t i = 0; i < in.n; i++) {
        char c = in.p[i];
        if (c == '\n' || c == '\r' || c == '\t' || (c == ' ' && text == 0))
            continue;
        buf_append_char(&clean, (char)(c == ' ' ? '+' : c));
        text = c == ' ' ? text : clean.n;
    }
    while (clean.n > text && clean.n % 4 != 0) /* blanks at the end that complete nothing were blanks */
        clean.n--;
    buf_reserve(out, 3 * clean.n / 4 + 3);
    ptrdiff_t n = str_base64_decode(buf_str(&clean), (uint8_t *)out->p + out->n);
    if (n < 0)
        return -ERR_BAD_JSON;
    out->n += (size_t)n;
    return 0;
}

/* Old SDKs: the JSON, or its zlib, or the base64 of one of them. 1: *ret is the JSON text; 0: more than `max` comes out of it; <0: none of these. */
static int unwrap(struct admit *a, struct str body, size_t max, struct str *ret)
{
    *ret = body;
    if (is_json(body))
        return 1;
    if (body.n > 2 * max + 1024) /* more than any wrapping adds, and before it is copied */
        return 0;
    AUTO_BUF struct buf bytes = {0};
    if (unwrap_base64(body, &bytes) == 0) {
        body = buf_str(&bytes);
        if (is_json(body)) {
            buf_clear(&a->unwrapped);
            buf_append_str(&a->unwrapped, body);
            *ret = buf_str(&a->unwrapped);
            return 1;
        }
    }
    buf_clear(&a->unwrapped);
    int r = encoding_decode(ENCODING_DEFLATE, body, max, &a->unwrapped);
    *ret = buf_str(&a->unwrapped);
    return r == 0 ? 1 : r == -ERR_TOO_LARGE ? 0 : -ERR_BAD_JSON;
}

/* As an envelope's only item: its payload begins at 0. 1: not decided. */
static int read_store(struct admit *a, struct str body, size_t max_decoded)
{
    struct envelope e = {.arena = &a->arena, .header.json = STR("{}")};
    struct envelope_item item = {.kind = admit_kind(a->form)};
    size_t max = a->limits.event_max_bytes < max_decoded ? a->limits.event_max_bytes : max_decoded;
    int r = unwrap(a, body, max, &item.payload);
    if (r == 0 && max < a->limits.event_max_bytes)
        return 1;
    if (r <= 0)
        return r < 0 ? r : -ERR_ITEM_TOO_LARGE;
    r = take(a, &e, &item);
    if (r < 0)
        return r;
    a->is_read = true;
    if (r == 0) {
        a->unwanted = true;
        leave_item(a, &item, r);
    }
    a->has_id = true;
    a->id = a->n_records ? a->records[0].event_id : id_random();
    return 0;
}

/* The same for what is no event. */
static int read_item(struct admit *a, struct str body)
{
    struct envelope e = {.arena = &a->arena, .header.json = STR("{}")};
    struct envelope_item item = {.kind = admit_kind(a->form), .payload = body};
    int r = take(a, &e, &item);
    if (a->elsewhere)
        return 1;
    a->is_read = true;
    if (r < 0)
        admit_leave_item(a, item.kind, r, body.n);
    return r < 0 && err_status(r) != 200 ? r : 0;
}

/* What somebody wrote must say which event it is about: there is no envelope that could. */
static int read_words(struct admit *a, struct str body)
{
    struct id128 event_id;
    enum event_class class;
    int r = event_peek(body, &event_id, &class);
    if (r == 0 && id_is_nil(&event_id))
        r = -ERR_BAD_EVENT_ID;
    return r < 0 ? r : read_item(a, body);
}

/* Network errors would become logs, one by one. Each is counted. */
static int read_network_errors(struct admit *a, struct str body)
{
    AUTO_JSON struct json_doc *doc = NULL;
    if (body.n > a->limits.event_max_bytes)
        return -ERR_ITEM_TOO_LARGE;
    int r = json_parse(body, &doc, NULL);
    if (r < 0)
        return r;
    a->is_read = true;
    size_t n = json_type(json_root(doc)) == JSON_ARRAY ? json_count(json_root(doc)) : 1;
    if (n > 0)
        admit_leave(a, &(struct admit_left){.kind = admit_kind(a->form), .n = (unsigned)n, .bytes = body.n / n * n, .quantity = n});
    return 0;
}

/* How much is in it is not known: it counts as one. */
static int read_telemetry(struct admit *a, struct str body)
{
    a->is_read = a->unwanted = true;
    admit_leave_item(a, admit_kind(a->form), 0, body.n);
    return 0;
}

/* ---- a check-in without an envelope (protocol §1.6): the path's slug overrides the body's */

static int name_monitor(struct admit *a, struct str body)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer w;
    int r = json_parse(body, &doc, NULL);
    if (r < 0)
        return r;
    if (json_type(json_root(doc)) != JSON_OBJECT)
        return -ERR_NOT_AN_OBJECT;
    buf_clear(&a->unwrapped);
    json_writer_init(&w, &a->unwrapped);
    json_begin_object(&w);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        struct str key;
        if (!json_str(it.key, &a->arena, &key) || str_eq(key, STR("monitor_slug")))
            continue;
        json_key(&w, key);
        json_put_value(&w, it.value);
    }
    json_field_str(&w, STR("monitor_slug"), a->slug);
    json_end_object(&w);
    return 0;
}

static int read_cron(struct admit *a, struct str body)
{
    int r = name_monitor(a, body);
    return r < 0 ? r : read_item(a, buf_str(&a->unwrapped));
}

static int read_body(struct admit *a, struct str body, size_t max_decoded)
{
    switch (a->form) {
    case ADMIT_ENVELOPE:
        return read_envelope(a, body);
    case ADMIT_STORE:
        return read_store(a, body, max_decoded);
    case ADMIT_REPORT:
        return read_item(a, body);
    case ADMIT_WORDS:
        return read_words(a, body);
    case ADMIT_NEL:
        return read_network_errors(a, body);
    case ADMIT_TRACES:
    case ADMIT_LOGS:
        return read_telemetry(a, body);
    case ADMIT_CRON:
        return read_cron(a, body);
    case ADMIT_MINIDUMP:
        return admit_minidump(a, body);
    case ADMIT_UNREAL:
        return admit_unreal(a, body);
    case ADMIT_FILES:
        return admit_files(a, body);
    }
    return -ERR_BAD_REQUEST;
}

int admit_run(struct admit *a, size_t max_decoded)
{
    struct str body = a->body;
    if (a->encoding != ENCODING_IDENTITY) {
        size_t max = max_decoded < a->limits.envelope_max_bytes ? max_decoded : a->limits.envelope_max_bytes;
        buf_clear(&a->decoded);
        int r = encoding_decode(a->encoding, body, max, &a->decoded);
        if (r == -ERR_TOO_LARGE && max < a->limits.envelope_max_bytes)
            return 1;
        if (r < 0) {
            buf_done(&a->decoded); /* the request may be answered much later */
            a->result = r;
            return 0;
        }
        body = buf_str(&a->decoded);
    }
    if (body.n > a->limits.envelope_max_bytes)
        a->result = -ERR_TOO_LARGE;
    else
        a->result = read_body(a, body, max_decoded);
    if (a->result == 1) {
        a->result = 0;
        return 1;
    }
    if (a->result < 0)
        limit_give_back(a);
    return 0;
}
