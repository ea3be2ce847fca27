/* error.h: the one table of Picket's errors. Functions return 0 or more for success and a negative number for failure: -errno (as
 * libuv does) or -ERR_*. The row also fixes what a client is told (HTTP status and text) and what the digest does with a record
 * that ran into it, so no failure is half-handled. Texts are sentences for people: they say what is wrong. */
#pragma once

#include "picket/base/macros.h"
#include "picket/base/str.h"

/* What becomes of a spooled record that met the error. */
enum error_fate {
    FATE_NONE,  /* cannot happen to a spooled record */
    FATE_RETRY, /* passing: try the same batch again */
    FATE_DEAD,  /* lasting: isolate the record and keep it as a dead letter */
    FATE_DROP,  /* nothing to keep: count it and go on */
};

/* clang-format off */
/*        name              number status fate         API type             text */
#define ERR_MAP(X)                                                                                                               \
    /* credentials: protocol §1.4 */                                                                                              \
    X(NO_CREDENTIALS,       2001, 401, FATE_NONE,  "Unauthorized",    "missing authorization information: send the DSN's key in X-Sentry-Auth, Authorization, ?sentry_key= or the envelope's dsn") \
    X(MANY_CREDENTIALS,     2002, 401, FATE_NONE,  "Unauthorized",    "multiple authorization payloads detected, and they name different keys") \
    X(BAD_AUTH_HEADER,      2003, 401, FATE_NONE,  "Unauthorized",    "bad x-sentry-auth header")                                 \
    X(BAD_DSN,              2004, 401, FATE_NONE,  "Unauthorized",    "bad envelope authentication header: dsn is not a DSN")     \
    X(BAD_VERSION,          2005, 400, FATE_NONE,  "ValidationError", "unsupported protocol version: the highest supported is 7") \
    X(BAD_PROJECT,          2006, 400, FATE_NONE,  "ValidationError", "bad project path parameter: a project id is a decimal number") \
    X(BAD_KEY,              2007, 400, FATE_NONE,  "ValidationError", "bad sentry DSN public key: 32 hexadecimal digits are expected") \
    X(DSN_MISMATCH,         2008, 400, FATE_NONE,  "ValidationError", "invalid envelope: its dsn names another key or project than the request") \
    X(KEY_REJECTED,         2009, 403, FATE_NONE,  "Forbidden",       "event submission rejected: unknown or disabled key, or a key of another project") \
    X(FOREIGN_DSN,          2011, 403, FATE_NONE,  "Forbidden",       "the tunnel takes envelopes for this server only: their dsn names another host") \
    X(ORIGIN_REFUSED,       2013, 403, FATE_NONE,  "Forbidden",       "event submission rejected: the project takes nothing from pages of this origin") \
    X(KEY_BUSY,             2012, 503, FATE_NONE,  "Unavailable",     "the key is not known yet and too many others are being looked up: try again later") \
    X(KEY_UNVERIFIED,       2010, 503, FATE_NONE,  "Unavailable",     "the key cannot be verified now because the database is away: try again later") \
    /* content encodings: protocol §2.4 */                                                                                       \
    X(BAD_ENCODING,         2101, 415, FATE_NONE,  "ValidationError", "unsupported content encoding: use gzip, deflate, br, zstd or identity, one at a time") \
    X(CORRUPT_BODY,         2102, 400, FATE_NONE,  "ValidationError", "the body does not decompress: it is damaged or cut short") \
    X(TOO_LARGE,            2103, 413, FATE_NONE,  "PayloadTooLarge", "the body exceeds the size limit")                          \
    X(BAD_BOUNDARY,         2104, 400, FATE_NONE,  "ValidationError", "invalid multipart data: Content-Type is not multipart/form-data with a boundary") \
    X(BAD_MULTIPART,        2105, 400, FATE_NONE,  "ValidationError", "invalid multipart data: the form is malformed or ends early") \
    X(TOO_MANY_PARTS,       2106, 413, FATE_NONE,  "PayloadTooLarge", "the form has too many parts")                             \
    /* envelope framing: protocol §2.1 */                                                                                        \
    X(EMPTY_ENVELOPE,       2201, 400, FATE_NONE,  "ValidationError", "missing envelope header: the body is empty")                \
    X(BAD_ENVELOPE_HEADER,  2202, 400, FATE_NONE,  "ValidationError", "the envelope header is not a JSON object")                  \
    X(BAD_ITEM_HEADER,      2203, 400, FATE_NONE,  "ValidationError", "an item header is not a JSON object")                       \
    X(NO_NEWLINE,           2204, 400, FATE_NONE,  "ValidationError", "missing newline after header or payload")                   \
    X(TRUNCATED,            2205, 400, FATE_NONE,  "ValidationError", "unexpected end of file: an item's length goes beyond the body") \
    X(TOO_MANY_ITEMS,       2206, 413, FATE_NONE,  "PayloadTooLarge", "the envelope has too many items")                           \
    X(ITEM_TOO_LARGE,       2207, 413, FATE_NONE,  "PayloadTooLarge", "envelope exceeded size limits for the type of an item")            \
    X(SURPLUS_EVENT,        2209, 400, FATE_NONE,  "ValidationError", "the envelope has this event already, or too many: further ones are left out") \
    X(TOO_MANY_ATTACHMENTS, 2210, 413, FATE_NONE,  "PayloadTooLarge", "envelope exceeded size limits for type 'attachment'")       \
    X(ATTACHMENT_REF,       2211, 200, FATE_NONE,  "ValidationError", "the attachment refers to an upload that does not exist")    \
    X(TRANSACTION_ATTACHMENT, 2212, 200, FATE_NONE, "ValidationError", "an attachment of a transaction: these are not stored")     \
    X(NO_EVENT,             2213, 200, FATE_NONE,  "ValidationError", "what says more about an event came without one")            \
    X(SURPLUS_ITEM,         2214, 413, FATE_NONE,  "PayloadTooLarge", "the envelope has more than a thousand items: the first thousand are taken") \
    X(BAD_EVENT_ID,         2208, 400, FATE_NONE,  "ValidationError", "invalid event_id: 32 hexadecimal digits are expected, with or without hyphens") \
    X(RATE_LIMITED,         2408, 429, FATE_NONE,  "RateLimited",     "Sentry dropped data due to a quota or internal rate limit being reached. This will not affect your application.") \
    /* payloads */                                                                                                               \
    X(BAD_JSON,             2301, 400, FATE_DEAD,  "ValidationError", "invalid JSON data")                                        \
    X(BAD_MSGPACK,          2305, 400, FATE_NONE,  "ValidationError", "invalid MessagePack data")                                  \
    X(BAD_MINIDUMP,         2306, 400, FATE_NONE,  "ValidationError", "invalid minidump: it does not begin with MDMP")            \
    X(NO_MINIDUMP,          2307, 400, FATE_NONE,  "ValidationError", "missing minidump: the form has no file upload_file_minidump") \
    X(BAD_UNREAL,           2308, 400, FATE_NONE,  "ValidationError", "invalid unreal crash report: the archive is damaged or cut short") \
    X(NO_MESSAGE,           2303, 400, FATE_DEAD,  "ValidationError", "invalid feedback: it has no message")                     \
    X(BAD_CHECK_IN,         2361, 400, FATE_DEAD,  "ValidationError", "invalid check-in: it needs the slug of a monitor and a status (in_progress, ok or error); its id is 32 hexadecimal digits") \
    X(BAD_KIND,             2304, 500, FATE_DEAD,  "InternalError",   "the spool holds a kind of record that this release does not know") \
    X(NOT_AN_OBJECT,        2302, 400, FATE_DEAD,  "ValidationError", "invalid event: a JSON object is expected")                  \
    X(BAD_REPORT,           2351, 400, FATE_NONE,  "ValidationError", "invalid security report: it does not say what was violated") \
    X(REPORT_TYPE,          2352, 200, FATE_NONE,  "ValidationError", "a report of a type that is not kept: CSP, HPKP, Expect-CT and Expect-Staple are") \
    X(JUNK_REPORT,          2353, 200, FATE_NONE,  "ValidationError", "a report about a browser's extension, not about the site")    \
    X(REPORT_MEDIA,         2354, 415, FATE_NONE,  "ValidationError", "security reports need Content-Type: application/csp-report, application/reports+json, application/expect-ct-report, application/expect-staple-report or application/json") \
    X(TELEMETRY_MEDIA,      2355, 415, FATE_NONE,  "ValidationError", "OpenTelemetry data need Content-Type: application/x-protobuf or application/json") \
    /* spool */                                                                                                                  \
    X(SPOOL_FULL,           2401, 503, FATE_RETRY, "Unavailable",     "the spool is full: try again later")                       \
    X(SPOOL_SEALED,         2402, 503, FATE_RETRY, "Unavailable",     "the event could not be made durable: try again later")      \
    X(SPOOL_CLOSED,         2403, 503, FATE_RETRY, "Unavailable",     "the server is shutting down: try again later")             \
    X(SPOOL_CORRUPT,        2404, 500, FATE_DEAD,  "InternalError",   "a spool record failed its checksum")                       \
    X(SPOOL_LOCKED,         2405, 500, FATE_NONE,  "InternalError",   "another Picket uses this data directory")                  \
    X(SPOOL_SHARE,          2406, 429, FATE_NONE,  "RateLimited",     "the project sends more than its share of what can be digested now: try again later") \
    X(SPOOL_VERSION,        2407, 500, FATE_NONE,  "InternalError",   "the spool was written by another release of Picket: start that release until it has digested everything, then this one") \
    /* attachments' bytes */                                                                                                     \
    X(BLOB_FULL,            2411, 503, FATE_NONE,  "Unavailable",     "the disk has no room for attachments: try again later")     \
    X(BLOB_FAILED,          2412, 503, FATE_NONE,  "Unavailable",     "the attachment could not be made durable: try again later") \
    X(BLOB_QUOTA,           2413, 429, FATE_NONE,  "RateLimited",     "the quota of bytes for attachments is used up")             \
    /* database */                                                                                                               \
    X(DB_AWAY,              2501, 503, FATE_RETRY, "Unavailable",     "the database is not reachable: try again later")           \
    X(DB_BUSY,              2502, 503, FATE_RETRY, "Unavailable",     "too many queries are waiting for the database: try again later") \
    X(DB_TIMEOUT,           2503, 503, FATE_RETRY, "Unavailable",     "the database did not answer in time: try again later")      \
    X(DB_TRANSIENT,         2504, 503, FATE_RETRY, "Unavailable",     "the database gave up a conflicting transaction: try again") \
    X(DB_FAILED,            2505, 500, FATE_DEAD,  "DatabaseError",   "the database refused the statement")                       \
    X(DB_CONFLICT,          2506, 409, FATE_DEAD,  "Conflict",        "this already exists")                                      \
    X(DB_UNQUIET,           2508, 503, FATE_RETRY, "Unavailable",     "a transaction that was under way does not end: try again later") \
    X(NO_PROJECT,           2507, 404, FATE_DROP,  "NotFound",        "the project no longer exists")                             \
    /* API */                                                                                                                    \
    X(NOT_FOUND,            2601, 404, FATE_NONE,  "NotFound",        "resource not found")                                       \
    X(BAD_METHOD,           2602, 405, FATE_NONE,  "MethodNotAllowed", "this path does not take that method: see Allow")          \
    X(UNAUTHORIZED,         2603, 401, FATE_NONE,  "Unauthorized",    "not authenticated")                                        \
    X(FORBIDDEN,            2604, 403, FATE_NONE,  "Forbidden",       "this needs the owner or an administrator")                 \
    X(INVALID,              2605, 400, FATE_NONE,  "ValidationError", "validation error")                                         \
    X(MEDIA_TYPE,           2606, 415, FATE_NONE,  "ValidationError", "a JSON body needs Content-Type: application/json")         \
    X(THROTTLED,            2607, 429, FATE_NONE,  "RateLimited",     "too many failed logins: try again later")                  \
    X(BUSY,                 2608, 503, FATE_NONE,  "Unavailable",     "the server is busy: try again later")                      \
    X(BAD_REQUEST,          2609, 400, FATE_NONE,  "ValidationError", "malformed HTTP request")                                   \
    X(HEAD_TOO_LARGE,       2610, 431, FATE_NONE,  "ValidationError", "the request's headers are too large")                     \
    X(TOO_SLOW,             2611, 408, FATE_NONE,  "Timeout",         "the request took too long to arrive")
/* clang-format on */

enum {
#define X(name, number, status, fate, type, text) ERR_##name = (number),
    ERR_MAP(X)
#undef X
};

/* All take the negative code as returned. A plain -errno maps to status 500, FATE_RETRY, type "InternalError" and strerror's text. */
int err_status(int r);
enum error_fate err_fate(int r);
const char *err_name(int r); /* "SPOOL_FULL", "ENOSPC"; static storage */
const char *err_type(int r);
const char *err_text(int r); /* static storage */
