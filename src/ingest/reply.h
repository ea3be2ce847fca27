/* reply.h: what senders get for what was taken (protocol §4.1). Each answers 200. Private to ingest. */
#pragma once

#include "picket/http/http.h"

void reply_pixel(struct http_call *call);                        /* an image of one transparent point */
void reply_id(struct http_call *call, const struct id128 *id);   /* JSON; NULL: there is none */
void reply_script(struct http_call *call);                       /* of the crash-report dialog */
void reply_text(struct http_call *call, const struct id128 *id); /* crash reporters get the id as a text */
void reply_export(struct http_call *call); /* OpenTelemetry: an Export…ServiceResponse without members, in the request's language */
/* What somebody wrote, as it is stored by default, for who came with the API's credentials (protocol §7.4). */
void reply_report(struct http_call *call, const struct id128 *id, int64_t received_us, struct str body);
