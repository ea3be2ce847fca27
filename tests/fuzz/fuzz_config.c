/* fuzz_config.c: the environment: lines NAME=value. Whatever it says, it is read into something that keeps its bounds, or refused with a message that
 * names a variable and shows no secret. */
#include "fuzz.h"

#include "config.h"
#include "picket/base/buf.h"

static char *value_of(const char *name);

static struct { /* for one input: getenv takes no argument of ours */
    struct str text;
    struct arena arena;
} environment;

static char *value_of(const char *name)
{
    if (str_ends(str_from(name), STR("_FILE"))) /* the machine's files are not part of the input */
        return NULL;
    for (struct str rest = environment.text; rest.p;) {
        struct str value = str_cut(&rest, '\n'), key = str_cut(&value, '=');
        if (str_eq(key, str_from(name)) && value.p)
            return arena_cstr(&environment.arena, str_take(value, str_find(value, '\0')));
    }
    return NULL;
}

static void check(const struct config *c)
{
    assert(c->port >= 1 && c->port <= 65535 && c->http_threads >= 1 && c->http_threads <= 64);
    assert(c->data_dir[0] == '/' && c->spool_dir[0] == '/');
    assert(str_starts(str_from(c->public_url), str_from(c->public_origin)) && str_ends(str_from(c->public_url), str_from(c->path_prefix)));
    assert(c->path_prefix[0] == '\0' || c->path_prefix[0] == '/');
    assert(!str_ends(str_from(c->path_prefix), STR("/")));
    for (const char *p = c->public_url; *p; p++)
        assert(*p > ' ' && *p < 0x7f && *p != '"');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct config c;
    char why[512] = "";
    environment.text = str_of((const char *)data, size);
    arena_init(&environment.arena);
    if (config_read(&c, value_of, why, sizeof why) == 0)
        check(&c);
    else
        assert(why[0]);
    config_done(&c);
    arena_done(&environment.arena);
    return 0;
}
