/* words.h: what people write about an error without an SDK (protocol §7.4): the web application's user feedback, and the crash-report dialog. Private to
 * ingest; handlers of its routes. */
#pragma once

#include "admit.h"
#include "picket/http/http.h"

/* ---- fronts.c: a request that was read elsewhere */
struct ingest_request {
    enum admit_form form;
    struct str body;                /* for admit.c; in the call's arena, or the request's own */
    uint64_t project_id;            /* KEY_ANY_PROJECT: the key's */
    enum content_encoding encoding; /* of `body` */
    struct credentials credentials; /* not present: those of the request's head */
    bool tells_report;              /* the answer is the report as JSON; `body` is not encoded */
    bool is_dialog;                 /* a key that is not good is a 404; without a body, the answer is the dialog's script */
    int error;                      /* <0: it is refused */
};
/* Goes on with it as with any other: key, spool, answer. */
void ingest_take(struct http_call *call, const struct ingest_request *request);

/* ---- words.c */
http_handler_fn words_post, words_list;          /* /api/0/projects/{organization}/{project}/user-feedback/ */
http_handler_fn words_dialog, words_dialog_post; /* /api/embed/error-page/ */
