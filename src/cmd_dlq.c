/* cmd_dlq.c: `picket dlq list|show|drop`: dead letters, those in the database and those that were spilled to files. `retry` is cmd_dlq_retry.c.
 *
 * A file whose record has a row is not shown: it was left by a cut before the row or the file went. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cmd_dlq.h"
#include "picket/base/error.h"
#include "picket/protocol/payload.h"
#include "picket/spool/spool.h"

enum { PAGE_DEFAULT = 50, PAGE_MAX = 1000 };

static const char usage[] =
    "usage: picket dlq list [--project ID] [--limit N] [--before ID] [--json]\n"
    "       picket dlq show ID [--payload | --json]\n"
    "       picket dlq retry ID… | --all [--project ID]\n"
    "       picket dlq drop ID… | --all [--project ID]\n\n"
    "Dead letters are events, sessions, feedback and reports that were accepted and could not be stored. `list` shows the newest first,\n"
    "50 at a time; `show` everything about one, with --payload the item as it came and nothing else. `retry` stores those that can be\n"
    "stored now, once; `drop` throws them away.\n"
    "The oldest of very many lie in DATA_DIR/dead-letters (status spilled): the commands treat them like the others. All go "
    "DEAD_LETTERS_DAYS (30; 0: never)\n"
    "after they first failed.";

/* ---- arguments */

static bool read_number(const char *text, int64_t min, int64_t max, int64_t *ret)
{
    int64_t v;
    if (!str_to_i64(str_from(text), &v) || v < min || v > max)
        return false;
    *ret = v;
    return true;
}

/* Optional: *ret is 0 without it. False: told. */
static bool read_project(const char *text, int64_t *ret)
{
    *ret = 0;
    if (!text || read_number(text, 1, INT64_MAX, ret))
        return true;
    (void)cmd_usage("dlq", "--project needs a project's number: picket project list shows it");
    return false;
}

/* True: go on. */
static bool read_wanted(int argc, char **argv, struct dlq_wanted *ret, int *ret_code)
{
    bool all = false;
    const char *project = NULL;
    const struct cmd_option options[] = {{"--all", &all, NULL}, {"--project", NULL, &project}};
    *ret = (struct dlq_wanted){0};
    const struct cmd_line line = {"dlq", usage, options, ARRAY_LEN(options), ret->arguments, DLQ_LETTERS_MAX};
    if (!cmd_read(&line, argc, argv, ret_code))
        return false;
    *ret_code = EXIT_USAGE;
    if (!read_project(project, &ret->project))
        return false;
    for (; ret->n < DLQ_LETTERS_MAX && ret->arguments[ret->n]; ret->n++) {
        if (!read_number(ret->arguments[ret->n], 1, INT64_MAX, &ret->numbers[ret->n])) {
            (void)cmd_usage("dlq", "'%s' is no dead letter's number: picket dlq list shows them", ret->arguments[ret->n]);
            return false;
        }
    }
    if (all == (ret->n > 0))
        (void)cmd_usage("dlq", all ? "either numbers or --all, not both" : "a dead letter's number is expected, or --all");
    else if (project && !all)
        (void)cmd_usage("dlq", "--project goes with --all");
    else
        return true;
    return false;
}

int dlq_explain(int r, const struct db_query *q)
{
    return cmd_fail("%s%s%s", err_text(r), q->sqlstate[0] ? ", SQLSTATE " : "", q->sqlstate);
}

void dlq_bind_wanted(struct db_query *q, const struct dlq_wanted *wanted, struct db_array *numbers)
{
    db_array_start(numbers, DB_I64);
    for (size_t i = 0; i < wanted->n; i++)
        db_array_i64(numbers, wanted->numbers[i]);
    if (wanted->n)
        db_bind_array(q, numbers);
    else
        db_bind_null(q);
    if (wanted->project)
        db_bind_i64(q, wanted->project);
    else
        db_bind_null(q);
}

/* ---- files */

void dlq_load_files(const struct config *config, struct dlq_files *ret)
{
    *ret = (struct dlq_files){0};
    int r = spill_list(config->dead_letters_dir, &ret->names, &ret->n);
    if (r < 0)
        (void)cmd_fail("%s: spilled dead letters are not shown: %s", config->dead_letters_dir, err_text(r));
}

