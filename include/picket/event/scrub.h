/* scrub.h: what must not be stored is taken out of an event before anything else reads it (protocol §5.15). Pure functions; any thread;
 * nothing recurses; time is linear in the text, and an event from which nothing has to go is only read.
 *
 * By name: the value of a member, header, cookie, tag, form field, query parameter or frame variable whose name means a secret becomes
 * "[Filtered]", whatever its type; also in texts that hold such pairs (JSON in a string, forms, also multipart, URLs, XML, representations
 * of objects).
 * Where a message tells a secret by what stands around it (a name, "Bearer", a URL), all of its parameters go.
 * By pattern: card numbers (issuer, length, check digit), bodies of private keys, user:password in URLs, bearer and basic credentials,
 * US social security numbers, IBANs (country, length, check digits). Messages get [creditcard], [iban], [usssn], [email] instead, so that
 * they stay readable. Of lines of source only literals go. Nothing is looked for in what an SDK says about program and machine: ids,
 * release, stack frames' names, debug_meta, sdk, modules; only patterns in short labels (scrub_places.c has the list). Every change leaves a remark in `_meta` (§5.12), up to a number.
 *
 * A text that only mentions a secret's name stays as it is: what follows the name goes ("password=hunter2"), not the whole text.
 *
 * A project that says nothing has SCRUB_DEFAULTS. */
#pragma once

#include "picket/base/buf.h"

struct scrub_rules {
    bool enabled;  /* false: nothing goes but what drops_ip says */
    bool drops_ip; /* IP addresses, also when nothing else goes: fields that hold one become null, in texts it becomes [ip] */
    /* More words that make a name sensitive, in any case: wherever they stand in a name that somebody chose, and as a whole where the name is the
     * protocol's own (server_name, id); but for what scrub_must_stay() says and what debug_meta, modules and the like hold. */
    const struct str *extra_names;
    size_t n_extra_names;
    const struct str *safe_names; /* whole names, in any case, whose values are left alone with all that they hold */
    size_t n_safe_names;
};
#define SCRUB_DEFAULTS ((struct scrub_rules){.enabled = true})

/* Appends the payload without what has to go to `out` and returns 1. 0: nothing had to go, `out` is untouched. -ERR_BAD_JSON. What is
 * not replaced stays byte by byte. Scrubbing what comes out again gives 0, but for contrived texts in which one find is part of another. */
MUST_CHECK int scrub_event(struct str payload, const struct scrub_rules *rules, struct buf *out);

/* Names that cannot be extra names, in any case: an event without event_id, timestamp, platform, level or type is another one; _meta is ours. */
bool scrub_must_stay(struct str name);
/* The address that something came from is not for keeping: drops_ip, or "ip_address" is an extra name. */
bool scrub_drops_address(const struct scrub_rules *rules);

/* The same for a text that a person wrote: a message, feedback, a file's name. True when `out` was appended to. */
bool scrub_text(struct str text, const struct scrub_rules *rules, struct buf *out);
/* The same for a text that is the member `name` of what somebody sent. Where the name means a secret all of it goes. */
bool scrub_member(struct str name, struct str text, const struct scrub_rules *rules, struct buf *out);
