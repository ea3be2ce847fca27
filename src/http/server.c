/* server.c: opening and closing. The sockets are bound first, on the caller's thread, so that a taken port is reported before anything
 * runs; then the workers start one after the other, each saying how that went. libh2o's configuration is shared by all of them and
 * read-only afterwards. */
#include "internal.h"

#include <errno.h>
#include <inttypes.h>
#include <signal.h>
#include <string.h>
#include <sys/resource.h>

#include "picket/base/log.h"
#include "picket/http/chunked.h"

enum { H2O_TIMEOUT_MS = 3600 * 1000, OTHER_DESCRIPTORS = 128, BODY_FILES_MIN = 64 };

/* Where libh2o's buffers lie that are files. The setting is the library's and process-wide; which ones are files: intake.c. */
static int set_body_dir(const char *dir)
{
    h2o_buffer_mmap_settings_t *settings = &h2o_socket_buffer_mmap_settings;
    int n = snprintf(settings->fn_template, sizeof settings->fn_template, "%s/picket-body-XXXXXX", dir ? dir : "/tmp");
    if (n < 0 || (size_t)n >= sizeof settings->fn_template)
        return -ENAMETOOLONG;
    return 0;
}

static void configure_h2o(struct http_server *s)
{
    const struct http_config *config = &s->config;
    chunked_check();
    h2o_config_init(&s->h2o);
    s->h2o.server_name = h2o_iovec_init(H2O_STRLIT(""));
    s->h2o.max_request_entity_size = config->body_max_bytes;
    s->h2o.http1.req_timeout = H2O_TIMEOUT_MS; /* conn.c is stricter */
    s->h2o.http1.upgrade_to_http2 = 0;
    h2o_hostconf_t *host = h2o_config_register_host(&s->h2o, h2o_iovec_init(H2O_STRLIT("default")), 65535);
    call_register(h2o_config_register_path(host, "/", 0));
    refusal_register(&host->fallback_path, s);
}

/* A body in a file keeps a descriptor. Connections come first; if there are not even enough for those, fewer are taken. */
static void share_descriptors(struct http_server *s)
{
    struct rlimit limit;
    unsigned max = s->config.connections_max;
    uint64_t all = getrlimit(RLIMIT_NOFILE, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY ? UINT32_MAX : limit.rlim_cur;
    uint64_t ours = all > OTHER_DESCRIPTORS + 2 * BODY_FILES_MIN ? all - OTHER_DESCRIPTORS : UINT64_C(2) * BODY_FILES_MIN;
    if (max > ours - BODY_FILES_MIN) {
        max = (unsigned)(ours - BODY_FILES_MIN);
        log_line(LOG_WARN, "the limit of open files allows fewer connections", "limit=%" PRIu64 " wanted=%u connections=%u", all,
                 s->config.connections_max, max);
    }
    s->config.connections_max = max;
    s->body_files_max = (size_t)(ours - max);
}

static void copy_modules(struct http_server *s, const struct http_module *modules, unsigned n)
{
    s->modules = calloc(n ? n : 1, sizeof *modules);
    s->workers = calloc(s->config.threads, sizeof *s->workers);
    if (!s->modules || !s->workers)
        abort();
    s->n_modules = n;
    s->routes = route_table_new(str_from(s->config.path_prefix));
    for (unsigned i = 0; i < n; i++) {
        s->modules[i] = modules[i];
        route_table_add(s->routes, modules[i].routes, modules[i].n_routes, modules[i].ctx);
    }
}

static void worker_init(struct http_server *s, unsigned index, int listen_fd)
{
    struct worker *w = &s->workers[index];
    w->pub = (struct http_worker){.index = index, .loop = &w->loop, .server = s};
    w->listen_fd = listen_fd;
    w->counts = metric_block(sizeof *w->counts);
    unsigned share = s->config.connections_max / s->config.threads;
    w->conns_max = share ? share : 1;
    list_init(&w->conns);
    list_init(&w->growing);
    list_init(&w->lingerings);
    list_init(&w->calls);
    list_init(&w->posts);
    list_init(&w->jobs_done);
    pthread_mutex_init(&w->post_lock, NULL);
    int r = uv_sem_init(&w->started, 0);
    assert(r == 0);
}

/* Signals belong to the main thread: workers start with all of them blocked. */
static int start_thread(struct worker *w)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    int r = pthread_create(&w->thread, NULL, worker_main, w);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (r != 0)
        return -r;
    w->pub.server->n_workers++;
    uv_sem_wait(&w->started);
    return w->start_result;
}

static void join_workers(struct http_server *s)
{
    for (unsigned i = 0; i < s->n_workers; i++)
        pthread_join(s->workers[i].thread, NULL);
}

static void server_free(struct http_server *s)
{
    for (unsigned i = 0; i < s->config.threads; i++) {
        struct worker *w = &s->workers[i];
        if (w->listen_fd >= 0)
            (void)close(w->listen_fd); /* was never listened on */
        free(w->counts);
        pthread_mutex_destroy(&w->post_lock);
        uv_sem_destroy(&w->started);
    }
    h2o_config_dispose(&s->h2o);
    route_table_free(s->routes);
    free(s->modules);
    free(s->workers);
    free(s);
}

int http_can_listen(const char *host, unsigned port)
{
    unsigned real;
    return bind_sockets(host, port, 0, NULL, &real);
}

int http_server_open(const struct http_config *config, const struct http_module *modules, unsigned n_modules, struct http_server **ret)
{
    assert(config->threads > 0);
    signal(SIGPIPE, SIG_IGN);
    AUTO_FREE int *fds = calloc(config->threads, sizeof *fds);
    struct http_server *s = calloc(1, sizeof *s);
    if (!fds || !s)
        abort();
    int r = set_body_dir(config->body_dir);
    if (r == 0)
        r = bind_sockets(config->host, config->port, config->threads, fds, &s->port);
    if (r < 0) {
        log_line(LOG_ERROR, "cannot listen", "host=%s port=%u error=%s", config->host, config->port, err_name(r));
        free(s);
        return r;
    }
    s->config = *config;
    share_descriptors(s);
    intake_open(s);
    copy_modules(s, modules, n_modules);
    configure_h2o(s);
    for (unsigned i = 0; i < config->threads; i++)
        worker_init(s, i, fds[i]);
    for (unsigned i = 0; i < config->threads && r == 0; i++)
        r = start_thread(&s->workers[i]);
    if (r < 0) {
        log_line(LOG_ERROR, "cannot start an HTTP worker", "error=%s", err_name(r));
        http_server_close(s, 0);
        return r;
    }
    *ret = s;
    return 0;
}

void http_server_close(struct http_server *s, unsigned grace_ms)
{
    if (!s)
        return;
    s->grace_ms = grace_ms;
    for (unsigned i = 0; i < s->n_workers; i++)
        if (s->workers[i].start_result == 0) /* the others drain by themselves */
            http_worker_post(&s->workers[i].pub, worker_drain, &s->workers[i]);
    join_workers(s);
    server_free(s);
}

unsigned http_server_port(const struct http_server *s)
{
    return s->port;
}
