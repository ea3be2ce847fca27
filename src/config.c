/* config.c: the table of environment variables. A new setting is one row, and a field in struct config. An empty value means unset, because
 * compose files pass empty strings for what is not set. A SECRET may stand in a file that NAME_FILE names, as container secrets do. */
#include "config.h"

#include <errno.h>
#include <fcntl.h>
#include <pwd.h>
#include <stdarg.h>
#include <stddef.h>
#include <unistd.h>

#include "picket/auth/email.h"
#include "picket/auth/password.h"
#include "picket/base/error.h"
#include "picket/spool/spool.h"

enum kind { TEXT, SECRET, NUMBER, BYTES, FLAG, URL, LEVEL, NETWORKS };
enum { SECRET_MAX = 4096, THREADS_CHOSEN_MAX = 8, EVENTS_MAX = 1000000000 };

struct row {
    const char *name;
    enum kind kind;
    size_t at;         /* of the field in struct config */
    const char *unset; /* default as one would write it; NULL: none */
    uint64_t min, max; /* NUMBER and BYTES */
    const char *help;
};

#define K UINT64_C(1024)
#define M (K * K)
#define G (M * K)
#define FIELD(f) offsetof(struct config, f)

static const struct row rows[] = {
    {"DATABASE_URL", SECRET, FIELD(database_url), NULL, 0, 0,
     "PostgreSQL to use, postgres://user:password@host/db; unset: Picket runs a private one in DATA_DIR"},
    {"DATABASE_MAX_CONNECTIONS", NUMBER, FIELD(database_max_connections), "10", 2, 1000,
     "connections of all HTTP threads together; each needs one, so that there are no more threads than this"},
    {"DATABASE_ACQUIRE_TIMEOUT_SECS", NUMBER, FIELD(database_acquire_s), "5", 1, 300, "how long a query may wait for a connection"},
    {"DATABASE_IDLE_TIMEOUT_SECS", NUMBER, FIELD(database_idle_s), "600", 0, 86400,
     "close connections that are unused for so long; 0: never"},
    {"DATABASE_WAIT_SECS", NUMBER, FIELD(database_wait_s), "60", 0, 3600,
     "how long the start waits for the database to answer, and for others who migrate it; with a copy of the project keys, 2 seconds at "
     "most"},
    {"POSTGRES_BIN_DIR", TEXT, FIELD(postgres_bin_dir), NULL, 0, 0,
     "where initdb and postgres are; unset: the newest in /usr/lib/postgresql, then PATH"},
    {"HOST", TEXT, FIELD(host), "127.0.0.1", 0, 0, "address to listen on"},
    {"PORT", NUMBER, FIELD(port), "8080", 1, 65535, "port to listen on"},
    {"PUBLIC_URL", URL, FIELD(public_url), NULL, 0, 0,
     "what DSNs and links begin with, may have a path; unset: http://127.0.0.1:PORT, and for commands what the server began with"},
    {"DASHBOARD_URL", URL, FIELD(dashboard_url), NULL, 0, 0, "the web dashboard: its origin may call the API with credentials"},
    {"SSL_PROXY", FLAG, FIELD(ssl_proxy), "false", 0, 0, "a TLS proxy stands in front: cookies are Secure"},
    {"TRUSTED_PROXIES", NETWORKS, FIELD(trusted_proxies), NULL, 0, 0,
     "addresses and networks of the proxies in front, such as 127.0.0.1, 10.0.0.0/8: only their X-Forwarded-For and Forwarded count; "
     "where both are there and differ, neither"},
    {"DATA_DIR", TEXT, FIELD(data_dir), NULL, 0, 0,
     "where everything lies; unset: /var/lib/picket as root, else $XDG_DATA_HOME/picket, else ~/.local/share/picket"},
    {"INGEST_DIR", TEXT, FIELD(spool_dir), NULL, 0, 0, "where the spool lies; unset: DATA_DIR/spool"},
    {"SPOOL_MAX_BYTES", BYTES, FIELD(spool_max_bytes), "8G", 64 * M, 1024 * G, "undigested events on disk; beyond it new ones get 503"},
    {"SPOOL_FREE_FLOOR_BYTES", BYTES, FIELD(spool_free_floor_bytes), "512M", 0, 1024 * G,
     "free disk space that is left alone; below it new events get 503"},
    {"SPOOL_PENDING_BYTES", BYTES, FIELD(spool_pending_bytes), "24M", M, G,
     "events in memory that wait for the disk; beyond it new ones get 503"},
    {"SPOOL_DELAY_SECS", NUMBER, FIELD(spool_delay_s), "2", 0, 86400,
     "how far the digest may fall behind before projects that send more than their share get 429; 0: until the spool is full"},
    {"SPOOL_SEGMENT_SECS", NUMBER, FIELD(spool_segment_s), "3600", 1, SPOOL_SEGMENT_MAX_S,
     "how long a file of the spool takes new events; when all of them are stored, it is removed"},
    {"HTTP_THREADS", NUMBER, FIELD(http_threads), "0", 0, 64, "0: one per processor, at most 8"},
    {"DIGEST_WORKERS", NUMBER, FIELD(digest_workers), "2", 1, 32, "batches that are digested side by side; each has a database connection"},
    {"DIGEST_BATCH_RECORDS", NUMBER, FIELD(digest_batch_records), "2000", 1, 10000, "events in one statement at most"},
    {"DEAD_LETTERS_MAX", NUMBER, FIELD(dead_letters_max), "10000", 1, 1000000,
     "events that cannot be stored and are kept in the database; beyond it the oldest go to files in DATA_DIR/dead-letters"},
    {"DEAD_LETTERS_MAX_BYTES", BYTES, FIELD(dead_letters_max_bytes), "1G", 16 * M, 1024 * G,
     "those files together; beyond it the oldest are removed"},
    {"DEAD_LETTERS_DAYS", NUMBER, FIELD(dead_letters_days), "30", 0, 3650,
     "how long they are kept since they first failed, in the database and in files, and damaged bytes of the spool since they were set "
     "aside; 0: whatever their age"},
    {"DEAD_LETTERS_LOOK_SECS", NUMBER, FIELD(dead_letters_look_s), "10", 1, 3600,
     "how often this server looks for dead letters that another one or a command left to it"},
    {"OUTCOMES_EVERY_MS", NUMBER, FIELD(outcomes_every_ms), "2000", 10, 60000,
     "how often the account of what was not taken is written down; a crash costs what came since"},
    {"MAX_CONNECTIONS", NUMBER, FIELD(max_connections), "10000", 16, 1000000, "open HTTP connections"},
    {"MAX_BODY_BYTES", BYTES, FIELD(max_body_bytes), "200M", 64 * K, G, "one request's body as sent; beyond it 413"},
    {"MAX_ENVELOPE_BYTES", BYTES, FIELD(max_envelope_bytes), "200M", 64 * K, G, "an envelope when decompressed; beyond it 413"},
    {"MAX_EVENT_BYTES", BYTES, FIELD(max_event_bytes), "1M", 16 * K, 7 * M, "one event's JSON; beyond it the event is dropped"},
    {"MAX_ATTACHMENT_BYTES", BYTES, FIELD(max_attachment_bytes), "200M", 0, G, "one attachment; beyond it the attachment is dropped"},
    {"MAX_ATTACHMENTS_BYTES", BYTES, FIELD(max_attachments_bytes), "200M", 0, G,
     "all attachments of an envelope; those that go beyond it are dropped"},
    {"MAX_ATTACHMENTS", NUMBER, FIELD(max_attachments), "30", 0, 90, "attachments of an envelope; further ones are dropped"},
    {"MAX_CHECK_IN_BYTES", BYTES, FIELD(max_check_in_bytes), "100K", K, M,
     "one check-in's JSON; beyond it 413, or the check-in is dropped"},
    {"MAX_SESSIONS_BYTES", BYTES, FIELD(max_sessions_bytes), "10M", 0, G,
     "session items of an envelope together; beyond it they are dropped"},
    {"MAX_SESSIONS", NUMBER, FIELD(max_sessions), "100", 0, 100, "session items of an envelope; further ones are dropped"},
    {"MAX_CLIENT_REPORTS_BYTES", BYTES, FIELD(max_client_reports_bytes), "100K", 0, G, "the same of client reports"},
    {"MAX_CLIENT_REPORTS", NUMBER, FIELD(max_client_reports), "100", 0, 100, "the same of client reports, by number"},
    {"MAX_BODIES_BYTES", BYTES, FIELD(max_bodies_bytes), "1G", M, 64 * G, "all bodies in flight together; beyond it 503"},
    {"ATTACHMENTS_DIR", TEXT, FIELD(attachments_dir), NULL, 0, 0,
     "where attachments lie, shared by all servers of one database; unset: DATA_DIR/attachments"},
    {"ATTACHMENTS_MAX_BYTES", BYTES, FIELD(attachments_max_bytes), "16G", 0, 1024 * (1024 * G),
     "all attachments together, each in blocks of 4 KiB; beyond it new ones get 429; 0: no bound"},
    {"ATTACHMENTS_PROJECT_MAX_BYTES", BYTES, FIELD(attachments_project_max_bytes), "0", 0, 1024 * (1024 * G),
     "attachments of one project; beyond it new ones get 429; 0: half of ATTACHMENTS_MAX_BYTES, so that nobody takes everybody's room"},
    {"ATTACHMENTS_FREE_FLOOR_BYTES", BYTES, FIELD(attachments_free_floor_bytes), "1G", 0, 1024 * G,
     "free disk space that attachments leave alone, and with it a thousand files; below it new ones get 503; 0: none"},
    {"MAX_EVENTS_PER_MINUTE", NUMBER, FIELD(max_events[0]), "0", 0, EVENTS_MAX,
     "events of the whole installation in any minute; beyond it 429; 0, here and below: no limit. picket quota set says more"},
    {"MAX_EVENTS_PER_HOUR", NUMBER, FIELD(max_events[1]), "0", 0, EVENTS_MAX, "the same in any hour"},
    {"MAX_EVENTS_PER_PROJECT_PER_MINUTE", NUMBER, FIELD(max_project_events[0]), "0", 0, EVENTS_MAX,
     "events of a project in any minute, where its own quota says nothing"},
    {"MAX_EVENTS_PER_PROJECT_PER_HOUR", NUMBER, FIELD(max_project_events[1]), "0", 0, EVENTS_MAX, "the same in any hour"},
    {"RETENTION_DAYS", NUMBER, FIELD(retention_days), "90", 1, 36500, "how long events are kept where their project says nothing"},
    {"RETENTION_EVENTS_PER_ISSUE", NUMBER, FIELD(retention_events_per_issue), "10000", 0, 1000000000,
     "events kept of an issue, its oldest and newest among them, where its project says nothing; 0: all"},
    {"RETENTION_EVERY_SECS", NUMBER, FIELD(retention_every_s), "3600", 1, 604800,
     "how often the server looks for what is too old to be kept"},
    {"SESSION_IDLE_HOURS", NUMBER, FIELD(session_idle_hours), "168", 1, 87600, "a login ends when unused for so long"},
    {"SESSION_MAX_HOURS", NUMBER, FIELD(session_max_hours), "720", 1, 87600, "a login ends after so long anyway"},
    {"AUDIT_DAYS", NUMBER, FIELD(audit_days), "365", 0, 36500, "how long the audit log is kept; 0: for ever"},
    {"ALLOW_REGISTRATION", FLAG, FIELD(allow_registration), "false", 0, 0, "anyone may create an account through POST /auth/register"},
    {"CREATE_SUPERUSER", SECRET, FIELD(create_superuser), NULL, 0, 0,
     "email:password of the first administrator; unset: admin@picket.local with a random password"},
    {"METRICS_TOKEN", SECRET, FIELD(metrics_token), NULL, 0, 0,
     "who sends it as Authorization: Bearer may read GET /metrics from anywhere; unset: only this machine may"},
    {"CORE_DUMPS", FLAG, FIELD(core_dumps), "false", 0, 0,
     "allow core dumps, and debuggers of the user that Picket runs as; its memory holds secrets"},
    {"LOG_LEVEL", LEVEL, FIELD(log_level), "info", 0, 0, "debug, info, warn or error"},
};

