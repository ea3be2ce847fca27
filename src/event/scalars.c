/* scalars.c: what stands at the top of an event without parts of its own (protocol §5.1, §5.12, §5.13).
 *
 * Limits are those of the protocol. What only a server may say (`project`, `key_id`, `received`, `_metrics`) is not taken from the sender;
 * measurements belong to transactions. */
#include "blocks.h"

#include <stdlib.h>

#include "moment.h"
#include "names.h"

#include "picket/base/clock.h"

/* ---- release, dist, environment */

/* An empty text is none at all, and no fault. */
static void put_named(struct block_writer *b, struct str name, const struct json *v, bool (*good)(struct str), unsigned limit)
{
    struct str s = str_trim(event_scalar(v, b->arena));
    if (good(s))
        block_put_named(b, name, s, limit);
    else if (s.n > 0 || json_type(v) != JSON_STRING)
        block_invalid(b, name, v, "not allowed here");
}

void block_release(struct block_writer *b, struct str name, const struct json *v)
{
    put_named(b, name, v, event_good_release, EVENT_MAX_RELEASE);
}

void block_environment(struct block_writer *b, struct str name, const struct json *v)
{
    put_named(b, name, v, event_good_environment, EVENT_MAX_ENVIRONMENT);
}

static bool good_dist(struct str s)
{
    for (size_t i = 0; i < s.n; i++) {
        char c = s.p[i];
        if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '_' || c == '.' || c == '-'))
            return false;
    }
    return s.n > 0;
}

/* Only a release has distributions. */
static void put_dist(struct block_writer *b, struct str name, const struct json *v)
{
    enum { DIST_MAX = 64 };
    if (event_good_release(str_trim(event_scalar(b->view->at[EVENT_KEY_RELEASE], b->arena))))
        put_named(b, name, v, good_dist, DIST_MAX);
    else if (json_type(v) != JSON_STRING || str_trim(event_scalar(v, b->arena)).n > 0)
        block_invalid(b, name, v, "expected a release with it");
}

/* ---- the others */

static void put_fingerprint(struct block_writer *b, struct str name, const struct json *v)
{
    if (json_type(v) != JSON_ARRAY) {
        block_invalid(b, name, v, "expected a list");
        return;
    }
    const struct json *dropped = NULL;
    json_key(b->json, name);
    json_begin_array(b->json);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str part;
        if (json_type(it.value) < JSON_ARRAY && json_text(it.value, b->arena, &part))
            json_put_str(b->json, part);
        else if (!dropped)
            dropped = it.value;
    }
    json_end_array(b->json);
    if (dropped)
        block_dropped(b, name, dropped, "expected strings", json_count(v));
}

static void put_time_spent(struct block_writer *b, struct str name, const struct json *v)
{
    int64_t ms;
    if (json_i64(v, &ms) && ms >= 0 && ms <= INT32_MAX)
        json_field_i64(b->json, name, ms);
    else
        block_invalid(b, name, v, "expected a number");
}

void block_envelope_sdk(struct block_writer *b)
{
    if (json_type(b->view->at[EVENT_KEY_SDK]) > JSON_NULL || b->row->sdk_name.n == 0)
        return;
    json_key(b->json, event_key_name(EVENT_KEY_SDK));
    json_begin_object(b->json);
    json_field_str(b->json, STR("name"), b->row->sdk_name);
    json_field_known(b->json, STR("version"), b->row->sdk_version);
    json_end_object(b->json);
}

static void put_sdk(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_TEXT("name", EVENT_MAX_SDK, 0), BLOCK_TEXT("version", EVENT_MAX_SDK, 0), BLOCK_RULE("integrations", block_list),
        BLOCK_RULE("packages", block_list),   BLOCK_RULE("features", block_list),      BLOCK_RULE("settings", block_map),
        BLOCK_RULE("client_ip", block_skip),
    };
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

