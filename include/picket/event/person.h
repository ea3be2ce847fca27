/* person.h: whether what was stored holds a certain person's data: for erasures (src/digest/erasure.c). Pure; any thread; nothing recurses. */
#pragma once

#include "picket/base/id.h"
#include "picket/base/str.h"

/* Which member of an event's user (protocol §5.7) says who it is. */
enum person_field { PERSON_ANY, PERSON_ID, PERSON_EMAIL, PERSON_USERNAME, PERSON_ADDRESS };
enum { PERSON_MAX_KEY = 256 }; /* code points */

struct person { /* borrowed */
    enum person_field field;
    struct str key;
};

/* "id:42", "email:jane@example.com", "username:jane", "ip:192.0.2.1"; without such a beginning: any of the four. False: empty, longer than
 * PERSON_MAX_KEY, not UTF-8, or an "ip:" that is no address. *ret borrows `text`. */
MUST_CHECK bool person_read(struct str text, struct person *ret);
/* The name of a field as person_read knows it; "any". */
struct str person_field_name(enum person_field field);
MUST_CHECK bool person_field_read(struct str name, enum person_field *ret);

/* The first of `n` persons whose data the payload holds, or -1. Members are compared as texts (a number by its JSON text), without spaces
 * around; email addresses without regard to case; IP addresses by their value.
 *   event     its user, and the address that is shown as the user's; `client_address` is where it came from, "" when not known
 *   session   `did` and attrs.ip_address of updates and of aggregates
 *   feedback  the email address that was left, of feedback and of user reports; and of feedback what is asked of events
 *   header    an envelope's: trace.user_id and trace.user of older SDKs
 *   text      what cannot be parsed, which these search also by themselves: the key is the whole value of a member that says who somebody is */
int person_in_event(const struct person *persons, size_t n, struct str payload, struct str client_address);
int person_in_session(const struct person *persons, size_t n, struct str payload);
int person_in_feedback(const struct person *persons, size_t n, struct str payload, struct str client_address);
int person_in_header(const struct person *persons, size_t n, struct str header);
int person_in_text(const struct person *persons, size_t n, struct str text);