static void *field(struct config *c, const struct row *row)
{
    return (char *)c + row->at;
}

static bool parse_bytes(struct str s, uint64_t *ret)
{
    static const struct {
        char suffix;
        uint64_t factor;
    } units[] = {{'K', K}, {'M', M}, {'G', G}, {'k', K}, {'m', M}, {'g', G}};
    uint64_t factor = 1, v;
    for (size_t i = 0; s.n && i < ARRAY_LEN(units); i++) {
        if (s.p[s.n - 1] == units[i].suffix) {
            factor = units[i].factor;
            s.n--;
            break;
        }
    }
    return str_to_u64(s, &v) && !__builtin_mul_overflow(v, factor, ret);
}

static bool parse_flag(struct str s, bool *ret)
{
    static const char *const yes[] = {"true", "1", "yes", "on"}, *const no[] = {"false", "0", "no", "off"};
    for (size_t i = 0; i < ARRAY_LEN(yes); i++) {
        if (str_eq_nocase(s, str_from(yes[i])) || str_eq_nocase(s, str_from(no[i]))) {
            *ret = str_eq_nocase(s, str_from(yes[i]));
            return true;
        }
    }
    return false;
}

/* host[:port], where the host may be an IPv6 address in brackets. */
static bool is_authority(struct str s)
{
    uint64_t port = 1;
    size_t host = str_starts(s, STR("[")) ? str_find(s, ']') + 1 : str_find(s, ':');
    struct str after = str_drop(s, host);
    if (host == 0 || host > s.n || str_starts(s, STR("[]")))
        return false;
    return after.n == 0 || (after.p[0] == ':' && str_to_u64(str_drop(after, 1), &port) && port >= 1 && port <= 65535);
}

