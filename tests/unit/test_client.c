/* Outgoing HTTP against a listener of our own on 127.0.0.1 that takes one request and says what it is told to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>

#include "picket/client/client.h"

enum { LONG_MS = 20000, SHORT_MS = 100 };

struct listener {
    int fd;
    unsigned port;
    struct str response; /* "" closes without a word */
    struct buf request;  /* what came */
    pthread_t thread;
};

/* The head and as many bytes as its Content-Length says. */
static bool is_whole(const struct buf *request)
{
    static const char blank[] = "\r\n\r\n", name[] = "Content-Length: ";
    const char *end = request->n ? memmem(request->p, request->n, blank, sizeof blank - 1) : NULL;
    if (!end)
        return false;
    const char *length = memmem(request->p, (size_t)(end - request->p), name, sizeof name - 1);
    unsigned long n = length ? strtoul(length + sizeof name - 1, NULL, 10) : 0;
    return request->n - (size_t)(end + 4 - request->p) >= n;
}

static void *serve_one(void *arg)
{
    struct listener *l = arg;
    int fd = accept(l->fd, NULL, NULL);
    while (fd >= 0 && !is_whole(&l->request)) {
        buf_reserve(&l->request, 65536);
        ssize_t n = read(fd, l->request.p + l->request.n, 65536);
        if (n <= 0)
            break;
        l->request.n += (size_t)n;
    }
    for (struct str rest = l->response; fd >= 0 && rest.n;) {
        ssize_t n = send(fd, rest.p, rest.n, MSG_NOSIGNAL);
        if (n <= 0)
            break;
        rest = str_drop(rest, (size_t)n);
    }
    if (fd >= 0)
        (void)close(fd);
    return NULL;
}

static void bind_somewhere(struct listener *l)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof address;
    *l = (struct listener){.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};
    assert_true(l->fd >= 0);
    assert_int_equal(bind(l->fd, (struct sockaddr *)&address, sizeof address), 0);
    assert_int_equal(getsockname(l->fd, (struct sockaddr *)&address, &size), 0);
    l->port = ntohs(address.sin_port);
}

static void listen_for_one(struct listener *l, struct str response)
{
    bind_somewhere(l);
    l->response = response;
    assert_int_equal(listen(l->fd, 1), 0);
    assert_int_equal(pthread_create(&l->thread, NULL, serve_one, l), 0);
}

static void listener_done(struct listener *l)
{
    assert_int_equal(pthread_join(l->thread, NULL), 0);
    (void)close(l->fd);
    buf_done(&l->request);
}

static const char *url_of(const struct listener *l, const char *path)
{
    static char url[128];
    assert_true(snprintf(url, sizeof url, "http://127.0.0.1:%u%s", l->port, path) < (int)sizeof url);
    return url;
}

static bool holds(const struct buf *b, const char *text)
{
    return memmem(b->p, b->n, text, strlen(text)) != NULL;
}

static void posts_what_it_is_given(void **state)
{
    (void)state;
    static const char *const headers[] = {"X-Sentry-Auth: Sentry sentry_key=1", "Content-Type: application/x-sentry-envelope"};
    struct listener l;
    struct client_answer a;
    listen_for_one(&l, STR("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n{\"id\":\"42\"}"));
    assert_int_equal(client_post(url_of(&l, "/api/1/envelope/"), headers, ARRAY_LEN(headers), STR("a\0b\nc"), LONG_MS, &a), 0);
    assert_int_equal(a.status, 200);
    assert_true(str_eq(buf_str(&a.body), STR("{\"id\":\"42\"}")));
    client_answer_done(&a);
    assert_int_equal(pthread_join(l.thread, NULL), 0);
    assert_true(holds(&l.request, "POST /api/1/envelope/ HTTP/1.1\r\n"));
    assert_true(holds(&l.request, "\r\nX-Sentry-Auth: Sentry sentry_key=1\r\n"));
    assert_true(holds(&l.request, "\r\nContent-Type: application/x-sentry-envelope\r\n"));
    assert_true(str_ends(buf_str(&l.request), STR("\r\n\r\na\0b\nc")));
    (void)close(l.fd);
    buf_done(&l.request);
}

static void posts_nothing_as_nothing(void **state)
{
    (void)state;
    struct listener l;
    struct client_answer a;
    listen_for_one(&l, STR("HTTP/1.1 400 Bad\r\nContent-Length: 2\r\n\r\nno"));
    assert_int_equal(client_post(url_of(&l, "/"), NULL, 0, (struct str){0}, LONG_MS, &a), 0);
    assert_int_equal(a.status, 400); /* an answer is not a failure of the call */
    assert_true(str_eq(buf_str(&a.body), STR("no")));
    client_answer_done(&a);
    listener_done(&l);
}