static void see_rows(void *arg, const struct db_rows *rows)
{
    struct dlq_files *f = arg;
    for (int i = 0; i < db_count(rows); i++) {
        struct id128 record = db_id(rows, i, 0);
        size_t kept = 0;
        for (size_t k = 0; k < f->n; k++)
            if (!id_eq(&f->names[k].record, &record))
                f->names[kept++] = f->names[k];
        f->n = kept;
    }
}

int dlq_without_rows(struct db *db, struct dlq_files *f)
{
    struct db_array records = {0};
    struct db_query q;
    if (f->n == 0)
        return 0;
    db_query_init(&q, STMT_DEAD_LETTER_ROWS, NULL);
    db_array_start(&records, DB_ID);
    for (size_t i = 0; i < f->n; i++)
        db_array_id(&records, &f->names[i].record);
    db_bind_array(&q, &records);
    int r = db_wait(db, &q, see_rows, f);
    db_array_done(&records);
    return r;
}

static const struct spill_name *find_file(const struct dlq_files *f, int64_t number)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->names[i].number == number)
            return &f->names[i];
    return NULL;
}

/* ---- list */

static const char *const list_columns[] = {"id",       "project_id", "item_type", "event_id",        "status",        "reason",
                                           "sqlstate", "position",   "attempts",  "first_failed_at", "last_failed_at"};

struct listing {
    const struct config *config;
    struct cmd_table table;
    struct dlq_files files; /* below `before`; the last is next */
    int64_t project, limit, shown, last;
};

/* Files of earlier releases do not say what they hold. */
static struct str type_before_types(void)
{
    return dead_letter_item_type(SPOOL_EVENT);
}

/* A cell from the letter's JSON. */
static void put_cell(struct cmd_table *t, const struct json *letter, const char *column)
{
    const struct json *v = json_get(letter, str_from(column));
    struct str text = {NULL, 0};
    int64_t number;
    if (json_i64(v, &number)) {
        cmd_table_number(t, number);
        return;
    }
    if (!v && strcmp(column, "item_type") == 0)
        text = type_before_types();
    (void)json_str_raw(v, &text); /* null otherwise */
    cmd_table_text(t, text);
}

static void put_letter(struct listing *l, const struct json *letter)
{
    for (size_t i = 0; i < ARRAY_LEN(list_columns); i++)
        put_cell(&l->table, letter, list_columns[i]);
    if (json_i64(json_get(letter, STR("id")), &l->last))
        l->shown++;
}

static void put_file(struct listing *l, const struct spill_name *name)
{
    AUTO_BUF struct buf buf = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct str head;
    int64_t project = 0;
    if (spill_read_head(l->config->dead_letters_dir, name, &buf, &head) < 0 || json_parse(head, &doc, NULL) < 0)
        return; /* dropped or removed meanwhile */
    const struct json *letter = json_get(json_root(doc), STR("dead_letter"));
    if (!json_i64(json_get(letter, STR("project_id")), &project) || (l->project && project != l->project))
        return;
    put_letter(l, letter);
}

/* Files above `number`, the newest first. */
static void put_files_above(struct listing *l, int64_t number)
{
    for (; l->files.n && l->files.names[l->files.n - 1].number > number && l->shown < l->limit; l->files.n--)
        put_file(l, &l->files.names[l->files.n - 1]);
}

/* Rows take the way of the files, so that both are printed alike. */
static void see_letters(void *arg, const struct db_rows *rows)
{
    struct listing *l = arg;
    for (int i = 0; i < db_count(rows); i++) {
        struct dead_letter letter;
        AUTO_BUF struct buf text = {0};
        AUTO_JSON struct json_doc *doc = NULL;
        struct json_writer w;
        dead_letter_head(rows, i, 0, &letter);
        put_files_above(l, letter.number);
        if (l->shown == l->limit)
            return;
        json_writer_init(&w, &text);
        json_begin_object(&w);
        dead_letter_put_head(&w, &letter);
        json_end_object(&w);
        int r = json_parse(buf_str(&text), &doc, NULL);
        assert(r == 0);
        put_letter(l, json_root(doc));
    }
}

