/* ledger.c: what was taken is counted where it is stored, in the transaction that stores it. What was not is counted here, in memory, and every
 * few seconds put into the spool as one record, from where it goes the way of everything else: counted once, also when the database is away. A
 * crash costs those seconds of refusals (and the number of files that became part of an event), never an accepted event's count.
 *
 * Bounded: LINES_MAX lines, CASES_MAX cases between two takings, CASES_OF_PROJECT of one project, the newest of each; when there is no room left, whoever has
 * fewer than CASES_LEAST takes a place of the others by turns, so that many floods do not hide one refusal elsewhere. Only requests whose key was verified are counted
 * by project, so nobody can fill the table from outside; when it is full all the same, the log says how much is missing. */
#include "ledger.h"

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>

#include "picket/base/clock.h"
#include "picket/base/hash.h"
#include "picket/base/log.h"
#include "picket/json/json.h"

enum { LINES_MIN = 64, LINES_MAX = 16384, CASES_MAX = 200, CASES_OF_PROJECT = 20, CASES_LEAST = 5, CLIENT_MAX = 64 };

struct noted {
    struct ledger_line line; /* quantity is that of the case */
    struct ledger_case told; /* client: see below */
    char client[CLIENT_MAX];
    size_t client_n;
};

struct ledger {
    pthread_mutex_t lock;
    struct ledger_line *lines; /* open addressing; quantity 0: free */
    size_t n_lines, size;      /* size: a power of two */
    uint64_t lost;
    struct noted *cases; /* NULL until the first */
    size_t n_cases, turn;
};

struct ledger *ledger_new(void)
{
    struct ledger *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    pthread_mutex_init(&l->lock, NULL);
    return l;
}

void ledger_free(struct ledger *l)
{
    if (!l)
        return;
    pthread_mutex_destroy(&l->lock);
    free(l->lines);
    free(l->cases);
    free(l);
}

static bool same_line(const struct ledger_line *a, const struct ledger_line *b)
{
    return a->project_id == b->project_id && a->key_id == b->key_id && a->category == b->category && a->outcome == b->outcome &&
           strcmp(a->reason, b->reason) == 0;
}

static uint64_t hash_of(const struct ledger_line *line)
{
    struct {
        uint64_t project_id, key_id;
        uint32_t category, outcome;
    } key = {line->project_id, line->key_id, line->category, line->outcome};
    return hash64_seeded((const char *)&key, sizeof key, hash64(line->reason, strlen(line->reason)));
}

/* Its line, or the free place for it. */
static struct ledger_line *find(struct ledger *l, const struct ledger_line *line)
{
    size_t i = hash_of(line) & (l->size - 1);
    while (l->lines[i].quantity && !same_line(&l->lines[i], line))
        i = (i + 1) & (l->size - 1);
    return &l->lines[i];
}

static void grow(struct ledger *l)
{
    struct ledger_line *old = l->lines;
    size_t old_size = l->size;
    l->size = old_size ? 2 * old_size : LINES_MIN;
    l->lines = calloc(l->size, sizeof *l->lines);
    if (!l->lines)
        abort();
    for (size_t i = 0; i < old_size; i++)
        if (old[i].quantity)
            *find(l, &old[i]) = old[i];
    free(old);
}

static void count(struct ledger *l, const struct ledger_line *line)
{
    if (line->quantity == 0)
        return;
    if (l->n_lines * 2 >= l->size && l->size < LINES_MAX)
        grow(l);
    struct ledger_line *at = find(l, line);
    if (at->quantity) {
        at->quantity += line->quantity;
    } else if (l->n_lines * 2 < l->size) {
        *at = *line;
        l->n_lines++;
    } else {
        l->lost += line->quantity;
    }
}

