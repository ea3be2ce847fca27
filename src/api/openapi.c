/* openapi.c: GET /api/openapi.json: what the API can be asked and what it answers, made from the files in openapi/ when Picket is built (openapi/join.py says
 * how they are written). Its server is relative to where it was got, so that it is right behind any PUBLIC_URL. */
#include "internal.h"

extern const unsigned char openapi_document[];
extern const size_t openapi_document_bytes;

void openapi_show(struct http_call *call)
{
    http_answer_constant(call, 200, STR("application/json"), str_of((const char *)openapi_document, openapi_document_bytes));
}