static int ask_list(struct cmd_db *d, struct listing *l, int64_t before)
{
    struct db_query q;
    while (l->files.n && l->files.names[l->files.n - 1].number >= before)
        l->files.n--;
    int r = dlq_without_rows(d->db, &l->files);
    db_query_init(&q, STMT_DEAD_LETTER_LIST, NULL);
    db_bind_i64(&q, before);
    db_bind_i64(&q, l->limit);
    if (l->project)
        db_bind_i64(&q, l->project);
    else
        db_bind_null(&q);
    if (r == 0)
        r = db_wait(d->db, &q, see_letters, l);
    put_files_above(l, 0);
    return r < 0 ? dlq_explain(r, &q) : EXIT_OK;
}

static int list(const struct config *config, int argc, char **argv)
{
    struct listing l = {.config = config, .limit = PAGE_DEFAULT, .table = {.columns = list_columns, .n_columns = ARRAY_LEN(list_columns)}};
    bool json = false;
    const char *project = NULL, *limit = NULL, *before_text = NULL;
    int64_t before = INT64_MAX;
    const struct cmd_option options[] = {{"--json", &json, NULL},
                                         {"--project", NULL, &project},
                                         {"--limit", NULL, &limit},
                                         {"--before", NULL, &before_text}};
    const struct cmd_line line = {.command = "dlq", .usage = usage, .options = options, .n_options = ARRAY_LEN(options)};
    struct cmd_db d;
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!read_project(project, &l.project))
        return EXIT_USAGE;
    if (limit && !read_number(limit, 1, PAGE_MAX, &l.limit))
        return cmd_usage("dlq", "--limit needs a number from 1 to %d", PAGE_MAX);
    if (before_text && !read_number(before_text, 1, INT64_MAX, &before))
        return cmd_usage("dlq", "--before needs a dead letter's number: the last of the page before");
    code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    dlq_load_files(config, &l.files);
    struct spill_name *names = l.files.names;
    code = ask_list(&d, &l, before);
    cmd_db_close(&d);
    free(names);
    if (code == EXIT_OK)
        cmd_table_print(&l.table, json);
    if (code == EXIT_OK && l.shown == l.limit)
        fprintf(stderr, "There may be more: picket dlq list --before %" PRId64 "\n", l.last);
    return code;
}

/* ---- show */

struct showing {
    struct buf json, payload, decoded; /* the letter as an object; its payload, zstd or as it came */
    bool found;
};

/* The address, meta and payload of a stored letter are told as they are: null, and empty. */
static void see_letter(void *arg, const struct db_rows *rows)
{
    struct showing *s = arg;
    struct dead_letter letter;
    struct str payload;
    struct json_writer w;
    if (db_count(rows) == 0)
        return;
    dead_letter_whole(rows, &letter, &payload);
    json_writer_init(&w, &s->json);
    json_begin_object(&w);
    dead_letter_put_whole(&w, &letter);
    json_field_str(&w, STR("meta"), letter.meta);
    json_end_object(&w);
    s->found = true;
    buf_append_str(&s->payload, payload);
}

static int show_file(const struct config *config, const struct spill_name *name, struct showing *s)
{
    AUTO_BUF struct buf buf = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    char file[SPILL_NAME_MAX];
    struct json_writer w;
    struct str head, payload;
    int r = spill_read_payload(config->dead_letters_dir, name, &buf, &payload);
    if (r == 0) {
        buf_append_str(&s->decoded, payload);
        r = spill_read_head(config->dead_letters_dir, name, &buf, &head);
    }
    if (r == 0)
        r = json_parse(head, &doc, NULL);
    spill_file(name, file);
    if (r < 0)
        return cmd_fail("%s/%s: %s", config->dead_letters_dir, file, err_text(r));
    json_writer_init(&w, &s->json);
    json_begin_object(&w);
    for (struct json_iter it = json_iter(json_get(json_root(doc), STR("dead_letter"))); json_next(&it);) {
        struct str key;
        if (json_str_raw(it.key, &key)) {
            json_key(&w, key);
            json_put_value(&w, it.value);
        }
    }
    if (!json_get(json_get(json_root(doc), STR("dead_letter")), STR("item_type")))
        json_field_str(&w, STR("item_type"), type_before_types());
    AUTO_BUF struct buf path = {0};
    buf_printf(&path, "%s/%s", config->dead_letters_dir, file);
    json_field_str(&w, STR("file"), buf_str(&path));
    json_end_object(&w);
    s->found = true;
    return EXIT_OK;
}

