/* rules.c: a batch asks for the rules of its projects before it reads what they sent, by one statement: so a change that is committed holds for every
 * event that is digested from then on, on every node, and nothing has to be kept up to date. The answer is short: most projects have none of their
 * own. */
#include "rules.h"

#include <stdlib.h>

#include "picket/json/json.h"

static const struct scrub_rules defaults = {.enabled = true};

void rules_clear(struct rules *r)
{
    r->n = 0;
}

void rules_done(struct rules *r)
{
    free(r->list);
    *r = (struct rules){0};
}

/* An array of names. */
static const struct str *read_names(const struct json *v, struct arena *arena, size_t *ret_n)
{
    size_t most = json_count(v), n = 0;
    if (json_type(v) != JSON_ARRAY || most == 0)
        return NULL;
    struct str *names = arena_array(arena, struct str, most);
    for (struct json_iter it = json_iter(v); json_next(&it);) {
        struct str name;
        if (json_str(it.value, arena, &name) && name.n > 0)
            names[n++] = arena_str(arena, name);
    }
    *ret_n = n;
    return names;
}

void rules_add(struct rules *r, uint64_t project_id, struct str settings, struct arena *arena)
{
    AUTO_JSON struct json_doc *doc = NULL;
    struct rules_entry entry = {.project_id = project_id, .rules = defaults};
    if (!settings.n || json_parse(settings, &doc, NULL) < 0)
        return;
    const struct json *root = json_root(doc);
    (void)json_bool(json_get(root, STR("enabled")), &entry.rules.enabled); /* not said: the default, here and below */
    (void)json_bool(json_get(root, STR("drop_ip")), &entry.rules.drops_ip);
    entry.rules.extra_names = read_names(json_get(root, STR("sensitive_fields")), arena, &entry.rules.n_extra_names);
    entry.rules.safe_names = read_names(json_get(root, STR("safe_fields")), arena, &entry.rules.n_safe_names);
    if (r->n == r->cap) {
        r->cap = r->cap ? 2 * r->cap : 8;
        r->list = realloc(r->list, r->cap * sizeof *r->list);
        if (!r->list)
            abort();
    }
    r->list[r->n++] = entry;
}

const struct scrub_rules *rules_of(const struct rules *r, uint64_t project_id)
{
    for (size_t i = 0; i < r->n; i++)
        if (r->list[i].project_id == project_id)
            return &r->list[i].rules;
    return &defaults;
}
