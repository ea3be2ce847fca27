/* native_unreal.c: Unreal's crash context: <FGenericCrashContext> with RuntimeProperties, EngineData, GameData, each a bag of elements. What the event
 * format has a place for goes there (a table); all runtime properties become contexts.unreal, the game's own data contexts.game, but for
 * `__sentry`, which is an event that the game's SDK wrote. */
#include "native_text.h"

#include "picket/json/json.h"
#include "picket/protocol/xml.h"

struct context {
    const struct xml_text *texts;
    size_t n;
};

static struct str get(const struct context *c, struct str section, struct str name)
{
    for (size_t i = 0; i < c->n; i++)
        if (str_eq(c->texts[i].section, section) && str_eq(c->texts[i].name, name))
            return c->texts[i].text;
    return STR("");
}

static struct str runtime(const struct context *c, struct str name)
{
    return get(c, STR("RuntimeProperties"), name);
}

static void put_bag(struct json_writer *w, const struct context *c, struct str key, struct str section)
{
    json_key(w, key);
    json_begin_object(w);
    for (size_t i = 0; i < c->n; i++) {
        const struct xml_text *t = &c->texts[i];
        bool is_left_out = str_eq(t->name, STR("__sentry")) || str_eq(t->name, STR("Modules")); /* the dump's images say it better */
        if (str_eq(t->section, section) && t->text.n && !is_left_out)
            json_field_str(w, t->name, t->text);
    }
    json_end_object(w);
}

static void put_gpu(struct json_writer *w, const struct context *c)
{
    static const struct {
        struct str key, name;
    } fields[] = {{{"id", 2}, {"RHI.DeviceId", 12}},
                  {{"vendor_name", 11}, {"RHI.GPUVendor", 13}},
                  {{"version", 7}, {"RHI.UserDriverVersion", 21}},
                  {{"api_type", 8}, {"RHI.RHIName", 11}},
                  {{"graphics_shader_level", 21}, {"RHI.FeatureLevel", 16}}};
    struct str name = get(c, STR("EngineData"), STR("RHI.AdapterName"));
    if (name.n == 0)
        name = runtime(c, STR("Misc.PrimaryGPUBrand"));
    if (name.n == 0)
        return;
    json_key(w, STR("gpu"));
    json_begin_object(w);
    json_field_str(w, STR("name"), name);
    for (size_t i = 0; i < ARRAY_LEN(fields); i++)
        json_field_known(w, fields[i].key, get(c, STR("EngineData"), fields[i].name));
    json_end_object(w);
}

static void put_contexts(struct json_writer *w, const struct context *c)
{
    uint64_t memory;
    json_key(w, STR("contexts"));
    json_begin_object(w);
    put_gpu(w, c);
    if (str_to_u64(runtime(c, STR("MemoryStats.TotalPhysical")), &memory) && memory <= INT64_MAX) {
        json_key(w, STR("device"));
        json_begin_object(w);
        json_field_i64(w, STR("memory_size"), (int64_t)memory);
        json_end_object(w);
    }
    struct str os = runtime(c, STR("Misc.OSVersionMajor"));
    if (os.n) {
        json_key(w, STR("os"));
        json_begin_object(w);
        json_field_str(w, STR("raw_description"), os);
        json_end_object(w);
    }
    put_bag(w, c, STR("unreal"), STR("RuntimeProperties"));
    put_bag(w, c, STR("game"), STR("GameData"));
    json_end_object(w);
}

/* "login|account|machine" of the query says more than the context. */
static void put_user(struct json_writer *w, const struct context *c, struct str user)
{
    struct str login = str_cut(&user, '|'), account = str_cut(&user, '|'), machine = str_cut(&user, '|');
    struct str name = runtime(c, STR("UserName"));
    if (login.n == 0)
        login = runtime(c, STR("LoginId"));
    if (login.n + name.n) {
        json_key(w, STR("user"));
        json_begin_object(w);
        json_field_known(w, STR("id"), login);
        json_field_known(w, STR("username"), name);
        json_end_object(w);
    }
    if (account.n + machine.n) {
        json_key(w, STR("tags"));
        json_begin_object(w);
        json_field_known(w, STR("epic_account_id"), account);
        json_field_known(w, STR("machine_id"), machine);
        json_end_object(w);
    }
}

static void put_level(struct json_writer *w, const struct context *c)
{
    if (str_eq(runtime(c, STR("IsAssert")), STR("true")))
        json_field_str(w, STR("level"), STR("error"));
    else if (str_eq(runtime(c, STR("IsEnsure")), STR("true")))
        json_field_str(w, STR("level"), STR("warning"));
}

static void put_message(struct json_writer *w, struct str message)
{
    if (message.n == 0)
        return;
    json_key(w, STR("logentry"));
    json_begin_object(w);
    json_field_str(w, STR("formatted"), message);
    json_end_object(w);
}

static void put_sdk(struct json_writer *w, const struct context *c)
{
    struct str version = runtime(c, STR("CrashReportClientVersion"));
    json_key(w, STR("sdk"));
    json_begin_object(w);
    json_field_str(w, STR("name"), STR("unreal.crashreporter"));
    json_field_str(w, STR("version"), version.n ? version : STR("0.0.0"));
    json_end_object(w);
}

void native_unreal(struct str context, struct str user, struct buf *ret_game, struct buf *ret_context)
{
    struct context c = {0};
    struct xml_text *texts = NULL;
    struct json_writer w;
    struct arena a;
    if (context.n + user.n == 0)
        return;
    arena_init(&a);
    if (context.n)
        (void)xml_read(context, &a, &texts, &c.n); /* what comes before damage is of use */
    c.texts = texts;
    json_writer_init(&w, ret_context);
    json_begin_object(&w);
    json_field_str(&w, STR("platform"), STR("native"));
    put_message(&w, runtime(&c, STR("ErrorMessage")));
    put_user(&w, &c, user);
    put_level(&w, &c);
    put_sdk(&w, &c);
    if (c.n)
        put_contexts(&w, &c);
    json_end_object(&w);
    buf_append_str(ret_game, get(&c, STR("GameData"), STR("__sentry")));
    arena_done(&a);
}