/* Control characters never reach a terminal. */
static void print_line(struct str text)
{
    for (size_t i = 0; i < text.n; i++)
        putchar((unsigned char)text.p[i] < ' ' || text.p[i] == 0x7F ? '?' : text.p[i]);
    putchar('\n');
}

static void print_members(struct str json)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena arena;
    int r = json_parse(json, &doc, NULL);
    assert(r == 0); /* written just now */
    arena_init(&arena);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        struct str key, value = STR("-");
        if (!json_str_raw(it.key, &key))
            continue;
        (void)json_text(it.value, &arena, &value); /* null otherwise */
        printf("%-16.*s ", STR_ARG(key));
        print_line(value);
    }
    arena_done(&arena);
}

static int find_letter(const struct config *config, int64_t number, struct showing *s)
{
    struct db_query q;
    struct dlq_files files;
    db_query_init(&q, STMT_DEAD_LETTER_SHOW, NULL);
    db_bind_i64(&q, number);
    int code = cmd_db_ask(config, &q, see_letter, s, NULL);
    if (code != EXIT_OK)
        return code;
    if (s->found) {
        if (s->payload.n && payload_unpack(buf_str(&s->payload), STR(""), SPOOL_MAX_RECORD, &s->decoded) < 0)
            return cmd_fail("the payload of dead letter %" PRId64 " is damaged", number);
        return EXIT_OK;
    }
    dlq_load_files(config, &files);
    const struct spill_name *name = find_file(&files, number);
    if (name)
        code = show_file(config, name, s);
    else
        code = cmd_fail("there is no dead letter %" PRId64 ": picket dlq list shows all", number);
    free(files.names);
    return code;
}

static int show(const struct config *config, int argc, char **argv)
{
    bool payload = false, json = false;
    const char *argument = NULL;
    int64_t number;
    const struct cmd_option options[] = {{"--payload", &payload, NULL}, {"--json", &json, NULL}};
    const struct cmd_line line = {"dlq", usage, options, ARRAY_LEN(options), &argument, 1};
    struct showing s = {0};
    int code;
    if (!cmd_read(&line, argc, argv, &code))
        return code;
    if (!read_number(argument, 1, INT64_MAX, &number))
        return cmd_usage("dlq", "a dead letter's number is expected: picket dlq list shows them");
    if (payload && json)
        return cmd_usage("dlq", "--payload prints the item as it came, --json what is known about it: choose one");
    code = find_letter(config, number, &s);
    if (code == EXIT_OK && payload && s.decoded.n == 0)
        code = cmd_fail("dead letter %" PRId64 " was stored: its payload is that of its event now", number);
    else if (code == EXIT_OK && payload)
        (void)fwrite(s.decoded.p, 1, s.decoded.n, stdout);
    else if (code == EXIT_OK && json)
        puts(buf_cstr(&s.json));
    else if (code == EXIT_OK)
        print_members(buf_str(&s.json));
    buf_done(&s.json);
    buf_done(&s.payload);
    buf_done(&s.decoded);
    return code;
}

/* ---- drop */

struct dropping {
    const struct dlq_wanted *wanted;
    struct dlq_files files;
    struct id128 records[DLQ_LETTERS_MAX]; /* of rows that were asked for by number and are gone */
    size_t n_records;
    bool *is_gone; /* per number that was asked for */
    size_t n;
};

static void note_gone(struct dropping *t, int64_t number)
{
    for (size_t i = 0; i < t->wanted->n; i++) {
        if (t->wanted->numbers[i] == number && !t->is_gone[i]) {
            t->is_gone[i] = true;
            printf("Dropped dead letter %" PRId64 ".\n", number);
        }
    }
    t->n++;
}

