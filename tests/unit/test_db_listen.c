/* LISTEN across reconnects, and host names: the server is reached through a relay on 127.0.0.1, because the private cluster itself has no TCP. */
#include "shared_cluster.h"

#include <errno.h>

/* ---- LISTEN */

struct ear {
    struct db_listener *listener;
    int n_up, n_down, n_heard;
    char last[KIT_TEXT];
    bool leave; /* stop listening from within the callback */
    bool closed;
};

static void on_notified(void *arg, struct str channel, struct str payload)
{
    struct ear *e = arg;
    assert_true(str_eq(channel, STR("picket_keys")));
    assert_true(payload.n < sizeof e->last);
    memcpy(e->last, payload.p, payload.n);
    e->last[payload.n] = '\0';
    e->n_heard++;
    if (e->leave)
        db_unlisten(e->listener, kit_closed, &e->closed);
}

static void on_connected(void *arg, bool up)
{
    struct ear *e = arg;
    *(up ? &e->n_up : &e->n_down) += 1;
}

static void listen_with(struct kit *k, struct ear *e, const char *conninfo)
{
    *e = (struct ear){0};
    const struct db_listener_events events = {.notified = on_notified, .connected = on_connected, .arg = e};
    assert_int_equal(db_listen(&k->loop, conninfo, STMT_LISTEN_KEYS, &events, &e->listener), 0);
    assert_int_equal(e->n_up, 0); /* never inside the call */
}

static void notify(struct kit *k, const char *payload)
{
    struct op op;
    op_init(&op, STMT_TEST_NOTIFY);
    db_bind_text(&op.q, str_from(payload));
    assert_int_equal(op_run(k, &op), 0);
}

static void stop_listening(struct kit *k, struct ear *e)
{
    db_unlisten(e->listener, kit_closed, &e->closed);
    assert_false(e->closed);
    KIT_UNTIL(k, e->closed);
}

static void hears_every_notification_in_order(void **state)
{
    (void)state;
    struct kit k;
    struct ear e;
    kit_open(&k, fixture_conninfo(&cluster));
    listen_with(&k, &e, fixture_conninfo(&cluster));
    KIT_UNTIL(&k, e.n_up == 1);
    for (int i = 0; i < 50; i++) {
        char payload[16];
        assert_true(snprintf(payload, sizeof payload, "key %d", i) > 0);
        notify(&k, payload);
        KIT_UNTIL(&k, e.n_heard == i + 1);
        assert_string_equal(e.last, payload);
    }
    stop_listening(&k, &e);
    notify(&k, "nobody hears this");
    assert_int_equal(e.n_heard, 50);
    assert_int_equal(e.n_down, 0);
    kit_close(&k);
}

static void reconnects_when_its_connection_is_ended(void **state)
{
    (void)state;
    struct kit k;
    struct ear e;
    kit_open(&k, fixture_conninfo(&cluster));
    listen_with(&k, &e, fixture_conninfo(&cluster));
    KIT_UNTIL(&k, e.n_up == 1);
    assert_int_equal(kit_number_of(&k, STMT_TEST_END_OTHERS, "picket listener"), 1);
    KIT_UNTIL(&k, e.n_up == 2);
    assert_int_equal(e.n_down, 1);
    notify(&k, "after");
    KIT_UNTIL(&k, e.n_heard == 1);
    assert_string_equal(e.last, "after");
    stop_listening(&k, &e);
    kit_close(&k);
}

static void survives_a_restart_of_the_server(void **state)
{
    (void)state;
    struct kit k;
    struct ear e;
    kit_open(&k, fixture_conninfo(&cluster));
    listen_with(&k, &e, fixture_conninfo(&cluster));
    KIT_UNTIL(&k, e.n_up == 1);
    fixture_stop(&cluster);
    KIT_UNTIL(&k, e.n_down == 1);
    int64_t until = clock_mono_us() + 1200000; /* attempts in between fail */
    KIT_UNTIL(&k, clock_mono_us() > until);
    assert_int_equal(e.n_up, 1);
    assert_int_equal(e.n_down, 1); /* said once, not per attempt */
    fixture_start(&cluster);
    KIT_UNTIL(&k, e.n_up == 2);
    notify(&k, "back");
    KIT_UNTIL(&k, e.n_heard == 1);
    stop_listening(&k, &e);
    kit_close(&k);
}

