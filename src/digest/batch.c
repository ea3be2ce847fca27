/* batch.c: from spool records to the arrays of digest_batch() (sql/migrations/0002_digest_batch.sql).
 *
 * The statement wants its records ascending by (project, event_id) and distinct by it, and its groups ascending by (project, hash): sorting
 * here costs microseconds and spares the database both the sort and the decision. Of records with the same id the one that was received
 * first is kept. Payloads are packed here, on the digest's thread, so that neither the door nor PostgreSQL pays for it.
 *
 * Items that are no events are read by the event layer (items.h) and stored by digest_reports() (0005_reports.sql), which ends the batch. */
#include "batch.h"

#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/base/ip.h"
#include "picket/event/items.h"
#include "picket/event/scrub.h"
#include "picket/protocol/category.h"

/* Of each piece of scratch memory: what is kept from one batch to the next, and what of it while there is nothing to do. To get it anew for each batch was 2 of the
 * 30 µs that an event takes here, for the kernel clears every page. */
enum { KEEP_BUSY_BYTES = 16 << 20, KEEP_IDLE_BYTES = 1 << 20, PART_BYTES = 512 << 10 /* what is read at a time: fits a cache */ };

static const enum db_type array_types[A_COUNT] = {
    [A_G_PROJECT] = DB_I32,      [A_G_HASH] = DB_BYTES,    [A_G_TYPE] = DB_TEXT,     [A_G_VALUE] = DB_TEXT,       [A_G_TITLE] = DB_TEXT,
    [A_G_TRANSACTION] = DB_TEXT, [A_G_FILENAME] = DB_TEXT, [A_G_MODULE] = DB_TEXT,   [A_G_FUNCTION] = DB_TEXT,    [A_G_LEVEL] = DB_TEXT,
    [A_G_PLATFORM] = DB_TEXT,    [A_R_GROUP] = DB_I32,     [A_R_ID] = DB_ID,         [A_R_EVENT_ID] = DB_ID,      [A_R_RECEIVED] = DB_TIME,
    [A_R_TIMESTAMP] = DB_TIME,   [A_R_TITLE] = DB_TEXT,    [A_R_LEVEL] = DB_TEXT,    [A_R_PLATFORM] = DB_TEXT,    [A_R_RELEASE] = DB_TEXT,
    [A_R_ENVIRONMENT] = DB_TEXT, [A_R_SERVER] = DB_TEXT,   [A_R_SDK_NAME] = DB_TEXT, [A_R_SDK_VERSION] = DB_TEXT, [A_R_ADDR] = DB_INET,
    [A_R_PAYLOAD] = DB_BYTES,    [A_R_KEY] = DB_I64,       [A_R_CATEGORY] = DB_I16,  [A_R_BYTES] = DB_I64,        [A_R_TAGS] = DB_BYTES,
    [A_R_USER] = DB_I64,
};

void batch_init(struct batch *b)
{
    *b = (struct batch){0};
    arena_init(&b->arena);
    dictionaries_init(&b->dictionaries);
    tags_init(&b->tags);
}

void batch_done(struct batch *b)
{
    for (unsigned i = 0; i < A_COUNT; i++)
        db_array_done(&b->arrays[i]);
    buf_done(&b->bytes);
    buf_done(&b->scratch);
    buf_done(&b->packed);
    rules_done(&b->rules);
    free(b->records);
    free(b->items);
    free(b->order);
    arena_done(&b->arena);
    dictionaries_done(&b->dictionaries);
    tags_done(&b->tags);
}

static void give_back(struct batch *b, size_t above)
{
    if (b->bytes.cap > above)
        buf_done(&b->bytes);
    if (b->scratch.cap > above)
        buf_done(&b->scratch);
    if (b->packed.cap > above)
        buf_done(&b->packed);
    for (unsigned i = 0; i < A_COUNT; i++)
        if (b->arrays[i].buf.cap > above)
            db_array_done(&b->arrays[i]);
}

void batch_clear(struct batch *b)
{
    b->n_records = b->n_items = b->n_open = 0;
    b->claims = b->retains = false;
    rules_clear(&b->rules);
    dictionaries_clear(&b->dictionaries);
    tags_clear(&b->tags);
    arena_reset(&b->arena);
    give_back(b, KEEP_BUSY_BYTES);
}

void batch_rest(struct batch *b)
{
    assert(b->n_records == 0);
    give_back(b, KEEP_IDLE_BYTES);
    dictionaries_rest(&b->dictionaries);
    tags_rest(&b->tags);
}

