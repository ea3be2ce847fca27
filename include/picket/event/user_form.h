/* user_form.h: what people write into the crash-report dialog (protocol §7.4), as its form is posted: name, email and comments of a query string.
 * Pure; any thread. */
#pragma once

#include "picket/base/buf.h"
#include "picket/base/id.h"

enum {
    USER_FORM_MAX_NAME = 128, /* this and the next: code points */
    USER_FORM_MAX_EMAIL = 75,
    USER_FORM_MAX_BYTES = 64 << 10, /* of a form: for the caller to check */
};

/* 0: `ret_report` has the payload of a user report about that event (items.h). -ERR_INVALID: a field is missing, too long or no address; `ret_errors`
 * has {"errors": {"email": ["…"], …}}. Both are appended to. */
MUST_CHECK int user_form_read(struct str form, const struct id128 *event_id, struct buf *ret_report, struct buf *ret_errors);
