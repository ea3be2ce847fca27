/* test_dictionaries.c: payloads packed with dictionaries of their projects (src/digest/dictionaries.c): each can be read, whatever becomes of the dictionary. */
#include "digest_kit.h"

#include <dirent.h>
#include <sys/stat.h>

#include "dictionaries.h"

enum { EVENTS = 400, BATCH = 50, NOISE_BYTES = 3000 };

/* ---- events of one program, and of none */

static void put_frame(struct buf *b, const char *program, unsigned i)
{
    buf_printf(
        b,
        "%s{\"filename\":\"%s/module_%u.py\",\"function\":\"%s_function_%u\",\"module\":\"%s.module_%u\",\"lineno\":%u,\"in_app\":true,"
        "\"context_line\":\"    return %s_total(basket, %u)\",\"vars\":{\"a\":\"secret-word-%u\"}}",
        i % 100 ? "," : "", program, i / 100, program, i / 10, program, i / 100, i, program, i / 10, i);
}

/* 3 KB that are much like the others of its program; who it happened to is not. */
static void put_event(struct buf *b, const char *program, uint64_t *rng)
{
    uint64_t person = next_random(rng);
    buf_printf(
        b,
        "{\"platform\":\"python\",\"level\":\"error\",\"exception\":{\"values\":[{\"type\":\"Error%u\",\"value\":\"said by person-%" PRIu64
        "\",\"stacktrace\":{\"frames\":[",
        random_below(rng, 20), person);
    unsigned first = 100 * random_below(rng, 8);
    for (unsigned i = 0; i < 14; i++)
        put_frame(b, program, first + (i ? 1 + random_below(rng, 98) : 0));
    buf_printf(b, "]}}]},\"user\":{\"email\":\"person-%" PRIu64 "@mail.example\"}}", person);
}

static void put_noise(struct buf *b, uint64_t *rng)
{
    buf_append_str(b, STR("{\"message\":\""));
    for (unsigned i = 0; i < NOISE_BYTES; i++)
        buf_append_char(b, (char)('A' + random_below(rng, 26)));
    buf_append_str(b, STR("\"}"));
}

struct texts {
    struct buf all;
    size_t starts[EVENTS];
    struct sent events[EVENTS];
};

/* In the order of their ids, which is that of their receipt; those of a higher seed come later. program NULL: noise. */
static void make(struct texts *t, int64_t project, const char *program, unsigned n, uint64_t seed)
{
    int64_t now = clock_wall_us() / CLOCK_US_PER_DAY * CLOCK_US_PER_DAY + (int64_t)seed * CLOCK_US_PER_S;
    uint64_t rng = seed;
    buf_clear(&t->all);
    for (unsigned i = 0; i < n; i++) {
        t->starts[i] = t->all.n;
        if (program)
            put_event(&t->all, program, &rng);
        else
            put_noise(&t->all, &rng);
        buf_append_char(&t->all, '\0');
    }
    for (unsigned i = 0; i < n; i++)
        t->events[i] = (struct sent){.project = project,
                                     .event_id = random_id(&rng),
                                     .received_us = now + (int64_t)i * 1000,
                                     .payload = t->all.p + t->starts[i]};
}

/* Four bytes at that place of the only segment. */
static void stage_damage(const struct stage *s, uint64_t at)
{
    char path[STAGE_PATH_MAX + 300];
    DIR *dir = opendir(s->dir);
    assert_non_null(dir);
    for (struct dirent *e; (e = readdir(dir)) != NULL;) {
        struct stat st;
        (void)snprintf(path, sizeof path, "%s/%s", s->dir, e->d_name);
        AUTO_CLOSE int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd >= 0 && fstat(fd, &st) == 0 && (uint64_t)st.st_size > at + 4)
            assert_int_equal(pwrite(fd, "XXXX", 4, (off_t)at), 4);
    }
    (void)closedir(dir);
}

/* ---- what became of them */

struct seen {
    const struct texts *texts;
    unsigned from, n, own, first_own; /* rows; those with a dictionary of the project's; the first of these */
    size_t bytes_embedded, bytes_own; /* of the rows before it, and of those from it on */
};

