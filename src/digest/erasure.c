/* erasure.c: finds what belongs to persons who asked to be erased (sql/migrations' erasures say what becomes of it then):
 *
 *   requests → horizon → (quiet?)* → places → for each: (page → found)* → (letters → drop)* → scanned → done()
 *
 * A place is a table of events that has rows of a project with an open request. Its payloads are read in pages, bounded in rows and bytes, in the
 * order of their ids, decoded and asked for their user, one at a time: no more than a page and one payload is in memory, and nobody else waits for
 * a lock meanwhile. What is decoded at once is bounded, too (LOOK_BYTES), because others live on this loop: a page is left where that is reached, and
 * the next ones have fewer rows until they fit. It is work for each event of the project, some ten microseconds, and is done once per request, or for
 * several at once; days that have nothing new since are not read again.
 *
 * What was received before the request and is digested after the scan (a spool's backlog) is in batches above its horizon: later runs look at those,
 * for a day at least and until one began when every server had stored what it took before the request. A failure leaves the horizon where it was, and
 * the next run looks again. */
#include "erasure.h"

#include <errno.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"
#include "picket/digest/spill.h"
#include "picket/protocol/payload.h"

enum { QUIET_TRIES = 600, QUIET_PAUSE_MS = 100, PAGE_ROWS = 500, PLACE_MAX = 32 };
static const int64_t PAGE_BYTES = 4 << 20;
static const size_t LOOK_BYTES = 8 << 20; /* decoded: some ten milliseconds */

/* ---- requests */

void erasure_bind_open(struct db_query *q, const struct retention_person *only)
{
    if (!only->project) {
        db_bind_null(q);
        db_bind_null(q);
        db_bind_null(q);
        return;
    }
    db_bind_i32(q, only->project);
    db_bind_text(q, person_field_name(only->person.field));
    db_bind_text(q, only->person.key);
}

struct place_of { /* in erasure_open's rows */
    int32_t project;
    int row;
};

static int by_project(const void *pa, const void *pb)
{
    const struct place_of *a = pa, *b = pb;
    return a->project != b->project ? a->project < b->project ? -1 : 1 : a->row < b->row ? -1 : 1;
}

void erasure_requests_read(struct erasure_requests *e, const struct db_rows *rows)
{
    size_t n = (size_t)db_count(rows);
    arena_init(&e->arena);
    e->n = 0;
    e->to_come_ms = (clock_wall_us() + 60 * CLOCK_US_PER_S) / 1000;
    e->at = arena_alloc(&e->arena, (n + 1) * sizeof *e->at); /* + 1: never asks for nothing */
    e->persons = arena_alloc(&e->arena, (n + 1) * sizeof *e->persons);
    struct place_of *order = arena_alloc(&e->arena, (n + 1) * sizeof *order);
    for (size_t i = 0; i < n; i++)
        order[i] = (struct place_of){(int32_t)db_i64(rows, (int)i, 1), (int)i};
    qsort(order, n, sizeof *order, by_project);
    for (size_t i = 0; i < n; i++) {
        int row = order[i].row;
        enum person_field field;
        if (!person_field_read(db_text(rows, row, 2), &field))
            continue; /* of a newer release, which will see to it */
        e->persons[e->n] = (struct person){field, arena_str(&e->arena, db_text(rows, row, 3))};
        e->at[e->n++] = (struct erasure_request){.id = db_i64(rows, row, 0),
                                                 .project = order[i].project,
                                                 .before = db_id(rows, row, 4),
                                                 .horizon = db_i64(rows, row, 5),
                                                 .heard = db_bool(rows, row, 6)};
    }
}

void erasure_requests_done(struct erasure_requests *e)
{
    if (e->at)
        arena_done(&e->arena);
    *e = (struct erasure_requests){.n = 0};
}

