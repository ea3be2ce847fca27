/* floor.c: the floor that Picket's accept rate is compared with: a bare libh2o server that does as little as an honest answer allows.
 *
 *   floor noop  PORT        answers every POST with 200 {} and stores nothing
 *   floor refuse PORT       answers every POST with 429 and Retry-After: how fast a load generator can be
 *   floor fsync PORT FILE   appends each body to FILE and answers when an fdatasync that began after the write has returned (group commit)
 *
 * Two threads, each with a loop and an SO_REUSEPORT listener, as Picket has; no parsing, no keys, no limits. SIGTERM ends it. */
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/uio.h>

#include <h2o.h>
#include <uv.h>

#include "picket/base/list.h"
#include "picket/base/str.h"

enum { THREADS = 2, BACKLOG = 1024, IOV_MAX_WRITE = 512 };

struct thread {
    pthread_t id;
    uv_loop_t loop;
    uv_tcp_t listener;
    uv_async_t wake;
    h2o_context_t ctx;
    h2o_accept_ctx_t accept;
    pthread_mutex_t lock;
    struct list durable; /* guarded by lock */
};

/* A waiting request. Whichever comes last frees it: the answer, or the end of the request (the client may leave before its answer). */
struct waiting {
    struct list link;
    struct thread *thread;
    h2o_req_t *req; /* NULL: the request is over */
    bool answered;
    size_t n;
    char body[];
};

static h2o_globalconf_t globalconf;
static struct thread threads[THREADS];
static pthread_mutex_t queue_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t queue_more = PTHREAD_COND_INITIALIZER;
static struct list queue;
static int fd = -1;
static bool refuses;

static void answer(h2o_req_t *req)
{
    if (refuses) {
        req->res.status = 429;
        req->res.reason = "Too Many Requests";
        req->res.content_length = 2;
        h2o_add_header_by_str(&req->pool, &req->res.headers, H2O_STRLIT("retry-after"), 1, NULL, H2O_STRLIT("1"));
        h2o_send_inline(req, H2O_STRLIT("{}"));
        return;
    }
    req->res.status = 200;
    req->res.reason = "OK";
    req->res.content_length = 2;
    h2o_add_header(&req->pool, &req->res.headers, H2O_TOKEN_CONTENT_TYPE, NULL, H2O_STRLIT("application/json"));
    h2o_send_inline(req, H2O_STRLIT("{}"));
}

static void waiting_dispose(void *p)
{
    struct waiting *w = *(struct waiting **)p;
    w->req = NULL;
    if (w->answered)
        free(w);
}

static struct thread *thread_of(h2o_req_t *req)
{
    return container_of(req->conn->ctx, struct thread, ctx);
}

static int on_request(h2o_handler_t *self, h2o_req_t *req)
{
    (void)self;
    if (fd < 0) {
        answer(req);
        return 0;
    }
    struct waiting *w = malloc(sizeof *w + req->entity.len);
    if (!w)
        abort();
    *w = (struct waiting){.thread = thread_of(req), .req = req, .n = req->entity.len};
    memcpy(w->body, req->entity.base, w->n);
    struct waiting **slot = h2o_mem_alloc_shared(&req->pool, sizeof(struct waiting *), waiting_dispose);
    *slot = w;
    pthread_mutex_lock(&queue_lock);
    list_push_back(&queue, &w->link);
    pthread_cond_signal(&queue_more);
    pthread_mutex_unlock(&queue_lock);
    return 0;
}

static void on_durable(uv_async_t *async)
{
    struct thread *t = container_of(async, struct thread, wake);
    struct list done;
    list_init(&done);
    pthread_mutex_lock(&t->lock);
    list_splice(&done, &t->durable);
    pthread_mutex_unlock(&t->lock);
    for (struct list *l; (l = list_pop(&done));) {
        struct waiting *w = container_of(l, struct waiting, link);
        w->answered = true;
        if (w->req)
            answer(w->req);
        else
            free(w);
    }
}

static void write_batch(struct list *batch)
{
    struct iovec iov[IOV_MAX_WRITE];
    int n = 0;
    LIST_EACH(batch, l) {
        struct waiting *w = container_of(l, struct waiting, link);
        iov[n++] = (struct iovec){w->body, w->n};
        if (n == IOV_MAX_WRITE || l->next == batch) {
            if (writev(fd, iov, n) < 0)
                abort();
            n = 0;
        }
    }
    if (fdatasync(fd) < 0)
        abort();
}

