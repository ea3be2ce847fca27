/* walk.c: all values of a document in one pass, and the places in the text that they came from.
 *
 * A document's values lie in one array in document order (value.c), so the walk is an increment; what is remembered is how many values each
 * open container still expects, one number per level. The locator goes through the text in the same order, token by token: the n-th
 * value of the array is the n-th token that is neither punctuation nor a closing bracket. */
#include "scan.h"
#include "yy.h"

void json_walk_start(struct json_walk *w, const struct json *root)
{
    w->next_ = root;
    w->levels_ = w->fixed_;
    w->n_levels_ = 0;
    w->cap_ = JSON_WALK_FIXED;
}

void json_walk_done(struct json_walk *w)
{
    if (w->levels_ != w->fixed_)
        free(w->levels_);
}

static void grow(struct json_walk *w)
{
    bool on_heap = w->levels_ != w->fixed_;
    uint64_t *bigger = realloc(on_heap ? w->levels_ : NULL, w->cap_ * 2 * sizeof *bigger);
    if (!bigger)
        abort();
    if (!on_heap)
        memcpy(bigger, w->fixed_, sizeof w->fixed_);
    w->levels_ = bigger;
    w->cap_ *= 2;
}

/* A level: values (of an object: members) that it still expects, and whether it is an object. */
enum { IN_OBJECT = 1, ONE_VALUE = 2 };

static inline struct str bytes(const yyjson_val *string)
{
    return str_of(unsafe_yyjson_get_str((void *)string), unsafe_yyjson_get_len((void *)string));
}

static void close_full(struct json_walk *w, const yyjson_val *next)
{
    while (w->n_levels_ > 0 && w->levels_[w->n_levels_ - 1] < ONE_VALUE)
        w->n_levels_--;
    w->next_ = w->n_levels_ > 0 ? yy_json(next) : NULL;
}

bool json_walk_next(struct json_walk *w)
{
    yyjson_val *at = yy_val(w->next_);
    uint64_t *level = w->levels_ + w->n_levels_ - 1;
    if (!at)
        return false;
    w->depth = w->n_levels_;
    w->key = NULL;
    if (w->n_levels_ > 0) {
        *level -= ONE_VALUE;
        if (*level & IN_OBJECT) {
            w->name = bytes(at);
            w->key = yy_json(at++);
        }
    }
    w->value = yy_json(at);
    if (yyjson_is_str(at)) {
        w->type = JSON_STRING;
        w->text = bytes(at);
    } else {
        w->type = json_type(w->value);
        if (yyjson_is_ctn(at) && unsafe_yyjson_get_len(at) > 0) {
            if (w->n_levels_ == w->cap_)
                grow(w);
            w->levels_[w->n_levels_++] = unsafe_yyjson_get_len(at) * ONE_VALUE | (yyjson_is_obj(at) ? IN_OBJECT : 0);
            w->next_ = yy_json(at + 1);
            return true;
        }
    }
    w->next_ = yy_json(at + 1); /* a scalar or an empty container takes one slot */
    if (w->n_levels_ == 0 || *level < ONE_VALUE)
        close_full(w, at + 1);
    return true;
}

void json_walk_skip(struct json_walk *w)
{
    if (w->n_levels_ == w->depth || json_count(w->value) == 0)
        return; /* no container, or an empty one: already behind it */
    w->n_levels_ = w->depth;
    close_full(w, unsafe_yyjson_get_next(yy_val(w->value)));
}

struct json_locator json_locator(const struct json_doc *doc, struct str text)
{
    return (struct json_locator){.text_ = scan_without_bom(text), .next_ = json_root(doc)};
}

static size_t token_start(struct str s, size_t i)
{
    while (i < s.n && memchr(" \t\r\n,:]}", s.p[i], 8))
        i++;
    return i;
}

struct str json_locate(struct json_locator *l, const struct json *v)
{
    struct str s = l->text_;
    size_t end = s.n;
    assert(yy_val(v) >= yy_val(l->next_));
    l->at_ = token_start(s, l->at_);
    while (l->next_ != v) {
        char c = s.p[l->at_];
        size_t behind = c == '"' ? scan_string(s, l->at_) : c == '{' || c == '[' ? l->at_ + 1 : scan_scalar(s, l->at_);
        l->at_ = token_start(s, behind);
        l->next_ = yy_json(yy_val(l->next_) + 1);
        assert(l->at_ < s.n);
    }
    bool whole = scan_value(s, l->at_, &end);
    assert(whole);
    return str_of(s.p + l->at_, end - l->at_);
}