static int find_in(const struct person *persons, size_t n, const struct erasure_record *r)
{
    int found = r->meta.n ? person_in_header(persons, n, r->meta) : -1;
    if (found >= 0)
        return found;
    switch (r->kind) {
    case SPOOL_EVENT:
    case SPOOL_CHECK_IN: /* Python's have an event's body */
        return person_in_event(persons, n, r->payload, r->address);
    case SPOOL_SESSION:
    case SPOOL_SESSIONS:
        return person_in_session(persons, n, r->payload);
    case SPOOL_FEEDBACK:
    case SPOOL_USER_REPORT:
        return person_in_feedback(persons, n, r->payload, r->address);
    case SPOOL_CLIENT_REPORT:
    case SPOOL_OUTCOMES:
    case SPOOL_ATTACHMENT:
        return -1; /* counts only; and what goes with its event */
    }
    return person_in_text(persons, n, r->payload); /* of a newer release */
}

/* What bears a time to come was taken while a clock was ahead: when, nobody knows, so it counts as before. Servers' clocks may differ by a minute. */
static bool came_before(const struct erasure_requests *e, size_t i, const struct id128 *id)
{
    return id_cmp(id, &e->at[i].before) < 0 || id_v7_ms(id) > e->to_come_ms;
}

/* Whoever asked too early to mean this record is left out: one that asked later may mean it. */
int erasure_owner(const struct erasure_requests *e, const struct erasure_record *record)
{
    for (size_t i = 0; i < e->n; i++) {
        if (e->at[i].project != record->project || !came_before(e, i, &record->id))
            continue;
        size_t n = 1;
        while (i + n < e->n && e->at[i + n].project == record->project && came_before(e, i + n, &record->id))
            n++;
        int found = find_in(&e->persons[i], n, record);
        if (found >= 0)
            return (int)i + found;
        i += n - 1;
    }
    return -1;
}

/* ---- files */

static int read_letter(const char *dir, const struct spill_name *name, struct buf *file, struct json_doc **ret_head,
                       struct erasure_record *ret)
{
    struct str head;
    int64_t kind = SPOOL_EVENT;
    int r = spill_read_payload(dir, name, file, &ret->payload);
    if (r < 0)
        return r;
    head = str_take(buf_str(file), str_find(buf_str(file), '\n'));
    r = json_parse(head, ret_head, NULL);
    if (r < 0)
        return r;
    const struct json *letter = json_get(json_root(*ret_head), STR("dead_letter"));
    ret->meta = head;
    ret->id = name->record;
    (void)json_i64(json_get(letter, STR("kind")), &kind); /* absent in files of earlier releases: events */
    ret->kind = (enum spool_kind)kind;
    ret->address = STR("");
    (void)json_str_raw(json_get(letter, STR("remote_addr")), &ret->address); /* null: none */
    return json_i64(json_get(letter, STR("project_id")), &ret->project) ? 0 : -EBADMSG;
}

/* What cannot be read is left where it is: it says of nobody that it is theirs. What cannot be read now is not. */
static bool may_pass(int r)
{
    return r == -EMFILE || r == -ENFILE || r == -ENOMEM || r == -EIO;
}

static int look_into(const struct erasure_requests *e, const char *dir, const struct spill_name *name, struct db_array *ids,
                     struct db_array *bytes)
{
    AUTO_BUF struct buf file = {0};
    AUTO_JSON struct json_doc *head = NULL;
    struct erasure_record record;
    int r = read_letter(dir, name, &file, &head, &record);
    if (r < 0)
        return may_pass(r) ? r : 0;
    int owner = erasure_owner(e, &record);
    if (owner < 0)
        return 0;
    r = spill_delete(dir, name);
    if (r == 0 && e->at[owner].id) {
        db_array_i64(ids, e->at[owner].id);
        db_array_i64(bytes, (int64_t)file.n);
    }
    return r == -ENOENT ? 0 : r;
}

void erasure_file_came(struct erasure_searched *s, int64_t number)
{
    s->from = number < s->from ? number : s->from;
}

