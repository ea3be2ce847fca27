/* grouping.c: which events belong together, version 1 (contract §3.3 with its "→ Ours", vectors in its appendix A).
 *
 * The key is a text: title and transaction, or the client's fingerprint with {{default}} replaced by that. What the database sees is the
 * SHA-256 of the key. A version never changes once events were grouped by it, not even to mend it: mending is a new version.
 *
 * Every {{default}} grows by the length of the default key, so a fingerprint of nothing else could make a megabyte into a hundred: only
 * the first MAX_DEFAULTS are replaced, those behind stay as they were sent. */
#include "title.h"

#include "picket/base/error.h"

enum { MAX_DEFAULTS = 64 };

#define SEPARATOR STR(" \xE2\x8B\x84 ")

/* {{default}} with any blanks inside the braces. */
static bool is_default(struct str part)
{
    if (!str_starts(part, STR("{{")) || !str_ends(part, STR("}}")) || part.n < 4)
        return false;
    return str_eq(str_trim(str_of(part.p + 2, part.n - 4)), STR("default"));
}

/* Strings as they are, numbers and booleans as their JSON text; null and containers are empty. */
static struct str part_text(const struct json *v, struct arena *a)
{
    struct str s = STR("");
    if (json_type(v) != JSON_ARRAY && json_type(v) != JSON_OBJECT)
        (void)json_text(v, a, &s); /* false for null: stays empty */
    return s;
}

static struct str default_key(const struct event_title *t, struct arena *a)
{
    struct str transaction = t->has_transaction ? t->transaction : STR("<no transaction>");
    return event_concat(a, (struct str[]){t->title, SEPARATOR, transaction}, 3);
}

struct str event_key_v1(const struct event_view *view, const struct event_title *title, struct arena *a)
{
    struct str whole = default_key(title, a);
    const struct json *fingerprint = view->at[EVENT_KEY_FINGERPRINT];
    if (json_type(fingerprint) != JSON_ARRAY)
        return whole;
    AUTO_BUF struct buf key = {0};
    bool usable = false;
    unsigned index = 0, defaults = 0;
    for (struct json_iter it = json_iter(fingerprint); json_next(&it); index++) {
        struct str part = part_text(it.value, a);
        usable |= part.n > 0;
        if (is_default(part) && defaults++ < MAX_DEFAULTS)
            part = whole;
        if (index > 0)
            buf_append_str(&key, SEPARATOR);
        buf_append_str(&key, part);
    }
    return usable ? arena_str(a, buf_str(&key)) : whole; /* empty and all-empty lists count as absent (decisions.md) */
}

int event_grouping_key(struct str payload, struct arena *arena, struct str *ret_title, struct str *ret_key)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_view view;
    struct event_title title;
    int r = json_parse(payload, &doc, NULL);
    if (r < 0)
        return r;
    r = event_view_read(json_root(doc), &view);
    if (r < 0)
        return r;
    event_title_read(&view, arena, &title);
    *ret_title = arena_str(arena, title.title); /* may lie in the document, which ends here */
    *ret_key = event_key_v1(&view, &title, arena);
    return 0;
}