static void reserve(struct batch *b, unsigned n)
{
    if (n <= b->items_cap)
        return;
    b->records = realloc(b->records, n * sizeof *b->records);
    b->items = realloc(b->items, n * sizeof *b->items);
    b->order = realloc(b->order, n * sizeof *b->order);
    if (!b->records || !b->items || !b->order)
        abort();
    b->items_cap = b->records_cap = n;
}

/* Items with an outcome already go last, in the order of their receipt; the others ascend by project, event id, receipt. */
static int by_event(const void *pa, const void *pb)
{
    const struct batch_item *a = pa, *b = pb;
    int done_a = a->outcome != OUTCOME_OPEN, done_b = b->outcome != OUTCOME_OPEN;
    if (done_a != done_b)
        return done_a - done_b;
    if (done_a)
        return id_cmp(&a->record->id, &b->record->id);
    if (a->record->project_id != b->record->project_id)
        return a->record->project_id < b->record->project_id ? -1 : 1;
    int r = id_cmp(&a->record->event_id, &b->record->event_id);
    return r ? r : id_cmp(&a->record->id, &b->record->id);
}

static bool same_event(const struct batch_item *a, const struct batch_item *b)
{
    return a->record->project_id == b->record->project_id && id_eq(&a->record->event_id, &b->record->event_id);
}

/* Only here, where it is asked for: event_read parses many more texts than fail. */
static int64_t parser_position(struct str payload)
{
    size_t at;
    AUTO_JSON struct json_doc *doc = NULL;
    return json_parse(payload, &doc, &at) == -ERR_BAD_JSON ? (int64_t)at : -1;
}

struct taken {
    struct batch *batch;
    struct batch_item *item;
    uint64_t project_id;
};

static void take_facets(void *arg, const struct event_fields *fields, const struct event_facets *facets)
{
    const struct taken *t = arg;
    struct batch_item *item = t->item;
    struct batch *b = t->batch;
    (void)fields;
    item->has_user = facets->has_user;
    item->user_hash = facets->user_hash;
    item->tags = arena_alloc(&b->arena, facets->n_tags * sizeof *item->tags);
    item->n_tags = t->project_id > INT32_MAX ? 0 : facets->n_tags;
    for (unsigned i = 0; i < item->n_tags; i++)
        item->tags[i] = tags_find(&b->tags, t->project_id, facets->tags[i].key, facets->tags[i].value, &b->arena);
}

/* Everything that is stored of the event, its title and columns too, is of the scrubbed payload. That is packed at once: a batch of them as they are would
 * be as large again as what was read. */
static int read_event(struct batch *b, struct batch_item *item)
{
    const struct spool_record *record = item->record;
    const struct event_origin origin = {.received_us = record->received_us,
                                        .sent_at_us = record->sent_at_us,
                                        .envelope_header = record->meta};
    buf_clear(&b->scratch);
    int r = scrub_event(record->payload, item->rules, &b->scratch);
    struct str payload = r > 0 ? buf_str(&b->scratch) : record->payload;
    if (r >= 0)
        r = event_read_facets(payload, &origin, scrub_drops_address(item->rules) ? NULL : record->addr, &b->arena, take_facets,
                              &(struct taken){b, item, record->project_id}, &item->fields);
    if (r < 0)
        return r;
    buf_clear(&b->packed);
    dictionaries_pack(&b->dictionaries, record->project_id, payload, &b->packed);
    item->packed = arena_str(&b->arena, buf_str(&b->packed));
    return 0;
}

/* NULL: an event, or a kind of a newer release. */
static int (*reader_of(enum spool_kind kind))(struct str payload, const struct item_origin *origin, struct buf *out)
{
    switch (kind) {
    case SPOOL_CLIENT_REPORT:
        return client_report_read;
    case SPOOL_SESSION:
        return session_read;
    case SPOOL_SESSIONS:
        return sessions_read;
    case SPOOL_FEEDBACK:
        return feedback_read;
    case SPOOL_USER_REPORT:
        return user_report_read;
    case SPOOL_ATTACHMENT:
        return attachment_read;
    case SPOOL_CHECK_IN:
        return check_in_read;
    case SPOOL_EVENT:
    case SPOOL_OUTCOMES:
        break;
    }
    return NULL;
}