/* scheme://host[:port][/path]: where the origin and the path end. */
static bool split_url(struct str url, struct str *ret_origin, struct str *ret_path)
{
    size_t scheme = str_starts(url, STR("http://")) ? 7 : str_starts(url, STR("https://")) ? 8 : 0;
    struct str rest = str_drop(url, scheme);
    size_t host = str_find(rest, '/');
    for (size_t i = 0; i < url.n; i++)
        if (url.p[i] <= ' ' || url.p[i] >= 0x7F || str_find(STR("?#@\"\\<>"), url.p[i]) < 7)
            return false;
    if (!scheme || !is_authority(str_take(rest, host)))
        return false;
    *ret_origin = str_take(url, scheme + host);
    *ret_path = str_drop(rest, host);
    while (ret_path->n && ret_path->p[ret_path->n - 1] == '/')
        ret_path->n--;
    return true;
}

static bool take(struct config *c, const struct row *row, struct str s)
{
    struct str origin, path, bad;
    switch (row->kind) {
    case TEXT:
    case SECRET:
        *(char **)field(c, row) = arena_cstr(&c->arena, s);
        return true;
    case NUMBER:
    case BYTES: {
        uint64_t v;
        if (!(row->kind == NUMBER ? str_to_u64(s, &v) : parse_bytes(s, &v)) || v < row->min || v > row->max)
            return false;
        *(uint64_t *)field(c, row) = v;
        return true;
    }
    case FLAG:
        return parse_flag(s, field(c, row));
    case URL:
        if (!split_url(s, &origin, &path))
            return false;
        *(const char **)field(c, row) = arena_cstr(&c->arena, str_of(s.p, origin.n + path.n));
        return true;
    case LEVEL:
        return log_level_parse(s, field(c, row));
    case NETWORKS:
        return http_networks_parse(s, &c->arena, field(c, row), &bad);
    }
    return false;
}

