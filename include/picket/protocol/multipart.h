/* multipart.h: forms as browsers, curl, Breakpad, Crashpad and Electron post them (RFC 7578, RFC 2046 §5.1, protocol §1.6 "Multipart rules"). A pull
 * parser over a body in memory that copies no content: slices borrow the body, but for names that had to be decoded, which lie in the
 * arena. Pure; any thread; time is linear in the body.
 *
 * Everything that two readers could take differently is refused: bare CR or LF in headers, folded headers, a second Content-Disposition, a
 * parameter twice, a quote that does not end, a form that ends without its closing delimiter. */
#pragma once

#include "picket/base/arena.h"

enum {
    MULTIPART_MAX_PARTS = 1000,
    MULTIPART_MAX_HEADER = 16 << 10, /* bytes of all headers of one part */
    MULTIPART_MAX_BOUNDARY = 200,    /* RFC 2046 says 70; some senders have longer ones */
    MULTIPART_MAX_NAME = 1024,       /* bytes of a name that had to be decoded: the rest is not kept */
};

struct multipart_part {
    struct str name;         /* of the field; "" when the part has none. Foreign bytes: may hold line breaks, need not be UTF-8 */
    struct str file_name;    /* likewise; a path if the sender put one there */
    bool is_file;            /* it has a filename, perhaps an empty one */
    struct str content_type; /* header as it stands; "" when absent */
    struct str content;
    size_t at; /* offset of the content in the body */
};

struct multipart {
    struct str body;      /* all of it */
    struct str rest;      /* what is not read yet, beginning with a part's headers */
    struct str delimiter; /* CRLF "--" boundary, in the arena */
    struct arena *arena;
    unsigned n_parts;
    bool is_over;
    size_t at; /* offset of the failure */
};

/* Is it a form by its Content-Type? Says nothing of its boundary. */
bool multipart_is_form(struct str content_type);

/* Takes the boundary from Content-Type and skips what may stand before the first part. -ERR_BAD_BOUNDARY; -ERR_BAD_MULTIPART when the body
 * has no such delimiter. */
MUST_CHECK int multipart_open(struct str content_type, struct str body, struct arena *arena, struct multipart *ret);

/* A form within a field, as old Electron sends it (protocol §1.6): opens it when `content` begins as one does: "--", a boundary, CRLF. False: it
 * is something else. */
MUST_CHECK bool multipart_open_nested(struct str content, struct arena *arena, struct multipart *ret);

/* 1: *ret filled; 0: the form is over; <0: -ERR_BAD_MULTIPART, -ERR_TOO_MANY_PARTS, offset in m->at. Names: a quoted or plain parameter, in
 * quotes \" and \\ and the browsers' %22, %0D, %0A are undone; filename* and name* (RFC 5987, UTF-8 or ISO-8859-1) come before the plain ones.
 * Content-Transfer-Encoding is not looked at (RFC 7578 §4.7: nobody may send one). */
MUST_CHECK int multipart_next(struct multipart *m, struct multipart_part *ret);
