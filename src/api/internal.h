/* internal.h: what the resources of the API share. Private to src/api. */
#pragma once

#include "picket/api/api.h"
#include "picket/auth/secret.h"

struct api {
    struct api_config config;
    bool has_metrics_token;
    uint8_t metrics_hash[SECRET_HASH_BYTES];
    struct http_module module;
};

static inline const struct api *api_of(const struct http_call *call)
{
    return call->module;
}

/* `hours` back from now (24), by `interval` hour or day (by hour up to a week). */
struct api_window {
    int64_t from_us, to_us;
    struct str interval; /* "hour", "day" */
};
struct api_page {
    int64_t page, per_page;
};
/* Rows behind one, by their numbers. */
struct api_span {
    unsigned order; /* API_DESC, API_ASC */
    int64_t bound, limit;
};

/* One request with one statement: in the request's pool, cancelled with it. Operations that need more embed their own. */
struct api_op {
    struct db_query query;
    struct http_call *call;
    struct api_page page;     /* for who reads one, */
    struct api_window window; /* or the other, */
    struct api_span span;     /* or this */
};
struct api_op *api_op_new(struct http_call *call, enum db_stmt stmt, db_done_fn *done);
static inline struct api_op *api_op_of(struct db_query *query)
{
    return container_of(query, struct api_op, query);
}
static inline void api_op_submit(struct api_op *op)
{
    db_submit(op->call->worker->db, &op->query);
}
/* True when r is a failure: it is answered then. */
bool api_failed(struct http_call *call, int r);

/* 404 with the contract's texts (§1.5): "Project with id N not found". */
void api_no_project(struct http_call *call);
void api_no_issue(struct http_call *call);
void api_refuse(struct http_call *call, const char *why); /* 400 */
/* The request was sent on this machine, and by no proxy (status.c). */
bool api_is_from_here(const struct http_call *call);

/* Path parameters. False: the answer is given (an id that cannot be one is of nothing: 404). */
MUST_CHECK bool api_project_id(struct http_call *call, int32_t *ret);                          /* params[0] */
MUST_CHECK bool api_issue_id(struct http_call *call, int32_t *ret_project, struct id128 *ret); /* params[0], [1] */

/* Query parameters. False: the answer is given. */
MUST_CHECK bool api_page_read(struct http_call *call, struct api_page *ret);
/* "cursor", "limit" (20, at most 100). *ret->bound is beyond all rows for the first page; a row more than the limit is to be asked for. */
MUST_CHECK bool api_span_read(struct http_call *call, unsigned order, struct api_span *ret);
MUST_CHECK bool api_window_read(struct http_call *call, struct api_window *ret);
/* One of `allowed` (NULL-terminated), the first when the parameter is absent; the index in *ret. */
MUST_CHECK bool api_choice(struct http_call *call, const char *name, const char *const *allowed, unsigned *ret);
/* An integer between the bounds. *ret is -1 for an absent or null member. */
MUST_CHECK bool api_body_number(struct http_call *call, const char *name, int64_t max, int64_t *ret);
/* A truth value; `ret_has` may be NULL. An absent or null member: *ret stays. */
MUST_CHECK bool api_body_flag(struct http_call *call, const char *name, bool *ret, bool *ret_has);
/* "name", trimmed: of 1 to 255 characters. p == NULL: absent or null. */
MUST_CHECK bool api_body_name(struct http_call *call, struct str *ret);
/* A member that is kept as it is, an object or an array: the value, and as text in the call's arena, of at most 16 KiB when it comes out of the database and 32 levels. p == NULL: absent or
 * null. */
MUST_CHECK bool api_body_value(struct http_call *call, const char *name, enum json_type type, const struct json **ret,
                               struct str *ret_text);
/* "quotas" of a JSON body, checked, as text in the call's arena; p == NULL for an absent or null member (quotas.c). */
MUST_CHECK bool api_body_quotas(struct http_call *call, struct str *ret);
void api_bind_text_or_null(struct db_query *q, struct str s); /* null: p == NULL */

/* Who gives rights has them everywhere and for good: true for a token with scopes, projects or an end, which is answered (403). */
MUST_CHECK bool api_refuse_limited(struct http_call *call);
/* Who asks, as audit_note() (migration 0036) takes it: {"user", "email", "token", "address"}, JSON as text. */
void api_bind_actor(struct db_query *q, struct http_call *call);

extern const char *const api_orders[]; /* desc, asc */
enum { API_DESC, API_ASC };

/* Strings of a JSON body, as well-formed UTF-8 in the call's arena. *ret is empty with p == NULL for an absent or null member. False: the answer
 * is given (the member is of another type, or holds a NUL, which no column takes and which must not become another password). */
MUST_CHECK bool api_body_str(struct http_call *call, const char *name, struct str *ret);

