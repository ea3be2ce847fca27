/* cmd_dlq_retry.c: `picket dlq retry`.
 *
 * A retry marks its letters and works the marks off here and now (src/digest/retry.c says why both). With a server running it does not matter who is
 * first; without one this is all that is needed.
 *
 * A letter that lies in a file becomes a marked row again, with all that it was, and then goes the way of the others; if it fails once more it is a
 * dead row, which a server may spill again. Row before file: a cut between leaves both, the row counts, and
 * the file goes before a server forgets the row (letters.c). The directory is held (spill_hold)
 * from the reading of the file to its end, or the file that a server has just written anew of the same letter could be the one that goes.
 * Files are listed before the first letter is tried, so that none is tried twice. */
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>

#include "cmd_dlq.h"
#include "picket/base/error.h"
#include "picket/digest/retry.h"
#include "picket/protocol/payload.h"

struct marked {
    int64_t number;
    bool is_done; /* stored by an earlier retry */
};

struct retrying {
    struct marked *letters;
    size_t n;
    size_t n_stored, n_failed;
    bool told, over; /* of the letter that is being tried */
    int result;
};

static void see_marked(void *arg, const struct db_rows *rows)
{
    struct retrying *t = arg;
    t->n = (size_t)db_count(rows);
    t->letters = calloc(t->n ? t->n : 1, sizeof *t->letters);
    if (!t->letters)
        abort();
    for (int i = 0; i < db_count(rows); i++)
        t->letters[i] = (struct marked){.number = db_i64(rows, i, 0), .is_done = str_eq(db_text(rows, i, 1), STR("stored"))};
}

static void on_tried(void *arg, const struct retry_outcome *o)
{
    struct retrying *t = arg;
    const char *state = o->sqlstate[0] ? ", SQLSTATE " : "";
    switch (o->result) {
    case RETRY_STORED:
        printf("Dead letter %" PRId64 " is stored.\n", o->letter);
        break;
    case RETRY_DUPLICATE:
        printf("Dead letter %" PRId64 " is done: an event of that id is stored already.\n", o->letter);
        break;
    case RETRY_FAILED:
        (void)cmd_fail("dead letter %" PRId64 " failed again: %s%s%s%s%.*s", o->letter, err_text(o->error), state, o->sqlstate,
                       o->detail.n ? ", " : "", STR_ARG(o->detail));
        break;
    case RETRY_LATER:
        (void)cmd_fail("dead letter %" PRId64 " cannot be stored now: %s%s%s. A running server will try again, or this command", o->letter,
                       err_text(o->error), state, o->sqlstate);
        break;
    case RETRY_ELSEWHERE:
        printf("Dead letter %" PRId64 " is being tried by a server: picket dlq show tells how it went.\n", o->letter);
        break;
    }
    t->n_stored += o->result == RETRY_STORED || o->result == RETRY_DUPLICATE;
    t->n_failed += o->result == RETRY_FAILED || o->result == RETRY_LATER;
    t->told = true;
}

static void on_over(void *arg, int r)
{
    struct retrying *t = arg;
    t->over = true;
    t->result = r;
}

static void run_letter(struct cmd_db *d, struct retry *retry, struct retrying *t, const struct marked *letter)
{
    if (letter->is_done) {
        printf("Dead letter %" PRId64 " was stored by an earlier retry: nothing to do.\n", letter->number);
        return;
    }
    t->told = t->over = false;
    retry_start(retry, letter->number, letter->number);
    while (!t->over)
        uv_run(&d->loop, UV_RUN_ONCE);
    if (!t->told && t->result == 0) /* gone before it could be read */
        printf("Dead letter %" PRId64 " was tried by a server: picket dlq show tells how it went.\n", letter->number);
}

/* ---- files */

struct restoring {
    struct cmd_db *d;
    struct payload_packer *packer;
    struct buf file, letter, meta, payload; /* payload: zstd */
    struct db_query query;
    int64_t number; /* of the row; 0: the record has one already */
};

/* What the file says about the letter, and the envelope header without that. */
static int split_head(struct str head, struct restoring *t)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct json_writer letter, meta;
    if (json_parse(head, &doc, NULL) < 0 || json_type(json_root(doc)) != JSON_OBJECT)
        return -EBADMSG;
    buf_clear(&t->letter);
    buf_clear(&t->meta);
    json_writer_init(&letter, &t->letter);
    json_put_value(&letter, json_get(json_root(doc), STR("dead_letter")));
    json_writer_init(&meta, &t->meta);
    json_begin_object(&meta);
    for (struct json_iter it = json_iter(json_root(doc)); json_next(&it);) {
        struct str key;
        if (!json_str_raw(it.key, &key) || str_eq(key, STR("dead_letter")))
            continue;
        json_key(&meta, key);
        json_put_value(&meta, it.value);
    }
    json_end_object(&meta);
    return 0;
}

static int read_letter(const char *dir, const struct spill_name *name, struct restoring *t)
{
    struct str part;
    int r = spill_read_head(dir, name, &t->file, &part);
    if (r == 0)
        r = split_head(part, t);
    if (r == 0)
        r = spill_read_payload(dir, name, &t->file, &part);
    if (r < 0)
        return r;
    buf_clear(&t->payload);
    payload_pack(t->packer, NULL, part, &t->payload);
    return 0;
}

static void see_restored(void *arg, const struct db_rows *rows)
{
    if (db_count(rows))
        ((struct restoring *)arg)->number = db_i64(rows, 0, 0);
}

