/* client.c: blocking HTTP through libcurl's easy interface: one handle per call, because a command makes one call. */
#include "picket/client/client.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>

#include <curl/curl.h>

enum { BODY_MAX = 1 << 20 };

static void init_curl(void)
{
    (void)curl_global_init(CURL_GLOBAL_DEFAULT); /* a failure shows in curl_easy_init */
}

static size_t take_body(char *data, size_t size, size_t n, void *arg)
{
    struct buf *body = arg;
    size_t room = BODY_MAX - body->n;
    buf_append(body, data, size * n < room ? size * n : room);
    return size * n; /* the rest is read and dropped */
}

/* Loopback is never asked of a proxy; what the environment excepts stays excepted, though the option would replace it. */
static void set_no_proxy(CURL *curl)
{
    AUTO_BUF struct buf hosts = {0};
    const char *more = getenv("no_proxy");
    if (!more || !more[0])
        more = getenv("NO_PROXY");
    buf_append_str(&hosts, STR("localhost,127.0.0.1,::1"));
    if (more && more[0])
        buf_printf(&hosts, ",%s", more);
    bool all = more && str_eq(str_trim(str_from(more)), STR("*"));         /* means all only when it stands alone */
    curl_easy_setopt(curl, CURLOPT_NOPROXY, all ? "*" : buf_cstr(&hosts)); /* copied */
}

static int perform(CURL *curl, const char *url, struct curl_slist *list, unsigned timeout_ms, struct client_answer *ret)
{
    curl_easy_setopt(curl, CURLOPT_URL, url);
    curl_easy_setopt(curl, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(curl, CURLOPT_HTTPHEADER, list);
    set_no_proxy(curl);
    curl_easy_setopt(curl, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(curl, CURLOPT_TIMEOUT_MS, (long)timeout_ms);
    curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(curl, CURLOPT_WRITEDATA, &ret->body);
    curl_easy_setopt(curl, CURLOPT_ERRORBUFFER, ret->error);
    CURLcode code = curl_easy_perform(curl);
    if (code != CURLE_OK) {
        if (!ret->error[0])
            (void)snprintf(ret->error, sizeof ret->error, "%s", curl_easy_strerror(code));
        return -EIO;
    }
    curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, &ret->status);
    return 0;
}

static int request(const char *url, const char *const *headers, unsigned n_headers, const struct str *body, unsigned timeout_ms,
                   struct client_answer *ret)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    *ret = (struct client_answer){0};
    pthread_once(&once, init_curl);
    CURL *curl = curl_easy_init();
    if (!curl)
        return -ENOMEM;
    struct curl_slist *list = NULL;
    for (unsigned i = 0; i < n_headers; i++)
        list = curl_slist_append(list, headers[i]);
    if (body) {
        curl_easy_setopt(curl, CURLOPT_POST, 1L);
        curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body->n ? body->p : "");
        curl_easy_setopt(curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)body->n);
    }
    int r = perform(curl, url, list, timeout_ms, ret);
    curl_slist_free_all(list);
    curl_easy_cleanup(curl);
    return r;
}

int client_post(const char *url, const char *const *headers, unsigned n_headers, struct str body, unsigned timeout_ms,
                struct client_answer *ret)
{
    return request(url, headers, n_headers, &body, timeout_ms, ret);
}

int client_get(const char *url, const char *const *headers, unsigned n_headers, unsigned timeout_ms, struct client_answer *ret)
{
    return request(url, headers, n_headers, NULL, timeout_ms, ret);
}

void client_answer_done(struct client_answer *a)
{
    buf_done(&a->body);
}