static void write_bytes(uint64_t v, char *dst, size_t size)
{
    if (v >= G && v % G == 0)
        (void)snprintf(dst, size, "%lluG", (unsigned long long)(v / G));
    else if (v >= M && v % M == 0)
        (void)snprintf(dst, size, "%lluM", (unsigned long long)(v / M));
    else if (v >= K && v % K == 0)
        (void)snprintf(dst, size, "%lluK", (unsigned long long)(v / K));
    else
        (void)snprintf(dst, size, "%llu", (unsigned long long)v);
}

/* What is wrong with the settings, a line each. */
struct complaints {
    char *text; /* the caller's; always terminated, cut if there are very many */
    size_t size, n;
    unsigned count;
};

static void complain(struct complaints *w, const char *fmt, ...) PRINTF_LIKE(2, 3);
static void complain(struct complaints *w, const char *fmt, ...)
{
    va_list args;
    if (w->count++ && w->n + 1 < w->size)
        w->text[w->n++] = '\n';
    va_start(args, fmt);
    int n = vsnprintf(w->text + w->n, w->size - w->n, fmt, args);
    va_end(args);
    w->n += n > 0 ? (size_t)n : 0;
    if (w->n >= w->size)
        w->n = w->size - 1;
}

static void explain(const struct row *row, const char *value, struct complaints *w)
{
    char min[32], max[32];
    write_bytes(row->min, min, sizeof min);
    write_bytes(row->max, max, sizeof max);
    switch (row->kind) {
    case NUMBER:
        complain(w, "%s=%s: a whole number from %llu to %llu is allowed", row->name, value, (unsigned long long)row->min,
                 (unsigned long long)row->max);
        break;
    case BYTES:
        complain(w, "%s=%s: a size from %s to %s is allowed, such as 512M (suffixes K, M, G)", row->name, value, min, max);
        break;
    case FLAG:
        complain(w, "%s=%s: true or false is allowed", row->name, value);
        break;
    case URL:
        complain(w, "%s=%s: a URL http(s)://host[:port][/path] without query is allowed", row->name, value);
        break;
    case NETWORKS:
        complain(w, "%s=%s: addresses and networks are allowed, such as 127.0.0.1, 10.0.0.0/8, fd00::/8", row->name, value);
        break;
    case LEVEL:
        complain(w, "%s=%s: debug, info, warn or error is allowed", row->name, value);
        break;
    case TEXT:
    case SECRET:
        complain(w, "%s: not allowed", row->name);
        break;
    }
}

