/* fuzz_msgpack.c: whatever the bytes are, what comes out is JSON, and reading gets on. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/json/json.h"
#include "picket/protocol/msgpack.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf out = {0};
    struct str rest = str_of((const char *)data, size);
    while (rest.n) {
        AUTO_JSON struct json_doc *doc = NULL;
        struct str before = rest;
        buf_clear(&out);
        int r = msgpack_read(&rest, &out);
        if (r < 0) {
            assert(r == -ERR_BAD_MSGPACK && out.n == 0 && rest.p == before.p && rest.n == before.n);
            break;
        }
        assert(rest.n < before.n && rest.p == before.p + (before.n - rest.n));
        assert(json_parse(buf_str(&out), &doc, NULL) == 0);
    }
    return 0;
}
