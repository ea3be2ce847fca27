/* contexts.c: what it ran on (protocol §5.9).
 *
 * A context is an object; its type is its name unless it says otherwise. Some have members whose form others rely on: ids and status of the
 * trace, names in `os` and `runtime` that are only there as one text, headers of the response. Browser, operating system and device come
 * from the headers of the request where the sender did not name them (user_agent.h). */
#include "blocks.h"

#include "user_agent.h"

/* ---- trace */

static void put_hex(struct block_writer *b, struct str name, const struct json *v, size_t bytes)
{
    uint8_t id[16];
    char digits[2 * sizeof id], hex[2 * sizeof id];
    struct str s;
    size_t n = 0;
    bool good = json_str_raw(v, &s);
    for (size_t i = 0; good && i < s.n; i++) {
        if (s.p[i] == '-')
            continue;
        good = n < sizeof digits;
        if (good)
            digits[n++] = s.p[i];
    }
    if (!good || n != 2 * bytes || !str_hex_decode(str_of(digits, n), id, bytes)) {
        block_invalid(b, name, v, bytes == sizeof id ? "expected 32 hex digits" : "expected 16 hex digits");
        return;
    }
    str_hex_encode(id, bytes, hex);
    json_field_str(b->json, name, str_of(hex, n));
}

static void put_trace_id(struct block_writer *b, struct str name, const struct json *v)
{
    put_hex(b, name, v, 16);
}

static void put_span_id(struct block_writer *b, struct str name, const struct json *v)
{
    put_hex(b, name, v, 8);
}

static void put_status(struct block_writer *b, struct str name, const struct json *v)
{
    static const struct str known[] = {
        STR("ok"),
        STR("cancelled"),
        STR("unknown"),
        STR("invalid_argument"),
        STR("not_found"),
        STR("deadline_exceeded"),
        STR("already_exists"),
        STR("permission_denied"),
        STR("aborted"),
        STR("resource_exhausted"),
        STR("out_of_range"),
        STR("failed_precondition"),
        STR("unimplemented"),
        STR("internal_error"),
        STR("unauthenticated"),
        STR("unavailable"),
        STR("data_loss"),
        STR("error"),
    };
    struct str s;
    bool is_text = json_str_raw(v, &s);
    for (size_t i = 0; is_text && i < ARRAY_LEN(known); i++)
        if (str_eq_nocase(s, known[i])) {
            json_field_str(b->json, name, known[i]);
            return;
        }
    if (is_text && str_eq_nocase(s, STR("unknown_error")))
        json_field_str(b->json, name, STR("unknown")); /* older SDKs */
    else
        block_invalid(b, name, v, "expected a status");
}

/* ---- os, runtime */

/* "Microsoft Windows 10.0.17763 S": a name, and from the first word that begins with a digit on the version. */
static void put_described(struct block_writer *b, const struct json *v)
{
    struct str text, name, version = STR("");
    if (block_is_scalar(json_get(v, STR("name"))) || !json_str(json_get(v, STR("raw_description")), b->arena, &text))
        return;
    text = str_trim(text);
    name = text;
    for (size_t i = 1; i < text.n; i++)
        if (text.p[i - 1] == ' ' && text.p[i] >= '0' && text.p[i] <= '9') {
            name = str_trim(str_take(text, i));
            version = str_take(str_drop(text, i), str_find(str_drop(text, i), ' '));
            break;
        }
    if (str_eq(name, STR("Microsoft Windows")))
        name = STR("Windows");
    if (name.n > 0)
        block_put_text(b, STR("name"), name, 128, 0);
    if (version.n > 0 && !block_is_scalar(json_get(v, STR("version"))))
        block_put_text(b, STR("version"), version, 128, 0);
}

/* ---- contexts */

static const struct block_rule *rules_of(struct str context, size_t *ret_n)
{
    static const struct block_rule trace[] = {
        BLOCK_RULE("type", block_text),     BLOCK_RULE("trace_id", put_trace_id),
        BLOCK_RULE("span_id", put_span_id), BLOCK_RULE("parent_span_id", put_span_id),
        BLOCK_RULE("status", put_status),   BLOCK_TEXT("op", 128, 0),
        BLOCK_TEXT("origin", 128, 0),
    };
    static const struct block_rule response[] = {
        BLOCK_RULE("type", block_text),
        BLOCK_RULE("headers", block_headers),
        BLOCK_RULE("cookies", block_cookies),
        BLOCK_RULE("status_code", block_number),
        BLOCK_RULE("body_size", block_number),
        BLOCK_RULE("data", block_skip),
        BLOCK_RULE("inferred_content_type", block_skip),
    };
    static const struct block_rule named[] = {
        BLOCK_RULE("type", block_text), BLOCK_TEXT("name", 256, 0),           BLOCK_TEXT("version", 256, 0),
        BLOCK_TEXT("build", 256, 0),    BLOCK_TEXT("kernel_version", 256, 0),
    };
    static const struct block_rule other[] = {BLOCK_RULE("type", block_text)};
    if (str_eq(context, STR("trace"))) {
        *ret_n = ARRAY_LEN(trace);
        return trace;
    }
    if (str_eq(context, STR("response"))) {
        *ret_n = ARRAY_LEN(response);
        return response;
    }
    if (str_eq(context, STR("os")) || str_eq(context, STR("runtime")) || str_eq(context, STR("browser"))) {
        *ret_n = ARRAY_LEN(named);
        return named;
    }
    *ret_n = ARRAY_LEN(other);
    return other;
}

