/* category.c: tables. */
#include "picket/protocol/category.h"

#include "picket/base/macros.h"

#define NAME(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

static const struct str categories[] = {
    [0] = NAME("default"),
    [1] = NAME("error"),
    [2] = NAME("transaction"),
    [3] = NAME("security"),
    [4] = NAME("attachment"),
    [5] = NAME("session"),
    [6] = NAME("profile"),
    [7] = NAME("replay"),
    [8] = NAME("transaction_processed"),
    [9] = NAME("transaction_indexed"),
    [10] = NAME("monitor"),
    [11] = NAME("profile_indexed"),
    [12] = NAME("span"),
    [13] = NAME("monitor_seat"),
    [14] = NAME("feedback"),
    [15] = NAME("metric_bucket"),
    [16] = NAME("span_indexed"),
    [17] = NAME("profile_duration"),
    [18] = NAME("profile_chunk"),
    [19] = NAME("metric_second"),
    [20] = NAME("replay_video"),
    [21] = NAME("uptime"),
    [22] = NAME("attachment_item"),
    [23] = NAME("log_item"),
    [24] = NAME("log_byte"),
    [25] = NAME("profile_duration_ui"),
    [26] = NAME("profile_chunk_ui"),
    [33] = NAME("trace_metric"),
    [35] = NAME("profile_backend"),
    [36] = NAME("profile_ui"),
};
static const struct str outcomes[] = {NAME("accepted"), NAME("filtered"),       NAME("rate_limited"),       NAME("invalid"),
                                      NAME("abuse"),    NAME("client_discard"), NAME("cardinality_limited")};
static const struct str unknown = NAME("unknown");

int category_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(categories); i++)
        if (categories[i].n && str_eq(name, categories[i]))
            return (int)i;
    return str_eq(name, STR("user_report_v2")) ? CATEGORY_FEEDBACK : -1;
}

struct str category_name(int64_t category)
{
    bool is_known = category >= 0 && (size_t)category < ARRAY_LEN(categories) && categories[category].n;
    return is_known ? categories[category] : unknown;
}

struct str outcome_name(int64_t outcome)
{
    return outcome >= 0 && (size_t)outcome < ARRAY_LEN(outcomes) ? outcomes[outcome] : unknown;
}

struct str category_client_reason(struct str reason)
{
    static const struct str reasons[] = {
        NAME("queue_overflow"),    NAME("cache_overflow"), NAME("buffer_overflow"), NAME("ratelimit_backoff"), NAME("network_error"),
        NAME("send_error"),        NAME("sample_rate"),    NAME("before_send"),     NAME("event_processor"),   NAME("internal_sdk_error"),
        NAME("insufficient_data"), NAME("backpressure"),   NAME("ignored"),         NAME("invalid"),           NAME("no_parent_span")};
    static const struct str other = NAME("other");
    for (size_t i = 0; i < ARRAY_LEN(reasons); i++)
        if (str_eq(reason, reasons[i]))
            return reasons[i];
    return other;
}
