/* test_route.c: the route table: matching, slashes and prefixes (protocol §1.2), methods (decisions.md "unknown method"). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "picket/base/buf.h"
#include "picket/http/route.h"

static void handler(struct http_call *call)
{
    (void)call;
}

enum { PROJECTS, CREATE, PROJECT, CHANGE, ISSUE, ENVELOPE, ROOT };
static const struct http_route routes[] = {
    [PROJECTS] = {HTTP_GET, "/api/projects", HTTP_USER, HTTP_NO_BODY, handler},
    [CREATE] = {HTTP_POST, "/api/projects", HTTP_USER, HTTP_JSON_BODY, handler},
    [PROJECT] = {HTTP_GET, "/api/projects/{project}", HTTP_USER, HTTP_NO_BODY, handler},
    [CHANGE] = {HTTP_PATCH, "/api/projects/{project}", HTTP_USER, HTTP_JSON_BODY, handler},
    [ISSUE] = {HTTP_GET, "/api/projects/{project}/issues/{issue}", HTTP_USER, HTTP_NO_BODY, handler},
    [ENVELOPE] = {HTTP_POST, "/api/{project}/envelope/", HTTP_INGEST, HTTP_NO_BODY, handler},
    [ROOT] = {HTTP_GET, "/", HTTP_PUBLIC, HTTP_NO_BODY, handler},
};

struct expectation {
    unsigned method;
    const char *path;
    enum route_result result;
    int route; /* FOUND: which */
    const char *params[2];
    unsigned allowed;
};

static void check(const struct route_table *t, const struct expectation *e)
{
    struct route_match m = {0};
    assert_int_equal(route_find(t, e->method, str_from(e->path), &m), e->result);
    if (e->result == ROUTE_NO_PATH)
        return;
    assert_int_equal(m.allowed, e->allowed);
    if (e->result != ROUTE_FOUND)
        return;
    assert_ptr_equal(m.route, &routes[e->route]);
    for (unsigned i = 0; i < ARRAY_LEN(e->params); i++) {
        assert_int_equal(i < m.n_params, e->params[i] != NULL);
        if (e->params[i])
            assert_true(str_eq(m.params[i], str_from(e->params[i])));
    }
}

static void finds(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {HTTP_GET, "/api/projects", ROUTE_FOUND, PROJECTS, {0}, HTTP_GET | HTTP_POST},
        {HTTP_POST, "/api/projects", ROUTE_FOUND, CREATE, {0}, HTTP_GET | HTTP_POST},
        {HTTP_PUT, "/api/projects", ROUTE_NO_METHOD, 0, {0}, HTTP_GET | HTTP_POST},
        {0, "/api/projects", ROUTE_NO_METHOD, 0, {0}, HTTP_GET | HTTP_POST},
        {HTTP_GET, "/api/projects/7", ROUTE_FOUND, PROJECT, {"7"}, HTTP_GET | HTTP_PATCH},
        {HTTP_GET, "/api/projects/7/issues/8", ROUTE_FOUND, ISSUE, {"7", "8"}, HTTP_GET},
        {HTTP_GET, "/api/projects/%2F", ROUTE_FOUND, PROJECT, {"%2F"}, HTTP_GET | HTTP_PATCH},
        {HTTP_GET, "/", ROUTE_FOUND, ROOT, {0}, HTTP_GET},
        /* a final slash: optional for ingest, refused elsewhere */
        {HTTP_POST, "/api/1/envelope/", ROUTE_FOUND, ENVELOPE, {"1"}, HTTP_POST},
        {HTTP_POST, "/api/1/envelope", ROUTE_FOUND, ENVELOPE, {"1"}, HTTP_POST},
        {HTTP_GET, "/api/projects/", ROUTE_NO_PATH, 0, {0}, 0},
        /* runs of slashes are one */
        {HTTP_POST, "//api///1//envelope//", ROUTE_FOUND, ENVELOPE, {"1"}, HTTP_POST},
        {HTTP_GET, "/api//projects", ROUTE_FOUND, PROJECTS, {0}, HTTP_GET | HTTP_POST},
        /* the earliest literal wins, if it takes the method */
        {HTTP_GET, "/api/projects/envelope", ROUTE_FOUND, PROJECT, {"envelope"}, HTTP_GET | HTTP_PATCH | HTTP_POST},
        {HTTP_POST, "/api/projects/envelope", ROUTE_FOUND, ENVELOPE, {"projects"}, HTTP_GET | HTTP_PATCH | HTTP_POST},
        /* nothing there */
        {HTTP_GET, "", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "api/projects", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/api", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/API/projects", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/api/projects/../projects", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/api/projects/7/issues/8/9", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/a/b/c/d/e/f/g/h/i/j/k/l/m/n/o/p/q/r/s", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/errors/api/projects", ROUTE_NO_PATH, 0, {0}, 0},
    };
    struct route_table *t = route_table_new(STR(""));
    route_table_add(t, routes, ARRAY_LEN(routes), NULL);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        check(t, &cases[i]);
    route_table_free(t);
}

