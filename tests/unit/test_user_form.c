/* The crash-report dialog's form (protocol §7.4); the cases are in data/user_form.jsonl: `payload` is the form, `report` or `errors` what comes of it. */
#include "event_cases.h"

#include "picket/base/error.h"
#include "picket/event/user_form.h"

static bool form_case(const struct event_case *c)
{
    AUTO_BUF struct buf report = {0}, errors = {0};
    struct id128 event_id;
    assert_true(id_parse(STR("9ec79c33ec9942ab8353589fcb2e04dc"), &event_id));
    int r = user_form_read(c->payload, &event_id, &report, &errors);
    assert_int_equal(r, json_get(c->row, STR("report")) ? 0 : -ERR_INVALID);
    bool good = case_same(c, "report", buf_str(&report), case_text(c, STR("report")));
    return case_same(c, "errors", buf_str(&errors), case_text(c, STR("errors"))) && good;
}

static void forms_are_read(void **state)
{
    (void)state;
    run_cases("user_form.jsonl", form_case);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(forms_are_read)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