/* Packages and their versions; those beyond MODULES_MAX_BYTES are left out. */
static void put_modules(struct block_writer *b, struct str name, const struct json *v)
{
    enum { MODULES_MAX_BYTES = 8192 };
    size_t left = MODULES_MAX_BYTES;
    struct members m;
    struct str text;
    if (json_type(v) != JSON_OBJECT) {
        block_invalid(b, name, v, "expected an object");
        return;
    }
    members_of_object(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    size_t i = 0;
    for (; i < m.n; i++) {
        if (!json_text(m.at[i].value, b->arena, &text))
            continue;
        size_t bytes = m.at[i].key.n + text.n;
        if (bytes > left)
            break;
        json_field_str(b->json, m.at[i].key, text);
        left -= bytes;
    }
    json_end_object(b->json);
    if (i < m.n)
        block_shortened(b, name, m.n);
}

static void put_debug_meta(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {BLOCK_RULE("sdk_info", block_map), BLOCK_RULE("images", block_list)};
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

static void put_source(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct str known[] = {STR("custom"),    STR("url"),       STR("route"), STR("view"),
                                       STR("component"), STR("sanitized"), STR("task"),  STR("unknown")};
    struct str s;
    for (size_t i = 0; i < ARRAY_LEN(known); i++)
        if (json_str_raw(v, &s) && str_eq(s, known[i])) {
            json_field_str(b->json, name, s);
            return;
        }
    json_field_str(b->json, name, STR("unknown"));
}

static void put_transaction_info(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {BLOCK_RULE("source", put_source), BLOCK_TEXT("original", 200, 0)};
    block_object(b, name, v, rules, ARRAY_LEN(rules));
}

bool block_scalar(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct block_rule rules[] = {
        BLOCK_RULE("logger", block_skip),
        BLOCK_TEXT("transaction", EVENT_MAX_TRANSACTION, 0),
        BLOCK_RULE("transaction_info", put_transaction_info),
        BLOCK_TEXT("server_name", 256, 20),
        BLOCK_TEXT("site", 256, 20),
        BLOCK_RULE("release", block_release),
        BLOCK_RULE("dist", put_dist),
        BLOCK_RULE("modules", put_modules),
        BLOCK_RULE("fingerprint", put_fingerprint),
        BLOCK_TEXT("culprit", 200, 0),
        BLOCK_TEXT("checksum", 128, 0),
        BLOCK_RULE("time_spent", put_time_spent),
        BLOCK_RULE("sdk", put_sdk),
        BLOCK_RULE("debug_meta", put_debug_meta),
        BLOCK_RULE("measurements", block_skip),
        BLOCK_RULE("project", block_skip),
        BLOCK_RULE("key_id", block_skip),
        BLOCK_RULE("received", block_skip),
        BLOCK_RULE("_metrics", block_skip),
        BLOCK_RULE("_metrics_summary", block_skip),
        BLOCK_RULE("_meta", block_skip),
        BLOCK_RULE("errors", block_skip),
    };
    const struct block_rule *rule = block_rule_for(rules, ARRAY_LEN(rules), name);
    if (rule)
        block_member(b, rule, name, v);
    return rule != NULL;
}

/* ---- what every event says */

static void put_type(struct block_writer *b)
{
    static const struct str known[] = {STR("error"), STR("csp"),         STR("hpkp"),         STR("expectct"), STR("expectstaple"),
                                       STR("nel"),   STR("transaction"), STR("userreportv2"), STR("default")};
    static const enum event_key interfaces[] = {EVENT_KEY_CSP, EVENT_KEY_HPKP, EVENT_KEY_EXPECTCT, EVENT_KEY_EXPECTSTAPLE};
    const struct json *sent = b->view->at[EVENT_KEY_TYPE];
    struct str type = STR("default"), s;
    const struct json **exceptions;
    if (json_str_raw(sent, &s))
        for (size_t i = 0; i < ARRAY_LEN(known); i++)
            if (str_eq(s, known[i])) {
                json_field_str(b->json, STR("type"), known[i]);
                return;
            }
    for (size_t i = 0; i < ARRAY_LEN(interfaces); i++)
        if (json_type(b->view->at[interfaces[i]]) == JSON_OBJECT)
            type = event_key_name(interfaces[i]);
    if (block_elements(b->view->at[EVENT_KEY_EXCEPTION], b->arena, &exceptions) > 0)
        type = STR("error");
    if (json_type(sent) > JSON_NULL)
        block_invalid(b, STR("type"), sent, "expected a type of event");
    json_field_str(b->json, STR("type"), type);
}

static void put_level(struct block_writer *b)
{
    const struct json *sent = b->view->at[EVENT_KEY_LEVEL];
    if (json_type(sent) > JSON_NULL)
        block_level(b, STR("level"), sent);
    if (event_known_level(sent, b->arena).n == 0 && json_type(sent) != JSON_STRING)
        json_field_str(b->json, STR("level"), STR("error"));
}

static void put_platform(struct block_writer *b)
{
    const struct json *sent = b->view->at[EVENT_KEY_PLATFORM];
    if (json_type(sent) > JSON_NULL)
        block_limited(b, STR("platform"), sent, EVENT_MAX_PLATFORM, 0);
    if (!block_is_scalar(sent))
        json_field_str(b->json, STR("platform"), STR("other"));
}

/* The event's time as the row has it, and a note when that is not what the sender meant: what the sender's clock was off, everything in
 * the event is (protocol §5.4). */
static void put_time(struct block_writer *b)
{
    const struct json *sent = b->view->at[EVENT_KEY_TIMESTAMP];
    const struct event_row *row = b->row;
    enum { TOLERANCE_US = 1000 };
    double seconds = 0;
    bool known = event_seconds(sent, b->arena, &seconds);
    int64_t sent_us = event_us(seconds);
    if (!known && json_type(sent) > JSON_NULL)
        block_invalid(b, STR("timestamp"), sent, "expected a time");
    if (row->received_us != 0 && known && llabs(row->timestamp_us - sent_us) > TOLERANCE_US) {
        bool future = row->timestamp_us == row->received_us && sent_us > row->received_us;
        struct note *note = notes_add(&b->notes, STR("timestamp"));
        note->error = future ? STR("future_timestamp") : STR("clock_drift");
        note->timed = true;
        b->shift_us = row->timestamp_us - sent_us;
        note->sdk_us = row->received_us - b->shift_us; /* what the sender's clock showed when the event was received */
        note->server_us = row->received_us;
    }
    if (row->received_us != 0)
        seconds = (double)row->timestamp_us / CLOCK_US_PER_S;
    if (known || row->received_us != 0) {
        json_key(b->json, STR("timestamp"));
        block_put_number(b->json, seconds);
    }
}

static void put_logger(struct block_writer *b)
{
    const struct json *sent = json_get(b->root, STR("logger"));
    if (json_type(sent) > JSON_NULL)
        block_limited(b, STR("logger"), sent, 64, 0);
    else if (json_type(b->view->at[EVENT_KEY_CSP]) == JSON_OBJECT)
        json_field_str(b->json, STR("logger"), STR("csp"));
}

void block_top(struct block_writer *b)
{
    put_time(b);
    if (b->row->received_us != 0) {
        json_key(b->json, STR("received"));
        block_put_number(b->json, (double)b->row->received_us / CLOCK_US_PER_S);
    }
    if (b->row->project_id != 0)
        json_field_i64(b->json, STR("project"), (int64_t)b->row->project_id);
    put_type(b);
    put_level(b);
    put_platform(b);
    put_logger(b);
}
