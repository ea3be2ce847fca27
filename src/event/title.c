/* title.c: type, value and title of an event (contract §3.3).
 *
 * "Keep up to N bytes, else the first N code points" is the same as the first N code points: N bytes never hold more than N of them.
 *
 * One case the contract does not know: JavaScript SDK 11 attaches a stack to messages by sending, beside the message, an exception that
 * has a value and a synthetic mechanism but no type (sdk-observed "Events"). Such an event is the message that it was in SDK 10. A
 * thrown string is synthetic too but has a type, and without a message the typeless exception is all there is: both stay exceptions.
 *
 * Another are the reports of browsers (protocol §6.6): their title is the sentence that the report comes to, with nothing before it. */
#include "title.h"

#include "report.h"

static struct str first_line(struct str s)
{
    size_t end = str_find(s, '\n');
    if (end < s.n && end > 0 && s.p[end - 1] == '\r')
        return str_take(s, end - 1);
    return str_take(s, end);
}

/* The template wins over the formatted text, so that one message is one group whatever its parameters. */
static bool log_message(const struct event_view *view, struct arena *a, struct str *ret)
{
    const struct json *entry = view->at[EVENT_KEY_LOGENTRY], *message = view->at[EVENT_KEY_MESSAGE];
    return json_str(json_get(entry, STR("message")), a, ret) || json_str(json_get(entry, STR("formatted")), a, ret) ||
           json_str(entry, a, ret) || json_str(message, a, ret) || json_str(json_get(message, STR("message")), a, ret);
}

static bool is_synthetic(const struct json *exception)
{
    bool synthetic = false;
    return json_bool(json_get(json_get(exception, STR("mechanism")), STR("synthetic")), &synthetic) && synthetic;
}

static void read_exception(const struct json *exception, struct arena *a, struct event_title *t)
{
    t->type = STR("Error");
    t->value = STR("");
    (void)json_str(json_get(exception, STR("type")), a, &t->type); /* left alone when it is no string: contract's defaults */
    (void)json_str(json_get(exception, STR("value")), a, &t->value);
    if (t->type.n == 0 && t->value.n == 0)
        t->type = STR("Error"); /* an empty title could not be clicked */
    t->type = str_take_code_points(t->type, EVENT_MAX_TYPE);
    t->value = str_take_code_points(t->value, EVENT_MAX_VALUE);
}

struct str event_concat(struct arena *a, const struct str *parts, size_t n)
{
    size_t total = 0;
    for (size_t i = 0; i < n; i++)
        total += parts[i].n;
    char *dst = arena_alloc(a, total + 1), *at = dst;
    for (size_t i = 0; i < n; i++) {
        if (parts[i].n)
            memcpy(at, parts[i].p, parts[i].n);
        at += parts[i].n;
    }
    *at = '\0';
    return str_of(dst, total);
}

static bool read_report(const struct event_view *view, struct arena *a, struct event_title *t)
{
    struct report report;
    struct str message = report_of_event(view, &report) ? report_message(&report, a) : STR("");
    if (message.n == 0)
        return false;
    t->type = report_name(report.kind);
    t->value = t->title = first_line(message);
    return true;
}

void event_title_read(const struct event_view *view, struct arena *a, struct event_title *ret)
{
    struct event_title t = {.type = STR("Unknown"), .value = STR("")};
    const struct json *exception, *type;
    struct str message;
    bool has_exception = event_main_exception(view, &exception);
    bool has_message = log_message(view, a, &message);

    type = has_exception ? json_get(exception, STR("type")) : NULL;
    if (has_exception && has_message && json_type(type) != JSON_STRING && is_synthetic(exception))
        has_exception = false;
    if (has_exception) {
        read_exception(exception, a, &t);
    } else if (!read_report(view, a, &t) && has_message) {
        t.type = STR("Log Message");
        t.value = str_take_code_points(first_line(message), EVENT_MAX_VALUE);
    }
    if (t.title.n == 0)
        t.title = t.value.n == 0 ? t.type : event_concat(a, (struct str[]){t.type, STR(": "), first_line(t.value)}, 3);
    t.has_transaction = json_str(view->at[EVENT_KEY_TRANSACTION], a, &t.transaction);
    if (t.has_transaction)
        t.transaction = str_take_code_points(t.transaction, EVENT_MAX_TRANSACTION);
    *ret = t;
}