static void see_rows(void *arg, const struct db_rows *rows)
{
    struct seen *s = arg;
    assert_true(db_count(rows) >= (int)(s->from + s->n));
    s->first_own = s->n;
    for (unsigned i = 0; i < s->n; i++) {
        AUTO_BUF struct buf text = {0};
        int row = (int)(s->from + i);
        struct str payload = db_bytes(rows, row, 0), dictionary = db_bytes(rows, row, 1);
        int64_t number = db_i64(rows, row, 2);
        assert_int_equal(payload_unpack(payload, dictionary, 1 << 20, &text), 0);
        assert_true(str_eq(buf_str(&text), str_from(s->texts->all.p + s->texts->starts[i])));
        assert_int_equal(payload_dictionary_number(payload) >= PAYLOAD_DICTIONARY_FIRST ? payload_dictionary_number(payload) : 0, number);
        if (number && s->own++ == 0)
            s->first_own = i;
        *(number ? &s->bytes_own : &s->bytes_embedded) += payload.n;
    }
}

/* The last `n` of the project's rows, which must be the texts. */
static struct seen look(struct stage *s, int64_t project, const struct texts *t, unsigned from, unsigned n)
{
    struct seen seen = {.texts = t, .from = from, .n = n};
    struct db_query q;
    db_query_init(&q, STMT_TEST_DICTIONARY_ROWS, NULL);
    db_bind_i32(&q, (int32_t)project);
    assert_int_equal(db_wait(s->k.db, &q, see_rows, &seen), 0);
    return seen;
}

struct listed {
    int n;
    int64_t last;
    bool last_checked;
    struct buf content; /* of the last */
};

static void see_list(void *arg, const struct db_rows *rows)
{
    struct listed *l = arg;
    l->n = db_count(rows);
    if (l->n == 0)
        return;
    l->last = db_i64(rows, l->n - 1, 0);
    l->last_checked = db_bool(rows, l->n - 1, 2);
    buf_append_str(&l->content, db_bytes(rows, l->n - 1, 1));
}

static struct listed list(struct stage *s, int64_t project)
{
    struct listed listed = {0};
    struct db_query q;
    db_query_init(&q, STMT_TEST_DICTIONARY_LIST, NULL);
    db_bind_i32(&q, (int32_t)project);
    assert_int_equal(db_wait(s->k.db, &q, see_list, &listed), 0);
    return listed;
}

static void run_for(struct stage *s, enum db_stmt stmt, int64_t project)
{
    struct op op;
    op_init(&op, stmt);
    db_bind_i32(&op.q, (int32_t)project);
    assert_int_equal(op_run(&s->k, &op), 0);
}

static bool has(const struct listed *l, const char *word)
{
    return memmem(l->content.p, l->content.n, word, strlen(word)) != NULL;
}

static bool is_listed(struct stage *s, int64_t project, int n, bool checked)
{
    struct listed l = list(s, project);
    bool is = l.n >= n && (!checked || l.last_checked);
    buf_done(&l.content);
    return is;
}

/* ---- tests */