/* "" when it is not known. */
static struct str address_text(struct batch *b, const uint8_t addr[16])
{
    char text[IP_TEXT_MAX];
    return ip_is_unknown(addr) ? STR("") : arena_str(&b->arena, str_of(text, ip_format(addr, text)));
}

/* Feedback is an event, too: what of its surroundings is not in its payload. */
static void read_surroundings(struct batch *b, struct batch_item *item, struct item_origin *origin)
{
    const struct spool_record *r = item->record;
    struct event_origin event = {.received_us = r->received_us, .sent_at_us = r->sent_at_us, .envelope_header = r->meta};
    struct event_fields fields;
    if (event_read(r->payload, &event, &b->arena, &fields) < 0)
        return; /* as its own reader is about to say */
    item->fields.hides_address = fields.hides_address;
    origin->sdk_name = fields.sdk_name;
    origin->sdk_version = fields.sdk_version;
    if (!batch_hides_address(item))
        origin->client_address = address_text(b, r->addr);
}

static void read_report(struct batch *b, struct batch_item *item, const struct spool_record *record)
{
    struct item_origin origin = {.received_us = record->received_us,
                                 .sent_at_us = record->sent_at_us,
                                 .project_id = record->project_id,
                                 .key_id = record->key_id,
                                 .event_id = record->event_id,
                                 .rules = item->rules};
    int (*reader)(struct str, const struct item_origin *, struct buf *) = reader_of(record->kind);
    item->outcome = OUTCOME_REPORTED;
    if (record->kind == SPOOL_OUTCOMES) {
        item->report = record->payload; /* our own, in the form that is wanted */
        return;
    }
    if (record->kind == SPOOL_FEEDBACK)
        read_surroundings(b, item, &origin);
    else
        event_header_sdk(record->meta, &b->arena, &origin.sdk_name, &origin.sdk_version);
    buf_clear(&b->scratch);
    int r = reader ? reader(record->payload, &origin, &b->scratch) : -ERR_BAD_KIND;
    item->report = arena_str(&b->arena, buf_str(&b->scratch));
    if (r < 0) {
        item->outcome = OUTCOME_DEAD;
        item->reason = r;
    } else if (record->project_id > INT32_MAX) {
        item->outcome = OUTCOME_ORPHAN;
    }
}

static void read_item(struct batch *b, struct batch_item *item, const struct spool_record *record)
{
    *item = (struct batch_item){.record = record, .detail = STR(""), .position = -1, .rules = rules_of(&b->rules, record->project_id)};
    if (record->kind != SPOOL_EVENT) {
        read_report(b, item, record);
        return;
    }
    int r = read_event(b, item);
    if (r < 0) {
        item->outcome = OUTCOME_DEAD;
        item->reason = r;
        item->position = r == -ERR_BAD_JSON ? parser_position(record->payload) : -1;
    } else if (record->project_id > INT32_MAX) {
        item->outcome = OUTCOME_ORPHAN; /* no project has such an id */
    }
}

int batch_load(struct batch *b, struct spool *spool, bool retains)
{
    reserve(b, b->range.n_records);
    b->spool = spool;
    b->retains = retains;
    int n = spool_heads(spool, &b->range, b->records);
    b->n_records = n < 0 ? 0 : (unsigned)n;
    return n;
}

static int by_number(const void *pa, const void *pb)
{
    uint32_t a = *(const uint32_t *)pa, b = *(const uint32_t *)pb;
    return a < b ? -1 : a > b;
}

void batch_bind_projects(struct batch *b, struct db_query *q)
{
    struct db_array *projects = &b->arrays[0], *known = &b->arrays[1];
    unsigned n = 0;
    db_array_start(projects, DB_I32);
    db_array_start(known, DB_I64);
    for (unsigned i = 0; i < b->n_records; i++)
        if (b->records[i].project_id <= INT32_MAX)
            b->order[n++] = (uint32_t)b->records[i].project_id;
    qsort(b->order, n, sizeof *b->order, by_number);
    for (unsigned i = 0, next; i < n; i = next) {
        for (next = i + 1; next < n && b->order[next] == b->order[i];)
            next++;
        db_array_i32(projects, (int32_t)b->order[i]);
        db_array_i64(known, dictionaries_known(&b->dictionaries, b->order[i], next - i));
    }
    db_bind_array(q, projects);
    db_bind_array(q, known);
}

