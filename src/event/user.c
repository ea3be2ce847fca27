/* user.c: whose event it is (protocol §5.7).
 *
 * What a user may have is known; the rest goes to `data`. The address is the sender's word, or, when it says {{auto}} or the platform is one
 * whose SDKs cannot know it, the address that the event came from. `sdk.settings.infer_ip` of newer SDKs overrules that. Without an address of
 * its own (not stored, because the project wants no addresses or the event or its envelope said "never") a {{auto}} is as good as nothing. */
#include "blocks.h"

#include <arpa/inet.h>

#include "picket/event/person.h"

static const struct str names[] = {STR("id"),  STR("email"),   STR("ip_address"), STR("username"),   STR("name"),
                                   STR("geo"), STR("segment"), STR("data"),       STR("sentry_user")};

static bool is_known(struct str key)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (str_eq(names[i], key))
            return true;
    return false;
}

/* ---- the address */

static bool is_auto(const struct json *v)
{
    struct str s;
    return json_str_raw(v, &s) && str_eq(str_trim(s), STR("{{auto}}"));
}

/* The project wants no address, and so none of another source either (scrub.h). */
static bool is_taken_out(const struct json *v)
{
    struct str s;
    return json_str_raw(v, &s) && str_eq(s, STR("[Filtered]"));
}

static bool read_address(const struct json *v, struct arena *a, struct str *ret)
{
    unsigned char bytes[sizeof(struct in6_addr)];
    struct str s;
    if (!json_str(v, a, &s) || (s = str_trim(s)).n == 0 || s.n >= INET6_ADDRSTRLEN)
        return false;
    const char *text = arena_cstr(a, s);
    if (inet_pton(AF_INET, text, bytes) != 1 && inet_pton(AF_INET6, text, bytes) != 1)
        return false;
    *ret = s;
    return true;
}

/* Platforms whose SDKs run where the user is. */
static bool is_users_own(const struct json *platform)
{
    struct str s;
    return json_str_raw(platform, &s) && (str_eq(s, STR("javascript")) || str_eq(s, STR("cocoa")) || str_eq(s, STR("objc")));
}

struct str block_user_address(struct block_writer *b)
{
    const struct json *sent = json_get(b->view->at[EVENT_KEY_USER], STR("ip_address"));
    const struct json *remote = json_get(json_get(b->view->at[EVENT_KEY_REQUEST], STR("env")), STR("REMOTE_ADDR"));
    struct str address = STR(""), peer = b->row->client_address;
    if (is_taken_out(sent))
        return STR("[Filtered]");
    if (read_address(sent, b->arena, &address))
        return address;
    switch (event_inference_of(b->view->at[EVENT_KEY_SDK])) {
    case INFER_NEVER:
        return STR("");
    case INFER_AUTO:
        return peer;
    case INFER_LEGACY:
        break;
    }
    if (peer.n > 0 && (is_auto(sent) || is_auto(remote)))
        return peer;
    if (read_address(remote, b->arena, &address))
        return address;
    return is_users_own(b->view->at[EVENT_KEY_PLATFORM]) ? peer : STR("");
}

/* ---- the user */

/* Notes the members of `user` that came too late: those of `all` behind the first `n_data` are what is left of them, in their order. */
static void note_superseded(struct block_writer *b, const struct members *user, const struct members *all, size_t n_data)
{
    size_t next = n_data;
    for (size_t i = 0; i < user->n; i++) {
        if (is_known(user->at[i].key))
            continue;
        if (next < all->n && str_eq(all->at[next].key, user->at[i].key))
            next++;
        else if (json_type(user->at[i].value) > JSON_NULL)
            block_invalid(b, user->at[i].key, user->at[i].value, "data has it already");
    }
}

/* `data` with what stood beside it. */
static void put_data(struct block_writer *b, const struct members *user)
{
    const struct json *data = NULL;
    bool any = false;
    struct members own;
    for (size_t i = 0; i < user->n; i++) {
        if (str_eq(user->at[i].key, STR("data")))
            data = user->at[i].value;
        any |= !is_known(user->at[i].key) && json_type(user->at[i].value) > JSON_NULL;
    }
    if (json_type(data) > JSON_NULL && json_type(data) != JSON_OBJECT)
        block_invalid(b, STR("data"), data, "expected an object");
    if (json_type(data) != JSON_OBJECT && !any)
        return;
    members_of_object(data, b->arena, &own);
    struct members all = {.at = arena_array(b->arena, struct member, own.n + user->n + 1)};
    for (size_t i = 0; i < own.n; i++)
        if (json_type(own.at[i].value) > JSON_NULL)
            members_add(&all, own.at[i].key, own.at[i].value);
    size_t n_data = all.n;
    for (size_t i = 0; i < user->n; i++)
        if (!is_known(user->at[i].key))
            members_add(&all, user->at[i].key, user->at[i].value);
    members_keep_first(&all, b->arena);
    note_superseded(b, user, &all, n_data);
    json_key(b->json, STR("data"));
    json_begin_object(b->json);
    for (size_t i = 0; i < all.n; i++)
        block_member(b, NULL, all.at[i].key, all.at[i].value);
    json_end_object(b->json);
}

/* Of feedback nothing but this copy is kept, and people are looked for by what stands here: whatever can be asked for stays whole. */
static void put_member(struct block_writer *b, const struct block_rule *rule, const struct member *m)
{
    bool names_somebody = str_eq(m->key, STR("id")) || str_eq(m->key, STR("username"));
    if (b->of_feedback && names_somebody && json_type(m->value) > JSON_NULL)
        block_limited(b, m->key, m->value, PERSON_MAX_KEY, 0);
    else
        block_member(b, rule, m->key, m->value);
}

static void put_user(struct block_writer *b, const struct json *v, struct str address)
{
    static const struct block_rule rules[] = {
        BLOCK_TEXT("id", 128, 0),       BLOCK_TEXT("email", 256, 0),   BLOCK_TEXT("username", 128, 0), BLOCK_TEXT("name", 128, 0),
        BLOCK_RULE("geo", block_texts), BLOCK_TEXT("segment", 128, 0), BLOCK_RULE("data", block_skip), BLOCK_TEXT("sentry_user", 128, 0),
    };
    const struct json *sent = json_get(v, STR("ip_address"));
    struct members m;
    struct str parsed;
    members_of_object(v, b->arena, &m);
    for (size_t i = 0; i < m.n; i++) {
        const struct block_rule *rule = block_rule_for(rules, ARRAY_LEN(rules), m.at[i].key);
        if (rule)
            put_member(b, rule, &m.at[i]);
    }
    if (json_type(sent) > JSON_NULL && !is_auto(sent) && !is_taken_out(sent) && !read_address(sent, b->arena, &parsed))
        block_invalid(b, STR("ip_address"), sent, "expected an address");
    if (address.n > 0)
        json_field_str(b->json, STR("ip_address"), address);
    put_data(b, &m);
}

void block_user(struct block_writer *b)
{
    const struct json *v = b->view->at[EVENT_KEY_USER];
    struct str address = block_user_address(b);
    if (json_type(v) > JSON_NULL && json_type(v) != JSON_OBJECT)
        block_invalid(b, event_key_name(EVENT_KEY_USER), v, "expected an object");
    if (json_type(v) != JSON_OBJECT && address.n == 0)
        return;
    json_key(b->json, event_key_name(EVENT_KEY_USER));
    json_begin_object(b->json);
    notes_enter(&b->notes, event_key_name(EVENT_KEY_USER));
    put_user(b, v, address);
    notes_leave(&b->notes);
    json_end_object(b->json);
}