static void a_dictionary_is_made_of_what_comes(void **state)
{
    struct stage *s = *state;
    static struct texts t;
    int64_t project = stage_project(s), other = stage_project(s);
    make(&t, project, "shop", EVENTS, 1);
    stage_send(s, t.events, EVENTS);
    stage_digest(s, 1, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    struct seen seen = look(s, project, &t, 0, EVENTS);
    assert_in_range(seen.first_own, BATCH, EVENTS - 1); /* each one since then */
    assert_int_equal(seen.own, EVENTS - seen.first_own);
    assert_true(seen.bytes_own / seen.own < seen.bytes_embedded / seen.first_own * 8 / 10);
    struct listed l = list(s, project);
    assert_int_equal(l.last, PAYLOAD_DICTIONARY_FIRST);
    assert_true(has(&l, "shop") && has(&l, "_function_"));
    assert_false(has(&l, "person-") || has(&l, "secret") || has(&l, "mail.example"));
    buf_done(&l.content);
    assert_false(is_listed(s, other, 1, false));
    stage_digest_close(s, KIT_LIMIT_MS);
}

/* An empty one says so, and nobody tries again. */
static void none_is_made_where_it_does_not_help(void **state)
{
    struct stage *s = *state;
    static struct texts t;
    int64_t project = stage_project(s);
    make(&t, project, NULL, EVENTS, 2);
    stage_send(s, t.events, EVENTS);
    stage_digest(s, 2, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    stage_digest_close(s, KIT_LIMIT_MS);
    struct listed l = list(s, project);
    assert_int_equal(l.content.n, 0);
    assert_int_equal(l.n, 1);
    assert_int_equal(look(s, project, &t, 0, EVENTS).own, 0);
}

/* Hours later the program is another one; after that it stays. */
static void a_better_one_takes_its_place(void **state)
{
    struct stage *s = *state;
    static struct texts before, after, again;
    int64_t project = stage_project(s);
    make(&before, project, "shop", EVENTS, 3);
    (void)stage_run(s, before.events, EVENTS, 2, BATCH);
    assert_true(is_listed(s, project, 1, false));
    run_for(s, STMT_TEST_DICTIONARY_AGE, project);
    make(&after, project, "warehouse", EVENTS, 4);
    stage_send(s, after.events, EVENTS);
    stage_digest(s, 1, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 2, false));
    struct listed l = list(s, project);
    assert_int_equal(l.last, PAYLOAD_DICTIONARY_FIRST + 1);
    assert_true(has(&l, "warehouse"));
    buf_done(&l.content);
    for (unsigned i = 0; i < 2; i++) /* the older, the rarer */
        run_for(s, STMT_TEST_DICTIONARY_AGE, project);
    make(&again, project, "warehouse", EVENTS, 5);
    stage_send(s, again.events, EVENTS);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 2, true));
    stage_digest_close(s, KIT_LIMIT_MS);
    assert_true(is_listed(s, project, 2, true) && !is_listed(s, project, 3, false));
    assert_int_equal(look(s, project, &before, 0, EVENTS).n, EVENTS); /* of the first one, too */
    assert_int_equal(look(s, project, &after, EVENTS, EVENTS).own, EVENTS);
    assert_int_equal(look(s, project, &again, 2 * EVENTS, EVENTS).own, EVENTS);
}

