/* fields.c: the columns of an event. Runs once for every event in the digest, so: the payload is parsed once, its top level is walked
 * once, and what is kept is trimmed before it is copied. */
#include <openssl/sha.h>

#include "picket/base/error.h"
#include "blocks.h"
#include "facets.h"
#include "moment.h"
#include "names.h"
#include "report.h"
#include "title.h"

/* The first `max` code points of `s`, copied out of the document. */
static struct str keep(struct str s, size_t max, struct arena *a)
{
    return s.n == 0 ? STR("") : arena_str(a, str_take_code_points(s, max));
}

/* The value of a tag, of a map or a list of pairs. */
static const struct json *tag(const struct json *tags, struct str name)
{
    struct str key;
    if (json_type(tags) == JSON_ARRAY)
        for (struct json_iter it = json_iter(tags); json_next(&it);)
            if (json_str_raw(json_at(it.value, 0), &key) && str_eq(str_trim(key), name))
                return json_at(it.value, 1);
    return json_get(tags, name);
}

/* Old senders give it as a tag (protocol §5.6). */
static struct str read_environment(const struct event_view *view, struct arena *a)
{
    const struct json *v = view->at[EVENT_KEY_ENVIRONMENT];
    if (json_type(v) <= JSON_NULL)
        v = tag(view->at[EVENT_KEY_TAGS], event_key_name(EVENT_KEY_ENVIRONMENT));
    return event_environment(v, a);
}

static struct str read_level(const struct json *v, struct arena *a)
{
    struct str level = event_known_level(v, a);
    if (level.n == 0 && json_str(v, a, &level))
        level = keep(level, EVENT_MAX_LEVEL, a); /* unknown words are kept: contract §3.4 */
    return level;
}

static void read_sdk_object(const struct json *sdk, struct arena *a, struct event_fields *f)
{
    f->sdk_name = keep(event_scalar(json_get(sdk, STR("name")), a), EVENT_MAX_SDK, a);
    f->sdk_version = keep(event_scalar(json_get(sdk, STR("version")), a), EVENT_MAX_SDK, a);
}

/* Most headers do not: they are not parsed. What is escaped may spell anything. */
static bool may_infer(struct str header)
{
    const struct str name = STR("infer_ip");
    return header.n > 0 && (memmem(header.p, header.n, name.p, name.n) || str_find(header, '\\') < header.n);
}

/* The envelope's sdk serves a payload that does not name one, and its settings one that has none (protocol §2.2). A header that is no JSON was
 * refused at the door. */
static void read_sdk(const struct event_view *view, const struct event_origin *origin, struct arena *a, struct event_fields *f)
{
    AUTO_JSON struct json_doc *header = NULL;
    const struct json *own = view->at[EVENT_KEY_SDK], *theirs;
    enum event_inference inference = event_inference_of(own);
    read_sdk_object(own, a, f);
    bool asks = f->sdk_name.n == 0 || (inference == INFER_LEGACY && may_infer(origin->envelope_header));
    if (asks && origin->envelope_header.n > 0 && json_parse(origin->envelope_header, &header, NULL) == 0) {
        theirs = json_get(json_root(header), STR("sdk"));
        if (f->sdk_name.n == 0)
            read_sdk_object(theirs, a, f);
        if (inference == INFER_LEGACY)
            inference = event_inference_of(theirs);
    }
    f->hides_address = inference == INFER_NEVER;
}

void event_header_sdk(struct str header, struct arena *a, struct str *ret_name, struct str *ret_version)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_fields f = {.sdk_name = STR(""), .sdk_version = STR("")};
    if (header.n > 2 && json_parse(header, &doc, NULL) == 0) /* 2: nothing in it */
        read_sdk_object(json_get(json_root(doc), STR("sdk")), a, &f);
    *ret_name = f.sdk_name;
    *ret_version = f.sdk_version;
}

/* Contract §3.5: the last frame of the program itself, else the last frame. Frames may be null (protocol §5.11). */
static const struct json *main_frame(const struct json *exception)
{
    const struct json *last = NULL, *last_in_app = NULL;
    const struct json *frames = json_get(json_get(exception, STR("stacktrace")), STR("frames"));
    if (json_type(frames) != JSON_ARRAY)
        return NULL;
    for (struct json_iter it = json_iter(frames); json_next(&it);) {
        bool in_app = false;
        if (json_type(it.value) != JSON_OBJECT)
            continue;
        last = it.value;
        if (json_bool(json_get(it.value, STR("in_app")), &in_app) && in_app)
            last_in_app = it.value;
    }
    return last_in_app ? last_in_app : last;
}