/* PUBLIC_URL's path: requests come with it, or without it from a proxy that cut it (protocol §1.1). */
static void takes_the_prefix_or_not(void **state)
{
    (void)state;
    static const struct expectation cases[] = {
        {HTTP_GET, "/my/errors/api/projects", ROUTE_FOUND, PROJECTS, {0}, HTTP_GET | HTTP_POST},
        {HTTP_GET, "//my//errors//api/projects", ROUTE_FOUND, PROJECTS, {0}, HTTP_GET | HTTP_POST},
        {HTTP_GET, "/api/projects", ROUTE_FOUND, PROJECTS, {0}, HTTP_GET | HTTP_POST},
        {HTTP_POST, "/my/errors/api/1/envelope/", ROUTE_FOUND, ENVELOPE, {"1"}, HTTP_POST},
        {HTTP_GET, "/my/errorsapi/projects", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/my/errors/my/errors/api/projects", ROUTE_NO_PATH, 0, {0}, 0},
        {HTTP_GET, "/my/api/projects", ROUTE_NO_PATH, 0, {0}, 0},
    };
    static const char *const spellings[] = {"/my/errors", "/my/errors/"};
    for (size_t s = 0; s < ARRAY_LEN(spellings); s++) {
        struct route_table *t = route_table_new(str_from(spellings[s]));
        route_table_add(t, routes, ARRAY_LEN(routes), NULL);
        for (size_t i = 0; i < ARRAY_LEN(cases); i++)
            check(t, &cases[i]);
        route_table_free(t);
    }
}

static void hands_back_the_context(void **state)
{
    (void)state;
    int one, two;
    struct route_match m;
    struct route_table *t = route_table_new(STR(""));
    route_table_add(t, routes, 1, &one);
    route_table_add(t, routes + 1, 1, &two);
    assert_int_equal(route_find(t, HTTP_GET, STR("/api/projects"), &m), ROUTE_FOUND);
    assert_ptr_equal(m.ctx, &one);
    assert_int_equal(route_find(t, HTTP_POST, STR("/api/projects"), &m), ROUTE_FOUND);
    assert_ptr_equal(m.ctx, &two);
    route_table_free(t);
}

static void methods_have_names(void **state)
{
    (void)state;
    char text[HTTP_METHODS_MAX];
    assert_int_equal(http_method_parse(STR("GET")), HTTP_GET);
    assert_int_equal(http_method_parse(STR("HEAD")), HTTP_GET);
    assert_int_equal(http_method_parse(STR("DELETE")), HTTP_DELETE);
    assert_int_equal(http_method_parse(STR("get")), 0);
    assert_int_equal(http_method_parse(STR("OPTIONS")), 0);
    assert_int_equal(http_method_parse(STR("")), 0);
    assert_int_equal(http_methods_format(HTTP_POST, text), 4);
    assert_string_equal(text, "POST");
    http_methods_format(HTTP_GET | HTTP_PATCH, text);
    assert_string_equal(text, "GET, HEAD, PATCH");
    assert_true(http_methods_format(~0u, text) < HTTP_METHODS_MAX);
}

static void targets_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *target, *path, *query;
    } cases[] = {
        {"/a/b", "/a/b", ""},
        {"/a?b=c&d", "/a", "b=c&d"},
        {"/a?", "/a", ""},
        {"/a?b?c", "/a", "b?c"},
        {"/a#f?x", "/a", ""},
        {"/a?b#f", "/a", "b"},
        {"http://host:80/a?b", "/a", "b"},
        {"HTTPS://host/a", "/a", ""},
        {"http://host", "", ""},
        {"*", "*", ""},
        {"", "", ""},
    };
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct str path, query;
        http_target_split(str_from(cases[i].target), &path, &query);
        assert_true(str_eq(path, str_from(cases[i].path)));
        assert_true(str_eq(query, str_from(cases[i].query)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(finds),
        cmocka_unit_test(takes_the_prefix_or_not),
        cmocka_unit_test(hands_back_the_context),
        cmocka_unit_test(methods_have_names),
        cmocka_unit_test(targets_are_split),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
