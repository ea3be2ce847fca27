/* facets.c: what people filter events by: tags, as the normalised copy shows them (tags.c), with columns that are tags, too, and the user. Runs once for every
 * event in the digest: texts are taken as they stand in the document where they can be, and what many events say is not copied. */
#include "facets.h"

#include "blocks.h"
#include "picket/base/hash.h"
#include "picket/base/ip.h"

uint64_t event_user_hash(struct str kind, struct str value)
{
    return hash64_seeded(value.p, value.n, hash64(kind.p, kind.n));
}

void event_facets_add(struct event_facets *f, struct str key, struct str value)
{
    value = str_trim(value);
    if (value.n == 0 || f->n_tags == EVENT_MAX_TAGS)
        return;
    for (unsigned i = 0; i < f->n_tags; i++)
        if (str_eq(f->tags[i].key, key))
            return;
    f->tags[f->n_tags++] = (struct event_tag){key, str_take_code_points(value, EVENT_MAX_TAG_VALUE)};
}

static void add_named(struct event_facets *f, struct str key, const struct json *context, struct arena *a)
{
    struct str name;
    if (json_str(json_get(context, STR("name")), a, &name))
        event_facets_add(f, key, name);
}

static void read_tags(const struct event_view *view, const struct json *root, const struct event_fields *fields, struct arena *a,
                      struct event_facets *f)
{
    const struct json *contexts = view->at[EVENT_KEY_CONTEXTS];
    struct str site;
    event_facets_add(f, STR("level"), fields->level.n ? fields->level : STR("error"));
    event_facets_add(f, STR("release"), fields->release);
    event_facets_add(f, STR("environment"), fields->environment);
    event_facets_add(f, STR("transaction"), fields->transaction);
    event_tags_read(view->at[EVENT_KEY_TAGS], a, f);
    event_facets_add(f, event_key_name(EVENT_KEY_SERVER_NAME), fields->server_name);
    if (json_str(json_get(root, STR("site")), a, &site))
        event_facets_add(f, STR("site"), site);
    add_named(f, STR("browser.name"), json_get(contexts, STR("browser")), a);
    add_named(f, STR("os.name"), json_get(contexts, STR("os")), a);
}

/* What the project does not want to know is nobody's name. */
static bool take_user(struct event_facets *f, struct str kind, struct str value)
{
    value = str_trim(value);
    f->has_user = value.n > 0 && !str_eq(value, STR("[Filtered]"));
    if (f->has_user)
        f->user_hash = event_user_hash(kind, value);
    return f->has_user;
}

static void read_user(const struct event_view *view, const uint8_t *address, struct arena *a, struct event_facets *f)
{
    static const struct str kinds[] = {STR("id"), STR("email"), STR("username")};
    const struct json *user = view->at[EVENT_KEY_USER];
    char peer[IP_TEXT_MAX];
    struct str text;
    f->has_user = false;
    for (size_t i = 0; i < ARRAY_LEN(kinds); i++) {
        const struct json *v = json_get(user, kinds[i]);
        if (json_type(v) > JSON_NULL && json_type(v) < JSON_ARRAY && json_text(v, a, &text) && take_user(f, kinds[i], text))
            return;
    }
    struct event_row row = {.client_address = STR("")};
    if (address && !ip_is_unknown(address))
        row.client_address = str_of(peer, ip_format(address, peer));
    struct block_writer b = {.arena = a, .view = view, .row = &row};
    take_user(f, STR("ip_address"), block_user_address(&b));
}

void event_facets_read(const struct json *root, const struct event_view *view, const struct event_fields *fields, const uint8_t *address,
                       struct arena *a, struct event_facets *ret)
{
    ret->n_tags = 0;
    ret->user_hash = 0;
    read_tags(view, root, fields, a, ret);
    read_user(view, address, a, ret);
}
