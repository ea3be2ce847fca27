/* xml.c: expat's events, kept for two levels. The texts are never longer than the document: without a document type there are no entities but
 * those of one character. The document is handed over in pieces that an int counts. */
#include "picket/protocol/xml.h"

#include <expat.h>

#include "picket/base/buf.h"

enum { PIECE = 1 << 20, SECTION = 2, NAME = 3 }; /* depth while inside */

struct reading {
    XML_Parser parser;
    struct arena *arena;
    struct xml_text *texts;
    size_t n;
    unsigned depth, n_started; /* n_started: elements that were worth a copy of their name */
    struct str section, name;
    struct buf text;
};

static struct str copy(struct reading *r, const char *cstr)
{
    return arena_str(r->arena, str_from(cstr));
}

static void on_start(void *user, const XML_Char *name, const XML_Char **attributes)
{
    struct reading *r = user;
    (void)attributes;
    r->depth++;
    if (r->depth <= NAME && ++r->n_started > 2 * XML_MAX_TEXTS)
        (void)XML_StopParser(r->parser, XML_FALSE); /* fails only when it has stopped already */
    if (r->depth == SECTION)
        r->section = copy(r, name);
    if (r->depth == NAME) {
        r->name = copy(r, name);
        buf_clear(&r->text);
    }
}

static void on_end(void *user, const XML_Char *name)
{
    struct reading *r = user;
    (void)name;
    if (r->depth == NAME && r->n < XML_MAX_TEXTS)
        r->texts[r->n++] = (struct xml_text){r->section, r->name, arena_str(r->arena, buf_str(&r->text))};
    r->depth--;
}

static void on_text(void *user, const XML_Char *s, int n)
{
    struct reading *r = user;
    if (r->depth == NAME && r->n < XML_MAX_TEXTS)
        buf_append(&r->text, s, (size_t)n);
}

static void on_doctype(void *user, const XML_Char *name, const XML_Char *sysid, const XML_Char *pubid, int has_internal_subset)
{
    struct reading *r = user;
    (void)name, (void)sysid, (void)pubid, (void)has_internal_subset;
    (void)XML_StopParser(r->parser, XML_FALSE); /* fails only when it has stopped already */
}

static bool parse(struct reading *r, struct str document)
{
    enum XML_Status status;
    do {
        struct str piece = str_take(document, PIECE);
        document = str_drop(document, piece.n);
        status = XML_Parse(r->parser, piece.p, (int)piece.n, document.n == 0);
    } while (status == XML_STATUS_OK && document.n);
    return status == XML_STATUS_OK;
}

bool xml_read(struct str document, struct arena *a, struct xml_text **ret, size_t *ret_n)
{
    struct reading r = {.arena = a};
    r.parser = XML_ParserCreate(NULL);
    if (!r.parser)
        abort();
    r.texts = arena_array(a, struct xml_text, XML_MAX_TEXTS);
    XML_SetUserData(r.parser, &r);
    XML_SetElementHandler(r.parser, on_start, on_end);
    XML_SetCharacterDataHandler(r.parser, on_text);
    XML_SetStartDoctypeDeclHandler(r.parser, on_doctype);
    bool is_whole = parse(&r, document);
    XML_ParserFree(r.parser);
    buf_done(&r.text);
    *ret = r.texts;
    *ret_n = r.n;
    return is_whole;
}
