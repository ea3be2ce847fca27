/* scrub_parts.h: what the parts of scrubbing share. Private to scrub*.c. */
#pragma once

#include "picket/event/scrub.h"
#include "picket/json/json.h"

/* Why something went; names and placeholders: scrub_text.c. */
enum scrub_reason {
    SCRUB_NAME,
    SCRUB_CARD,
    SCRUB_KEY,
    SCRUB_URL,
    SCRUB_BEARER,
    SCRUB_SSN,
    SCRUB_IBAN,
    SCRUB_EMAIL,
    SCRUB_IP,
    SCRUB_REMOVED, /* an address that was all of its value */
};
#define SCRUB_FILTERED STR("[Filtered]")

/* What is looked for in a text. */
enum scrub_look {
    LOOK_PATTERNS = 1, /* what shows by itself: cards, private keys, credentials in URLs, bearer and basic, SSN, IBAN */
    LOOK_PAIRS = 2,    /* name=value, "name": value */
    LOOK_LOOSE = 4,    /* name: value without quotes; only with LOOK_PAIRS */
    LOOK_PROSE = 8,    /* written by people: e-mail addresses too, and each kind has a placeholder of its own */
    LOOK_IPS = 16,
    LOOK_COOKIES = 32,  /* names of pairs are names of cookies */
    LOOK_LITERALS = 64, /* source: of pairs only values in quotes; with LOOK_PAIRS */
    LOOK_LABEL = 128,   /* a short name: what stands behind "Bearer" may be a word */
};

/* ---- names (scrub_names.c) */

/* Where a name stands decides what counts. */
enum scrub_where {
    WHERE_KEY = 1,    /* a key of JSON, or in quotes, or before '=' */
    WHERE_COOKIE = 2, /* the name of a cookie */
    WHERE_LOOSE = 4,  /* before a colon in running text: only whole words that mean nothing else */
};
/* Names may stand in the quotes that Python's repr() gives them. */
bool scrub_is_sensitive(struct str name, enum scrub_where where, const struct scrub_rules *rules);
/* One of the project's own names, anywhere in the text; at its end. */
bool scrub_holds_own(struct str text, const struct scrub_rules *rules);
bool scrub_ends_own(struct str text, const struct scrub_rules *rules);
/* … as a whole. */
bool scrub_is_named(struct str name, const struct scrub_rules *rules);
bool scrub_is_safe(struct str name, const struct scrub_rules *rules);
/* "--name", whose value is the next word of a command's; also in the quotes of repr(). */
bool scrub_is_option(struct str word, const struct scrub_rules *rules);
/* What stands where a value is expected, and is another option. */
bool scrub_is_switch(struct str word);
/* The value of such a name goes up to the end of its line: "Cookie: a=1; b=2". */
bool scrub_takes_line(struct str name);

/* ---- patterns (scrub_patterns.c): the length of what starts at `i`, 0 when it does not. Each looks at a bounded number of bytes. */

size_t scrub_card(struct str s, size_t i); /* `i` is the first digit; what stands before it is looked at as well */
size_t scrub_ssn(struct str s, size_t i);
size_t scrub_iban(struct str s, size_t i); /* `i` is the first letter */
size_t scrub_ipv4(struct str s, size_t i);
size_t scrub_ipv6(struct str s, size_t i);
/* Base64 of user:password, of which no more is looked at: a user's name and a colon are in the beginning. */
enum { SCRUB_BASIC_ENOUGH = 96 };
bool scrub_is_basic(struct str credentials);

/* ---- texts (scrub_text.c) */

/* A place of the new text that was replaced, in code points. */
struct scrub_remark {
    enum scrub_reason reason;
    bool prose; /* found by LOOK_PROSE */
    size_t from, to;
};
struct str scrub_reason_id(const struct scrub_remark *remark); /* as in _meta */
enum { SCRUB_MAX_REMARKS = 16 };                               /* of one text; what goes beyond is scrubbed all the same */
struct scrub_remarks {
    struct scrub_remark at[SCRUB_MAX_REMARKS];
    size_t n;
    unsigned reasons; /* of all, also beyond the limit: a bit each */
};

/* Appends to `out` what remains of the text and returns true, or false when nothing had to go. `looks`: of enum scrub_look. */
bool scrub_look(struct str text, unsigned looks, const struct scrub_rules *rules, struct buf *out, struct scrub_remarks *remarks);

/* ---- notes in _meta (scrub_meta.c) */

enum { SCRUB_MAX_PATH = 32, SCRUB_MAX_NOTES = 100, SCRUB_MAX_NOTE_KEY = 200 };

/* One step of a way through a document: a member, or an element of an array where `key` is NULL. */
struct scrub_step {
    const struct json *key;
    size_t index;
};
struct scrub_note {
    const struct str *names; /* from the root to the value; an element of an array is named by its index */
    size_t n_names;
    const struct scrub_remark *remarks;
    size_t n_remarks;
};
/* In document order. */
struct scrub_notes {
    struct arena *arena; /* holds all that is remembered */
    struct scrub_note *at;
    size_t n;
};
/* Remembers that the value at the end of the path was changed; beyond the limits nothing is remembered. */
void scrub_notes_add(struct scrub_notes *notes, const struct scrub_step *path, size_t n_path, const struct scrub_remarks *remarks);
/* Writes a _meta object of the notes and of all that `theirs` (NULL, or any value) says. */
void scrub_notes_put(const struct scrub_notes *notes, const struct json *theirs, struct json_writer *w);
