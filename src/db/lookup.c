/* lookup.c: host names in connection strings.
 *
 * The string is cut into its options by libpq. Each host of its list that is a name (no socket directory, no address) is resolved by
 * uv_getaddrinfo, one after the other; every address found becomes an entry of three lists of equal length, host (kept for TLS and .pgpass),
 * hostaddr and port, which libpq then tries in order. A name that cannot be resolved is left out as long as another host remains.
 *
 * A request that the resolver has begun cannot be called back: freeing the lookup then only cuts the tie to its owner, and the memory goes when
 * the resolver answers. */
#include "lookup.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netdb.h>
#include <stdio.h>

#include "picket/base/buf.h"
#include "picket/base/error.h"

enum { MAX_KEYWORDS = 64 };

struct db_lookup {
    uv_getaddrinfo_t request;
    uv_loop_t *loop;
    bool running;   /* the resolver has the request */
    bool abandoned; /* freed while running */
    bool listed;    /* hosts, addrs and ports replace the string's own */
    db_lookup_fn *done;
    void *owner;
    char *why; /* the owner's, 256 bytes */
    PQconninfoOption *options;
    struct str hosts_left, ports_left, port; /* slices of the options' values */
    char name[NI_MAXHOST];                   /* being resolved */
    struct buf hosts, addrs, ports;          /* comma-separated */
    unsigned n_hosts;
};

static const char *option(const struct db_lookup *l, const char *keyword)
{
    for (const PQconninfoOption *o = l->options; o->keyword; o++)
        if (strcmp(o->keyword, keyword) == 0)
            return o->val;
    return NULL;
}

static bool is_name(struct str host)
{
    char text[NI_MAXHOST];
    struct in6_addr addr;
    if (host.n == 0 || host.n >= sizeof text || host.p[0] == '/' || host.p[0] == '@')
        return false;
    memcpy(text, host.p, host.n);
    text[host.n] = '\0';
    return inet_pton(AF_INET, text, &addr) != 1 && inet_pton(AF_INET6, text, &addr) != 1 && !strchr(text, '%');
}

static bool any_name(struct str hosts)
{
    while (hosts.p)
        if (is_name(str_cut(&hosts, ',')))
            return true;
    return false;
}

static void add_host(struct db_lookup *l, struct str host, struct str addr)
{
    if (l->n_hosts++) {
        buf_append_char(&l->hosts, ',');
        buf_append_char(&l->addrs, ',');
        buf_append_char(&l->ports, ',');
    }
    buf_append_str(&l->hosts, host);
    buf_append_str(&l->addrs, addr);
    buf_append_str(&l->ports, l->port);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found);

/* Takes hosts off the list until a name has to be resolved. */
static int step(struct db_lookup *l)
{
    while (l->hosts_left.p) {
        struct str host = str_cut(&l->hosts_left, ',');
        if (l->ports_left.p)
            l->port = str_cut(&l->ports_left, ','); /* a single port is for all hosts */
        if (!is_name(host)) {
            add_host(l, host, STR(""));
            continue;
        }
        memcpy(l->name, host.p, host.n);
        l->name[host.n] = '\0';
        const struct addrinfo hints = {.ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM};
        int r = uv_getaddrinfo(l->loop, &l->request, on_resolved, l->name, NULL, &hints);
        if (r == 0) {
            l->running = true;
            return LOOKUP_PENDING;
        }
        (void)snprintf(l->why, 256, "host name \"%s\": %s", l->name, uv_strerror(r)); /* cut if long: it is for people */
    }
    return LOOKUP_READY;
}

static void release(struct db_lookup *l)
{
    PQconninfoFree(l->options);
    buf_done(&l->hosts);
    buf_done(&l->addrs);
    buf_done(&l->ports);
    free(l);
}

static void on_resolved(uv_getaddrinfo_t *request, int status, struct addrinfo *found)
{
    struct db_lookup *l = container_of(request, struct db_lookup, request);
    l->running = false;
    if (l->abandoned) {
        uv_freeaddrinfo(found);
        release(l);
        return;
    }
    for (const struct addrinfo *a = status < 0 ? NULL : found; a; a = a->ai_next) {
        char text[INET6_ADDRSTRLEN] = "";
        if (a->ai_family == AF_INET)
            (void)uv_ip4_name((const struct sockaddr_in *)a->ai_addr, text, sizeof text); /* the buffer is large enough */
        else if (a->ai_family == AF_INET6)
            (void)uv_ip6_name((const struct sockaddr_in6 *)a->ai_addr, text, sizeof text);
        if (text[0])
            add_host(l, str_from(l->name), str_from(text));
    }
    uv_freeaddrinfo(found);
    if (status < 0)
        (void)snprintf(l->why, 256, "host name \"%s\": %s", l->name, uv_strerror(status)); /* cut if long: it is for people */
    if (step(l) == LOOKUP_READY)
        l->done(l->owner, l->n_hosts ? 0 : -ERR_DB_AWAY); /* last: the owner frees l */
}