void erasure_searched_done(struct erasure_searched *s)
{
    free(s->ids);
    *s = (struct erasure_searched){.from = INT64_MAX};
}

/* By their ids and not by the largest: one that was made earlier may be seen later. */
static bool is_known(const struct erasure_searched *s, int64_t id)
{
    for (size_t i = 0; i < s->n; i++)
        if (s->ids[i] == id)
            return true;
    return false;
}

/* Those of `e` that are new; both arrays are of its arena. */
static struct erasure_requests new_ones(const struct erasure_requests *e, const struct erasure_searched *s, struct arena *arena)
{
    struct erasure_requests fresh = {.to_come_ms = e->to_come_ms,
                                     .at = arena_alloc(arena, (e->n + 1) * sizeof *fresh.at),
                                     .persons = arena_alloc(arena, (e->n + 1) * sizeof *fresh.persons)};
    for (size_t i = 0; i < e->n; i++) {
        if (is_known(s, e->at[i].id))
            continue;
        fresh.at[fresh.n] = e->at[i];
        fresh.persons[fresh.n++] = e->persons[i];
    }
    return fresh;
}

static void note_searched(struct erasure_searched *s, const struct erasure_requests *e)
{
    s->ids = realloc(s->ids, (e->n + 1) * sizeof *s->ids);
    if (!s->ids)
        abort();
    for (size_t i = 0; i < e->n; i++)
        s->ids[i] = e->at[i].id;
    s->n = e->n;
    s->from = INT64_MAX;
}

static int search(const struct erasure_requests *all, const struct erasure_requests *fresh, const char *dir, int64_t from,
                  struct db_array *ids, struct db_array *bytes)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n = 0;
    int r = spill_list(dir, &names, &n);
    if (r < 0 || n == 0)
        return r;
    AUTO_CLOSE int held = spill_hold(dir, SPILL_NO_WAIT);
    if (held < 0)
        return held;
    for (size_t i = 0; i < n; i++) {
        const struct erasure_requests *meant = names[i].number < from ? fresh : all;
        int result = meant->n ? look_into(meant, dir, &names[i], ids, bytes) : 0;
        r = result < 0 ? result : r;
    }
    return r;
}

int erasure_of_files(const struct erasure_requests *e, const char *dir, struct erasure_searched *searched, struct db_array *ids,
                     struct db_array *bytes)
{
    struct arena arena;
    arena_init(&arena);
    struct erasure_requests fresh = new_ones(e, searched, &arena);
    int r = 0;
    if (fresh.n || (e->n && searched->from < INT64_MAX))
        r = search(e, &fresh, dir, searched->from, ids, bytes);
    if (r == 0)
        note_searched(searched, e);
    arena_done(&arena);
    return r;
}

/* ---- the scan */

struct place {
    int32_t project;
    char name[PLACE_MAX];
    int64_t above;
};

struct erasure {
    struct db *db;
    struct db_query query;
    uv_timer_t timer;
    const struct retention_config *config;
    void (*done)(void *arg, int r, const char *sqlstate, const struct retention_erased *total);
    void *arg;
    void (*closed)(void *arg);
    void *closed_arg;
    struct erasure_requests requests;
    struct db_array ids, owners, sizes; /* ids: of events or letters; or of projects and requests */
    struct place *places;               /* heap */
    int n_places, at;
    int64_t horizon, horizon_us;
    unsigned tries;
    struct id128 after;
    int64_t last_letter;
    bool is_last_page;
    int32_t page_rows; /* asked for */
    size_t looked;     /* bytes decoded of this page */
    struct buf payload;
    struct retention_erased total;
};

static void ask_quiet(struct erasure *s);
static void ask_page(struct erasure *s);
static void next_place(struct erasure *s);
static void ask_letters(struct erasure *s);

