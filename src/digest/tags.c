/* tags.c: events bear their tags as numbers, which tags_intern() gives out (sql/migrations/0037_rollup.sql) and a worker remembers. Nearly all tags of a batch are
 * remembered; the others are asked for by one statement before the batch is stored, each once.
 *
 * What is remembered is a table of hashes, WAYS to a set, of fixed size; whoever finds no room takes another's. There are entries for tags, and for keys: whether
 * further values of a key get a number. A key that is closed has a number for all values beyond its bound; whether an unknown value is one of those is asked for
 * some values of a batch only (DOUBTFUL_MAX), so that values that come in masses cost nothing; the same for unknown keys of a project that may have no more.
 *
 * All is forgotten every hour: the database then hears again which tags are in use, and what was closed may be open. */
#include "tags.h"

#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/hash.h"

enum {
    WAYS = 4, /* a set is a cache line */
    SETS = 8192,
    DOUBTFUL_MAX = 64,
    KEEP_IDLE = 1024, /* questions' room that is kept */
};
#define KEEP_US (3600 * CLOCK_US_PER_S)

/* Entries of keys; numbers of tags are below, and a number beyond the first ones is what a closed key's values count as. */
#define NOT_THERE UINT32_MAX
#define PENDING (UINT32_C(1) << 31)
#define KEY_OPEN (UINT32_C(1) << 30)
#define KEYS_CLOSED (UINT32_C(1) << 29)

struct tags_slot {
    uint64_t hash; /* 0: empty */
    uint32_t number;
};

void tags_init(struct tags *t)
{
    *t = (struct tags){0};
    random_bytes(&t->seed, sizeof t->seed);
}

void tags_done(struct tags *t)
{
    free(t->slots);
    free(t->asked);
}

void tags_rest(struct tags *t)
{
    if (t->asked_cap <= KEEP_IDLE)
        return;
    free(t->asked);
    t->asked = NULL;
    t->asked_cap = 0;
}

/* ---- what is remembered */

static struct tags_slot *set_of(const struct tags *t, uint64_t hash)
{
    return &t->slots[(hash >> 32) % SETS * WAYS];
}

static uint32_t recall(const struct tags *t, uint64_t hash)
{
    const struct tags_slot *set = set_of(t, hash);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            return set[i].number;
    return NOT_THERE;
}

static void remember(struct tags *t, uint64_t hash, uint32_t number)
{
    struct tags_slot *set = set_of(t, hash), *slot = NULL;
    for (unsigned i = 0; i < WAYS && !slot; i++)
        if (set[i].hash == hash)
            slot = &set[i];
    for (unsigned i = 0; i < WAYS && !slot; i++)
        if (set[i].hash == 0)
            slot = &set[i];
    if (!slot)
        slot = &set[t->victim++ % WAYS];
    *slot = (struct tags_slot){hash, number};
}

static void forget(struct tags *t, uint64_t hash)
{
    struct tags_slot *set = set_of(t, hash);
    for (unsigned i = 0; i < WAYS; i++)
        if (set[i].hash == hash)
            set[i] = (struct tags_slot){0};
}

void tags_begin(struct tags *t)
{
    int64_t now_us = clock_mono_us();
    assert(t->n_asked == 0);
    t->n_doubtful = 0;
    if (t->slots && now_us - t->since_us < KEEP_US)
        return;
    free(t->slots);
    t->slots = calloc((size_t)SETS * WAYS, sizeof *t->slots);
    if (!t->slots)
        abort();
    t->since_us = now_us;
}

void tags_clear(struct tags *t)
{
    for (uint32_t i = 0; i < t->n_asked; i++) /* nobody will answer */
        forget(t, t->asked[i].hash);
    t->n_asked = 0;
}

/* ---- hashes; never 0, which is an empty slot */

static uint64_t key_hash(const struct tags *t, uint64_t project_id, struct str key)
{
    return hash64_seeded(key.p, key.n, t->seed ^ project_id) | 1;
}