static void put_context(struct block_writer *b, struct str name, const struct json *v)
{
    size_t n;
    const struct block_rule *rules = rules_of(name, &n);
    if (b->of_feedback && str_eq(name, STR("feedback")))
        return;
    if (json_type(v) != JSON_OBJECT) {
        if (json_type(v) > JSON_NULL)
            block_invalid(b, name, v, "expected an object");
        return;
    }
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    block_members(b, v, rules, n);
    if (str_eq(name, STR("os")) || str_eq(name, STR("runtime")))
        put_described(b, v);
    if (json_type(json_get(v, STR("type"))) <= JSON_NULL)
        json_field_str(b->json, STR("type"), name);
    if (str_eq(name, STR("response")))
        block_payload(b, STR("data"), v);
    notes_leave(&b->notes);
    json_end_object(b->json);
}

/* ---- from the request's headers */

static void read_agent(struct block_writer *b, struct user_agent *ret)
{
    const struct event_view *view = b->view;
    struct user_agent_hints hints = {
        .brands = block_request_header(view, STR("sec-ch-ua-full-version-list"), b->arena),
        .platform = block_request_header(view, STR("sec-ch-ua-platform"), b->arena),
        .platform_version = block_request_header(view, STR("sec-ch-ua-platform-version"), b->arena),
        .model = block_request_header(view, STR("sec-ch-ua-model"), b->arena),
    };
    if (hints.brands.n == 0)
        hints.brands = block_request_header(view, STR("sec-ch-ua"), b->arena);
    user_agent_read(block_request_header(view, STR("user-agent"), b->arena), &hints, b->arena, ret);
}

static void put_some(struct block_writer *b, struct str name, struct str value)
{
    if (value.n > 0)
        json_field_str(b->json, name, value);
}

static bool is_absent(const struct json *contexts, struct str name)
{
    return json_type(json_get(contexts, name)) != JSON_OBJECT;
}

static void put_inferred(struct block_writer *b, const struct user_agent *agent, const struct json *sent)
{
    const struct {
        struct str context, name, version;
    } named[] = {
        {STR("browser"), agent->browser.name, agent->browser.version},
        {STR("os"), agent->os.name, agent->os.version},
    };
    for (size_t i = 0; i < ARRAY_LEN(named); i++) {
        if (named[i].name.n == 0 || !is_absent(sent, named[i].context))
            continue;
        json_key(b->json, named[i].context);
        json_begin_object(b->json);
        json_field_str(b->json, STR("name"), named[i].name);
        put_some(b, STR("version"), named[i].version);
        json_field_str(b->json, STR("type"), named[i].context);
        json_end_object(b->json);
    }
    if (agent->device_family.n == 0 || !is_absent(sent, STR("device")))
        return;
    json_key(b->json, STR("device"));
    json_begin_object(b->json);
    json_field_str(b->json, STR("family"), agent->device_family);
    put_some(b, STR("model"), agent->device_model);
    put_some(b, STR("brand"), agent->device_brand);
    json_field_str(b->json, STR("type"), STR("device"));
    json_end_object(b->json);
}

void block_contexts(struct block_writer *b)
{
    const struct json *v = b->view->at[EVENT_KEY_CONTEXTS];
    struct str name = event_key_name(EVENT_KEY_CONTEXTS);
    struct user_agent agent;
    struct members m;
    read_agent(b, &agent);
    if (json_type(v) > JSON_NULL && json_type(v) != JSON_OBJECT)
        block_invalid(b, name, v, "expected an object");
    if (json_type(v) != JSON_OBJECT && agent.browser.name.n == 0 && agent.os.name.n == 0 && agent.device_family.n == 0)
        return;
    members_of_object(v, b->arena, &m);
    json_key(b->json, name);
    json_begin_object(b->json);
    notes_enter(&b->notes, name);
    for (size_t i = 0; i < m.n; i++)
        put_context(b, m.at[i].key, m.at[i].value);
    put_inferred(b, &agent, v);
    notes_leave(&b->notes);
    json_end_object(b->json);
}
