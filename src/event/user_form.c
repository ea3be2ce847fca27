/* user_form.c: the crash-report dialog's form (protocol §7.4). All three fields are wanted; what is wrong with each is told by its name, for the
 * dialog to show. */
#include "picket/event/user_form.h"

#include "picket/base/arena.h"
#include "picket/base/error.h"
#include "picket/json/json.h"

enum field { FIELD_NAME, FIELD_EMAIL, FIELD_COMMENTS, FIELDS };

static const struct {
    struct str name;
    size_t max; /* code points; 0: cut where it is stored */
} fields[FIELDS] = {[FIELD_NAME] = {STR("name"), USER_FORM_MAX_NAME},
                    [FIELD_EMAIL] = {STR("email"), USER_FORM_MAX_EMAIL},
                    [FIELD_COMMENTS] = {STR("comments"), 0}};

/* The first of several counts. */
static void read_fields(struct str form, struct arena *a, struct str ret[FIELDS])
{
    for (size_t i = 0; i < FIELDS; i++)
        ret[i] = STR("");
    for (struct str rest = form; rest.p && rest.n;) {
        struct str value = str_cut(&rest, '&'), name = str_cut(&value, '=');
        for (size_t i = 0; i < FIELDS; i++) {
            if (ret[i].n || !str_eq(name, fields[i].name))
                continue;
            char *dst = arena_alloc(a, value.n + 1);
            ret[i] = str_trim(str_of(dst, str_percent_decode(value, dst)));
        }
    }
}

/* Enough to tell an address from something else; whether mail arrives there nobody knows. */
static bool is_address(struct str s)
{
    size_t at = str_find(s, '@');
    struct str domain = str_drop(s, at + 1);
    return at > 0 && domain.n > 0 && str_find(domain, '@') == domain.n && str_find(s, ' ') == s.n && str_find(s, '\n') == s.n;
}

static const char *fault_of(enum field field, struct str value)
{
    if (value.n == 0)
        return "This field is required.";
    if (fields[field].max && str_is_utf8(value) && str_take_code_points(value, fields[field].max).n < value.n)
        return "This is too long.";
    if (!str_is_utf8(value))
        return "This is no text.";
    return field == FIELD_EMAIL && !is_address(value) ? "Enter a valid email address." : NULL;
}

static bool put_errors(const struct str values[FIELDS], struct buf *out)
{
    struct json_writer w;
    size_t n_before = out->n;
    bool any = false;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_key(&w, STR("errors"));
    json_begin_object(&w);
    for (unsigned i = 0; i < FIELDS; i++) {
        const char *fault = fault_of((enum field)i, values[i]);
        if (!fault)
            continue;
        any = true;
        json_key(&w, fields[i].name);
        json_begin_array(&w);
        json_put_str(&w, str_from(fault));
        json_end_array(&w);
    }
    json_end_object(&w);
    json_end_object(&w);
    if (!any)
        out->n = n_before;
    return any;
}

int user_form_read(struct str form, const struct id128 *event_id, struct buf *ret_report, struct buf *ret_errors)
{
    struct str values[FIELDS];
    struct json_writer w;
    struct arena a;
    char hex[ID_HEX + 1];
    int r = -ERR_INVALID;
    arena_init(&a);
    read_fields(form, &a, values);
    if (!put_errors(values, ret_errors)) {
        r = 0;
        id_hex(event_id, hex);
        json_writer_init(&w, ret_report);
        json_begin_object(&w);
        json_field_str(&w, STR("event_id"), str_of(hex, ID_HEX));
        for (size_t i = 0; i < FIELDS; i++)
            json_field_str(&w, fields[i].name, values[i]);
        json_end_object(&w);
    }
    arena_done(&a);
    return r;
}
