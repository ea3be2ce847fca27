/* Check-ins (protocol §7.2, §10.4 test_monitors) as the digest stores them; the cases are in data/check_in.jsonl. A case has `wanted`, what is made
 * of the payload, or `error`, the name of the reason why it is none. */
#include "event_cases.h"

#include "picket/base/error.h"
#include "picket/event/items.h"

static bool check_in(const struct event_case *c)
{
    const struct item_origin origin = {.received_us = INT64_C(1795262400000000), .project_id = 42};
    AUTO_BUF struct buf out = {0};
    int r = check_in_read(c->payload, &origin, &out);
    if (!case_same(c, "error", r < 0 ? str_from(err_name(r)) : STR(""), case_text(c, STR("error"))))
        return false;
    return case_same(c, "result", buf_str(&out), case_text(c, STR("wanted")));
}

static void payloads_are_read(void **state)
{
    (void)state;
    run_cases("check_in.jsonl", check_in);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(payloads_are_read)};
    return cmocka_run_group_tests_name("check_in", tests, NULL, NULL);
}
