/* event.h: what an event means: the columns that people list, filter and sort by, its title, its grouping, and the normalised copy
 * that dashboards read. Pure functions of their input; any thread; nothing recurses. */
#pragma once

#include "picket/json/json.h"
#include "picket/base/id.h"

/* Limits of the columns, in code points unless said otherwise (contract §3.3–3.5; over-long values are cut, never refused). */
enum {
    EVENT_MAX_TYPE = 128,
    EVENT_MAX_VALUE = 1024,
    EVENT_MAX_TRANSACTION = 200,
    EVENT_MAX_LEVEL = 20,
    EVENT_MAX_PLATFORM = 64,
    EVENT_MAX_RELEASE = 250,
    EVENT_MAX_ENVIRONMENT = 64,
    EVENT_MAX_SERVER_NAME = 255,
    EVENT_MAX_SDK = 255,
    EVENT_MAX_FRAME = 255,
    EVENT_MAX_TAGS = 64, /* that are counted of an event; this and the next: facets */
    EVENT_MAX_TAG_VALUE = 200,
    EVENT_HASH_BYTES = 32,
    EVENT_GROUPING_VERSION = 1,
};

/* What the receipt of the event says about it. */
struct event_origin {
    int64_t received_us;
    int64_t sent_at_us;         /* envelope header, 0 when absent: basis of drift correction (protocol §5.4) */
    struct str envelope_header; /* JSON text, "" when none: its sdk serves when the payload has none (protocol §2.2) */
};

/* What the payload is, by its own words (protocol §5.1, §7.3). */
enum event_class {
    EVENT_ERROR,       /* whatever is nothing of the following */
    EVENT_REPORT,      /* a security report: counted as one, otherwise an event like others */
    EVENT_FEEDBACK,    /* somebody's words, as SDKs sent them before they had an item of their own */
    EVENT_TRANSACTION, /* not stored as an event */
};

/* All strings are well-formed UTF-8 without NUL, in the arena; "" when unknown. */
struct event_fields {
    struct str type, value; /* contract §3.3, JS 11's typeless synthetic exceptions included (sdk-observed "Events") */
    struct str title;       /* type, or "type: first line of value" */
    struct str transaction; /* "" when absent */
    struct str level;       /* debug, info, warning, error, fatal or what was sent (protocol §5.3); "" when absent */
    struct str platform, release, environment, server_name, sdk_name, sdk_version;
    struct str frame_filename, frame_module, frame_function; /* last in-app frame, else last frame, of the main exception */
    int64_t timestamp_us;                                    /* corrected (decisions.md "timestamp of an event") */
    uint8_t grouping_hash[EVENT_HASH_BYTES];                 /* SHA-256 of the grouping key */
    enum event_class class;
    bool hides_address; /* the event, or its envelope, says that the address it came from is not for keeping (protocol §2.2, §5.7) */
};

/* Reads the columns of an event payload. -ERR_BAD_JSON, -ERR_NOT_AN_OBJECT. */
MUST_CHECK int event_read(struct str payload, const struct event_origin *origin, struct arena *arena, struct event_fields *ret);

/* What people filter by (src/event/facets.c). Strings as those of event_fields, but for where they are. */
struct event_tag {
    struct str key, value;
};
struct event_facets {
    /* Each key once, none empty: those of the event, and level, release, environment, transaction, server_name, browser.name, os.name. */
    struct event_tag tags[EVENT_MAX_TAGS];
    unsigned n_tags;
    bool has_user;
    uint64_t user_hash; /* of what names the user first of id, email, username, ip_address */
};
/* The same hash, for whoever looks for a user: `kind` is one of those four names, `value` is trimmed. */
uint64_t event_user_hash(struct str kind, struct str value);

/* event_read(), which tells what people filter by, before it returns 0; strings are valid during the call. `address`: where the event came from; NULL: nobody
 * is to know. */
typedef void event_facets_fn(void *arg, const struct event_fields *fields, const struct event_facets *facets);
MUST_CHECK int event_read_facets(struct str payload, const struct event_origin *origin, const uint8_t *address, struct arena *arena,
                                 event_facets_fn *take, void *arg, struct event_fields *ret);

/* Which SDK an envelope's header names (protocol §2.2), in the arena; "" where it names none, or is no JSON. */
void event_header_sdk(struct str header, struct arena *arena, struct str *ret_name, struct str *ret_version);

/* The payload's own event_id and class, for the door (ingest), which needs no more: parses once. *ret_id is nil when absent or not an id. */
MUST_CHECK int event_peek(struct str payload, struct id128 *ret_id, enum event_class *ret_class);

/* What is known of a stored event besides its payload. */
struct event_row {
    struct id128 event_id;            /* the id that it is known by; `data.event_id` shows it in 32 hex */
    uint64_t project_id;              /* 0: not said in the copy */
    int64_t received_us;              /* 0: unknown, and timestamp_us with it: the sender's time stands uncorrected */
    int64_t timestamp_us;             /* event_fields.timestamp_us */
    struct str client_address;        /* where it came from, for {{auto}}; "": unknown, or it was not to be kept */
    struct str sdk_name, sdk_version; /* event_fields': the envelope's, where the payload names no SDK (protocol §2.2); "" */
};

/* Writes the normalised copy (contract §7.6 "→ Ours", protocol §5.1–5.13; decisions.md "data"): one JSON object, appended to `out`;
 * nothing on failure. What had to be left out, cut or corrected stands in `_meta` and `errors`. -ERR_BAD_JSON, -ERR_NOT_AN_OBJECT. */
MUST_CHECK int event_normalise(struct str payload, const struct event_row *row, struct buf *out);

/* Writes a page of Markdown, appended to `out`, for a ticket or a language model: `title`, then what of the normalised copy helps to understand the
 * error, with bounds for each part of it. -ERR_BAD_JSON, -ERR_NOT_AN_OBJECT. */
MUST_CHECK int event_markdown(struct str title, struct str data, struct buf *out);

/* Grouping version 1, for tests and tools: title and key of an event (contract §3.3 "→ Ours", appendix A), both in the arena.
 * -ERR_BAD_JSON, -ERR_NOT_AN_OBJECT. */
MUST_CHECK int event_grouping_key(struct str payload, struct arena *arena, struct str *ret_title, struct str *ret_key);