static void may_stop_from_within_a_notification(void **state)
{
    (void)state;
    struct kit k;
    struct ear e;
    kit_open(&k, fixture_conninfo(&cluster));
    listen_with(&k, &e, fixture_conninfo(&cluster));
    KIT_UNTIL(&k, e.n_up == 1);
    e.leave = true;
    notify(&k, "last");
    KIT_UNTIL(&k, e.closed);
    assert_int_equal(e.n_heard, 1);
    kit_close(&k);
}

static void may_stop_while_connecting(void **state)
{
    (void)state;
    static const char *const places[] = {"host=/nonexistent", "host=localhost port=1 user=picket", NULL};
    for (size_t i = 0; i < ARRAY_LEN(places); i++) {
        struct kit k;
        struct ear e;
        kit_make_loop(&k);
        listen_with(&k, &e, places[i] ? places[i] : fixture_conninfo(&cluster));
        for (size_t turns = 0; turns < i; turns++)
            uv_run(&k.loop, UV_RUN_ONCE);
        stop_listening(&k, &e);
        assert_int_equal(e.n_heard + e.n_down, 0);
        kit_close_loop(&k);
    }
}

static void refuses_what_is_no_connection_string(void **state)
{
    (void)state;
    struct kit k;
    struct db_listener *l;
    const struct db_listener_events events = {.notified = on_notified, .connected = on_connected};
    kit_make_loop(&k);
    assert_int_equal(db_listen(&k.loop, "colour=blue", STMT_LISTEN_KEYS, &events, &l), -EINVAL);
    kit_close_loop(&k);
}

/* ---- a relay: TCP in front of the cluster's socket */

enum { RELAY_BYTES = 64 << 10 };

struct relay {
    uv_tcp_t server;
    const char *socket;
    int n_accepted;
    unsigned port;
};

/* One direction's end; both live in one struct wire that is freed when both are closed. */
struct wire {
    union {
        uv_handle_t handle;
        uv_stream_t stream;
        uv_tcp_t tcp;
        uv_pipe_t pipe;
    } ends[2];
    int n_open;
    uv_connect_t connect;
    char bytes[RELAY_BYTES];
};

struct relay_write {
    uv_write_t request;
    char bytes[];
};

static void on_wire_closed(uv_handle_t *handle)
{
    struct wire *w = handle->data;
    if (--w->n_open == 0)
        free(w);
}

static void cut(struct wire *w)
{
    for (size_t i = 0; i < 2; i++)
        if (!uv_is_closing(&w->ends[i].handle))
            uv_close(&w->ends[i].handle, on_wire_closed);
}

static void on_alloc(uv_handle_t *handle, size_t n, uv_buf_t *ret)
{
    (void)n;
    struct wire *w = handle->data;
    *ret = uv_buf_init(w->bytes, sizeof w->bytes);
}

static void on_written(uv_write_t *request, int status)
{
    (void)status;
    free(container_of(request, struct relay_write, request));
}

static void on_read(uv_stream_t *from, ssize_t n, const uv_buf_t *bytes)
{
    struct wire *w = from->data;
    if (n < 0) {
        cut(w);
        return;
    }
    struct relay_write *out = malloc(sizeof *out + (size_t)n);
    assert_non_null(out);
    memcpy(out->bytes, bytes->base, (size_t)n);
    uv_stream_t *to = &w->ends[from == &w->ends[0].stream].stream;
    const uv_buf_t buf = uv_buf_init(out->bytes, (unsigned)n);
    assert_int_equal(uv_write(&out->request, to, &buf, 1, on_written), 0);
}

static void on_wire_up(uv_connect_t *request, int status)
{
    struct wire *w = container_of(request, struct wire, connect);
    if (status < 0) {
        if (status != UV_ECANCELED)
            cut(w);
        return;
    }
    assert_int_equal(uv_read_start(&w->ends[0].stream, on_alloc, on_read), 0);
    assert_int_equal(uv_read_start(&w->ends[1].stream, on_alloc, on_read), 0);
}

static void on_accept(uv_stream_t *server, int status)
{
    assert_int_equal(status, 0);
    struct relay *r = container_of((uv_tcp_t *)server, struct relay, server);
    struct wire *w = calloc(1, sizeof *w);
    assert_non_null(w);
    r->n_accepted++;
    w->n_open = 2;
    assert_int_equal(uv_tcp_init(server->loop, &w->ends[0].tcp), 0);
    assert_int_equal(uv_pipe_init(server->loop, &w->ends[1].pipe, 0), 0);
    w->ends[0].handle.data = w->ends[1].handle.data = w;
    assert_int_equal(uv_accept(server, &w->ends[0].stream), 0);
    uv_pipe_connect(&w->connect, &w->ends[1].pipe, r->socket, on_wire_up);
}

