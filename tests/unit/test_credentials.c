/* test_credentials.c: who sends (protocol §1.4, §10.2; decisions "ingest credentials"; sdk-observed "Transport"). A row of
 * data/credentials.jsonl has the headers x (X-Sentry-Auth) and a (Authorization), the query q and perhaps p, the key of the path. A row with "dsn" goes on to join it for
 * project 42. Expected: key, version, client, or an error; no key and no error: nothing is present. */
#include "byte_cases.h"

#include "picket/protocol/credentials.h"

enum { PROJECT = 42 };

static bool check_credentials(const struct byte_case *c, const struct credentials *got)
{
    char key[ID_HEX + 1] = "";
    if (got->present)
        id_hex(&got->key, key);
    return case_str(c, "key", str_from(key), case_bytes(c, STR("key"))) &&
           case_int(c, "version", got->version, case_i64(c, STR("version"), 0)) &&
           case_str(c, "client", credentials_client(got), case_bytes(c, STR("client")));
}

static bool check_row(const struct byte_case *c)
{
    struct credentials_source src = {case_bytes(c, STR("x")), case_bytes(c, STR("a")), case_bytes(c, STR("q"))};
    if (json_get(c->row, STR("p")))
        src.path_key = case_bytes(c, STR("p"));
    struct credentials got = {0};
    int r = credentials_read(&src, &got);
    if (r == 0 && json_get(c->row, STR("dsn")))
        r = credentials_join_dsn(&got, case_bytes(c, STR("dsn")), PROJECT);
    else if (r == 0 && got.login_error && !got.present)
        r = credentials_missing(&got);
    return case_result(c, r) && (r < 0 || check_credentials(c, &got));
}

static void reads_the_table(void **state)
{
    (void)state;
    run_byte_cases("credentials.jsonl", check_row);
}

static void a_failure_leaves_the_output_alone(void **state)
{
    (void)state;
    struct credentials got = {.present = true, .version = 3}, before = got;
    struct credentials_source src = {.x_sentry_auth = STR("Sentry sentry_key=0123456789abcdef0123456789abcdef, sentry_version=9")};
    assert_int_equal(credentials_read(&src, &got), -ERR_BAD_VERSION);
    assert_memory_equal(&got, &before, sizeof got);
    assert_int_equal(credentials_join_dsn(&got, STR("https://0123456789abcdef0123456789abcdef@h/7"), PROJECT), -ERR_DSN_MISMATCH);
    assert_memory_equal(&got, &before, sizeof got);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_the_table),
        cmocka_unit_test(a_failure_leaves_the_output_alone),
    };
    return cmocka_run_group_tests_name("credentials", tests, NULL, NULL);
}
