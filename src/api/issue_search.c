/* issue_search.c: what issues are searched for: read from a request, and bound to issues_search() (sql/migrations/0038_search.sql). No text of it becomes part of a
 * statement: fields are constants of query.c, everything else is an element of an array. */
#include "issues.h"

#include "picket/base/clock.h"

static const char *const filters[] = {"open", "resolved", "muted", "all", NULL};
enum { FILTER_ALL = 3 };

void issue_search_done(struct issue_search *s)
{
    struct db_array *arrays[] = {&s->groups, &s->negated, &s->fields, &s->keys, &s->ops, &s->texts, &s->numbers, &s->times};
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
        db_array_done(arrays[i]);
}

bool issue_search_parse(struct http_call *call, struct str text, struct issue_search *ret)
{
    struct str why = STR("");
    if (query_parse(text, clock_wall_us(), &call->arena, &ret->query, &why) == 0)
        return true;
    http_answer_error(call, -ERR_INVALID, why);
    return false;
}

static bool add_tag(struct http_call *call, const char *name, struct query *query)
{
    struct str value, why = STR("");
    if (!http_query_param(call, str_from(name), &value) || query_add_tag(query, str_from(name), value, &why) == 0)
        return true;
    http_answer_error(call, -ERR_INVALID, why);
    return false;
}

bool issue_search_read(struct http_call *call, const char *const *sorts, struct issue_search *ret)
{
    struct str text = STR(""), filter;
    (void)http_query_param(call, STR("q"), &text); /* without one: everything */
    if (!issue_search_parse(call, text, ret) || !add_tag(call, "release", &ret->query) || !add_tag(call, "environment", &ret->query) ||
        !api_choice(call, "sort", sorts, &ret->sort) || !api_choice(call, "order", api_orders, &ret->order) ||
        !api_choice(call, "filter", filters, &ret->filter))
        return false;
    if (!http_query_param(call, STR("filter"), &filter) && query_tells_state(&ret->query))
        ret->filter = FILTER_ALL;
    return true;
}

struct str issue_search_state(const struct issue_search *s)
{
    return str_from(filters[s->filter]);
}

void issue_search_bind(struct db_query *q, struct issue_search *s)
{
    static const char *const ops[] = {[QUERY_EQ] = "=", [QUERY_LT] = "<", [QUERY_LE] = "<=", [QUERY_GT] = ">", [QUERY_GE] = ">="};
    db_array_start(&s->groups, DB_I32);
    db_array_start(&s->negated, DB_BOOL);
    db_array_start(&s->fields, DB_TEXT);
    db_array_start(&s->keys, DB_TEXT);
    db_array_start(&s->ops, DB_TEXT);
    db_array_start(&s->texts, DB_TEXT);
    db_array_start(&s->numbers, DB_I64);
    db_array_start(&s->times, DB_TIME);
    for (unsigned i = 0; i < s->query.n; i++) {
        const struct query_condition *c = &s->query.conditions[i];
        db_array_i32(&s->groups, (int32_t)c->group);
        db_array_bool(&s->negated, c->is_negated);
        db_array_text(&s->fields, c->field);
        db_array_text(&s->keys, c->key);
        db_array_text(&s->ops, str_from(ops[c->op]));
        db_array_text(&s->texts, c->text);
        db_array_i64(&s->numbers, c->number);
        db_array_time(&s->times, c->time_us);
    }
    struct db_array *arrays[] = {&s->groups, &s->negated, &s->fields, &s->keys, &s->ops, &s->texts, &s->numbers, &s->times};
    for (size_t i = 0; i < ARRAY_LEN(arrays); i++)
        db_bind_array(q, arrays[i]);
}