static void relay_open(struct kit *k, struct relay *r, struct buf *socket_path)
{
    buf_printf(socket_path, "%s/run/.s.PGSQL.5432", cluster.dir);
    *r = (struct relay){.socket = buf_cstr(socket_path)};
    struct sockaddr_in addr;
    int n = sizeof addr;
    assert_int_equal(uv_ip4_addr("127.0.0.1", 0, &addr), 0);
    assert_int_equal(uv_tcp_init(&k->loop, &r->server), 0);
    assert_int_equal(uv_tcp_bind(&r->server, (struct sockaddr *)&addr, 0), 0);
    assert_int_equal(uv_listen((uv_stream_t *)&r->server, 8, on_accept), 0);
    assert_int_equal(uv_tcp_getsockname(&r->server, (struct sockaddr *)&addr, &n), 0);
    r->port = ntohs(addr.sin_port);
}

/* ---- host names */

/* Connects by way of `format`, which takes the relay's port up to three times; returns how the ping ended. */
static int ping_by(const char *format, unsigned acquire_ms, int *ret_n_accepted)
{
    struct kit k;
    struct relay relay;
    AUTO_BUF struct buf path = {0}, conninfo = {0};
    struct db *db;
    bool closed = false;
    kit_make_loop(&k);
    relay_open(&k, &relay, &path);
    struct str rest = str_from(format);
    while (rest.p) {
        buf_append_str(&conninfo, str_cut(&rest, '#'));
        if (rest.p)
            buf_printf(&conninfo, "%u", relay.port);
    }
    struct db_config config = kit_config(buf_cstr(&conninfo));
    config.acquire_ms = acquire_ms;
    assert_int_equal(db_open(&k.loop, &config, &db), 0);
    k.db = db;
    struct op op;
    op_init(&op, STMT_PING);
    int r = op_run(&k, &op);
    db_close(db, kit_closed, &closed);
    KIT_UNTIL(&k, closed);
    uv_close((uv_handle_t *)&relay.server, NULL);
    *ret_n_accepted = relay.n_accepted;
    kit_close_loop(&k); /* runs until the relay's wires are gone */
    return r;
}

static void reaches_servers_by_name_and_address(void **state)
{
    static const char *const forms[] = {
        "host=127.0.0.1 port=# user=picket dbname=postgres",
        "host=localhost port=# user=picket dbname=postgres",
        "host=localhost port=# user=picket dbname=postgres sslmode=prefer target_session_attrs=read-write",
        "host=127.0.0.1,localhost port=1,# user=picket dbname=postgres", /* nobody listens on port 1 */
        "host=localhost,localhost port=1,# user=picket dbname=postgres",
        "host=localhost hostaddr=127.0.0.1 port=# user=picket dbname=postgres",
        "postgresql://picket@localhost:#/postgres?connect_timeout=5",
        "postgres://picket@localhost:1,localhost:#/postgres",
        "host=/nonexistent,localhost port=# user=picket dbname=postgres",
        "host=name.invalid,localhost port=# user=picket dbname=postgres",
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(forms); i++) {
        int n_accepted = 0, r = ping_by(forms[i], 20000, &n_accepted);
        if (r != 0 || n_accepted == 0)
            fail_msg("%s: %s", forms[i], r < 0 ? err_name(r) : "not through the relay");
    }
}

static void an_unknown_name_is_away(void **state)
{
    (void)state;
    int n_accepted = 0;
    assert_int_equal(ping_by("host=name.invalid port=# user=picket", 500, &n_accepted), -ERR_DB_AWAY);
    assert_int_equal(n_accepted, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(hears_every_notification_in_order),   cmocka_unit_test(reconnects_when_its_connection_is_ended),
        cmocka_unit_test(survives_a_restart_of_the_server),    cmocka_unit_test(may_stop_from_within_a_notification),
        cmocka_unit_test(may_stop_while_connecting),           cmocka_unit_test(refuses_what_is_no_connection_string),
        cmocka_unit_test(reaches_servers_by_name_and_address), cmocka_unit_test(an_unknown_name_is_away),
    };
    return cmocka_run_group_tests(tests, start_cluster, stop_cluster);
}