static const char *default_data_dir(struct config *c, char *(*getenv_fn)(const char *))
{
    if (geteuid() == 0)
        return "/var/lib/picket";
    const char *xdg = getenv_fn("XDG_DATA_HOME"), *home = getenv_fn("HOME");
    if (xdg && xdg[0] == '/')
        return arena_printf(&c->arena, "%s/picket", xdg).p;
    const struct passwd *pw = home && home[0] ? NULL : getpwuid(geteuid());
    return arena_printf(&c->arena, "%s/.local/share/picket", pw ? pw->pw_dir : home && home[0] ? home : "").p;
}

/* The value is a secret: the message does not repeat it. */
static void check_superuser(const char *value, struct complaints *w)
{
    struct str password = str_from(value), email = str_trim(str_cut(&password, ':'));
    if (!value)
        return;
    if (email_is_valid(email) && str_is_utf8(password) && password.n <= PASSWORD_MAX_BYTES &&
        str_take_code_points(password, PASSWORD_MIN - 1).n < password.n)
        return;
    complain(w, "CREATE_SUPERUSER: email:password is allowed, an address like name@host.domain and a password of at least %d characters",
             PASSWORD_MIN);
}

/* Each HTTP thread has a connection of its own at least. */
static void choose_threads(struct config *c, struct complaints *w)
{
    if (c->http_threads == 0) {
        long n = sysconf(_SC_NPROCESSORS_ONLN);
        c->http_threads = n < 1 ? 1 : n > THREADS_CHOSEN_MAX ? THREADS_CHOSEN_MAX : (uint64_t)n;
        if (c->http_threads > c->database_max_connections)
            c->http_threads = c->database_max_connections;
    } else if (c->http_threads > c->database_max_connections) {
        complain(
            w,
            "HTTP_THREADS=%llu and DATABASE_MAX_CONNECTIONS=%llu: no more threads than connections are allowed, because each needs one: "
            "raise DATABASE_MAX_CONNECTIONS or lower HTTP_THREADS",
            (unsigned long long)c->http_threads, (unsigned long long)c->database_max_connections);
    }
}

