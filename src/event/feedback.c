/* feedback.c: what people wrote about an error, in both of its forms (protocol §7.3, §7.4).
 *
 * Feedback is a whole event: it is scrubbed as one, and what tells under which circumstances it was written is normalised as an event's is. A user
 * report has nothing but words, and may lack those, too: dialogs of SDKs send what was left empty, and who met an error is worth knowing.
 *
 * Whether feedback is sound is judged by what came, so that the digest, which knows what its project wants taken out, does not think otherwise than the
 * door. Where that takes all of the words, it says so in their place. */
#include "blocks.h"

#include "account.h"
#include "names.h"
#include "picket/base/error.h"
#include "picket/event/items.h"

/* What both forms are about. Texts are in the arena, "" when absent. */
struct feedback {
    struct id128 id, event_id;
    struct str name, email, message, url, source, release, environment;
    struct block_writer *circumstances; /* NULL: a user report. Its `json` is not set yet */
};

static struct str text(const struct json *object, struct str key, size_t max, struct arena *a)
{
    struct str s;
    return json_text(json_get(object, key), a, &s) ? str_take_code_points(str_trim(s), max) : STR("");
}

/* What people write may hold what must not be stored (§5.15). */
static struct str written(const struct json *object, struct str key, size_t max, const struct item_origin *origin, struct arena *a)
{
    AUTO_BUF struct buf scrubbed = {0};
    struct str s = text(object, key, SIZE_MAX, a);
    if (scrub_text(s, item_rules(origin), &scrubbed))
        s = arena_str(a, buf_str(&scrubbed));
    return str_take_code_points(s, max);
}

/* Who wrote it, looked at as contexts.feedback is, where that is called `name`. */
static struct str writer(const struct json *object, struct str key, struct str name, const struct item_origin *origin, struct arena *a)
{
    AUTO_BUF struct buf scrubbed = {0};
    struct str s = text(object, key, SIZE_MAX, a);
    if (scrub_member(name, s, item_rules(origin), &scrubbed))
        s = arena_str(a, buf_str(&scrubbed));
    return str_take_code_points(s, ITEMS_MAX_NAME);
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

static void put(const struct feedback *f, const struct item_origin *origin, size_t bytes, struct buf *out)
{
    struct json_writer w;
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
    if (f->circumstances) {
        json_key(&w, STR("data"));
        f->circumstances->json = &w;
        block_circumstances(f->circumstances);
    }
    json_end_object(&w);
    account_put_sender(&w, origin, bytes);
    account_put_accepted(&w, origin->received_us, CATEGORY_FEEDBACK, 1);
    json_end_object(&w);
}

static int parse(struct str payload, struct json_doc **ret)
{
    int r = json_parse(payload, ret, NULL);
    return r < 0 ? r : json_type(json_root(*ret)) == JSON_OBJECT ? 0 : -ERR_NOT_AN_OBJECT;
}

static const struct json *said_in(const struct event_view *view)
{
    return json_get(view->at[EVENT_KEY_CONTEXTS], STR("feedback"));
}

/* 0, or what it lacks. */
static int check_event(struct str payload, struct arena *a)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    r = event_view_read(json_root(doc), &view);
    if (r < 0)
        return r;
    return text(said_in(&view), STR("message"), ITEMS_MAX_MESSAGE, a).n > 0 ? 0 : -ERR_NO_MESSAGE;
}

static int read_event(const struct json *root, const struct item_origin *origin, size_t bytes, struct arena *a, struct buf *out)
{
    struct event_view view;
    int r = event_view_read(root, &view);
    if (r < 0)
        return r;
    const struct json *said = said_in(&view);
    struct event_row row = {.client_address = origin->client_address, .sdk_name = origin->sdk_name, .sdk_version = origin->sdk_version};
    struct block_writer b = {.arena = a, .view = &view, .root = root, .row = &row, .of_feedback = true};
    struct feedback f = {
        .id = id_is_nil(&origin->event_id) ? id_of(view.at[EVENT_KEY_ID], a) : origin->event_id,
        .event_id = id_of(json_get(said, STR("associated_event_id")), a),
        .name = text(said, STR("name"), ITEMS_MAX_NAME, a),
        .email = text(said, STR("contact_email"), ITEMS_MAX_NAME, a),
        .message = text(said, STR("message"), ITEMS_MAX_MESSAGE, a),
        .url = text(said, STR("url"), ITEMS_MAX_NAME, a),
        .source = text(said, STR("source"), ITEMS_MAX_NAME, a),
        .release = event_release(view.at[EVENT_KEY_RELEASE], a),
        .environment = event_environment(view.at[EVENT_KEY_ENVIRONMENT], a),
        .circumstances = &b,
    };
    if (f.message.n == 0)
        f.message = STR("[Filtered]");
    notes_init(&b.notes, a);
    put(&f, origin, bytes, out);
    return 0;
}

int feedback_read(struct str payload, const struct item_origin *origin, struct buf *out)
{
    AUTO_BUF struct buf scrubbed = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena a;
    arena_init(&a);
    int r = check_event(payload, &a);
    if (r == 0)
        r = scrub_event(payload, item_rules(origin), &scrubbed);
    if (r >= 0)
        r = json_parse(r > 0 ? buf_str(&scrubbed) : payload, &doc, NULL);
    if (r == 0)
        r = read_event(json_root(doc), origin, payload.n, &a, out);
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
        .name = writer(root, STR("name"), STR("name"), origin, &a),
        .email = writer(root, STR("email"), STR("contact_email"), origin, &a),
        .message = written(root, STR("comments"), ITEMS_MAX_MESSAGE, origin, &a),
        .url = STR(""),
        .source = STR("user_report"),
        .release = STR(""),
        .environment = STR(""),
    };
    if (id_is_nil(&f.event_id))
        f.event_id = origin->event_id;
    if (f.message.n == 0 && id_is_nil(&f.event_id))
        r = -ERR_NO_MESSAGE;
    else
        put(&f, origin, payload.n, out);
    arena_done(&a);
    return r;
}