/* Columns: project, its rules, its dictionary's number, checksum and content, whether it wants samples. */
void batch_take_projects(struct batch *b, const struct db_rows *rows)
{
    for (int i = 0; i < db_count(rows); i++) {
        struct dictionary_entry entry = {.project_id = (uint64_t)db_i64(rows, i, 0), .wants_samples = db_bool(rows, i, 5)};
        rules_add(&b->rules, entry.project_id, db_text(rows, i, 1), &b->arena);
        if (!db_is_null(rows, i, 2)) {
            entry.number = (int16_t)db_i64(rows, i, 2);
            entry.checksum = db_i64(rows, i, 3);
        }
        if (!db_is_null(rows, i, 4))
            entry.content = arena_str(&b->arena, db_bytes(rows, i, 4));
        dictionaries_add(&b->dictionaries, &entry);
    }
}

static void sort_items(struct batch *b)
{
    qsort(b->items, b->n_items, sizeof *b->items, by_event);
    unsigned repeated = 0;
    for (unsigned i = 1, first = 0; i < b->n_items && b->items[i].outcome == OUTCOME_OPEN; i++) {
        if (same_event(&b->items[first], &b->items[i])) {
            b->items[i].outcome = OUTCOME_DUPLICATE;
            repeated++;
        } else {
            first = i;
        }
    }
    if (repeated)
        qsort(b->items, b->n_items, sizeof *b->items, by_event);
    while (b->n_open < b->n_items && b->items[b->n_open].outcome == OUTCOME_OPEN)
        b->n_open++;
}

/* What the next part takes the place of, and is still needed. */
static void keep_record(struct batch *b, struct spool_record *record)
{
    record->meta = arena_str(&b->arena, record->meta);
    record->payload = arena_str(&b->arena, record->payload);
}

/* Of an event that can be read the packed payload is kept alone: what it came as is needed only if the database refuses it. */
static void read_part(struct batch *b, struct spool_record *records, unsigned n)
{
    for (unsigned i = 0; i < n; i++) {
        struct batch_item *item = &b->items[b->n_items++];
        if (records[i].kind != SPOOL_EVENT && !b->retains)
            keep_record(b, &records[i]);
        read_item(b, item, &records[i]);
        if (item->outcome == OUTCOME_DEAD && records[i].kind == SPOOL_EVENT && !b->retains)
            keep_record(b, &records[i]);
    }
}

/* Ascending, so that equal lists are equal bytes; most come nearly so. */
static void number_item(struct batch_item *item, const uint32_t *numbers)
{
    unsigned n = 0;
    for (unsigned i = 0; i < item->n_tags; i++) {
        uint32_t number = tags_number(item->tags[i], numbers);
        unsigned at = n;
        if (number == 0)
            continue;
        for (; at > 0 && item->tags[at - 1] > number; at--)
            item->tags[at] = item->tags[at - 1];
        item->tags[at] = number;
        n++;
    }
    item->n_tags = n;
}

static void number_tags(struct batch *b, const uint32_t *numbers)
{
    for (unsigned i = 0; i < b->n_open; i++)
        number_item(&b->items[i], numbers);
}

bool batch_asks_tags(const struct batch *b)
{
    return b->tags.n_asked > 0;
}

void batch_bind_tags(struct batch *b, struct db_query *q)
{
    tags_bind(&b->tags, q, b->arrays);
}

void batch_take_tags(struct batch *b, const struct db_rows *rows)
{
    number_tags(b, tags_take(&b->tags, rows, &b->arena));
}

int batch_read(struct batch *b)
{
    size_t part_bytes = b->retains ? SIZE_MAX : PART_BYTES;
    b->n_items = 0;
    tags_begin(&b->tags);
    for (uint64_t at = b->range.from; at < b->range.to;) {
        struct spool_record *records = b->records + b->n_items;
        int n = spool_read_part(b->spool, &b->range, &at, part_bytes, &b->bytes, records, b->range.n_records - b->n_items);
        if (n < 0)
            return n;
        read_part(b, records, (unsigned)n);
    }
    b->n_records = b->n_items;
    sort_items(b);
    if (!batch_asks_tags(b))
        number_tags(b, NULL);
    return 0;
}

void batch_take(struct batch *b, const struct spool_record *record)
{
    reserve(b, 1);
    b->range = (struct spool_range){.n_records = 1};
    b->retains = true;
    b->records[0] = *record;
    b->n_records = b->n_items = 1;
    tags_begin(&b->tags);
    read_item(b, &b->items[0], &b->records[0]);
    b->n_open = b->items[0].outcome == OUTCOME_OPEN;
    if (!batch_asks_tags(b))
        number_tags(b, NULL);
}