static void finish(struct erasure *s, int r)
{
    s->done(s->arg, r, s->query.sqlstate, &s->total);
}

static void start(struct erasure *s, enum db_stmt stmt, db_done_fn *done)
{
    db_query_init(&s->query, stmt, done);
}

static void on_scanned(struct db_query *q, int r, const struct db_rows *rows)
{
    (void)rows;
    finish(container_of(q, struct erasure, query), r);
}

static void note_scanned(struct erasure *s)
{
    if (s->config->dry_run) {
        finish(s, 0);
        return;
    }
    db_array_start(&s->ids, DB_I64);
    db_array_start(&s->owners, DB_I64);
    for (size_t i = 0; i < s->requests.n; i++) {
        db_array_i64(&s->ids, s->requests.at[i].id);
        if (s->requests.at[i].heard)
            db_array_i64(&s->owners, s->requests.at[i].id);
    }
    start(s, STMT_ERASURE_SCANNED, on_scanned);
    db_bind_array(&s->query, &s->ids);
    db_bind_i64(&s->query, s->horizon);
    db_bind_time(&s->query, s->horizon_us);
    db_bind_array(&s->query, &s->owners);
    db_submit(s->db, &s->query);
}

/* ---- a page */

/* The payload as it came; what cannot be decoded is looked into as it is. */
static struct str decoded(struct erasure *s, struct str stored, struct str dictionary)
{
    buf_clear(&s->payload);
    struct str payload = payload_unpack(stored, dictionary, SPOOL_MAX_RECORD, &s->payload) < 0 ? stored : buf_str(&s->payload);
    s->looked += payload.n;
    return payload;
}

static void begin_page(struct erasure *s, const struct db_rows *rows)
{
    s->is_last_page = db_count(rows) == 0;
    s->looked = 0;
}

/* After a row: is the rest of the page for another time? The next one is asked for behind that row, with as many rows as could be looked into. */
static bool is_enough(struct erasure *s, int n_looked)
{
    if (s->looked < LOOK_BYTES)
        return false;
    s->page_rows = n_looked;
    return true;
}

static void end_page(struct erasure *s)
{
    if (s->looked < LOOK_BYTES / 2)
        s->page_rows = s->page_rows < PAGE_ROWS / 2 ? 2 * s->page_rows : PAGE_ROWS;
}

/* ---- letters */

static void after_letters(struct erasure *s)
{
    if (s->is_last_page)
        note_scanned(s);
    else
        ask_letters(s);
}

static void on_dropped(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    (void)rows;
    if (r < 0)
        finish(s, r);
    else
        after_letters(s);
}

static void drop_letters(struct erasure *s)
{
    if (s->config->dry_run || s->ids.count == 0) {
        after_letters(s);
        return;
    }
    start(s, STMT_ERASURE_LETTERS_DROP, on_dropped);
    db_bind_array(&s->query, &s->ids);
    db_bind_array(&s->query, &s->owners);
    db_submit(s->db, &s->query);
}

static struct str text_or_none(const struct db_rows *rows, int row, int col)
{
    return db_is_null(rows, row, col) ? STR("") : db_text(rows, row, col);
}

/* Columns: number, project, record, kind, address, meta, payload, bytes. */
static void on_letters(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0) {
        finish(s, r);
        return;
    }
    db_array_start(&s->ids, DB_I64);
    db_array_start(&s->owners, DB_I64);
    begin_page(s, rows);
    for (int i = 0; i < db_count(rows) && !is_enough(s, i); i++) {
        struct erasure_record record = {.project = db_i64(rows, i, 1),
                                        .id = db_id(rows, i, 2),
                                        .kind = (enum spool_kind)db_i64(rows, i, 3),
                                        .address = text_or_none(rows, i, 4),
                                        .meta = db_bytes(rows, i, 5),
                                        .payload = decoded(s, db_bytes(rows, i, 6), STR(""))};
        int owner = erasure_owner(&s->requests, &record);
        s->last_letter = db_i64(rows, i, 0);
        if (owner < 0)
            continue;
        s->total.dead_letters++;
        s->total.bytes += db_i64(rows, i, 7);
        db_array_i64(&s->ids, s->last_letter);
        db_array_i64(&s->owners, s->requests.at[owner].id);
    }
    end_page(s);
    drop_letters(s);
}

