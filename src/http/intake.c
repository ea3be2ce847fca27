/* intake.c: what requests that are still arriving may hold, and how long they may take.
 *
 * libh2o keeps all of a request in the connection's input buffer until the body is complete: 8 KiB, then doubling, from a threshold on in
 * an unlinked file. Nothing in it bounds the sum: 10,000 clients that send 100 KiB each and stop would hold 1.3 GB of memory. So every
 * growth beyond the first 8 KiB (which MAX_CONNECTIONS bounds) asks here first:
 *
 *   bodies_max_bytes   all that bodies hold, in memory and in files, with what handlers charge for copies (http_charge_body)
 *   MEMORY_MAX         the part of it in anonymous memory; beyond, buffers move to files when they pass 16 KiB instead of 256
 *   files_max          the descriptors that connections leave over: every such file keeps one
 *
 * What does not fit is refused: 503, Retry-After, Connection: close. Not the newcomer, if one of this worker's bodies has been arriving for
 * longer than OLD_MS: then the one that has been arriving longest goes, so that clients which send and stall cannot keep those out which
 * send and are done. Only bytes that came are charged: announcing 20 MiB costs nothing and blocks nobody.
 *
 * The hook is h2o_socket_read_start(), which libh2o calls through the dynamic linker and which finds ours; the callbacks that it installs
 * differ from libh2o's in asking first. It is called at the start of every request, too, when the last one's bytes are gone. */
#include "internal.h"

#include <dlfcn.h>
#include <h2o/http1.h>

enum {
    READ_MIN = 4096, /* libh2o's: free space before each read */
    OLD_MS = 1000,
    MEMORY_MAX = 16 << 20,
    FILE_FROM = 256 << 10,      /* a body of this size lies in a file, always … */
    FILE_FROM_TIGHT = 16 << 10, /* … and of this size when memory is short */
};

/* ---- the budget */

static size_t base_capacity(void)
{
    return h2o_socket_buffer_prototype._initial_buf.capacity;
}

/* What the buffer's capacity will be when READ_MIN bytes more are wanted: libh2o moves the bytes to the front, or doubles. */
static size_t capacity_wanted(const h2o_buffer_t *input)
{
    if (!input->bytes)
        return base_capacity();
    size_t used = input->size + (size_t)(input->bytes - input->_buf), capacity = input->capacity;
    if (READ_MIN <= capacity - used || (input->size + READ_MIN) * 2 <= capacity)
        return capacity;
    while (capacity - input->size < READ_MIN || capacity == input->capacity)
        capacity *= 2;
    return capacity;
}

static bool take(atomic_size_t *counter, size_t n, size_t max)
{
    if (atomic_fetch_add(counter, n) + n <= max)
        return true;
    atomic_fetch_sub(counter, n);
    return false;
}

static void give_back(struct conn *c)
{
    struct http_server *s = c->worker->pub.server;
    atomic_fetch_sub(&s->body_bytes, c->charged);
    atomic_fetch_sub(&s->memory_bytes, c->in_file ? 0 : c->charged);
    atomic_fetch_sub(&s->body_files, c->in_file);
    c->charged = 0;
    c->in_file = false;
    list_remove(&c->growing);
}

/* Charges the connection for a buffer of `capacity` and says, for libh2o, from which size on it is a file. False: no room. */
static bool charge(struct conn *c, size_t capacity)
{
    struct http_server *s = c->worker->pub.server;
    size_t base = base_capacity(), more = capacity - base - c->charged;
    bool tight = capacity >= FILE_FROM_TIGHT && atomic_load(&s->memory_bytes) + more > MEMORY_MAX;
    bool file = c->in_file || capacity >= FILE_FROM || tight;
    if (file && !c->in_file && !take(&s->body_files, 1, s->body_files_max))
        return false;
    if (!take(&s->body_bytes, more, s->config.bodies_max_bytes)) {
        atomic_fetch_sub(&s->body_files, file && !c->in_file);
        return false;
    }
    if (!file)
        atomic_fetch_add(&s->memory_bytes, more);
    else if (!c->in_file)
        atomic_fetch_sub(&s->memory_bytes, c->charged);
    h2o_socket_buffer_prototype.mmap_settings = file ? &s->file_buffers : &s->memory_buffers; /* the prototype is this thread's */
    c->in_file = file;
    c->charged += more;
    if (list_empty(&c->growing))
        list_push_back(&c->worker->growing, &c->growing);
    return true;
}

/* A body that is complete cannot be refused any more. */
bool intake_evict_oldest(struct worker *w, const struct conn *but)
{
    LIST_EACH(&w->growing, it) {
        struct conn *c = container_of(it, struct conn, growing);
        if (c == but || c->phase != CONN_READING || h2o_socket_is_writing(c->sock))
            continue;
        if (uv_now(&w->loop) - c->since_ms < OLD_MS)
            return false;
        intake_refuse(c, 503);
        return true;
    }
    return false;
}

