/* person.c: see the header. An event is asked for the user that the API shows of it, so that whoever sees a person's name there can have it erased by
 * that name. What is no JSON (a dead letter is often that) is searched as text, and only for the key as the whole value of a member that says who
 * somebody is: a key like 42 stands in many places. */
#include "picket/event/person.h"

#include "blocks.h"
#include "picket/base/ip.h"

static const struct str names[] = {
    [PERSON_ANY] = STR("any"),           [PERSON_ID] = STR("id"),      [PERSON_EMAIL] = STR("email"),
    [PERSON_USERNAME] = STR("username"), [PERSON_ADDRESS] = STR("ip"),
};

/* ---- keys */

struct str person_field_name(enum person_field field)
{
    return names[field];
}

bool person_field_read(struct str name, enum person_field *ret)
{
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        if (str_eq(name, names[i])) {
            *ret = (enum person_field)i;
            return true;
        }
    }
    return false;
}

bool person_read(struct str text, struct person *ret)
{
    unsigned char address[16];
    struct str rest = str_trim(text), field = str_cut(&rest, ':');
    *ret = (struct person){PERSON_ANY, str_trim(text)};
    if (rest.p && !str_eq(field, names[PERSON_ANY]) && person_field_read(field, &ret->field))
        ret->key = str_trim(rest);
    if (ret->key.n == 0 || !str_is_utf8(ret->key) || str_find(ret->key, 0) < ret->key.n ||
        str_take_code_points(ret->key, PERSON_MAX_KEY).n < ret->key.n)
        return false;
    return ret->field != PERSON_ADDRESS || ip_parse(ret->key, address);
}

/* ---- what a payload says of whom it is about */

enum { CLAIMS_MAX = 8 };
struct claims { /* texts by which a person could be known */
    struct person at[CLAIMS_MAX];
    size_t n;
};

static void claim_text(struct claims *c, enum person_field field, struct str s)
{
    s = str_trim(s);
    if (s.n > 0 && c->n < CLAIMS_MAX)
        c->at[c->n++] = (struct person){field, s};
}

static void claim(struct claims *c, enum person_field field, const struct json *v, struct arena *a)
{
    struct str s;
    if (json_type(v) > JSON_NULL && json_type(v) < JSON_ARRAY && json_text(v, a, &s))
        claim_text(c, field, s);
}

static void claim_user(struct claims *c, const struct json *user, struct arena *a)
{
    if (json_type(user) != JSON_OBJECT)
        return;
    claim(c, PERSON_ID, json_get(user, STR("id")), a);
    claim(c, PERSON_EMAIL, json_get(user, STR("email")), a);
    claim(c, PERSON_USERNAME, json_get(user, STR("username")), a);
    claim(c, PERSON_ADDRESS, json_get(user, STR("ip_address")), a);
}

static bool same_address(struct str a, struct str b)
{
    unsigned char address_a[16], address_b[16];
    return ip_parse(a, address_a) && ip_parse(b, address_b) && memcmp(address_a, address_b, sizeof address_a) == 0;
}

static bool is_of(const struct person *p, const struct person *claimed)
{
    if (p->field != PERSON_ANY && claimed->field != PERSON_ANY && p->field != claimed->field)
        return false;
    if (str_eq(p->key, claimed->key))
        return true;
    switch (claimed->field) {
    case PERSON_EMAIL:
        return str_eq_nocase(p->key, claimed->key);
    case PERSON_ADDRESS:
        return same_address(p->key, claimed->key);
    case PERSON_ANY: /* a session's did: an id, or what else the SDK had */
        return p->field == PERSON_ADDRESS ? same_address(p->key, claimed->key)
                                          : p->field == PERSON_EMAIL && str_eq_nocase(p->key, claimed->key);
    case PERSON_ID:
    case PERSON_USERNAME:
        break;
    }
    return false;
}

static int find(const struct person *persons, size_t n, const struct claims *c)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < c->n; k++)
            if (is_of(&persons[i], &c->at[k]))
                return (int)i;
    return -1;
}

/* ---- payloads */

int person_in_event(const struct person *persons, size_t n, struct str payload, struct str client_address)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_row row = {.client_address = client_address};
    struct event_view view;
    struct claims c = {.n = 0};
    struct arena a;
    if (json_parse(payload, &doc, NULL) < 0 || event_view_read(json_root(doc), &view) < 0)
        return person_in_text(persons, n, payload);
    arena_init(&a);
    struct block_writer b = {.arena = &a, .view = &view, .row = &row};
    claim_user(&c, view.at[EVENT_KEY_USER], &a);
    claim_text(&c, PERSON_ADDRESS, block_user_address(&b));
    int found = find(persons, n, &c);
    arena_done(&a);
    return found;
}