static struct str frame_text(const struct json *frame, struct str key, struct arena *a)
{
    struct str s = STR("");
    return json_str(json_get(frame, key), a, &s) ? keep(s, EVENT_MAX_FRAME, a) : s;
}

static void read_frame(const struct event_view *view, struct arena *a, struct event_fields *f)
{
    const struct json *exception = NULL;
    const struct json *frame = event_main_exception(view, &exception) ? main_frame(exception) : NULL;
    f->frame_filename = frame_text(frame, STR("filename"), a);
    f->frame_module = frame_text(frame, STR("module"), a);
    f->frame_function = frame_text(frame, STR("function"), a);
}

static void read_title(const struct event_view *view, struct arena *a, struct event_fields *f)
{
    struct event_title t;
    event_title_read(view, a, &t);
    f->type = arena_str(a, t.type);
    f->value = arena_str(a, t.value);
    f->title = arena_str(a, t.title);
    f->transaction = t.has_transaction ? arena_str(a, t.transaction) : STR("");
    struct str key = event_key_v1(view, &t, a);
    if (!SHA256((const unsigned char *)key.p, key.n, f->grouping_hash)) /* OpenSSL 3 fetches it, which may fail for want of memory */
        abort();
}

/* Only a payload that says so itself is a transaction. Feedback without a word of it is kept as the event that it is, and so is a crash with words
 * about it. */
static enum event_class read_class(const struct event_view *view)
{
    static const enum report_kind kinds[] = {REPORT_CSP, REPORT_HPKP, REPORT_EXPECT_CT, REPORT_EXPECT_STAPLE};
    const struct json *feedback = json_get(view->at[EVENT_KEY_CONTEXTS], STR("feedback")), *exception;
    struct report report;
    struct str s;
    if (json_str_raw(view->at[EVENT_KEY_TYPE], &s)) {
        if (str_eq(s, STR("transaction")))
            return EVENT_TRANSACTION;
        for (size_t i = 0; i < ARRAY_LEN(kinds); i++)
            if (str_eq(s, report_name(kinds[i])))
                return EVENT_REPORT;
    }
    bool has_words = json_str_raw(json_get(feedback, STR("message")), &s) && str_trim(s).n > 0;
    if (has_words && !event_main_exception(view, &exception))
        return EVENT_FEEDBACK;
    return report_of_event(view, &report) ? EVENT_REPORT : EVENT_ERROR;
}

static void read_fields(const struct event_view *view, const struct event_origin *origin, struct arena *arena, struct event_fields *ret)
{
    struct event_fields f = {0};
    read_title(view, arena, &f);
    read_frame(view, arena, &f);
    read_sdk(view, origin, arena, &f);
    f.level = read_level(view->at[EVENT_KEY_LEVEL], arena);
    f.platform = keep(event_scalar(view->at[EVENT_KEY_PLATFORM], arena), EVENT_MAX_PLATFORM, arena);
    f.release = event_release(view->at[EVENT_KEY_RELEASE], arena);
    f.environment = read_environment(view, arena);
    f.server_name = keep(event_scalar(view->at[EVENT_KEY_SERVER_NAME], arena), EVENT_MAX_SERVER_NAME, arena);
    f.timestamp_us = event_time(view->at[EVENT_KEY_TIMESTAMP], origin, arena);
    f.class = read_class(view);
    *ret = f;
}

static int read_event(struct str payload, struct json_doc **ret, struct event_view *ret_view)
{
    int r = json_parse(payload, ret, NULL);
    return r < 0 ? r : event_view_read(json_root(*ret), ret_view);
}

int event_read(struct str payload, const struct event_origin *origin, struct arena *arena, struct event_fields *ret)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    int r = read_event(payload, &doc, &view);
    if (r == 0)
        read_fields(&view, origin, arena, ret);
    return r;
}

int event_read_facets(struct str payload, const struct event_origin *origin, const uint8_t *address, struct arena *arena,
                      event_facets_fn *take, void *arg, struct event_fields *ret)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    struct event_facets facets;
    int r = read_event(payload, &doc, &view);
    if (r < 0)
        return r;
    read_fields(&view, origin, arena, ret);
    event_facets_read(json_root(doc), &view, ret, ret->hides_address ? NULL : address, arena, &facets);
    take(arg, ret, &facets);
    return 0;
}

int event_peek(struct str payload, struct id128 *ret_id, enum event_class *ret_class)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct id128 id = {0};
    struct event_view view;
    struct str text;
    int r = read_event(payload, &doc, &view);
    if (r < 0)
        return r;
    if (json_str_raw(view.at[EVENT_KEY_ID], &text) && !id_parse(text, &id))
        id = (struct id128){0};
    *ret_id = id;
    *ret_class = read_class(&view);
    return 0;
}