/* ---- answers. A row whose first column is null stands for none */
typedef void api_put_fn(struct json_writer *w, const struct db_rows *rows, int row, int col); /* one object, its columns from `col` */
/* False: answered, because the statement failed or, by none(), because it gave no row. */
MUST_CHECK bool api_has_row(struct http_call *call, int r, const struct db_rows *rows, http_handler_fn *none);
void api_answer_gone(struct http_call *call, int r, const struct db_rows *rows, http_handler_fn *none); /* 204, or as api_has_row */
void api_answer_object(struct http_call *call, int status, const struct db_rows *rows, int col, api_put_fn *put); /* of the first row */
void api_answer_array(struct http_call *call, const struct db_rows *rows, api_put_fn *put);
/* A page by its number. Columns: total, then an object's. */
void api_answer_page(struct api_op *op, int r, const struct db_rows *rows, http_handler_fn *none, api_put_fn *put);

/* A page by a cursor: {"items", "next_cursor" unless it is the last, "has_more"}. The first column is the number. */
void api_answer_span(struct api_op *op, int r, const struct db_rows *rows, api_put_fn *put);

/* ---- writing */
/* {"items":[ … ],"total_count", "page", "per_page", "total_pages"}: the part after the items. */
void api_page_end(struct json_writer *w, const struct api_page *page, int64_t total);
void api_put_window(struct json_writer *w, const struct api_window *window); /* "from", "to", "interval" */
void api_put_id(struct json_writer *w, struct str key, const struct id128 *id);
/* An id as the contract wants one (id_conforming), or null. */
void api_put_id_or_null(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col);
/* A time, or null. */
void api_put_time(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col);
/* Text, or null when the column is null. */
void api_put_text(struct json_writer *w, struct str key, const struct db_rows *rows, int row, int col);

/* ---- handlers */
http_handler_fn health_live, health_ready;                                                  /* health.c: R1, R2 */
http_handler_fn login_register, login_login, login_logout, login_me;                        /* login.c: R3 – R6 */
http_handler_fn invitation_accept, password_reset, password_change;                         /* passwords.c */
http_handler_fn user_list, user_show, user_change, user_delete, user_reset;                 /* users.c */
http_handler_fn invitation_list, invitation_create, invitation_drop;                        /* invitations.c */
http_handler_fn login_list, login_drop, login_drop_others;                                  /* logins.c */
http_handler_fn audit_list;                                                                 /* audit.c */
http_handler_fn project_list, project_create, project_show, project_change, project_delete; /* projects.c: R7 – R11 */
http_handler_fn key_list, key_create, key_change, key_rotate, key_drop;                     /* keys.c */
http_handler_fn member_list, member_add, member_drop;                                       /* members.c */
http_handler_fn installation_show, installation_change;                                     /* quotas.c */
http_handler_fn issue_show, issue_change, issue_delete, issue_show_short;                   /* issues.c: R13 – R15 */
http_handler_fn issue_list, issue_list_all;                                                 /* issue_lists.c: R12 */
http_handler_fn issue_bulk_change, issue_bulk_delete;                                       /* issue_bulk.c */
http_handler_fn event_list, event_list_of_project, event_show, event_find, event_raw,
    event_markdown_show;                                /* events.c: R16, R17, the raw payload, Markdown */
http_handler_fn token_list, token_create, token_delete; /* tokens.c: R18 – R20 */
http_handler_fn dead_letter_list, dead_letter_show, dead_letter_payload, dead_letter_retry, dead_letter_drop;       /* dead_letters.c */
http_handler_fn outcome_summary, outcome_cases;                                                                     /* outcomes.c */
http_handler_fn session_health;                                                                                     /* sessions.c */
http_handler_fn feedback_list, feedback_show;                                                                       /* feedback.c */
http_handler_fn erasure_list, erasure_create, erasure_show;                                                         /* erasures.c */
http_handler_fn attachment_list, attachment_list_of_event, attachment_show, attachment_download, attachment_delete; /* attachments.c */
http_handler_fn monitor_list, monitor_show, monitor_drop, check_in_list;                                            /* monitors.c */
http_handler_fn channel_list, channel_create, channel_show, channel_change, channel_drop, channel_test; /* channels.c: R21 – R26 */
http_handler_fn rule_list, rule_create, rule_show, rule_change, rule_drop, rule_history;                /* rules.c: R27 – R32 */
http_handler_fn status_show;                                                                            /* status.c */
http_handler_fn openapi_show;                                                                           /* openapi.c */
http_handler_fn metrics_show;                                                                           /* metrics.c */
/* breakdowns.c, releases.c: */
http_handler_fn issue_tag_list, issue_tag_show, issue_stats, project_stats;
http_handler_fn release_list, environment_list;
