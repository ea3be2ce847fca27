/* fuzz_unreal.c: an archive whose files are a context, an Apple report or a dump by their first bytes. Whatever it is, files lie in it in order, and an
 * event comes out. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/event.h"
#include "picket/event/native.h"
#include "picket/protocol/unreal.h"

static void check_event(const struct native_report *report)
{
    AUTO_BUF struct buf out = {0};
    struct event_fields read;
    struct arena a;
    native_event(report, &out);
    arena_init(&a);
    assert(event_read(buf_str(&out), &(struct event_origin){.received_us = 1}, &a, &read) == 0);
    arena_done(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str archive = str_of((const char *)data, size);
    struct native_report report = {.max_bytes = 100000, .unreal_context = archive, .unreal_user = STR("a|b")};
    struct unreal u;
    struct unreal_file file;
    const char *last = archive.p;
    unsigned n = 0;
    int r = unreal_open(archive, &u);
    check_event(&report);
    if (r < 0) {
        assert(r == -ERR_BAD_UNREAL);
        return 0;
    }
    while ((r = unreal_next(&u, &file)) == 1) {
        assert(file.content.p >= last && file.content.p + file.content.n <= archive.p + archive.n);
        last = file.content.p + file.content.n;
        report.dump = str_starts(file.content, STR("MDMP")) ? file.content : report.dump;
        report.unreal_context = str_starts(file.content, STR("<")) ? file.content : report.unreal_context;
        report.apple_report = str_starts(file.content, STR("Inc")) ? file.content : report.apple_report;
        n++;
    }
    assert(n <= UNREAL_MAX_FILES && (r == 0 || r == -ERR_BAD_UNREAL));
    check_event(&report);
    return 0;
}
