/* client.h: outgoing HTTP, blocking, for commands (libcurl; alert delivery will get an asynchronous sibling). Never on a loop's thread. */
#pragma once

#include "picket/base/buf.h"

struct client_answer {
    long status;     /* 0: no answer */
    struct buf body; /* at most 1 MiB is kept */
    char error[256]; /* why there was none */
};
/* POSTs `body` with up to 8 "Name: value" headers. No proxy from the environment for loopback, no redirects, timeout in ms. */
MUST_CHECK int client_post(const char *url, const char *const *headers, unsigned n_headers, struct str body, unsigned timeout_ms,
                           struct client_answer *ret);
MUST_CHECK int client_get(const char *url, const char *const *headers, unsigned n_headers, unsigned timeout_ms, struct client_answer *ret);
void client_answer_done(struct client_answer *a);
