/* view.h: the top level of an event payload, each known key looked up once. Private to the event layer. */
#pragma once

#include "picket/event/event.h"

/* The keys that something here reads (protocol §5.1). */
enum event_key {
    EVENT_KEY_ID,
    EVENT_KEY_TYPE,
    EVENT_KEY_TIMESTAMP,
    EVENT_KEY_LEVEL,
    EVENT_KEY_PLATFORM,
    EVENT_KEY_RELEASE,
    EVENT_KEY_ENVIRONMENT,
    EVENT_KEY_SERVER_NAME,
    EVENT_KEY_SDK,
    EVENT_KEY_TRANSACTION,
    EVENT_KEY_FINGERPRINT,
    EVENT_KEY_EXCEPTION,
    EVENT_KEY_STACKTRACE,
    EVENT_KEY_LOGENTRY,
    EVENT_KEY_MESSAGE,
    EVENT_KEY_THREADS,
    EVENT_KEY_BREADCRUMBS,
    EVENT_KEY_CONTEXTS,
    EVENT_KEY_TAGS,
    EVENT_KEY_USER,
    EVENT_KEY_REQUEST,
    EVENT_KEY_MODULES,
    EVENT_KEY_TEMPLATE,
    EVENT_KEY_CSP,
    EVENT_KEY_HPKP,
    EVENT_KEY_EXPECTCT,
    EVENT_KEY_EXPECTSTAPLE,
    EVENT_KEY_OTHER,
};

/* Values borrow the document; NULL when the key is absent. A legacy spelling serves where the modern one is absent or null. */
struct event_view {
    const struct json *at[EVENT_KEY_OTHER];
};

/* The key that `name` spells, legacy spellings ("sentry.interfaces.User") included. */
enum event_key event_key_of(struct str name);
struct str event_key_name(enum event_key key); /* its modern spelling */

/* -ERR_NOT_AN_OBJECT */
MUST_CHECK int event_view_read(const struct json *root, struct event_view *ret);

/* A string, or a number as its JSON text; "" for anything else. Protocol §5.5: numbers where strings belong are kept as text. */
struct str event_scalar(const struct json *v, struct arena *a);

/* The elements of an `exception` and its like: a bare array, or the `values` of an object (contract §3.3). NULL when it is neither. */
const struct json *event_values(const struct json *container);

/* Such a container that is an element itself: a single one may stand alone, without a list around it (protocol §5.5). */
bool event_is_lone_element(const struct json *container);

/* The exception that gives the event its name: the last one, or one that stands alone and has a type or a value. False when there is none; *ret may
 * be any type of value. */
bool event_main_exception(const struct event_view *view, const struct json **ret);

/* What `sdk.settings.infer_ip` says about the address that the event came from (protocol §5.7): the server may know better than the sender whose
 * it is, or must not say. INFER_LEGACY: nothing is said. What is no known word means never. */
enum event_inference { INFER_LEGACY, INFER_AUTO, INFER_NEVER };
enum event_inference event_inference_of(const struct json *sdk);

/* Text of a known level: debug, info, warning, error, fatal, for every alias and number of protocol §5.3; "" for anything else. */
struct str event_known_level(const struct json *v, struct arena *a);