static void ask_letters(struct erasure *s)
{
    db_array_start(&s->sizes, DB_I64);
    for (size_t i = 0; i < s->requests.n; i++)
        db_array_i64(&s->sizes, s->requests.at[i].project);
    start(s, STMT_ERASURE_LETTERS, on_letters);
    db_bind_array(&s->query, &s->sizes);
    db_bind_i64(&s->query, s->last_letter);
    db_bind_i32(&s->query, s->page_rows);
    db_bind_i64(&s->query, PAGE_BYTES);
    db_submit(s->db, &s->query);
}

/* ---- events */

static void after_page(struct erasure *s)
{
    if (s->is_last_page)
        next_place(s);
    else
        ask_page(s);
}

static void on_found(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    (void)rows;
    if (r < 0)
        finish(s, r);
    else
        after_page(s);
}

static void note_found(struct erasure *s)
{
    if (s->config->dry_run || s->ids.count == 0) {
        after_page(s);
        return;
    }
    start(s, STMT_ERASURE_FOUND, on_found);
    db_bind_i32(&s->query, s->places[s->at].project);
    db_bind_array(&s->query, &s->ids);
    db_bind_array(&s->query, &s->owners);
    db_bind_array(&s->query, &s->sizes);
    db_submit(s->db, &s->query);
}

/* Columns: id, address, payload, bytes, the payload's dictionary. */
static void on_page(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0) {
        finish(s, r);
        return;
    }
    db_array_start(&s->ids, DB_ID);
    db_array_start(&s->owners, DB_I64);
    db_array_start(&s->sizes, DB_I64);
    begin_page(s, rows);
    for (int i = 0; i < db_count(rows) && !is_enough(s, i); i++) {
        struct erasure_record record = {.project = s->places[s->at].project,
                                        .id = db_id(rows, i, 0),
                                        .kind = SPOOL_EVENT,
                                        .address = text_or_none(rows, i, 1),
                                        .payload = decoded(s, db_bytes(rows, i, 2), db_bytes(rows, i, 4)),
                                        .meta = STR("")};
        int owner = erasure_owner(&s->requests, &record);
        s->after = record.id;
        s->total.looked_at++;
        if (owner < 0)
            continue;
        s->total.events++;
        s->total.bytes += db_i64(rows, i, 3);
        db_array_id(&s->ids, &record.id);
        db_array_i64(&s->owners, s->requests.at[owner].id);
        db_array_i64(&s->sizes, db_i64(rows, i, 3));
    }
    end_page(s);
    note_found(s);
}

static void ask_page(struct erasure *s)
{
    const struct place *p = &s->places[s->at];
    start(s, STMT_ERASURE_PAGE, on_page);
    db_bind_text(&s->query, str_from(p->name));
    db_bind_i32(&s->query, p->project);
    db_bind_id(&s->query, &s->after);
    db_bind_i64(&s->query, p->above);
    db_bind_i64(&s->query, s->horizon);
    db_bind_i32(&s->query, s->page_rows);
    db_bind_i64(&s->query, PAGE_BYTES);
    db_submit(s->db, &s->query);
}

static void next_place(struct erasure *s)
{
    s->after = (struct id128){{0}};
    if (++s->at < s->n_places)
        ask_page(s);
    else
        ask_letters(s);
}