/* Columns: id, record_id. */
static void see_dropped(void *arg, const struct db_rows *rows)
{
    struct dropping *t = arg;
    for (int i = 0; i < db_count(rows); i++) {
        if (t->n_records < t->wanted->n)
            t->records[t->n_records++] = db_id(rows, i, 1);
        note_gone(t, db_i64(rows, i, 0));
    }
}

/* Its row was dropped just now: a file that lies beside it by a cut would stand for it. */
static bool is_of_dropped_row(const struct dropping *t, const struct spill_name *name)
{
    for (size_t i = 0; i < t->n_records; i++)
        if (id_eq(&t->records[i], &name->record))
            return true;
    return false;
}

bool dlq_is_wanted(const struct config *config, const struct dlq_wanted *wanted, const struct spill_name *name)
{
    AUTO_BUF struct buf buf = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct str head;
    int64_t project = 0;
    for (size_t i = 0; i < wanted->n; i++)
        if (wanted->numbers[i] == name->number)
            return true;
    if (wanted->n || !wanted->project)
        return wanted->n == 0;
    return spill_read_head(config->dead_letters_dir, name, &buf, &head) == 0 && json_parse(head, &doc, NULL) == 0 &&
           json_i64(json_get(json_get(json_root(doc), STR("dead_letter")), STR("project_id")), &project) && project == wanted->project;
}

static int drop_files(const struct config *config, struct dropping *t)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < t->files.n; i++) {
        const struct spill_name *name = &t->files.names[i];
        bool is_double = is_of_dropped_row(t, name);
        if (!is_double && !dlq_is_wanted(config, t->wanted, name))
            continue;
        int r = spill_delete(config->dead_letters_dir, name);
        if (r == 0 && !is_double)
            note_gone(t, name->number);
        else if (r < 0 && r != -ENOENT)
            code =
                cmd_fail("%s: spilled dead letter %" PRId64 " cannot be removed: %s", config->dead_letters_dir, name->number, err_text(r));
    }
    return code;
}

static int drop_wanted(const struct config *config, const struct dlq_wanted *wanted)
{
    struct dropping t = {.wanted = wanted, .is_gone = calloc(DLQ_LETTERS_MAX, sizeof *t.is_gone)};
    struct db_array numbers = {0};
    struct db_query q;
    if (!t.is_gone)
        abort();
    db_query_init(&q, STMT_DEAD_LETTER_DROP, NULL);
    dlq_bind_wanted(&q, wanted, &numbers);
    db_bind_null(&q); /* by nobody known */
    int code = cmd_db_ask(config, &q, see_dropped, &t, NULL);
    db_array_done(&numbers);
    if (code == EXIT_OK) {
        dlq_load_files(config, &t.files);
        code = drop_files(config, &t);
        free(t.files.names);
        for (size_t i = 0; i < wanted->n; i++)
            if (!t.is_gone[i])
                code = cmd_fail("there is no dead letter %" PRId64 ": picket dlq list shows all", wanted->numbers[i]);
        if (wanted->n == 0)
            printf("Dropped %zu dead letters.\n", t.n);
    }
    free(t.is_gone);
    return code;
}

static int with_wanted(const struct config *config, int argc, char **argv,
                       int (*run)(const struct config *config, const struct dlq_wanted *wanted))
{
    struct dlq_wanted *wanted = malloc(sizeof *wanted);
    int code = EXIT_FAILED;
    if (!wanted)
        abort();
    if (read_wanted(argc, argv, wanted, &code))
        code = run(config, wanted);
    free(wanted);
    return code;
}

static int drop(const struct config *config, int argc, char **argv)
{
    return with_wanted(config, argc, argv, drop_wanted);
}

static int retry(const struct config *config, int argc, char **argv)
{
    return with_wanted(config, argc, argv, dlq_retry);
}

int cmd_dlq(const struct config *config, int argc, char **argv)
{
    static const struct cmd_verb verbs[] = {{"list", list}, {"show", show}, {"retry", retry}, {"drop", drop}};
    return cmd_verbs("dlq", usage, verbs, ARRAY_LEN(verbs), config, argc, argv);
}
