/* value.c: looking into a document. Every accessor takes NULL and values of other types, so that a chain of json_get needs no checks in
 * between. A document's values lie in one array in document order, a container directly before its children, with the distance to
 * what follows in the container itself: walking needs neither recursion nor a stack. */
#include "yy.h"

enum json_type json_type(const struct json *v)
{
    double ignored;
    switch (yyjson_get_type(yy_val(v))) {
    case YYJSON_TYPE_NULL:
        return JSON_NULL;
    case YYJSON_TYPE_BOOL:
        return JSON_BOOL;
    case YYJSON_TYPE_NUM:
        return JSON_NUMBER;
    case YYJSON_TYPE_RAW:
        return yy_raw_number(yy_val(v), &ignored) ? JSON_NUMBER : JSON_NULL;
    case YYJSON_TYPE_STR:
        return JSON_STRING;
    case YYJSON_TYPE_ARR:
        return JSON_ARRAY;
    case YYJSON_TYPE_OBJ:
        return JSON_OBJECT;
    default: /* the library's numbers, not an enum of ours */
        return JSON_NONE;
    }
}

const struct json *json_get(const struct json *object, struct str key)
{
    const struct json *found = NULL;
    if (!yyjson_is_obj(yy_val(object)))
        return NULL;
    for (struct json_iter it = json_iter(object); json_next(&it);) {
        struct str name = str_of(unsafe_yyjson_get_str(yy_val(it.key)), unsafe_yyjson_get_len(yy_val(it.key)));
        if (str_eq(name, key))
            found = it.value;
    }
    return found;
}

const struct json *json_at(const struct json *array, size_t index)
{
    return yy_json(yyjson_arr_get(yy_val(array), index));
}

size_t json_count(const struct json *v)
{
    return yyjson_is_ctn(yy_val(v)) ? unsafe_yyjson_get_len(yy_val(v)) : 0;
}

bool json_bool(const struct json *v, bool *ret)
{
    if (!yyjson_is_bool(yy_val(v)))
        return false;
    *ret = unsafe_yyjson_get_bool(yy_val(v));
    return true;
}

bool json_i64(const struct json *v, int64_t *ret)
{
    yyjson_val *y = yy_val(v);
    if (yyjson_is_sint(y) || (yyjson_is_uint(y) && unsafe_yyjson_get_uint(y) <= INT64_MAX)) {
        *ret = unsafe_yyjson_get_sint(y);
        return true;
    }
    if (!yyjson_is_real(y))
        return false;
    double d = unsafe_yyjson_get_real(y);
    if (!(d >= -0x1p63 && d < 0x1p63) || (double)(int64_t)d != d)
        return false;
    *ret = (int64_t)d;
    return true;
}

bool json_f64(const struct json *v, double *ret)
{
    if (yyjson_is_raw(yy_val(v)))
        return yy_raw_number(yy_val(v), ret);
    if (!yyjson_is_num(yy_val(v)))
        return false;
    *ret = yyjson_get_num(yy_val(v));
    return true;
}

bool json_str_raw(const struct json *v, struct str *ret)
{
    if (!yyjson_is_str(yy_val(v)))
        return false;
    *ret = str_of(unsafe_yyjson_get_str(yy_val(v)), unsafe_yyjson_get_len(yy_val(v)));
    return true;
}

/* Length of the character at `p` that may stay, 0 when its first byte has to go. */
static size_t good_char(const char *p, size_t n)
{
    return *p ? str_utf8_char(str_of(p, n)) : 0;
}

static struct str repaired(struct str s, struct arena *a)
{
    static const char replacement[3] = "\xEF\xBF\xBD";
    size_t bad = 0;
    for (size_t i = 0, len; i < s.n; i += len ? len : 1) {
        len = good_char(s.p + i, s.n - i);
        bad += len == 0;
    }
    char *dst = arena_alloc(a, s.n + bad * (sizeof replacement - 1));
    size_t n = 0;
    for (size_t i = 0, len; i < s.n; i += len ? len : 1) {
        len = good_char(s.p + i, s.n - i);
        memcpy(dst + n, len ? s.p + i : replacement, len ? len : sizeof replacement);
        n += len ? len : sizeof replacement;
    }
    return str_of(dst, n);
}

bool json_str(const struct json *v, struct arena *a, struct str *ret)
{
    struct str raw;
    if (!json_str_raw(v, &raw))
        return false;
    bool good = str_find(raw, '\0') == raw.n && str_is_utf8(raw);
    *ret = good ? raw : repaired(raw, a);
    return true;
}

bool json_text(const struct json *v, struct arena *a, struct str *ret)
{
    enum json_type type = json_type(v);
    if (type == JSON_STRING)
        return json_str(v, a, ret);
    if (type == JSON_NONE || type == JSON_NULL)
        return false;
    AUTO_BUF struct buf text = {0};
    struct json_writer w;
    json_writer_init(&w, &text);
    json_put_value(&w, v);
    *ret = arena_str(a, buf_str(&text));
    return true;
}

struct json_iter json_iter(const struct json *v)
{
    size_t left = json_count(v);
    return (struct json_iter){.next_ = left ? yy_json(unsafe_yyjson_get_first(yy_val(v))) : NULL,
                              .left_ = left,
                              .object_ = yyjson_is_obj(yy_val(v))};
}

bool json_next(struct json_iter *it)
{
    if (it->left_ == 0)
        return false;
    it->left_--;
    yyjson_val *at = yy_val(it->next_);
    it->key = it->object_ ? yy_json(at) : NULL;
    at += it->object_;
    it->value = yy_json(at);
    it->next_ = yy_json(unsafe_yyjson_get_next(at)); /* behind the last element: computed, never read */
    return true;
}
