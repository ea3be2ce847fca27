/* crumbs.c: what happened before the event (protocol §5.11). Times are seconds for dashboards, and corrected as the event's own is. */
#include "blocks.h"

#include "moment.h"

#include "picket/base/clock.h"

static void put_time(struct block_writer *b, struct str name, const struct json *v)
{
    double seconds;
    if (!event_seconds(v, b->arena, &seconds)) {
        block_invalid(b, name, v, "expected a time");
        return;
    }
    if (b->shift_us != 0)
        seconds = (double)event_us((double)(event_us(seconds) + b->shift_us) / CLOCK_US_PER_S) / CLOCK_US_PER_S; /* stays in range */
    json_key(b->json, name);
    block_put_number(b->json, seconds);
}

static void put_data(struct block_writer *b, struct str name, const struct json *v)
{
    enum { DATA_MAX_BYTES = 2048, DATA_MAX_DEPTH = 5 };
    block_bag(b, name, v, DATA_MAX_BYTES, DATA_MAX_DEPTH);
}

static void put_crumb(struct block_writer *b, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_RULE("timestamp", put_time), BLOCK_TEXT("type", 128, 0),       BLOCK_TEXT("category", 128, 0),
        BLOCK_TEXT("message", 8192, 200),  BLOCK_RULE("level", block_level), BLOCK_RULE("data", put_data),
        BLOCK_TEXT("event_id", 36, 0),     BLOCK_TEXT("origin", 128, 0),     BLOCK_RULE("ty", block_skip),
    };
    block_members(b, v, rules, ARRAY_LEN(rules));
    if (!block_is_scalar(json_get(v, STR("type")))) {
        if (block_is_scalar(json_get(v, STR("ty")))) /* an old spelling (protocol §5.1) */
            block_limited(b, STR("type"), json_get(v, STR("ty")), 128, 0);
        else
            json_field_str(b->json, STR("type"), STR("default"));
    }
    if (event_known_level(json_get(v, STR("level")), b->arena).n == 0 && json_type(json_get(v, STR("level"))) != JSON_STRING)
        json_field_str(b->json, STR("level"), STR("info"));
}

void block_breadcrumbs(struct block_writer *b, struct str name, const struct json *v)
{
    block_values(b, name, v, put_crumb);
}