/* Columns: project, place, above. */
static void on_places(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0) {
        finish(s, r);
        return;
    }
    s->n_places = db_count(rows);
    s->places = calloc((size_t)s->n_places + 1, sizeof *s->places); /* + 1: never asks for nothing */
    if (!s->places)
        abort();
    for (int i = 0; i < s->n_places; i++) {
        struct str name = db_text(rows, i, 1);
        assert(name.n < PLACE_MAX);
        s->places[i].project = (int32_t)db_i64(rows, i, 0);
        memcpy(s->places[i].name, name.p, name.n);
        s->places[i].above = db_i64(rows, i, 2);
    }
    s->at = -1;
    next_place(s);
}

static void ask_places(struct erasure *s)
{
    db_array_start(&s->ids, DB_I32);
    db_array_start(&s->owners, DB_I64);
    for (size_t i = 0; i < s->requests.n; i++) {
        db_array_i32(&s->ids, s->requests.at[i].project);
        db_array_i64(&s->owners, s->requests.at[i].horizon);
    }
    start(s, STMT_ERASURE_PLACES, on_places);
    db_bind_array(&s->query, &s->ids);
    db_bind_array(&s->query, &s->owners);
    db_bind_i64(&s->query, s->horizon);
    db_submit(s->db, &s->query);
}

/* ---- the horizon */

static void on_timer(uv_timer_t *timer)
{
    ask_quiet(container_of(timer, struct erasure, timer));
}

static void on_quiet(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0)
        finish(s, r);
    else if (db_bool(rows, 0, 0))
        ask_places(s);
    else if (++s->tries < QUIET_TRIES)
        uv_timer_start(&s->timer, on_timer, QUIET_PAUSE_MS, 0);
    else
        finish(s, -ERR_DB_UNQUIET);
}

static void ask_quiet(struct erasure *s)
{
    start(s, STMT_RETENTION_QUIET, on_quiet);
    db_bind_time(&s->query, s->horizon_us);
    db_submit(s->db, &s->query);
}

static void on_begun(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0) {
        finish(s, r);
        return;
    }
    s->horizon = db_i64(rows, 0, 0);
    s->horizon_us = db_time(rows, 0, 1);
    ask_quiet(s);
}

static void on_open(struct db_query *q, int r, const struct db_rows *rows)
{
    struct erasure *s = container_of(q, struct erasure, query);
    if (r < 0) {
        finish(s, r);
        return;
    }
    erasure_requests_read(&s->requests, rows);
    if (s->requests.n == 0) {
        finish(s, 0);
        return;
    }
    start(s, STMT_RETENTION_BEGIN, on_begun);
    db_submit(s->db, &s->query);
}

struct erasure *erasure_new(const struct retention_config *config,
                            void (*done)(void *arg, int r, const char *sqlstate, const struct retention_erased *total), void *arg)
{
    struct erasure *s = calloc(1, sizeof *s);
    if (!s)
        abort();
    s->config = config;
    s->db = config->db;
    s->page_rows = PAGE_ROWS;
    s->done = done;
    s->arg = arg;
    uv_timer_init(db_loop(s->db), &s->timer);
    start(s, STMT_ERASURE_OPEN, on_open);
    erasure_bind_open(&s->query, &config->only);
    db_submit(s->db, &s->query);
    return s;
}

static void on_timer_closed(uv_handle_t *handle)
{
    struct erasure *s = container_of((uv_timer_t *)handle, struct erasure, timer);
    void (*closed)(void *) = s->closed;
    void *arg = s->closed_arg;
    erasure_requests_done(&s->requests);
    db_array_done(&s->ids);
    db_array_done(&s->owners);
    db_array_done(&s->sizes);
    buf_done(&s->payload);
    free(s->places);
    free(s);
    closed(arg);
}

void erasure_close(struct erasure *s, void (*closed)(void *arg), void *arg)
{
    if (!s) {
        closed(arg);
        return;
    }
    s->closed = closed;
    s->closed_arg = arg;
    db_cancel(&s->query);
    uv_close((uv_handle_t *)&s->timer, on_timer_closed);
}
