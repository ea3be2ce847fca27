/* fuzz_minidump.c: the input is lines "name=value" of a form, an empty line, and the dump; lines msgpack=, crumbs1= and crumbs2= stand for those files.
 * Whatever they are, what comes out is an event within its limit, or that of what is always kept, and modules are found where they say that they lie. */
#include "fuzz.h"

#include "picket/base/error.h"
#include "picket/event/event.h"
#include "picket/event/minidump.h"
#include "picket/event/native.h"

enum { MAX_FIELDS = 50, LIMIT = 200000, SMALL = 2000, LEAST = 20 << 10 };

static void check_dump(struct str bytes)
{
    struct minidump m;
    struct arena a;
    uint64_t address;
    arena_init(&a);
    if (minidump_read(bytes, &a, &m)) {
        assert(m.n_modules <= MINIDUMP_MAX_MODULES && m.n_threads <= MINIDUMP_MAX_THREADS && m.n_annotations <= MINIDUMP_MAX_ANNOTATIONS);
        for (size_t i = 0; i < m.n_modules; i++) {
            const struct minidump_module *found = minidump_module_at(&m, m.modules[i].address);
            assert(!found || found->address == m.modules[i].address);
            assert(str_is_utf8(m.modules[i].file) && str_is_utf8(m.modules[i].debug_id));
        }
        assert(minidump_reason(&m, &a).n > 0);
        assert(!minidump_crash_address(&m, &address) || m.exception.is_there);
    }
    arena_done(&a);
}

static void read_line(struct str line, struct native_report *report, struct native_field *fields)
{
    struct str name = str_cut(&line, '=');
    if (str_eq(name, STR("msgpack")))
        report->event_msgpack = line;
    else if (str_eq(name, STR("crumbs1")))
        report->breadcrumbs[0] = line;
    else if (str_eq(name, STR("crumbs2")))
        report->breadcrumbs[1] = line;
    else if (report->n_fields < MAX_FIELDS)
        fields[report->n_fields++] = (struct native_field){name, line};
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    AUTO_BUF struct buf out = {0};
    struct native_field fields[MAX_FIELDS];
    struct native_report report = {.fields = fields, .max_bytes = size % 2 ? LIMIT : SMALL};
    struct str rest = str_of((const char *)data, size), line;
    struct event_fields read;
    struct arena a;
    while (rest.p && (line = str_cut(&rest, '\n')).n)
        read_line(line, &report, fields);
    report.dump = rest;
    check_dump(rest);
    native_event(&report, &out);
    assert(out.n <= report.max_bytes || out.n <= LEAST);
    arena_init(&a);
    assert(event_read(buf_str(&out), &(struct event_origin){.received_us = 1}, &a, &read) == 0);
    arena_done(&a);
    return 0;
}