int64_t batch_day(const struct batch *b)
{
    return b->n_records ? b->records[0].received_us / CLOCK_US_PER_DAY : 0;
}

static int by_group(const void *pa, const void *pb, void *items)
{
    const struct batch_item *a = (const struct batch_item *)items + *(const uint32_t *)pa;
    const struct batch_item *b = (const struct batch_item *)items + *(const uint32_t *)pb;
    if (a->record->project_id != b->record->project_id)
        return a->record->project_id < b->record->project_id ? -1 : 1;
    int r = memcmp(a->fields.grouping_hash, b->fields.grouping_hash, EVENT_HASH_BYTES);
    return r ? r : id_cmp(&a->record->id, &b->record->id); /* the oldest first: it names the issue */
}

static bool same_group(const struct batch_item *a, const struct batch_item *b)
{
    return a->record->project_id == b->record->project_id &&
           memcmp(a->fields.grouping_hash, b->fields.grouping_hash, EVENT_HASH_BYTES) == 0;
}

static void put_group(struct batch *b, const struct batch_item *item)
{
    const struct event_fields *f = &item->fields;
    struct db_array *a = b->arrays;
    db_array_i32(&a[A_G_PROJECT], (int32_t)item->record->project_id);
    db_array_bytes(&a[A_G_HASH], str_of((const char *)f->grouping_hash, EVENT_HASH_BYTES));
    db_array_text(&a[A_G_TYPE], f->type);
    db_array_text(&a[A_G_VALUE], f->value);
    db_array_text(&a[A_G_TITLE], f->title);
    db_array_text(&a[A_G_TRANSACTION], f->transaction);
    db_array_text(&a[A_G_FILENAME], f->frame_filename);
    db_array_text(&a[A_G_MODULE], f->frame_module);
    db_array_text(&a[A_G_FUNCTION], f->frame_function);
    db_array_text(&a[A_G_LEVEL], f->level);
    db_array_text(&a[A_G_PLATFORM], f->platform);
}

static void put_groups(struct batch *b, unsigned from, unsigned to)
{
    for (unsigned i = from; i < to; i++)
        b->order[i - from] = i;
    qsort_r(b->order, to - from, sizeof *b->order, by_group, b->items);
    uint32_t n = 0;
    for (unsigned i = 0; i < to - from; i++) {
        struct batch_item *item = &b->items[b->order[i]];
        if (i == 0 || !same_group(&b->items[b->order[i - 1]], item)) {
            put_group(b, item);
            n++;
        }
        item->group = n;
    }
}

static enum category category_of_item(const struct batch_item *item)
{
    return item->fields.class == EVENT_REPORT ? CATEGORY_SECURITY : CATEGORY_ERROR;
}

bool batch_hides_address(const struct batch_item *item)
{
    return item->fields.hides_address || scrub_drops_address(item->rules);
}

static void put_address(struct db_array *a, const struct batch_item *item)
{
    if (batch_hides_address(item))
        db_array_null(a);
    else
        db_array_inet(a, item->record->addr);
}

/* Three bytes each, the highest first. */
static void put_tags(struct batch *b, const struct batch_item *item)
{
    uint8_t bytes[3 * EVENT_MAX_TAGS];
    for (size_t i = 0; i < item->n_tags; i++) {
        bytes[3 * i] = (uint8_t)(item->tags[i] >> 16);
        bytes[3 * i + 1] = (uint8_t)(item->tags[i] >> 8);
        bytes[3 * i + 2] = (uint8_t)item->tags[i];
    }
    db_array_bytes(&b->arrays[A_R_TAGS], str_of((const char *)bytes, 3 * (size_t)item->n_tags));
    if (item->has_user)
        db_array_i64(&b->arrays[A_R_USER], (int64_t)item->user_hash);
    else
        db_array_null(&b->arrays[A_R_USER]);
}

