/* fuzz_dictionary.c: what projects send is what their dictionaries are made of. The bytes are events, one per line, and outlines of those that are JSON. Whatever they are, an outline is
 * JSON, and what is packed with the dictionary, if one could be made, comes back with it, and with it alone. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/outline.h"
#include "picket/json/json.h"
#include "picket/protocol/payload.h"

enum { SAMPLES_MAX = 128 };

struct samples {
    struct buf text;
    size_t sizes[SAMPLES_MAX];
    unsigned n;
};

static void add(struct samples *s, struct str text)
{
    buf_append_str(&s->text, text);
    s->sizes[s->n++] = text.n;
}

static void check_outline(struct str event, struct samples *outlines)
{
    AUTO_BUF struct buf out = {0};
    AUTO_JSON struct json_doc *doc = NULL;
    if (event_outline(event, &out) < 0)
        return;
    assert(json_parse(buf_str(&out), &doc, NULL) == 0);
    add(outlines, buf_str(&out));
}

static void check_pack(const struct payload_dictionary *d, struct str content, struct str event)
{
    AUTO_BUF struct buf packed = {0}, back = {0};
    struct payload_packer *p = payload_packer_new();
    payload_pack(p, d, event, &packed);
    int r = payload_unpack(buf_str(&packed), content, event.n, &back);
    assert(r == 0 && str_eq(buf_str(&back), event));
    bool is_own = payload_dictionary_number(buf_str(&packed)) == PAYLOAD_DICTIONARY_FIRST;
    assert(is_own == (d && event.n <= PAYLOAD_DICTIONARY_PAYLOAD_MAX));
    buf_clear(&back);
    assert(!is_own || payload_unpack(buf_str(&packed), STR(""), event.n, &back) == -ERR_CORRUPT_BODY);
    payload_packer_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct samples events = {.n = 0}, outlines = {.n = 0};
    AUTO_BUF struct buf content = {0};
    struct payload_dictionary *d = NULL;
    for (struct str rest = str_of((const char *)data, size); rest.p && events.n < SAMPLES_MAX;) {
        struct str line = str_cut(&rest, '\n');
        add(&events, line);
        check_outline(line, &outlines);
    }
    const struct payload_samples chosen = {buf_str(&outlines.text), outlines.sizes, outlines.n},
                                 counted = {buf_str(&events.text), events.sizes, events.n};
    if (payload_train(&chosen, &counted, PAYLOAD_DICTIONARY_FIRST, &content)) {
        d = payload_dictionary_new(buf_str(&content));
        assert(d && content.n <= PAYLOAD_DICTIONARY_BYTES);
    }
    for (struct str rest = str_of((const char *)data, size); rest.p;)
        check_pack(d, buf_str(&content), str_cut(&rest, '\n'));
    payload_dictionary_free(d);
    buf_done(&events.text);
    buf_done(&outlines.text);
    return 0;
}