static bool room_for(struct conn *c, size_t capacity)
{
    if (capacity <= base_capacity() + c->charged)
        return true;
    while (!charge(c, capacity))
        if (!intake_evict_oldest(c->worker, c))
            return false;
    return true;
}

void intake_release(struct conn *c)
{
    if (c->charged)
        give_back(c);
}

/* ---- refusing */

struct search {
    const h2o_socket_t *sock;
    h2o_req_t *found;
};

static int is_of_socket(h2o_req_t *req, void *arg)
{
    struct search *search = arg;
    if (req->conn->callbacks->get_socket(req->conn) != search->sock)
        return 0;
    search->found = req;
    return 1;
}

/* libh2o's request, whose address is the same for all requests of a connection. Handlers are given complete ones only (call.c notes it then);
 * others are found by going through all connections, once. */
static h2o_req_t *request_of(struct conn *c)
{
    struct search search = {.sock = c->sock};
    if (!c->req && H2O_HTTP1_CALLBACKS.foreach_request(&c->worker->h2o, is_of_socket, &search) != 0)
        c->req = search.found;
    return c->req;
}

static bool has_head(const struct conn *c)
{
    const h2o_buffer_t *input = c->sock->input;
    return input->size >= 4 && memmem(input->bytes, input->size, "\r\n\r\n", 4);
}

void intake_refuse(struct conn *c, int status)
{
    h2o_req_t *req = has_head(c) ? request_of(c) : NULL;
    c->worker->shed++;
    intake_release(c);
    if (!req || req->timestamps.request_body_begin_at.tv_sec == 0) {
        conn_drop(c); /* not even its head is there: nobody to talk to */
        return;
    }
    h2o_socket_read_stop(c->sock);
    conn_set_phase(c, CONN_WORKING);
    const char *reason = answer_reason(status);
    h2o_send_error_generic(req, status, reason, reason, H2O_SEND_ERROR_HTTP1_CLOSE_CONNECTION); /* the text is replaced by refusal.c */
}

/* ---- reading */

static void on_alloc(uv_handle_t *handle, size_t suggested, uv_buf_t *ret)
{
    struct conn *c = container_of((uv_tcp_t *)handle, struct conn, tcp);
    (void)suggested;
    *ret = uv_buf_init(NULL, 0); /* libuv then reports UV_ENOBUFS */
    if (!room_for(c, capacity_wanted(c->sock->input)))
        return;
    h2o_iovec_t free_space = h2o_buffer_reserve(&c->sock->input, READ_MIN);
    *ret = uv_buf_init(free_space.base, (unsigned)free_space.len);
}

static void on_read(uv_stream_t *stream, ssize_t n, const uv_buf_t *buf)
{
    struct conn *c = container_of((uv_tcp_t *)stream, struct conn, tcp);
    (void)buf;
    if (n == 0)
        return;
    if (n == UV_ENOBUFS) {
        intake_refuse(c, 503);
    } else if (n < 0) {
        conn_drop(c);
    } else {
        if (c->phase == CONN_IDLE)
            conn_set_phase(c, CONN_READING);
        c->sock->input->size += (size_t)n;
        c->sock->bytes_read += (size_t)n;
        c->sock->_cb.read(c->sock, NULL);
    }
}

/* Instead of libh2o's. A buffer that is not empty holds the next request of a client that does not wait for answers; in the middle of a
 * request libh2o reads on after "100 Continue". */
void h2o_socket_read_start(h2o_socket_t *sock, h2o_socket_cb cb)
{
    struct conn *c = sock->on_close.data;
    sock->_cb.read = cb;
    if (sock->input->bytes == NULL)
        intake_release(c);
    if (c->phase != CONN_READING)
        conn_set_phase(c, sock->input->size ? CONN_READING : CONN_IDLE);
    (void)uv_read_start((uv_stream_t *)&c->tcp, on_alloc, on_read); /* a connection that cannot be read is dropped for being late */
}

void intake_open(struct http_server *s)
{
    void *used = dlsym(RTLD_DEFAULT, "h2o_socket_read_start"); /* what libh2o calls */
    void (*ours)(h2o_socket_t *, h2o_socket_cb) = h2o_socket_read_start;
    assert(memcmp(&used, &ours, sizeof used) == 0);
    s->memory_buffers = s->file_buffers = h2o_socket_buffer_mmap_settings;
    s->memory_buffers.threshold = SIZE_MAX;
    s->file_buffers.threshold = 0;
}