static void keeps_a_megabyte_of_the_answer(void **state)
{
    (void)state;
    enum { SENT = 3 << 20, KEPT = 1 << 20 };
    struct listener l;
    struct client_answer a;
    AUTO_BUF struct buf response = {0};
    buf_printf(&response, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", SENT);
    for (int i = 0; i < SENT; i++)
        buf_append_char(&response, (char)('a' + i % 26));
    listen_for_one(&l, buf_str(&response));
    assert_int_equal(client_get(url_of(&l, "/"), NULL, 0, LONG_MS, &a), 0);
    assert_int_equal(a.body.n, KEPT);
    client_answer_done(&a);
    listener_done(&l);
}

static void follows_no_redirect(void **state)
{
    (void)state;
    struct listener l;
    struct client_answer a;
    listen_for_one(&l, STR("HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"));
    assert_int_equal(client_get(url_of(&l, "/"), NULL, 0, LONG_MS, &a), 0);
    assert_int_equal(a.status, 302);
    client_answer_done(&a);
    listener_done(&l);
}

/* ---- no answer: a reason in words */

static void expect_failure(const char *url, unsigned timeout_ms)
{
    struct client_answer a;
    assert_true(client_get(url, NULL, 0, timeout_ms, &a) < 0);
    assert_int_equal(a.status, 0);
    assert_true(strlen(a.error) > 5);
    client_answer_done(&a);
}

static void says_why_there_is_no_answer(void **state)
{
    (void)state;
    struct listener l;
    bind_somewhere(&l); /* nobody listens */
    expect_failure(url_of(&l, "/"), LONG_MS);
    (void)close(l.fd);
    expect_failure("file:///etc/passwd", LONG_MS);
    expect_failure("gopher://127.0.0.1/", LONG_MS);
    expect_failure("no url at all", LONG_MS);
    expect_failure("", LONG_MS);
}

static void notices_a_cut_answer(void **state)
{
    (void)state;
    static const struct str responses[] = {{"", 0}, {"garbage\n", 8}, {"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort", 43}};
    for (size_t i = 0; i < ARRAY_LEN(responses); i++) {
        struct listener l;
        listen_for_one(&l, responses[i]);
        expect_failure(url_of(&l, "/"), LONG_MS);
        listener_done(&l);
    }
}

static void does_not_wait_for_ever(void **state)
{
    (void)state;
    struct listener l;
    bind_somewhere(&l);
    assert_int_equal(listen(l.fd, 1), 0); /* connects, and nobody ever reads */
    expect_failure(url_of(&l, "/"), SHORT_MS);
    (void)close(l.fd);
}

/* ---- proxies of the environment */

static void asks_no_proxy_about_loopback(void **state)
{
    (void)state;
    struct listener l;
    struct client_answer a;
    assert_int_equal(setenv("http_proxy", "http://127.0.0.1:1", 1), 0);
    listen_for_one(&l, STR("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_int_equal(client_get(url_of(&l, "/"), NULL, 0, LONG_MS, &a), 0);
    assert_int_equal(a.status, 204);
    client_answer_done(&a);
    listener_done(&l);
    assert_int_equal(unsetenv("http_proxy"), 0);
}

static void leaves_the_proxys_exceptions(void **state)
{
    (void)state;
    struct listener l;
    struct client_answer a;
    listen_for_one(&l, STR("HTTP/1.1 204 No Content\r\n\r\n"));
    assert_int_equal(setenv("http_proxy", url_of(&l, "/"), 1), 0);
    static const char *const exceptions[] = {"errors.invalid", "*"};
    for (size_t i = 0; i < ARRAY_LEN(exceptions); i++) {
        assert_int_equal(setenv("no_proxy", exceptions[i], 1), 0);
        expect_failure("http://errors.invalid/", LONG_MS); /* asked directly, and there is no such host (RFC 6761 §6.4) */
    }
    assert_int_equal(unsetenv("no_proxy"), 0);
    assert_int_equal(client_get("http://errors.invalid/", NULL, 0, LONG_MS, &a), 0);
    assert_int_equal(a.status, 204); /* by the proxy */
    client_answer_done(&a);
    listener_done(&l);
    assert_int_equal(unsetenv("http_proxy"), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(posts_what_it_is_given),         cmocka_unit_test(posts_nothing_as_nothing),
        cmocka_unit_test(keeps_a_megabyte_of_the_answer), cmocka_unit_test(follows_no_redirect),
        cmocka_unit_test(says_why_there_is_no_answer),    cmocka_unit_test(notices_a_cut_answer),
        cmocka_unit_test(does_not_wait_for_ever),         cmocka_unit_test(asks_no_proxy_about_loopback),
        cmocka_unit_test(leaves_the_proxys_exceptions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
