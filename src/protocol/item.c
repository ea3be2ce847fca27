/* item.c: the table. What is unwanted costs the application, the network and Picket as much as an error does, so the SDK is told to stop (protocol
 * §4.4, whose parsers differ: unknown categories are ignored by all). JavaScript SDKs know transactions as spans, too: hence both names. */
#include "picket/protocol/item.h"

#include "picket/base/macros.h"

#define SPANS "transaction;span"

static const struct item_kind kinds[] = {
    {{"event", 5}, ITEM_STORED, true, {0}},
    {{"attachment", 10}, ITEM_SKIPPED, true, {0}},
    {{"check_in", 8}, ITEM_SKIPPED, false, {0}},
    {{"client_report", 13}, ITEM_SKIPPED, false, {0}},
    {{"feedback", 8}, ITEM_SKIPPED, true, {0}},
    {{"form_data", 9}, ITEM_SKIPPED, true, {0}},
    {{"log", 3}, ITEM_UNWANTED, false, {"log_item;log_byte", 17}},
    {{"metric_buckets", 14}, ITEM_UNWANTED, false, {"metric_bucket", 13}},
    {{"metric_meta", 11}, ITEM_UNWANTED, false, {"metric_bucket", 13}},
    {{"otel_log", 8}, ITEM_UNWANTED, false, {"log_item;log_byte", 17}},
    {{"otel_span", 9}, ITEM_UNWANTED, false, {"span", 4}},
    {{"otel_traces_data", 16}, ITEM_UNWANTED, false, {"span", 4}},
    {{"profile", 7}, ITEM_UNWANTED, true, {"profile", 7}},
    {{"profile_chunk", 13}, ITEM_UNWANTED, false, {"profile_chunk;profile_chunk_ui", 30}},
    {{"profile_chunk_ui", 16}, ITEM_UNWANTED, false, {"profile_chunk;profile_chunk_ui", 30}},
    {{"raw_security", 12}, ITEM_SKIPPED, true, {0}},
    {{"replay_event", 12}, ITEM_UNWANTED, true, {"replay", 6}},
    {{"replay_recording", 16}, ITEM_UNWANTED, false, {"replay", 6}},
    {{"replay_video", 12}, ITEM_UNWANTED, false, {"replay", 6}},
    {{"security", 8}, ITEM_SKIPPED, true, {0}},
    {{"session", 7}, ITEM_SKIPPED, false, {0}},
    {{"sessions", 8}, ITEM_SKIPPED, false, {0}},
    {{"span", 4}, ITEM_UNWANTED, false, {"span", 4}},
    {{"statsd", 6}, ITEM_UNWANTED, false, {"metric_bucket", 13}},
    {{"trace_metric", 12}, ITEM_UNWANTED, false, {"trace_metric;trace_metric_byte", 30}},
    {{"transaction", 11}, ITEM_UNWANTED, true, {SPANS, sizeof SPANS - 1}},
    {{"unreal_report", 13}, ITEM_SKIPPED, true, {0}},
    {{"user_report", 11}, ITEM_SKIPPED, true, {0}},
};
static const struct item_kind unknown = {{"", 0}, ITEM_SKIPPED, false, {0}};

const struct item_kind *item_kind_of(struct str name)
{
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
        if (str_eq(name, kinds[i].name))
            return &kinds[i];
    return &unknown;
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
