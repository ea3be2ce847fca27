/* reason.c: the table. */
#include "reason.h"

#include <stdio.h>

#include "picket/base/error.h"

void reason_name(int r, const struct item_kind *kind, char dst[LEDGER_MAX_REASON])
{
    static const struct {
        int error;
        const char *reason;
    } names[] = {{0, "not_stored"},
                 {-ERR_ORIGIN_REFUSED, "cors"},
                 {-ERR_BAD_JSON, "invalid_json"},
                 {-ERR_NOT_AN_OBJECT, "invalid_json"},
                 {-ERR_SURPLUS_EVENT, "duplicate_item"},
                 {-ERR_TOO_MANY_ITEMS, "too_many_items"},
                 {-ERR_SURPLUS_ITEM, "beyond_item_limit"},
                 {-ERR_CORRUPT_BODY, "invalid_compression"},
                 {-ERR_BAD_ENCODING, "invalid_compression"},
                 {-ERR_TOO_LARGE, "too_large"},
                 {-ERR_ITEM_TOO_LARGE, "too_large"},
                 {-ERR_SPOOL_SHARE, "backlog"},
                 {-ERR_SPOOL_FULL, "spool_full"},
                 {-ERR_RATE_LIMITED, "rate_limited"},
                 {-ERR_EMPTY_ENVELOPE, "empty_envelope"},
                 {-ERR_REPORT_TYPE, "security_report_type"},
                 {-ERR_BAD_REPORT, "security_report"},
                 {-ERR_REPORT_MEDIA, "content_type"},
                 {-ERR_TELEMETRY_MEDIA, "content_type"},
                 {-ERR_JUNK_REPORT, "invalid-csp"},
                 {-ERR_BLOB_QUOTA, "attachment_quota"},
                 {-ERR_BLOB_FULL, "attachments_full"},
                 {-ERR_ATTACHMENT_REF, "invalid_placeholder_attachment"},
                 {-ERR_NO_EVENT, "no_event_payload"},
                 {-ERR_BAD_MSGPACK, "invalid_msgpack"},
                 {-ERR_BAD_BOUNDARY, "invalid_multipart"},
                 {-ERR_BAD_MULTIPART, "invalid_multipart"},
                 {-ERR_TOO_MANY_PARTS, "invalid_multipart"},
                 {-ERR_BAD_MINIDUMP, "invalid_minidump"},
                 {-ERR_NO_MINIDUMP, "missing_minidump_upload"},
                 {-ERR_BAD_UNREAL, "process_unreal"}};
    const char *reason = r <= -ERR_EMPTY_ENVELOPE && r >= -ERR_BAD_EVENT_ID ? "invalid_envelope" : err_name(r);
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        if (names[i].error == r)
            reason = names[i].reason;
    if (r == -ERR_ITEM_TOO_LARGE && kind->name.n)
        (void)snprintf(dst, LEDGER_MAX_REASON, "too_large:%.*s", (int)str_take(kind->name, 24).n, kind->name.p);
    else
        (void)snprintf(dst, LEDGER_MAX_REASON, "%s", reason);
    for (char *c = dst; *c; c++)
        *c = (char)(*c >= 'A' && *c <= 'Z' ? *c + 32 : *c);
}

enum outcome_id reason_outcome(int r)
{
    if (r == 0 || r == -ERR_JUNK_REPORT)
        return OUTCOME_ID_FILTERED;
    bool is_ours = err_status(r) == 429 || err_status(r) == 503; /* the sender did nothing wrong */
    return is_ours ? OUTCOME_ID_RATE_LIMITED : OUTCOME_ID_INVALID;
}