static int put_row(struct restoring *t)
{
    db_query_init(&t->query, STMT_DEAD_LETTER_RESTORE, NULL);
    db_bind_text(&t->query, buf_str(&t->letter));
    db_bind_bytes(&t->query, buf_str(&t->meta));
    db_bind_bytes(&t->query, buf_str(&t->payload));
    return db_wait(t->d->db, &t->query, see_restored, t);
}

/* 0, and t->number tells the row, or 0 when there is nothing to do. */
static int restore(const char *dir, const struct spill_name *name, struct restoring *t)
{
    t->number = 0;
    AUTO_CLOSE int held = spill_hold(dir, SPILL_WAIT);
    if (held < 0)
        return held;
    int r = read_letter(dir, name, t);
    if (r == 0)
        r = put_row(t);
    if (r == 0 && t->number)
        r = spill_delete(dir, name);
    return t->number && r == -ENOENT ? 0 : r; /* a server was faster: the row is what counts */
}

static void retry_file(const struct config *config, const struct spill_name *name, struct restoring *t, struct retry *retry,
                       struct retrying *done)
{
    char file[SPILL_NAME_MAX];
    int r = restore(config->dead_letters_dir, name, t);
    if (r < 0 && r != -ENOENT) {
        const char *state = t->query.sqlstate;
        spill_file(name, file);
        (void)cmd_fail("%s/%s: %s%s%s", config->dead_letters_dir, file, err_text(r), state[0] ? ", SQLSTATE " : "", state);
        done->n_failed++;
        return;
    }
    if (t->number == 0 || r < 0) {
        printf("Dead letter %" PRId64 " was taken up by somebody else: picket dlq show tells how it went.\n", name->number);
        return;
    }
    if (t->number != name->number)
        printf("Dead letter %" PRId64 " is of another database: here it is %" PRId64 ".\n", name->number, t->number);
    run_letter(t->d, retry, done, &(struct marked){.number = t->number});
}

static void retry_files(const struct config *config, struct cmd_db *d, const struct dlq_files *files, struct retry *retry,
                        struct retrying *done)
{
    struct restoring t = {.d = d, .packer = payload_packer_new()};
    for (size_t i = 0; i < files->n && done->result == 0; i++)
        retry_file(config, &files->names[i], &t, retry, done);
    payload_packer_free(t.packer);
    buf_done(&t.file);
    buf_done(&t.letter);
    buf_done(&t.meta);
    buf_done(&t.payload);
}

/* ---- all */

static int explain_missing(const struct dlq_wanted *wanted, const struct retrying *t, const struct dlq_files *files)
{
    int code = EXIT_OK;
    for (size_t i = 0; i < wanted->n; i++) {
        bool found = false;
        for (size_t k = 0; k < t->n && !found; k++)
            found = t->letters[k].number == wanted->numbers[i];
        for (size_t k = 0; k < files->n && !found; k++)
            found = files->names[k].number == wanted->numbers[i];
        if (!found)
            code = cmd_fail("there is no dead letter %" PRId64 ": picket dlq list shows all", wanted->numbers[i]);
    }
    return code;
}

static int run_all(const struct config *config, struct cmd_db *d, const struct dlq_files *files, struct retrying *t)
{
    struct retry_events events = {.tried = on_tried, .over = on_over, .arg = t};
    struct retry *retry = retry_new(d->db, &events);
    for (size_t i = 0; i < t->n && t->result == 0; i++)
        run_letter(d, retry, t, &t->letters[i]);
    retry_files(config, d, files, retry, t);
    retry_free(retry);
    if (t->result < 0)
        return cmd_fail("%s: the letters stay marked, a running server will try them again, or this command", err_text(t->result));
    return t->n_failed ? EXIT_FAILED : EXIT_OK;
}

static int retry_wanted(const struct config *config, const struct dlq_wanted *wanted, struct cmd_db *d, struct dlq_files *files,
                        struct retrying *t)
{
    struct db_array numbers = {0};
    struct db_query q;
    size_t kept = 0;
    for (size_t i = 0; i < files->n; i++)
        if (dlq_is_wanted(config, wanted, &files->names[i]))
            files->names[kept++] = files->names[i];
    files->n = kept;
    int r = dlq_without_rows(d->db, files);
    if (r < 0)
        return cmd_fail("%s", err_text(r));
    db_query_init(&q, STMT_DEAD_LETTER_MARK, NULL);
    dlq_bind_wanted(&q, wanted, &numbers);
    db_bind_null(&q); /* by nobody known */
    r = db_wait(d->db, &q, see_marked, t);
    db_array_done(&numbers);
    if (r < 0)
        return dlq_explain(r, &q);
    int code = run_all(config, d, files, t);
    if (explain_missing(wanted, t, files) != EXIT_OK)
        code = EXIT_FAILED;
    if (wanted->n == 0)
        printf("%zu of %zu dead letters stored.\n", t->n_stored, t->n + files->n);
    return code;
}

int dlq_retry(const struct config *config, const struct dlq_wanted *wanted)
{
    struct cmd_db d;
    struct dlq_files files;
    struct retrying t = {0};
    int code = cmd_db_open(&d, config);
    if (code != EXIT_OK)
        return code;
    dlq_load_files(config, &files);
    code = retry_wanted(config, wanted, &d, &files, &t);
    cmd_db_close(&d);
    free(files.names);
    free(t.letters);
    return code;
}