static void find_dirs(struct config *c, char *(*getenv_fn)(const char *), struct complaints *w)
{
    c->data_dir_is_set = c->data_dir != NULL;
    if (!c->data_dir)
        c->data_dir = default_data_dir(c, getenv_fn);
    if (c->data_dir[0] != '/')
        complain(w, "DATA_DIR=%s: an absolute path is allowed", c->data_dir);
    if (!c->spool_dir)
        c->spool_dir = arena_printf(&c->arena, "%s/spool", c->data_dir).p;
    else if (c->spool_dir[0] != '/')
        complain(w, "INGEST_DIR=%s: an absolute path is allowed", c->spool_dir);
    c->dead_letters_dir = arena_printf(&c->arena, "%s/dead-letters", c->data_dir).p;
    if (!c->attachments_dir)
        c->attachments_dir = arena_printf(&c->arena, "%s/attachments", c->data_dir).p;
    else if (c->attachments_dir[0] != '/')
        complain(w, "ATTACHMENTS_DIR=%s: an absolute path is allowed", c->attachments_dir);
    c->cluster_dir = arena_printf(&c->arena, "%s/postgres", c->data_dir).p;
}

/* What follows from other settings. */
static void derive(struct config *c, char *(*getenv_fn)(const char *), struct complaints *w)
{
    struct str origin, path;
    find_dirs(c, getenv_fn, w);
    const char *port = getenv_fn("PORT");
    c->address_is_set = c->public_url || (port && port[0]);
    if (!c->public_url)
        c->public_url = arena_printf(&c->arena, "http://127.0.0.1:%u", (unsigned)c->port).p;
    bool ok = split_url(str_from(c->public_url), &origin, &path);
    assert(ok); /* checked by take(), or made just now */
    c->public_origin = arena_cstr(&c->arena, origin);
    c->path_prefix = arena_cstr(&c->arena, path);
    c->dashboard_origin = "";
    if (c->dashboard_url && split_url(str_from(c->dashboard_url), &origin, &path))
        c->dashboard_origin = arena_cstr(&c->arena, origin);
    choose_threads(c, w);
    check_superuser(c->create_superuser, w);
}

/* The bytes of the file, without the newline at its end. <0: -errno; -EINVAL when they are no secret. */
static ssize_t read_secret(const char *path, char dst[SECRET_MAX])
{
    AUTO_CLOSE int fd = open(path, O_RDONLY | O_CLOEXEC);
    ssize_t n = 0, r = fd < 0 ? -1 : 1;
    while (r > 0 && n < SECRET_MAX) {
        r = read(fd, dst + n, (size_t)(SECRET_MAX - n));
        n += r > 0 ? r : 0;
    }
    if (r < 0)
        return -errno;
    while (n > 0 && (dst[n - 1] == '\n' || dst[n - 1] == '\r'))
        n--;
    return n == 0 || n == SECRET_MAX || memchr(dst, '\0', (size_t)n) ? -EINVAL : n;
}