/* The database says another dictionary under the same number than the one that is at hand. */
static void a_database_that_was_restored(void **state)
{
    struct stage *s = *state;
    static struct texts before, after;
    int64_t project = stage_project(s);
    make(&before, project, "shop", EVENTS, 6);
    stage_send(s, before.events, EVENTS);
    stage_digest(s, 1, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    run_for(s, STMT_TEST_DICTIONARY_RESTORE, project);
    make(&after, project, "warehouse", EVENTS, 7);
    stage_send(s, after.events, EVENTS);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    stage_digest_close(s, KIT_LIMIT_MS);
    struct seen seen = look(s, project, &after, EVENTS, EVENTS);
    assert_true(seen.own > 0);
    struct listed l = list(s, project);
    assert_true(has(&l, "warehouse") && !has(&l, "shop"));
    buf_done(&l.content);
}

/* A database of before the dictionary comes back while a batch that is packed with it waits. */
static void a_database_that_is_restored_under_a_batch(void **state)
{
    struct stage *s = *state;
    static struct texts before, after;
    int64_t project = stage_project(s);
    make(&before, project, "shop", EVENTS, 9);
    stage_send(s, before.events, EVENTS);
    stage_digest(s, 1, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    stage_block(s, STMT_TEST_DIGEST_LOCK_EVENTS);
    make(&after, project, "shop", BATCH, 10);
    stage_send(s, after.events, BATCH);
    stage_until_waiting(s, 1);
    run_for(s, STMT_TEST_DICTIONARY_RESTORE, project);
    assert_int_equal(kit_number_of(&s->k, STMT_TEST_DIGEST_END, DIGEST_NAME), 1);
    stage_until_waiting(s, 1);
    stage_unblock(s);
    stage_drain(s);
    stage_digest_close(s, KIT_LIMIT_MS);
    assert_int_equal(look(s, project, &after, EVENTS, BATCH).own, 0);
}

/* A header is damaged after the range was claimed: what lies behind it is still known before it is read. */
static void damage_behind_a_claim(void **state)
{
    struct stage *s = *state;
    static struct texts t;
    int64_t one = stage_project(s), two = stage_project(s);
    struct spool_range range;
    struct spool_record heads[3], records[3];
    AUTO_BUF struct buf buf = {0};
    make(&t, one, "shop", 3, 11);
    t.events[1].project = t.events[2].project = two;
    stage_send(s, t.events, 3);
    assert_int_equal(spool_claim(s->spool, 100, 4 << 20, &range), 1);
    stage_damage(s, range.from + 8);
    assert_int_equal(spool_heads(s->spool, &range, heads), 2);
    assert_int_equal(spool_read(s->spool, &range, &buf, records), 2);
    for (unsigned i = 0; i < 2; i++)
        assert_true(id_eq(&heads[i].id, &records[i].id) && heads[i].project_id == (uint64_t)two && heads[i].payload.n == 0);
    spool_release(s->spool, &range);
}

static void train(struct buf *content, uint64_t *rng)
{
    AUTO_BUF struct buf samples = {0};
    size_t sizes[100];
    for (unsigned i = 0; i < ARRAY_LEN(sizes); i++) {
        size_t before = samples.n;
        put_event(&samples, "shop", rng);
        sizes[i] = samples.n - before;
    }
    const struct payload_samples all = {buf_str(&samples), sizes, ARRAY_LEN(sizes)};
    assert_true(payload_train(&all, &all, PAYLOAD_DICTIONARY_FIRST, content));
}

/* Making one ready is paid for, whoever takes turns: not more than one for READY_COST events. */
static void making_ready_is_paid_for(void **state)
{
    (void)state;
    enum { PROJECTS = 20, BATCHES = 100, PAYLOADS = 100, COST = 8, CREDIT = 4 * DICTIONARIES_READY * COST };
    struct dictionaries d;
    AUTO_BUF struct buf content = {0}, out = {0}, payload = {0};
    uint64_t rng = 12, n_ready = 0;
    train(&content, &rng);
    put_event(&payload, "shop", &rng);
    dictionaries_init(&d);
    for (unsigned batch = 0; batch < BATCHES; batch++) {
        for (unsigned i = 1; i <= PROJECTS; i++) {
            struct dictionary_entry entry = {.project_id = i, .number = PAYLOAD_DICTIONARY_FIRST, .checksum = 7};
            if (dictionaries_known(&d, i, PAYLOADS / PROJECTS) == 0)
                entry.content = buf_str(&content);
            dictionaries_add(&d, &entry);
        }
        for (unsigned i = 0; i < PAYLOADS; i++) {
            uint64_t last = d.uses, project = 1 + i % PROJECTS;
            bool was_ready = false;
            for (unsigned j = 0; j < DICTIONARIES_READY; j++)
                was_ready = was_ready || d.ready[j].project_id == project;
            buf_clear(&out);
            dictionaries_pack(&d, project, buf_str(&payload), &out);
            n_ready += d.uses > last && !was_ready;
        }
        dictionaries_clear(&d);
    }
    assert_in_range(n_ready, 1, BATCHES * PAYLOADS / COST + CREDIT / COST);
    dictionaries_done(&d);
}

/* What was spent is there again after a rest, and nothing is kept ready meanwhile. */
static void a_rest_gives_credit(void **state)
{
    (void)state;
    struct dictionaries d;
    AUTO_BUF struct buf content = {0}, out = {0};
    uint64_t rng = 13, spent = 0;
    train(&content, &rng);
    dictionaries_init(&d);
    while (dictionaries_known(&d, ++spent, 0) == 0) {
        const struct dictionary_entry entry = {.project_id = spent,
                                               .number = PAYLOAD_DICTIONARY_FIRST,
                                               .checksum = 7,
                                               .content = buf_str(&content)};
        dictionaries_add(&d, &entry);
        dictionaries_pack(&d, spent, STR("{}"), &out);
        dictionaries_clear(&d);
    }
    assert_in_range(spent, DICTIONARIES_READY, 1000);
    dictionaries_rest(&d);
    for (unsigned i = 0; i < DICTIONARIES_READY; i++)
        assert_null(d.ready[i].dictionary);
    assert_int_equal(dictionaries_known(&d, spent, 0), 0);
    dictionaries_done(&d);
}

static void feed(struct dictionaries *d, uint64_t project, uint64_t *rng)
{
    AUTO_BUF struct buf payload = {0}, out = {0};
    const struct dictionary_entry entry = {.project_id = project, .wants_samples = true};
    dictionaries_add(d, &entry);
    for (unsigned i = 0; i < DICTIONARY_SAMPLES; i++) {
        buf_clear(&payload);
        put_event(&payload, "shop", rng);
        dictionaries_pack(d, project, buf_str(&payload), &out);
    }
    dictionaries_clear(d);
}

/* A database that takes no dictionary is not asked with each hundred events: making one takes 30 ms. */
static void one_that_was_refused_is_not_made_again_at_once(void **state)
{
    (void)state;
    struct dictionaries d;
    struct db_query q;
    uint64_t rng = 14;
    dictionaries_init(&d);
    feed(&d, 1, &rng);
    assert_true(dictionaries_are_ripe(&d));
    dictionaries_bind(&d, &q, NULL);
    dictionaries_kept(&d, -ERR_DB_TIMEOUT, &q);
    feed(&d, 1, &rng);
    feed(&d, 2, &rng);
    assert_false(dictionaries_are_ripe(&d));
    d.no_samples_before_us = clock_mono_us();
    feed(&d, 2, &rng);
    assert_true(dictionaries_are_ripe(&d));
    dictionaries_done(&d);
}

/* More projects than dictionaries are kept ready, a few events of each in a batch. */
static void many_projects_take_turns(void **state)
{
    enum { PROJECTS = 20 };
    struct stage *s = *state;
    static struct texts t, turns;
    int64_t projects[PROJECTS];
    stage_digest(s, 1, BATCH);
    for (unsigned i = 0; i < PROJECTS; i++) {
        char program[16];
        (void)snprintf(program, sizeof program, "program%u", i);
        projects[i] = stage_project(s);
        make(&t, projects[i], program, EVENTS / 2, 100 + i);
        stage_send(s, t.events, EVENTS / 2);
        KIT_UNTIL(&s->k, is_listed(s, projects[i], 1, false));
    }
    stage_drain(s);
    make(&turns, projects[0], "program0", EVENTS, 200);
    for (unsigned i = 0; i < EVENTS; i++)
        turns.events[i].project = projects[i % PROJECTS];
    stage_send(s, turns.events, EVENTS);
    stage_drain(s);
    stage_digest_close(s, KIT_LIMIT_MS);
    unsigned own = 0;
    for (unsigned i = 0; i < PROJECTS; i++) {
        for (unsigned n = 0; n < EVENTS / PROJECTS; n++)
            t.starts[n] = turns.starts[i + n * PROJECTS];
        struct texts mine = {.all = turns.all};
        memcpy(mine.starts, t.starts, sizeof mine.starts);
        own += look(s, projects[i], &mine, EVENTS / 2, EVENTS / PROJECTS).own;
    }
    assert_in_range(own, EVENTS / 20, EVENTS); /* what the credit allows at least */
    assert_everything_equals_the_rows(s);
}

static void it_goes_with_its_project(void **state)
{
    struct stage *s = *state;
    static struct texts t;
    int64_t project = stage_project(s);
    make(&t, project, "shop", EVENTS, 8);
    stage_send(s, t.events, EVENTS);
    stage_digest(s, 2, BATCH);
    stage_drain(s);
    KIT_UNTIL(&s->k, is_listed(s, project, 1, false));
    delete_project(&s->k, project);
    assert_false(is_listed(s, project, 1, false));
    t.events[0].event_id = id_random();
    stage_send(s, t.events, EVENTS);
    stage_drain(s);
    stage_digest_close(s, KIT_LIMIT_MS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        STAGED(a_dictionary_is_made_of_what_comes),
        STAGED(none_is_made_where_it_does_not_help),
        STAGED(a_better_one_takes_its_place),
        STAGED(a_database_that_was_restored),
        STAGED(a_database_that_is_restored_under_a_batch),
        STAGED(damage_behind_a_claim),
        cmocka_unit_test(making_ready_is_paid_for),
        cmocka_unit_test(a_rest_gives_credit),
        cmocka_unit_test(one_that_was_refused_is_not_made_again_at_once),
        STAGED(many_projects_take_turns),
        STAGED(it_goes_with_its_project),
    };
    return cmocka_run_group_tests(tests, start_migrated_cluster, stop_cluster);
}