static void put_record(struct batch *b, const struct batch_item *item)
{
    const struct spool_record *r = item->record;
    const struct event_fields *f = &item->fields;
    struct db_array *a = b->arrays;
    db_array_i32(&a[A_R_GROUP], (int32_t)item->group);
    db_array_id(&a[A_R_ID], &r->id);
    db_array_id(&a[A_R_EVENT_ID], &r->event_id);
    db_array_time(&a[A_R_RECEIVED], r->received_us);
    db_array_time(&a[A_R_TIMESTAMP], f->timestamp_us);
    db_array_text(&a[A_R_TITLE], f->title);
    db_array_text(&a[A_R_LEVEL], f->level.n ? f->level : STR("error"));
    db_array_text(&a[A_R_PLATFORM], f->platform);
    db_array_text(&a[A_R_RELEASE], f->release);
    db_array_text(&a[A_R_ENVIRONMENT], f->environment);
    db_array_text(&a[A_R_SERVER], f->server_name);
    db_array_text(&a[A_R_SDK_NAME], f->sdk_name);
    db_array_text(&a[A_R_SDK_VERSION], f->sdk_version);
    put_address(&a[A_R_ADDR], item);
    db_array_bytes(&a[A_R_PAYLOAD], item->packed);
    db_array_i64(&a[A_R_KEY], (int64_t)r->key_id);
    db_array_i16(&a[A_R_CATEGORY], (int16_t)category_of_item(item));
    db_array_i64(&a[A_R_BYTES], (int64_t)r->payload.n);
    put_tags(b, item);
}

bool batch_has_rest(const struct batch *b)
{
    return !b->claims;
}

static bool has_dead(const struct batch *b)
{
    for (unsigned i = 0; i < b->n_items; i++)
        if (b->items[i].outcome == OUTCOME_DEAD)
            return true;
    return false;
}

/* Only a statement after which nothing of the range is left to do may claim the range: a restart skips what is claimed. Others claim an
 * empty one. */
void batch_bind(struct batch *b, struct db_query *q, const struct id128 *node, unsigned from, unsigned to)
{
    for (unsigned i = 0; i < A_COUNT; i++)
        db_array_start(&b->arrays[i], array_types[i]);
    put_groups(b, from, to);
    const struct id128 *low = &b->items[from].record->id, *high = low;
    for (unsigned i = from; i < to; i++) {
        const struct id128 *id = &b->items[i].record->id;
        put_record(b, &b->items[i]);
        low = id_cmp(id, low) < 0 ? id : low;
        high = id_cmp(id, high) > 0 ? id : high;
    }

    b->claims = from == 0 && to == b->n_items && !has_dead(b);
    db_bind_id(q, node);
    db_bind_i64(q, (int64_t)b->range.segment);
    db_bind_i64(q, (int64_t)b->range.from);
    db_bind_i64(q, (int64_t)(b->claims ? b->range.to : b->range.from));
    db_bind_i16(q, EVENT_GROUPING_VERSION);
    for (unsigned i = 0; i < A_COUNT; i++)
        db_bind_array(q, &b->arrays[i]);
    db_bind_id(q, low);
    db_bind_id(q, high);
}

/* The account of a copy of an event, and what is told of it (0022_duplicate_cases.sql). */
static struct str duplicate_report(struct batch *b, const struct batch_item *item)
{
    struct json_writer w;
    buf_clear(&b->scratch);
    json_writer_init(&w, &b->scratch);
    json_begin_object(&w);
    json_key(&w, STR("copy"));
    json_begin_object(&w);
    json_field_i64(&w, STR("c"), category_of_item(item));
    json_field_i64(&w, STR("bytes"), (int64_t)item->record->payload.n);
    json_field_str(&w, STR("name"), item->fields.sdk_name);
    json_field_str(&w, STR("version"), item->fields.sdk_version);
    json_end_object(&w);
    json_key(&w, STR("outcomes"));
    json_begin_array(&w);
    json_begin_object(&w);
    json_field_i64(&w, STR("h"), item->record->received_us / CLOCK_US_PER_S);
    json_field_i64(&w, STR("c"), category_of_item(item));
    json_field_i64(&w, STR("o"), OUTCOME_ID_INVALID);
    json_field_str(&w, STR("r"), STR("duplicate"));
    json_field_i64(&w, STR("n"), 1);
    json_end_object(&w);
    json_end_array(&w);
    json_end_object(&w);
    return buf_str(&b->scratch);
}

enum rest_array { X_KIND, X_PROJECT, X_KEY, X_ID, X_EVENT_ID, X_RECEIVED, X_ADDR, X_REPORT, X_COUNT };

/* A statement that claims the range accounts for its duplicates itself; others leave that to the one that does. */
static bool is_repeated(const struct batch_item *item)
{
    return item->outcome == OUTCOME_DUPLICATE;
}

static bool is_in_part(const struct batch *b, unsigned i, const struct batch_part *part)
{
    const struct batch_item *item = &b->items[i];
    return (item->outcome == OUTCOME_REPORTED && i >= part->from && i < part->to) || (part->is_last && is_repeated(item));
}

