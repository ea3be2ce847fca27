/* native_apple.c: the head of an Apple crash report, which is lines of "Name:   value". It makes the exception and the system; threads and images are not
 * read: they are in the attachment. Addresses stay out of the exception's value, so that one crash is one issue. */
#include "native_text.h"

#include "picket/json/json.h"

enum { MAX_LINES = 200, MAX_LINE = 1024 };

struct head {
    struct str type, subtype, codes, system, model, process;
};

static void read_head(struct str report, struct head *ret)
{
    const struct {
        struct str name;
        struct str *value;
    } lines[] = {{STR("Exception Type"), &ret->type}, {STR("Exception Subtype"), &ret->subtype}, {STR("Exception Codes"), &ret->codes},
                 {STR("OS Version"), &ret->system},   {STR("Hardware Model"), &ret->model},      {STR("Process"), &ret->process}};
    for (unsigned n = 0; report.p && n < MAX_LINES; n++) {
        struct str value = str_cut(&report, '\n'), name = str_cut(&value, ':');
        for (size_t i = 0; value.p && i < ARRAY_LEN(lines); i++)
            if (lines[i].value->n == 0 && str_eq(name, lines[i].name))
                *lines[i].value = str_take_code_points(str_is_utf8(value) ? str_trim(value) : STR(""), MAX_LINE);
    }
}

/* "KERN_INVALID_ADDRESS at 0x0000000000000000": without the address. */
static struct str without_address(struct str s)
{
    const char *at = s.n ? memmem(s.p, s.n, " at 0x", 6) : NULL;
    return at ? str_take(s, (size_t)(at - s.p)) : s;
}

static void put_exception(struct json_writer *w, const struct head *h)
{
    struct str value = h->subtype.n ? without_address(h->subtype) : h->codes;
    json_key(w, STR("exception"));
    json_begin_object(w);
    json_key(w, STR("values"));
    json_begin_array(w);
    json_begin_object(w);
    json_field_str(w, STR("type"), h->type);
    json_field_known(w, STR("value"), value);
    json_key(w, STR("mechanism"));
    json_begin_object(w);
    json_field_str(w, STR("type"), STR("applecrashreport"));
    json_field_bool(w, STR("handled"), false);
    json_field_bool(w, STR("synthetic"), true);
    json_end_object(w);
    json_end_object(w);
    json_end_array(w);
    json_end_object(w);
}

static void put_context(struct json_writer *w, struct str name, struct str key, struct str value)
{
    if (value.n == 0)
        return;
    json_key(w, name);
    json_begin_object(w);
    json_field_str(w, key, value);
    json_end_object(w);
}

void native_apple(struct str report, struct buf *out)
{
    struct head h = {{0}};
    struct json_writer w;
    read_head(report, &h);
    if (report.n == 0)
        return;
    json_writer_init(&w, out);
    json_begin_object(&w);
    json_field_str(&w, STR("platform"), STR("native"));
    json_field_str(&w, STR("level"), STR("fatal"));
    json_field_known(&w, STR("transaction"), str_trim(str_take(h.process, str_find(h.process, '['))));
    if (h.type.n)
        put_exception(&w, &h);
    json_key(&w, STR("contexts"));
    json_begin_object(&w);
    put_context(&w, STR("os"), STR("raw_description"), h.system);
    put_context(&w, STR("device"), STR("model"), h.model);
    json_end_object(&w);
    json_end_object(&w);
}