int person_in_session(const struct person *persons, size_t n, struct str payload)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct arena a;
    if (json_parse(payload, &doc, NULL) < 0)
        return person_in_text(persons, n, payload);
    const struct json *root = json_root(doc);
    arena_init(&a);
    struct claims c = {.n = 0};
    claim(&c, PERSON_ANY, json_get(root, STR("did")), &a);
    claim(&c, PERSON_ADDRESS, json_get(json_get(root, STR("attrs")), STR("ip_address")), &a);
    int found = find(persons, n, &c);
    for (struct json_iter it = json_iter(json_get(root, STR("aggregates"))); found < 0 && json_next(&it);) {
        c.n = 0;
        claim(&c, PERSON_ANY, json_get(it.value, STR("did")), &a);
        found = find(persons, n, &c);
    }
    arena_done(&a);
    return found;
}

int person_in_feedback(const struct person *persons, size_t n, struct str payload, struct str client_address)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct event_row row = {.client_address = client_address};
    struct event_view view;
    struct claims c = {.n = 0};
    struct arena a;
    if (json_parse(payload, &doc, NULL) < 0 || event_view_read(json_root(doc), &view) < 0)
        return person_in_text(persons, n, payload);
    const struct json *said = json_get(view.at[EVENT_KEY_CONTEXTS], STR("feedback"));
    arena_init(&a);
    struct block_writer b = {.arena = &a, .view = &view, .row = &row};
    claim(&c, PERSON_EMAIL, json_get(said, STR("contact_email")), &a);
    claim(&c, PERSON_EMAIL, json_get(json_root(doc), STR("email")), &a);
    claim_user(&c, view.at[EVENT_KEY_USER], &a);
    if (json_type(said) == JSON_OBJECT) /* of a user report no address is kept */
        claim_text(&c, PERSON_ADDRESS, block_user_address(&b));
    int found = find(persons, n, &c);
    arena_done(&a);
    return found;
}

int person_in_header(const struct person *persons, size_t n, struct str header)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct claims c = {.n = 0};
    struct arena a;
    if (json_parse(header, &doc, NULL) < 0)
        return -1;
    const struct json *trace = json_get(json_root(doc), STR("trace"));
    arena_init(&a);
    claim(&c, PERSON_ID, json_get(trace, STR("user_id")), &a);
    claim_user(&c, json_get(trace, STR("user")), &a);
    int found = find(persons, n, &c);
    arena_done(&a);
    return found;
}

/* ---- text */

static struct str trim_end(struct str s)
{
    while (s.n && (s.p[s.n - 1] == ' ' || s.p[s.n - 1] == '\t' || s.p[s.n - 1] == '\n' || s.p[s.n - 1] == '\r'))
        s.n--;
    return s;
}

/* Does `before` end with the name of a member that says who somebody is, and a colon? */
static bool is_behind_name(struct str before)
{
    static const struct str members[] = {STR("\"id\""),         STR("\"email\""), STR("\"username\""),
                                         STR("\"ip_address\""), STR("\"did\""),   STR("\"contact_email\"")};
    before = trim_end(before);
    if (!str_ends(before, STR(":")))
        return false;
    before = trim_end(str_take(before, before.n - 1));
    for (size_t i = 0; i < ARRAY_LEN(members); i++)
        if (str_ends(before, members[i]))
            return true;
    return false;
}

static bool is_value(struct str before, struct str behind)
{
    if (str_ends(before, STR("\"")))
        return (behind.n == 0 || behind.p[0] == '"') &&
               is_behind_name(str_take(before, before.n - 1)); /* a text that was cut may end with it */
    return (behind.n == 0 || ((behind.p[0] < '0' || behind.p[0] > '9') && behind.p[0] != '.')) && is_behind_name(before);
}

static bool stands_in(struct str text, struct str key)
{
    for (size_t at = 0; at + key.n <= text.n; at++) {
        const char *hit = memmem(text.p + at, text.n - at, key.p, key.n);
        if (!hit)
            return false;
        at = (size_t)(hit - text.p);
        if (is_value(str_take(text, at), str_drop(text, at + key.n)))
            return true;
    }
    return false;
}

int person_in_text(const struct person *persons, size_t n, struct str text)
{
    for (size_t i = 0; i < n; i++)
        if (stands_in(text, persons[i].key))
            return (int)i;
    return -1;
}
