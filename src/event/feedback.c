/* feedback.c: what people wrote about an error, in both of its forms (protocol §7.3, §7.4). */
#include "picket/event/items.h"

#include "account.h"
#include "picket/base/error.h"
#include "picket/event/scrub.h"

/* What both forms are about. Texts are in the arena, "" when absent. */
struct feedback {
    struct id128 id, event_id;
    struct str name, email, message, url, source, release, environment;
};

static struct str text(const struct json *object, struct str key, size_t max, struct arena *a)
{
    struct str s;
    return json_text(json_get(object, key), a, &s) ? str_take_code_points(str_trim(s), max) : STR("");
}

/* What people write may hold what must not be stored (§5.15). */
static struct str written(const struct json *object, struct str key, size_t max, const struct item_origin *origin, struct arena *a)
{
    const struct scrub_rules defaults = SCRUB_DEFAULTS;
    AUTO_BUF struct buf scrubbed = {0};
    struct str s = text(object, key, SIZE_MAX, a);
    if (scrub_text(s, origin->rules ? origin->rules : &defaults, &scrubbed))
        s = arena_str(a, buf_str(&scrubbed));
    return str_take_code_points(s, max);
}

static struct id128 id_of(const struct json *v, struct arena *a)
{
    struct str s;
    struct id128 id = {{0}};
    if (!json_str(v, a, &s) || !id_parse(s, &id))
        return (struct id128){{0}};
    return id;
}

static void put_id(struct json_writer *w, struct str key, const struct id128 *id)
{
    char dashed[ID_DASHED + 1];
    if (id_is_nil(id)) {
        json_field_null(w, key);
        return;
    }
    id_dashed(id, dashed);
    json_field_str(w, key, str_of(dashed, ID_DASHED));
}

static int put(const struct feedback *f, const struct item_origin *origin, struct buf *out)
{
    struct json_writer w;
    if (f->message.n == 0)
        return -ERR_NO_MESSAGE;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("feedback"));
    json_begin_object(&w);
    put_id(&w, STR("id"), &f->id);
    put_id(&w, STR("event_id"), &f->event_id);
    json_field_str(&w, STR("name"), f->name);
    json_field_str(&w, STR("email"), f->email);
    json_field_str(&w, STR("message"), f->message);
    json_field_str(&w, STR("url"), f->url);
    json_field_str(&w, STR("source"), f->source);
    json_field_str(&w, STR("release"), f->release);
    json_field_str(&w, STR("environment"), f->environment);
    json_end_object(&w);
    account_put_accepted(&w, origin->received_us, CATEGORY_FEEDBACK, 1);
    json_end_object(&w);
    return 0;
}

static int parse(struct str payload, struct json_doc **ret)
{
    int r = json_parse(payload, ret, NULL);
    return r < 0 ? r : json_type(json_root(*ret)) == JSON_OBJECT ? 0 : -ERR_NOT_AN_OBJECT;
}

int feedback_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena a;
    int r = parse(payload, &doc);
    if (r < 0)
        return r;
    const struct json *root = json_root(doc), *said = json_get(json_get(root, STR("contexts")), STR("feedback"));
    arena_init(&a);
    struct feedback f = {
        .id = id_is_nil(&origin->event_id) ? id_of(json_get(root, STR("event_id")), &a) : origin->event_id,
        .event_id = id_of(json_get(said, STR("associated_event_id")), &a),
        .name = text(said, STR("name"), ITEMS_MAX_NAME, &a),
        .email = text(said, STR("contact_email"), ITEMS_MAX_NAME, &a),
        .message = written(said, STR("message"), ITEMS_MAX_MESSAGE, origin, &a),
        .url = written(said, STR("url"), ITEMS_MAX_NAME, origin, &a),
        .source = text(said, STR("source"), ITEMS_MAX_NAME, &a),
        .release = text(root, STR("release"), EVENT_MAX_RELEASE, &a),
        .environment = text(root, STR("environment"), EVENT_MAX_ENVIRONMENT, &a),
    };
    r = put(&f, origin, out);
    arena_done(&a);
    return r;
}

int user_report_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena a;
    int r = parse(payload, &doc);
    if (r < 0)
        return r;
    const struct json *root = json_root(doc);
    arena_init(&a);
    struct feedback f = {
        .event_id = id_of(json_get(root, STR("event_id")), &a),
        .name = text(root, STR("name"), ITEMS_MAX_NAME, &a),
        .email = text(root, STR("email"), ITEMS_MAX_NAME, &a),
        .message = written(root, STR("comments"), ITEMS_MAX_MESSAGE, origin, &a),
        .url = STR(""),
        .source = STR("user_report"),
        .release = STR(""),
        .environment = STR(""),
    };
    if (id_is_nil(&f.event_id))
        f.event_id = origin->event_id;
    r = put(&f, origin, out);
    arena_done(&a);
    return r;
}