static void *writer(void *arg)
{
    (void)arg;
    for (;;) {
        struct list batch;
        list_init(&batch);
        pthread_mutex_lock(&queue_lock);
        while (list_empty(&queue))
            pthread_cond_wait(&queue_more, &queue_lock);
        list_splice(&batch, &queue);
        pthread_mutex_unlock(&queue_lock);
        write_batch(&batch);
        for (struct list *l; (l = list_pop(&batch));) {
            struct waiting *w = container_of(l, struct waiting, link);
            pthread_mutex_lock(&w->thread->lock);
            list_push_back(&w->thread->durable, &w->link);
            pthread_mutex_unlock(&w->thread->lock);
        }
        for (int i = 0; i < THREADS; i++)
            uv_async_send(&threads[i].wake);
    }
    return NULL;
}

static void on_closed(uv_handle_t *conn)
{
    free(conn);
}

static void on_accept(uv_stream_t *listener, int status)
{
    struct thread *t = container_of((uv_tcp_t *)listener, struct thread, listener);
    if (status != 0)
        return;
    uv_tcp_t *conn = h2o_mem_alloc(sizeof *conn);
    uv_tcp_init(listener->loop, conn);
    if (uv_accept(listener, (uv_stream_t *)conn) != 0) {
        uv_close((uv_handle_t *)conn, on_closed);
        return;
    }
    h2o_accept(&t->accept, h2o_uv_socket_create((uv_stream_t *)conn, on_closed));
}

static void start_thread(struct thread *t, uint16_t port)
{
    uv_loop_init(&t->loop);
    pthread_mutex_init(&t->lock, NULL);
    list_init(&t->durable);
    uv_async_init(&t->loop, &t->wake, on_durable);
    h2o_context_init(&t->ctx, &t->loop, &globalconf);
    t->accept = (h2o_accept_ctx_t){.ctx = &t->ctx, .hosts = globalconf.hosts};
    int s = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), one = 1;
    struct sockaddr_in addr = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    setsockopt(s, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
    setsockopt(s, SOL_SOCKET, SO_REUSEPORT, &one, sizeof one);
    if (bind(s, (struct sockaddr *)&addr, sizeof addr) < 0) {
        perror("floor: bind");
        exit(1);
    }
    uv_tcp_init(&t->loop, &t->listener);
    uv_tcp_open(&t->listener, s);
    uv_listen((uv_stream_t *)&t->listener, BACKLOG, on_accept);
}

static void *run(void *arg)
{
    struct thread *t = arg;
    uv_run(&t->loop, UV_RUN_DEFAULT);
    return NULL;
}

int main(int argc, char **argv)
{
    uint64_t port;
    if (argc < 3 || !str_to_u64(str_from(argv[2]), &port) || (argv[1][0] == 'f' && argc < 4)) {
        fputs("usage: floor noop PORT | floor refuse PORT | floor fsync PORT FILE\n", stderr);
        return 2;
    }
    refuses = argv[1][0] == 'r';
    if (argv[1][0] == 'f') {
        fd = open(argv[3], O_CREAT | O_WRONLY | O_APPEND | O_TRUNC | O_CLOEXEC, 0600);
        if (fd < 0) {
            perror(argv[3]);
            return 1;
        }
    }
    signal(SIGPIPE, SIG_IGN);
    list_init(&queue);
    h2o_config_init(&globalconf);
    globalconf.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host = h2o_config_register_host(&globalconf, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    h2o_pathconf_t *path = h2o_config_register_path(host, "/", 0);
    h2o_create_handler(path, sizeof(h2o_handler_t))->on_req = on_request;
    pthread_t id;
    if (fd >= 0)
        pthread_create(&id, NULL, writer, NULL);
    for (int i = 0; i < THREADS; i++)
        start_thread(&threads[i], (uint16_t)port);
    for (int i = 0; i < THREADS; i++)
        pthread_create(&threads[i].id, NULL, run, &threads[i]);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i].id, NULL);
    return 0;
}