/* Where the next case of the project goes. */
static struct noted *place_for(struct ledger *l, uint64_t project_id)
{
    struct noted *oldest = NULL;
    size_t of_project = 0;
    for (size_t i = 0; i < l->n_cases; i++) {
        struct noted *n = &l->cases[i];
        if (n->line.project_id != project_id)
            continue;
        of_project++;
        if (!oldest || n->told.at_us < oldest->told.at_us)
            oldest = n;
    }
    bool is_full = l->n_cases == CASES_MAX;
    if (of_project == CASES_OF_PROJECT || (is_full && of_project >= CASES_LEAST))
        return oldest;
    return &l->cases[is_full ? l->turn++ % CASES_MAX : l->n_cases++];
}

static void note(struct ledger *l, const struct ledger_line *line, const struct ledger_case *told)
{
    if (!l->cases && !(l->cases = calloc(CASES_MAX, sizeof *l->cases)))
        abort();
    struct noted *n = place_for(l, line->project_id);
    struct str client = str_take(told->client, CLIENT_MAX);
    *n = (struct noted){.line = *line, .told = *told, .client_n = client.n};
    if (client.n)
        memcpy(n->client, client.p, client.n);
}

void ledger_add(struct ledger *l, const struct ledger_line *line, const struct ledger_case *told)
{
    pthread_mutex_lock(&l->lock);
    count(l, line);
    if (told)
        note(l, line, told);
    pthread_mutex_unlock(&l->lock);
}

/* ---- taking */

static void put_line(struct json_writer *w, const struct ledger_line *line)
{
    json_field_i64(w, STR("p"), (int64_t)line->project_id);
    json_field_i64(w, STR("k"), (int64_t)line->key_id);
    json_field_i64(w, STR("c"), line->category);
    json_field_i64(w, STR("o"), line->outcome);
    json_field_str(w, STR("r"), str_from(line->reason));
    json_field_i64(w, STR("n"), (int64_t)line->quantity);
}

static void put_lines(struct json_writer *w, const struct ledger_line *lines, size_t size, int64_t now_s)
{
    json_key(w, STR("outcomes"));
    json_begin_array(w);
    for (size_t i = 0; i < size; i++) {
        if (lines[i].quantity == 0)
            continue;
        json_begin_object(w);
        json_field_i64(w, STR("h"), now_s);
        put_line(w, &lines[i]);
        json_end_object(w);
    }
    json_end_array(w);
}

static void put_cases(struct json_writer *w, const struct noted *cases, size_t n)
{
    json_key(w, STR("cases"));
    json_begin_array(w);
    for (size_t i = 0; i < n; i++) {
        const struct noted *c = &cases[i];
        char id[ID_HEX + 1];
        json_begin_object(w);
        put_line(w, &c->line);
        json_field_time(w, STR("at"), c->told.at_us);
        json_field_i64(w, STR("bytes"), (int64_t)c->told.bytes);
        json_field_str(w, STR("client"), str_of(c->client, c->client_n));
        id_hex(&c->told.event_id, id);
        if (id_is_nil(&c->told.event_id))
            json_field_null(w, STR("event_id"));
        else
            json_field_str(w, STR("event_id"), str_of(id, ID_HEX));
        json_end_object(w);
    }
    json_end_array(w);
}

bool ledger_take(struct ledger *l, struct buf *out)
{
    pthread_mutex_lock(&l->lock);
    struct ledger taken = {
        .lines = l->lines, .size = l->size, .n_lines = l->n_lines, .cases = l->cases, .n_cases = l->n_cases, .lost = l->lost};
    l->lost = 0;
    l->lines = NULL;
    l->cases = NULL;
    l->size = l->n_lines = l->n_cases = 0;
    pthread_mutex_unlock(&l->lock);
    if (taken.lost)
        log_line(LOG_WARN, "the account of what was not taken is incomplete: too many projects at once", "items=%" PRIu64, taken.lost);
    if (taken.n_lines == 0) {
        free(taken.lines);
        free(taken.cases);
        return false;
    }
    struct json_writer w;
    json_writer_init(&w, out);
    json_begin_object(&w);
    put_lines(&w, taken.lines, taken.size, clock_wall_us() / CLOCK_US_PER_S);
    put_cases(&w, taken.cases, taken.n_cases);
    json_end_object(&w);
    free(taken.lines);
    free(taken.cases);
    return true;
}