static uint64_t tag_hash(uint64_t of_key, struct str value)
{
    return hash64_seeded(value.p, value.n, of_key) | 1;
}

/* ---- finding */

static uint32_t ask(struct tags *t, const struct tags_question *q, struct arena *a)
{
    if (t->n_asked == t->asked_cap) {
        t->asked_cap = t->asked_cap ? 2 * t->asked_cap : 64;
        t->asked = realloc(t->asked, t->asked_cap * sizeof *t->asked);
        if (!t->asked)
            abort();
    }
    t->asked[t->n_asked] = *q;
    t->asked[t->n_asked].key = arena_str(a, q->key);
    t->asked[t->n_asked].value = arena_str(a, q->value);
    remember(t, q->hash, PENDING | t->n_asked);
    return PENDING | t->n_asked++;
}

uint32_t tags_find(struct tags *t, uint64_t project_id, struct str key, struct str value, struct arena *a)
{
    struct tags_question q = {.project_id = project_id, .key = key, .value = value};
    q.key_hash = key_hash(t, project_id, key);
    q.hash = tag_hash(q.key_hash, value);
    uint32_t number = recall(t, q.hash);
    if (number != NOT_THERE)
        return number;
    uint32_t of_key = recall(t, q.key_hash);
    bool is_new_key = of_key == NOT_THERE && recall(t, key_hash(t, project_id, STR(""))) == KEYS_CLOSED;
    if (of_key == KEY_OPEN || (of_key == NOT_THERE && !is_new_key) || t->n_doubtful++ < DOUBTFUL_MAX)
        return ask(t, &q, a);
    return is_new_key ? 0 : of_key;
}

/* ---- asking */

void tags_bind(const struct tags *t, struct db_query *q, struct db_array arrays[static 3])
{
    static const enum db_type types[] = {DB_I32, DB_TEXT, DB_TEXT};
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        db_array_start(&arrays[i], types[i]);
    for (uint32_t i = 0; i < t->n_asked; i++) {
        db_array_i32(&arrays[0], (int32_t)t->asked[i].project_id);
        db_array_text(&arrays[1], t->asked[i].key);
        db_array_text(&arrays[2], t->asked[i].value);
    }
    for (size_t i = 0; i < ARRAY_LEN(types); i++)
        db_bind_array(q, &arrays[i]);
}

/* Columns: the number, or null; what further values of the key count as, 0: the key is one too many, null: they get numbers. Both null: there is no such project. */
static uint32_t take_answer(struct tags *t, const struct tags_question *q, const struct db_rows *rows, int row)
{
    uint32_t number = db_is_null(rows, row, 0) ? 0 : (uint32_t)db_i64(rows, row, 0);
    bool is_closed = !db_is_null(rows, row, 1);
    uint32_t closed = is_closed ? (uint32_t)db_i64(rows, row, 1) : 0;
    forget(t, q->hash);
    if (number && !(is_closed && number == closed))
        remember(t, q->hash, number);
    if (number)
        remember(t, q->key_hash, is_closed ? closed : KEY_OPEN);
    else if (is_closed)
        remember(t, key_hash(t, q->project_id, STR("")), KEYS_CLOSED);
    return number;
}

const uint32_t *tags_take(struct tags *t, const struct db_rows *rows, struct arena *a)
{
    uint32_t *numbers = arena_array(a, uint32_t, t->n_asked);
    assert(!rows || db_count(rows) == (int)t->n_asked);
    for (uint32_t i = 0; rows && i < t->n_asked; i++)
        numbers[i] = take_answer(t, &t->asked[i], rows, (int)i);
    if (rows)
        t->n_asked = 0;
    else
        tags_clear(t);
    return numbers;
}

uint32_t tags_number(uint32_t found, const uint32_t *numbers)
{
    return found & PENDING ? numbers[found & ~PENDING] : found;
}