/* NULL: it is none. libpq's text is not handed on: it quotes the string, and with it perhaps a password. */
static PQconninfoOption *parse(const char *conninfo)
{
    char *error = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &error);
    if (!options && (!error || str_starts(str_from(error), STR("out of memory"))))
        abort();
    PQfreemem(error);
    return options;
}

bool db_lookup_valid(const char *conninfo)
{
    PQconninfoOption *options = parse(conninfo);
    PQconninfoFree(options); /* NULL is fine */
    return options != NULL;
}

int db_lookup_start(uv_loop_t *loop, const char *conninfo, db_lookup_fn *done, void *owner, char why[256], struct db_lookup **ret)
{
    PQconninfoOption *options = parse(conninfo);
    if (!options) {
        (void)snprintf(why, 256, "not a connection string: a URL (postgresql://…) or key=value pairs are expected");
        return -EINVAL;
    }
    struct db_lookup *l = calloc(1, sizeof *l);
    if (!l)
        abort();
    *l = (struct db_lookup){.loop = loop, .done = done, .owner = owner, .why = why, .options = options};
    *ret = l;
    const char *hostaddr = option(l, "hostaddr");
    l->hosts_left = str_from(option(l, "host"));
    l->listed = !(hostaddr && hostaddr[0]) && any_name(l->hosts_left);
    if (!l->listed)
        return LOOKUP_READY;
    l->ports_left = str_from(option(l, "port"));
    return step(l);
}

void db_lookup_free(struct db_lookup *l)
{
    if (!l)
        return;
    if (l->running) {
        l->abandoned = true;
        (void)uv_cancel((uv_req_t *)&l->request); /* done already or under way: on_resolved comes all the same */
    } else {
        release(l);
    }
}

/* ---- the keywords */

struct keywords {
    const char *keys[MAX_KEYWORDS], *values[MAX_KEYWORDS];
    int n;
};

static void set(struct keywords *k, const char *key, const char *value)
{
    int i = 0;
    while (i < k->n && strcmp(k->keys[i], key) != 0)
        i++;
    assert(i < MAX_KEYWORDS - 1); /* libpq has about forty */
    k->keys[i] = key;
    k->values[i] = value;
    k->n += i == k->n;
}

/* As one string again, because PQconnectStartParams takes an empty value for none and lets the environment (PGHOSTADDR, say) speak instead. */
static PGconn *connect_start(const struct keywords *k)
{
    AUTO_BUF struct buf conninfo = {0};
    for (int i = 0; i < k->n; i++) {
        buf_printf(&conninfo, "%s='", k->keys[i]);
        for (const char *c = k->values[i]; *c; c++) {
            if (*c == '\'' || *c == '\\')
                buf_append_char(&conninfo, '\\');
            buf_append_char(&conninfo, *c);
        }
        buf_append_str(&conninfo, STR("' "));
    }
    return PQconnectStart(buf_cstr(&conninfo));
}

PGconn *db_lookup_connect(struct db_lookup *l, const char *application, unsigned statement_ms)
{
    struct keywords k = {0};
    AUTO_BUF struct buf options = {0};
    /* What the string may change: a dead peer is noticed within a minute, and no Kerberos library goes to the network on the loop. */
    set(&k, "keepalives_idle", "30");
    set(&k, "keepalives_interval", "10");
    set(&k, "keepalives_count", "3");
    set(&k, "tcp_user_timeout", "30000");
    set(&k, "gssencmode", "disable");
    for (const PQconninfoOption *o = l->options; o->keyword; o++)
        if (o->val)
            set(&k, o->keyword, o->val);
    /* What Picket relies on comes last and wins. */
    set(&k, "client_encoding", "UTF8");
    set(&k, "application_name", application); /* retention tells batches by it (sql/migrations, retention_quiet) */
    const char *given = option(l, "options");
    /* Commits are durable whatever the server's default is: a spool forgets what was committed (S6). */
    buf_printf(&options, "%s -c statement_timeout=%u -c TimeZone=UTC -c client_min_messages=warning -c synchronous_commit=on",
               given ? given : "", statement_ms);
    set(&k, "options", buf_cstr(&options));
    if (l->listed) {
        set(&k, "host", buf_cstr(&l->hosts));
        set(&k, "hostaddr", buf_cstr(&l->addrs));
        if (option(l, "port"))
            set(&k, "port", buf_cstr(&l->ports));
    }
    return connect_start(&k);
}
