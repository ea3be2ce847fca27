/* item.c: the table. What is unwanted costs the application, the network and Picket as much as an error does, so the SDK is told to stop (protocol
 * §4.4, whose parsers differ: unknown categories are ignored by all). JavaScript SDKs know transactions as spans, too: hence both names.
 *
 * A form's fields become part of an event and no file: of an attachment's two counts, bytes and number, they have the second alone. */
#include "picket/protocol/item.h"

#include "picket/base/macros.h"

#define NAME(literal) \
    { \
        literal, sizeof(literal) - 1 \
    }

static const struct item_kind kinds[] = {
    {NAME("event"), ITEM_STORED, ITEM_USE_EVENT, CATEGORY_ERROR, true, {0}},
    {NAME("attachment"), ITEM_STORED, ITEM_USE_ATTACHMENT, CATEGORY_ATTACHMENT, true, {0}},
    {NAME("check_in"), ITEM_STORED, ITEM_USE_CHECK_IN, CATEGORY_MONITOR, false, {0}},
    {NAME("client_report"), ITEM_STORED, ITEM_USE_CLIENT_REPORT, CATEGORY_DEFAULT, false, {0}},
    {NAME("feedback"), ITEM_STORED, ITEM_USE_FEEDBACK, CATEGORY_FEEDBACK, true, {0}},
    {NAME("form_data"), ITEM_STORED, ITEM_USE_FORM_DATA, CATEGORY_ATTACHMENT_ITEM, true, {0}},
    {NAME("log"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_LOG_ITEM, false, NAME("log_item;log_byte")},
    {NAME("metric_buckets"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_METRIC_BUCKET, false, NAME("metric_bucket")},
    {NAME("metric_meta"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_METRIC_BUCKET, false, NAME("metric_bucket")},
    {NAME("nel"), ITEM_SKIPPED, ITEM_USE_NONE, CATEGORY_LOG_ITEM, false, {0}},
    {NAME("otel_log"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_LOG_ITEM, false, NAME("log_item;log_byte")},
    {NAME("otel_span"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_SPAN, false, NAME("span")},
    {NAME("otel_traces_data"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_SPAN, false, NAME("span")},
    {NAME("profile"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_PROFILE, true, NAME("profile")},
    {NAME("profile_chunk"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_PROFILE_CHUNK, false, NAME("profile_chunk;profile_chunk_ui")},
    {NAME("profile_chunk_ui"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_PROFILE_CHUNK_UI, false, NAME("profile_chunk;profile_chunk_ui")},
    {NAME("raw_security"), ITEM_STORED, ITEM_USE_SECURITY, CATEGORY_SECURITY, true, {0}},
    {NAME("replay_event"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_REPLAY, true, NAME("replay")},
    {NAME("replay_recording"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_REPLAY, false, NAME("replay")},
    {NAME("replay_video"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_REPLAY, false, NAME("replay")},
    {NAME("security"), ITEM_STORED, ITEM_USE_SECURITY, CATEGORY_SECURITY, true, {0}},
    {NAME("session"), ITEM_STORED, ITEM_USE_SESSION, CATEGORY_SESSION, false, {0}},
    {NAME("sessions"), ITEM_STORED, ITEM_USE_SESSIONS, CATEGORY_SESSION, false, {0}},
    {NAME("span"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_SPAN, false, NAME("span")},
    {NAME("statsd"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_METRIC_BUCKET, false, NAME("metric_bucket")},
    {NAME("trace_metric"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_TRACE_METRIC, false, NAME("trace_metric;trace_metric_byte")},
    {NAME("transaction"), ITEM_UNWANTED, ITEM_USE_NONE, CATEGORY_TRANSACTION, true, NAME("transaction;span")},
    {NAME("unreal_report"), ITEM_STORED, ITEM_USE_UNREAL, CATEGORY_ERROR, true, {0}},
    {NAME("user_report"), ITEM_STORED, ITEM_USE_USER_REPORT, CATEGORY_FEEDBACK, true, {0}},
};
static const struct item_kind unknown = {{"", 0}, ITEM_SKIPPED, ITEM_USE_NONE, CATEGORY_DEFAULT, false, {0}};

const struct item_kind *item_kind_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(name, kinds[i].name))
            return &kinds[i];
    return &unknown;
}

bool item_stores_category(enum category category)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (kinds[i].fate == ITEM_STORED && kinds[i].category == category)
            return true;
    return false;
}

/* Is the category one of those before row `n`? */
static bool is_named(struct str category, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        struct str rest = kinds[i].categories;
        while (kinds[i].fate == ITEM_UNWANTED && rest.n)
            if (str_eq(str_cut(&rest, ';'), category))
                return true;
    }
    return false;
}

void item_unwanted_limits(struct buf *out)
{
    bool any = false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        struct str rest = kinds[i].categories;
        while (kinds[i].fate == ITEM_UNWANTED && rest.n) {
            struct str category = str_cut(&rest, ';');
            if (is_named(category, i))
                continue;
            if (any)
                buf_append_char(out, ';');
            else
                buf_printf(out, "%d:", ITEM_UNWANTED_S);
            buf_append_str(out, category);
            any = true;
        }
    }
    if (any)
        buf_append_str(out, STR(":organization:not_stored"));
}
