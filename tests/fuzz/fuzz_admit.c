/* fuzz_admit.c: a whole body at the door, an envelope, one event, reports, a crash report or a check-in, plain or compressed (the first byte says
 * which). What is taken is bounded, lies in the decoded body, has an id of its own, and is a JSON object that the digest can read; what is refused
 * leaves nothing behind. */
#include "fuzz.h"

#include "admit.h"
#include "picket/base/error.h"
#include "picket/event/event.h"

enum { EVENT_MAX = 4096, SESSIONS_MAX = 2 * EVENT_MAX, ENVELOPE_MAX = 1 << 18, CRASH_MAX = 1 << 15 };

static void check_record(const struct admit *a, unsigned i)
{
    const struct spool_record *r = &a->records[i];
    struct str whole = a->encoding == ENCODING_IDENTITY ? a->body : buf_str(&a->decoded);
    if ((a->form == ADMIT_STORE || a->form == ADMIT_CRON) && a->unwrapped.n)
        whole = buf_str(&a->unwrapped);
    bool lies_inside = r->payload.p >= whole.p && r->payload.p + r->payload.n <= whole.p + whole.n;
    bool is_merged = a->has_crash || a->crash.n_fields > 0 || a->crash.unreal_context.n > 0;
    assert(r->payload.n <= (is_merged ? CRASH_MAX : EVENT_MAX) && (lies_inside || r->kind == SPOOL_EVENT || is_merged));
    assert(r->project_id == 42 && r->key_id == 7 && str_is_utf8(r->meta));
    for (unsigned j = 0; j < i; j++)
        assert(!id_eq(&a->records[j].id, &r->id));
    if (r->kind != SPOOL_EVENT) /* that it can be read is what admit asked; what is read of it: fuzz_items */
        return;
    struct event_origin origin = {.received_us = r->received_us, .sent_at_us = r->sent_at_us, .envelope_header = r->meta};
    struct event_fields fields;
    struct arena arena;
    assert(!id_is_nil(&r->event_id));
    for (unsigned j = 0; j < i; j++)
        assert(a->records[j].kind != SPOOL_EVENT || !id_eq(&a->records[j].event_id, &r->event_id));
    arena_init(&arena);
    int read = event_read(r->payload, &origin, &arena, &fields);
    assert(read == 0 && fields.class != EVENT_TRANSACTION &&
           (lies_inside || fields.class == EVENT_REPORT || is_merged)); /* these are written anew */
    arena_done(&arena);
}

static const struct admit_limits limits = {.envelope_max_bytes = ENVELOPE_MAX,
                                           .event_max_bytes = EVENT_MAX,
                                           .check_in_max_bytes = EVENT_MAX,
                                           .records_max_bytes = ADMIT_MAX_BYTES,
                                           .attachment_max_bytes = EVENT_MAX,
                                           .attachments_max_bytes = 2 * EVENT_MAX,
                                           .attachments_max = 3,
                                           .sessions = {SESSIONS_MAX, 3},
                                           .client_reports = {EVENT_MAX, 3}};

static struct blob_store *nowhere(void)
{
    static const struct blob_config config = {.dir = "/proc/nowhere"};
    struct blob_store *blobs;
    int r = blob_open(&config, &blobs);
    assert(r == 0);
    return blobs;
}

static int run_elsewhere(struct admit *a)
{
    struct blob_store *blobs = nowhere();
    struct admit again;
    admit_init(&again);
    again.blobs = blobs;
    again.limits = a->limits;
    again.form = a->form;
    again.content_type = a->content_type;
    again.has_id = a->has_id;
    again.id = a->id;
    again.encoding = a->encoding;
    again.body = a->body;
    again.credentials = a->credentials;
    again.project_id = a->project_id;
    again.key_id = a->key_id;
    again.received_us = a->received_us;
    admit_done(a);
    *a = again;
    int r = admit_run(a, SIZE_MAX);
    blob_close(blobs);
    return r;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0)
        return 0;
    struct admit a;
    admit_init(&a);
    a.limits = limits;
    bool is_report = data[0] >= 128 && data[0] < 138, is_crash = data[0] >= 140 && data[0] < 160, is_cron = data[0] >= 160 && data[0] < 165;
    bool is_files = data[0] >= 165 && data[0] < 170, is_told = data[0] < 10 || is_report || is_crash || is_cron || is_files;
    a.encoding = is_told ? (enum content_encoding)(data[0] % 5) : ENCODING_IDENTITY;
    a.content_type = STR("multipart/form-data; boundary=b");
    if (is_crash)
        a.form = data[0] % 2 ? ADMIT_MINIDUMP : ADMIT_UNREAL;
    else if (is_cron)
        a.form = ADMIT_CRON;
    else if (is_files)
        a.form = ADMIT_FILES;
    else if (is_report)
        a.form = data[0] < 133 ? ADMIT_REPORT : ADMIT_NEL;
    else
        a.form = is_told && data[0] >= 5 ? ADMIT_STORE : ADMIT_ENVELOPE;
    a.slug = STR("nightly");
    a.body = str_drop(str_of((const char *)data, size), is_told);
    a.has_id = is_files;
    a.id.b[0] = is_files;
    a.credentials =
        (struct credentials){.present = data[0] != '\v', .key = {{0x9e, 0xc7}}}; /* a blank before it is no part of an envelope */
    a.project_id = 42;
    a.key_id = 7;
    a.received_us = INT64_C(1795262400000000);
    if (!a.credentials.present) { /* the key stands in the body: looked for before the body is worth any work */
        int peeked = admit_peek(&a);
        assert(peeked <= 0 && a.n_records == 0 && (peeked < 0 || a.credentials.present));
    }
    int r = is_crash ? 1 : admit_run(&a, 1 << 16); /* 1: not for the loop; crash reports never are */
    bool attached = r == 1;
    if (attached) /* again, as on a worker, with a disk on which nothing can be put */
        r = run_elsewhere(&a);
    assert(r == 0 && a.result <= 0 && a.n_events <= a.n_records && a.n_records <= ADMIT_MAX_RECORDS && a.n_left <= ADMIT_MAX_LEFT);
    assert(a.result < 0 || a.is_read);
    assert(a.result < 0 || a.joined.n == 0 || (attached && a.joined.with < a.n_records)); /* what is part of an event has one */
    assert(a.result == 0 || err_status(a.result) == 400 || err_status(a.result) == 401 || err_status(a.result) == 413 ||
           (attached && a.result == -ERR_BLOB_FAILED));
    for (unsigned i = 0; a.result == 0 && i < a.n_records; i++)
        check_record(&a, i);
    for (unsigned i = 0; a.result == 0 && i < a.n_records; i++) { /* the answer's id is that of the first event */
        if (a.records[i].kind == SPOOL_EVENT) {
            assert(id_eq(&a.id, &a.records[i].event_id));
            break;
        }
    }
    admit_done(&a);
    return 0;
}
