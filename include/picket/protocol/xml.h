/* xml.h: reading the small XML documents of crash reporters; nothing else in Picket sees the XML library. Pure; any thread. */
#pragma once

#include "picket/base/arena.h"

enum { XML_MAX_TEXTS = 2000 };

struct xml_text { /* <root><section><name>text</name>… ; UTF-8 */
    struct str section, name, text;
};

/* The texts of the elements two levels below the root, in their order, at most XML_MAX_TEXTS; what lies deeper is left out. False: not
 * well-formed, or with a document type (entities are how small files become large); what was read before is in *ret all the same. All in `a`. */
bool xml_read(struct str document, struct arena *a, struct xml_text **ret, size_t *ret_n);
