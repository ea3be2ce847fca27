/* test_erasure.c: spilled dead letters of erased persons (src/digest/erasure.h): whose files go, and which are looked into again. */
#include "spill_kit.h"

#include "erasure.h"

enum { PROJECT = 8, PLENTY = 1 << 20, REQUESTS_MAX = 4 };

struct search {
    struct kit kit;
    struct erasure_searched searched;
    struct db_array ids, bytes;
    struct erasure_request at[REQUESTS_MAX];
    struct person persons[REQUESTS_MAX];
    struct erasure_requests requests;
};

static void init(struct search *s)
{
    *s = (struct search){.searched = {.from = INT64_MAX}};
    s->requests.at = s->at;
    s->requests.persons = s->persons;
    kit_init(&s->kit, PLENTY);
}

static void done(struct search *s)
{
    erasure_searched_done(&s->searched);
    db_array_done(&s->ids);
    db_array_done(&s->bytes);
    kit_done(&s->kit);
}

static void ask(struct search *s, int64_t id, const char *who)
{
    assert_true(s->requests.n < REQUESTS_MAX);
    s->persons[s->requests.n] = (struct person){PERSON_ID, str_from(who)};
    s->at[s->requests.n] = (struct erasure_request){.id = id, .project = PROJECT};
    memset(&s->at[s->requests.n++].before, 0xFF, sizeof s->at->before);
}

static void write_of(struct search *s, int64_t number, const char *who)
{
    AUTO_BUF struct buf payload = {0};
    struct dead_letter letter = kit_letter(number);
    letter.project = PROJECT;
    buf_printf(&payload, "{\"user\":{\"id\":\"%s\"}}", who);
    assert_int_equal(spill_write(s->kit.s, &letter, buf_str(&payload)), 0);
}

/* How many files went. */
static unsigned search(struct search *s)
{
    db_array_start(&s->ids, DB_I64);
    db_array_start(&s->bytes, DB_I64);
    assert_int_equal(erasure_of_files(&s->requests, s->kit.dir, &s->searched, &s->ids, &s->bytes), 0);
    assert_int_equal(s->ids.count, s->bytes.count);
    return s->ids.count;
}

static size_t left(const struct search *s)
{
    AUTO_FREE struct spill_name *names = NULL;
    size_t n;
    assert_int_equal(spill_list(s->kit.dir, &names, &n), 0);
    return n;
}

/* What was looked into for somebody is not read again: here it is a file that has become theirs behind the search's back. */
static void only_new_files_are_read(void **state)
{
    (void)state;
    struct search s;
    init(&s);
    ask(&s, 1, "jane");
    write_of(&s, 5, "joe");
    assert_int_equal(search(&s), 0);
    write_of(&s, 5, "jane");
    assert_int_equal(search(&s), 0);
    write_of(&s, 6, "jane");
    erasure_file_came(&s.searched, 6);
    assert_int_equal(search(&s), 1);
    assert_int_equal(left(&s), 1);
    ask(&s, 2, "joe");
    assert_int_equal(search(&s), 0); /* read, but for joe */
    write_of(&s, 4, "joe");          /* one that was marked, and is spilled behind younger ones */
    erasure_file_came(&s.searched, 4);
    assert_int_equal(search(&s), 2);
    assert_int_equal(left(&s), 0);
    done(&s);
}

static void new_requests_are_searched_for_everywhere(void **state)
{
    (void)state;
    struct search s;
    init(&s);
    write_of(&s, 1, "jane");
    write_of(&s, 2, "joe");
    write_of(&s, 3, "mary");
    assert_int_equal(search(&s), 0); /* nobody is asked for */
    ask(&s, 7, "jane");
    assert_int_equal(search(&s), 1);
    ask(&s, 6, "joe"); /* made before, seen after */
    assert_int_equal(search(&s), 1);
    s.requests.n = 0; /* both are forgotten, and another one is made */
    assert_int_equal(search(&s), 0);
    ask(&s, 8, "mary");
    assert_int_equal(search(&s), 1);
    assert_int_equal(left(&s), 0);
    done(&s);
}

/* Whoever holds the directory is not waited for, and what could not be searched then is searched later. */
static void a_failed_search_is_made_again(void **state)
{
    (void)state;
    struct search s;
    init(&s);
    write_of(&s, 1, "jane");
    ask(&s, 1, "jane");
    {
        AUTO_CLOSE int held = spill_hold(s.kit.dir, SPILL_WAIT);
        assert_true(held >= 0);
        db_array_start(&s.ids, DB_I64);
        db_array_start(&s.bytes, DB_I64);
        assert_int_equal(erasure_of_files(&s.requests, s.kit.dir, &s.searched, &s.ids, &s.bytes), -EBUSY);
        assert_int_equal(left(&s), 1);
    }
    assert_int_equal(search(&s), 1);
    assert_int_equal(left(&s), 0);
    done(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(only_new_files_are_read),
        cmocka_unit_test(new_requests_are_searched_for_everywhere),
        cmocka_unit_test(a_failed_search_is_made_again),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
