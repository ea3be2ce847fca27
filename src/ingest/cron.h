/* cron.h: check-ins as the queries of URLs (protocol §1.6). Private to ingest. */
#pragma once

#include "picket/http/http.h"

/* The check-in that the query says, as JSON in the call's arena. Whether it is one is for admit.c to say. */
struct str check_in_of_query(struct http_call *call);