unsigned batch_count_part(const struct batch *b, const struct batch_part *part)
{
    unsigned n = 0;
    for (unsigned i = part->from; i < part->to; i++)
        n += b->items[i].outcome == OUTCOME_REPORTED;
    return n;
}

unsigned batch_middle_of_part(const struct batch *b, const struct batch_part *part)
{
    unsigned i = part->from;
    for (unsigned n = (batch_count_part(b, part) + 1) / 2; n > 0; i++)
        n -= b->items[i].outcome == OUTCOME_REPORTED;
    return i;
}

void batch_bind_claim(const struct batch *b, struct db_query *q, const struct id128 *node, const struct batch_part *part)
{
    db_bind_id(q, node);
    db_bind_i64(q, (int64_t)b->range.segment);
    db_bind_i64(q, (int64_t)b->range.from);
    db_bind_i64(q, (int64_t)(part->is_last ? b->range.to : b->range.from));
}

void batch_bind_rest(struct batch *b, struct db_query *q, const struct batch_part *part)
{
    static const enum db_type types[X_COUNT] = {[X_KIND] = DB_I16,    [X_PROJECT] = DB_I32,   [X_KEY] = DB_I64,   [X_ID] = DB_ID,
                                                [X_EVENT_ID] = DB_ID, [X_RECEIVED] = DB_TIME, [X_ADDR] = DB_INET, [X_REPORT] = DB_TEXT};
    struct db_array *a = b->arrays;
    for (unsigned i = 0; i < X_COUNT; i++)
        db_array_start(&a[i], types[i]);
    for (unsigned i = 0; i < b->n_items; i++) {
        const struct batch_item *item = &b->items[i];
        const struct spool_record *r = item->record;
        bool repeated = is_repeated(item);
        if (!is_in_part(b, i, part))
            continue;
        db_array_i16(&a[X_KIND], (int16_t)(repeated ? SPOOL_CLIENT_REPORT : r->kind));
        db_array_i32(&a[X_PROJECT], (int32_t)r->project_id);
        db_array_i64(&a[X_KEY], (int64_t)r->key_id);
        db_array_id(&a[X_ID], &r->id);
        db_array_id(&a[X_EVENT_ID], &r->event_id);
        db_array_time(&a[X_RECEIVED], r->received_us);
        put_address(&a[X_ADDR], item);
        db_array_text(&a[X_REPORT], repeated ? duplicate_report(b, item) : item->report);
    }
    for (unsigned i = 0; i < X_COUNT; i++)
        db_bind_array(q, &a[i]);
}

void batch_refuse_rest(struct batch *b, const struct batch_part *part, unsigned place, struct str sqlstate, struct str constraint)
{
    for (unsigned i = 0; i < b->n_items; i++) {
        struct batch_item *item = &b->items[i];
        bool repeated = is_repeated(item);
        if (!is_in_part(b, i, part) || --place > 0)
            continue;
        struct str state = str_take(sqlstate, DB_SQLSTATE - 1);
        item->outcome = repeated ? OUTCOME_ORPHAN : OUTCOME_DEAD; /* of a copy only the account is lost */
        item->reason = -ERR_DB_FAILED;
        memcpy(item->sqlstate, state.p, state.n);
        item->detail = arena_str(&b->arena, constraint);
        return;
    }
}

void batch_take_outcomes(struct batch *b, const struct db_rows *rows, unsigned from, unsigned to)
{
    static const enum outcome outcomes[] = {OUTCOME_DUPLICATE, OUTCOME_STORED, OUTCOME_ORPHAN, OUTCOME_REDELIVERED};
    assert(db_i16_count(rows, 0, 0) == (int)(to - from));
    for (unsigned i = from; i < to; i++) {
        int16_t code = db_i16_at(rows, 0, 0, (int)(i - from));
        assert(code >= 0 && (size_t)code < ARRAY_LEN(outcomes));
        b->items[i].outcome = outcomes[code];
    }
}

void batch_give_up(struct batch *b, struct batch_item *item, int r, const struct db_query *q)
{
    assert(b->retains || item->record->kind != SPOOL_EVENT);
    b->claims = false; /* the statement that would have claimed the range failed */
    item->outcome = OUTCOME_DEAD;
    item->reason = r;
    memcpy(item->sqlstate, q->sqlstate, sizeof item->sqlstate);
    item->detail = arena_str(&b->arena, str_from(q->constraint));
}