/* NAME_FILE, when it is set: the secret stands in that file. */
static void take_secret_file(struct config *c, const struct row *row, char *(*getenv_fn)(const char *), struct complaints *w)
{
    char name[64], secret[SECRET_MAX];
    (void)snprintf(name, sizeof name, "%s_FILE", row->name); /* fits: names are short */
    const char *path = getenv_fn(name), *plain = getenv_fn(row->name);
    if (!path || !path[0])
        return;
    if (plain && plain[0]) {
        complain(w, "%s and %s: one of them is allowed", row->name, name);
        return;
    }
    ssize_t n = read_secret(path, secret);
    if (n < 0) {
        complain(w, "%s=%s: %s", name, path, n == -EINVAL ? "a file with one value of at most 4 KB is allowed" : err_text((int)n));
        return;
    }
    bool taken = take(c, row, str_of(secret, (size_t)n));
    assert(taken); /* any text is one */
    explicit_bzero(secret, sizeof secret);
}

static void take_row(struct config *c, const struct row *row, char *(*getenv_fn)(const char *), struct complaints *w)
{
    const char *value = getenv_fn(row->name);
    if (row->kind == SECRET)
        take_secret_file(c, row, getenv_fn, w);
    if (value && value[0]) {
        if (take(c, row, str_from(value)))
            return;
        explain(row, value, w);
    }
    bool taken = !row->unset || take(c, row, str_from(row->unset)); /* also after a complaint: what follows can rely on it */
    assert(taken);
}

int config_read(struct config *c, char *(*getenv_fn)(const char *name), char *why, size_t why_size)
{
    struct complaints w = {.text = why, .size = why_size};
    assert(why_size > 0);
    why[0] = '\0';
    *c = (struct config){0};
    arena_init(&c->arena);
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        take_row(c, &rows[i], getenv_fn, &w);
    derive(c, getenv_fn, &w);
    return w.count ? -EINVAL : 0;
}

void config_find_ignored(char *(*getenv_fn)(const char *name), void (*tell)(const char *name, const char *why))
{
    static const struct {
        const char *name, *why;
    } ignored[] = {
        {"DATABASE_MIN_CONNECTIONS", "connections are opened as they are needed"},
        {"DATABASE_MAX_LIFETIME_SECS", "a connection lives until it is unused or lost"},
        {"SESSION_SECRET_KEY", "sessions are random numbers that the database knows: there is no key"},
        {"RUSTRAK_BOOTSTRAP_TOKEN", "picket token add makes tokens"},
        {"SMTP_HOST", "no alerts are sent yet: the config of a channel names its mail server"},
        {"SMTP_PORT", "no alerts are sent yet: the config of a channel names its mail server"},
        {"SMTP_USERNAME", "no alerts are sent yet: the config of a channel names its mail server"},
        {"SMTP_PASSWORD", "no alerts are sent yet: the config of a channel names its mail server"},
        {"SMTP_FROM", "no alerts are sent yet: the config of a channel names its mail server"},
        {"RUST_LOG", "LOG_LEVEL says what is logged"},
    };
    for (size_t i = 0; i < ARRAY_LEN(ignored); i++) {
        const char *value = getenv_fn(ignored[i].name);
        if (value && value[0])
            tell(ignored[i].name, ignored[i].why);
    }
}

void config_forget(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
}

void config_forget_environment(void)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].kind == SECRET)
            config_forget(getenv(rows[i].name));
}

void config_done(struct config *c)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        if (rows[i].kind == SECRET)
            config_forget(*(char **)field(c, &rows[i]));
    arena_done(&c->arena);
}

void config_help(FILE *out)
{
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        (void)fprintf(out, "  %-30s %s%s%s%s%s\n", rows[i].name, rows[i].help, rows[i].unset ? " (default: " : "",
                      rows[i].unset ? rows[i].unset : "", rows[i].unset ? ")" : "",
                      rows[i].kind == SECRET ? "; may stand in the file that NAME_FILE names" : "");
}
