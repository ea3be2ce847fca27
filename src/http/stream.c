/* stream.c: answers that are files. A part is read on a thread of http_config.files, then sent; the next is read when libh2o has got rid of it. So a
 * download holds one part in memory, however large the file and however slow the client, and no loop waits for a disk. One part at a time is read
 * of each request, and requests are no more than connections, so the pool's queue never is too short.
 *
 * The stream is on the heap, because a job may outlive the request: the request's dispose callback frees it, or leaves that to the job. */
#include "internal.h"

#include <errno.h>

enum { PART_BYTES = 128 << 10 };

struct stream {
    struct http_job job;
    h2o_generator_t generator;
    struct http_call *call; /* NULL: the request is over */
    bool reading;           /* the job is under way; what follows is its own meanwhile */
    int fd;
    uint64_t at, bytes;
    ssize_t n; /* what was read, or -errno */
    char part[PART_BYTES];
};

static void stream_free(struct stream *s)
{
    (void)close(s->fd); /* only read */
    free(s);
}

static void dispose(void *memory)
{
    struct stream *s = *(struct stream **)memory;
    s->call = NULL;
    if (!s->reading)
        stream_free(s);
}

/* Blocks: on a thread of the pool. */
static void run(struct http_job *job)
{
    struct stream *s = container_of(job, struct stream, job);
    uint64_t left = s->bytes - s->at;
    do
        s->n = pread(s->fd, s->part, left < PART_BYTES ? (size_t)left : PART_BYTES, (off_t)s->at);
    while (s->n < 0 && errno == EINTR);
    s->n = s->n < 0 ? -errno : s->n;
}

static void home(struct http_job *job)
{
    struct stream *s = container_of(job, struct stream, job);
    s->reading = false;
    if (!s->call) {
        stream_free(s);
        return;
    }
    h2o_req_t *req = s->call->req;
    if (s->n <= 0) { /* the disk, or the file was cut: the client sees that the answer is too short */
        h2o_send(req, NULL, 0, H2O_SEND_STATE_ERROR);
        return;
    }
    s->at += (uint64_t)s->n;
    h2o_iovec_t part = h2o_iovec_init(s->part, (size_t)s->n);
    h2o_send(req, &part, 1, s->at == s->bytes ? H2O_SEND_STATE_FINAL : H2O_SEND_STATE_IN_PROGRESS);
}

static void read_part(struct stream *s)
{
    s->job = (struct http_job){.run = run, .home = home, .pool = s->call->worker->server->config.files};
    s->reading = true;
    int r = http_job_submit(s->call->worker, &s->job);
    if (r < 0) {
        s->reading = false;
        h2o_send(s->call->req, NULL, 0, H2O_SEND_STATE_ERROR);
    }
}

static void proceed(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)req;
    read_part(container_of(generator, struct stream, generator));
}

static void stop(h2o_generator_t *generator, h2o_req_t *req)
{
    (void)generator, (void)req; /* dispose follows */
}

void http_answer_file(struct http_call *call, struct str content_type, int fd, uint64_t bytes)
{
    struct call *c = call_of(call);
    if (c->answered || c->is_head || bytes == 0) {
        (void)close(fd); /* nothing of it is sent */
        if (c->answered)
            return;
        answer_begin(call, 200, content_type, bytes);
        h2o_send_inline(call->req, "", 0);
        return;
    }
    if (!answer_fits(c, PART_BYTES)) {
        (void)close(fd); /* nothing of it is sent */
        http_answer_error(call, -ERR_BUSY, STR("too many answers wait to be read"));
        return;
    }
    struct stream *s = malloc(sizeof *s);
    if (!s)
        abort();
    s->generator = (h2o_generator_t){proceed, stop};
    s->call = call;
    s->reading = false;
    s->fd = fd;
    s->at = 0;
    s->bytes = bytes;
    struct stream **slot = http_on_dispose(call, sizeof *slot, dispose);
    *slot = s;
    answer_begin(call, 200, content_type, bytes);
    h2o_start_response(call->req, &s->generator);
    read_part(s);
}