enum dead_column {
    D_RECORD,
    D_PROJECT,
    D_EVENT,
    D_RECEIVED,
    D_SENT,
    D_KIND,
    D_ADDR,
    D_REASON,
    D_SQLSTATE,
    D_DETAIL,
    D_POSITION,
    D_META,
    D_PAYLOAD,
    D_KEY,
    D_CATEGORY, /* of an event */
    D_BYTES,    /* of the payload as it came */
    D_CLIENT,
    D_COUNT
};

/* Who sent it, as far as the record says: one that came without an envelope has no SDK but in its event. */
static struct str client_of(struct batch *b, const struct batch_item *item)
{
    struct str name = item->fields.sdk_name, version = item->fields.sdk_version;
    if (name.n == 0)
        event_header_sdk(item->record->meta, &b->arena, &name, &version);
    return name.n && version.n ? arena_printf(&b->arena, "%.*s/%.*s", STR_ARG(name), STR_ARG(version)) : name;
}

static void put_dead(struct batch *b, const struct batch_item *item)
{
    const struct spool_record *r = item->record;
    struct db_array *a = b->arrays;
    db_array_id(&a[D_RECORD], &r->id);
    db_array_i64(&a[D_PROJECT], (int64_t)r->project_id);
    db_array_id(&a[D_EVENT], &r->event_id);
    db_array_time(&a[D_RECEIVED], r->received_us);
    if (r->sent_at_us)
        db_array_time(&a[D_SENT], r->sent_at_us);
    else
        db_array_null(&a[D_SENT]);
    db_array_i16(&a[D_KIND], (int16_t)r->kind);
    if (item->fields.hides_address) /* the project's wish may change until the letter is retried, the event's cannot */
        db_array_null(&a[D_ADDR]);
    else
        db_array_inet(&a[D_ADDR], r->addr);
    db_array_text(&a[D_REASON], str_from(err_name(item->reason)));
    db_array_text(&a[D_SQLSTATE], str_from(item->sqlstate));
    db_array_text(&a[D_DETAIL], item->detail);
    if (item->position >= 0)
        db_array_i64(&a[D_POSITION], item->position);
    else
        db_array_null(&a[D_POSITION]);
    db_array_bytes(&a[D_META], r->meta);
    buf_clear(&b->scratch);
    payload_pack(b->dictionaries.packer, NULL, r->payload, &b->scratch);
    db_array_bytes(&a[D_PAYLOAD], buf_str(&b->scratch));
    if (r->key_id)
        db_array_i64(&a[D_KEY], (int64_t)r->key_id);
    else
        db_array_null(&a[D_KEY]);
    db_array_i16(&a[D_CATEGORY], (int16_t)category_of_item(item));
    db_array_i64(&a[D_BYTES], (int64_t)r->payload.n);
    db_array_text(&a[D_CLIENT], client_of(b, item));
}

unsigned batch_bind_dead(struct batch *b, struct db_query *q)
{
    static const enum db_type types[D_COUNT] = {
        [D_RECORD] = DB_ID,    [D_PROJECT] = DB_I64, [D_EVENT] = DB_ID,      [D_RECEIVED] = DB_TIME, [D_SENT] = DB_TIME,
        [D_KIND] = DB_I16,     [D_ADDR] = DB_INET,   [D_REASON] = DB_TEXT,   [D_SQLSTATE] = DB_TEXT, [D_DETAIL] = DB_TEXT,
        [D_POSITION] = DB_I64, [D_META] = DB_BYTES,  [D_PAYLOAD] = DB_BYTES, [D_KEY] = DB_I64,       [D_CATEGORY] = DB_I16,
        [D_BYTES] = DB_I64,    [D_CLIENT] = DB_TEXT};
    for (unsigned i = 0; i < D_COUNT; i++)
        db_array_start(&b->arrays[i], types[i]);
    for (unsigned i = 0; i < b->n_items; i++)
        if (b->items[i].outcome == OUTCOME_DEAD && !b->items[i].is_kept)
            put_dead(b, &b->items[i]);
    if (b->arrays[D_RECORD].count == 0)
        return 0;
    for (unsigned i = 0; i < D_COUNT; i++)
        db_bind_array(q, &b->arrays[i]);
    return b->arrays[D_RECORD].count;
}

void batch_keep_dead(struct batch *b)
{
    for (unsigned i = 0; i < b->n_items; i++)
        b->items[i].is_kept = b->items[i].outcome == OUTCOME_DEAD;
}
