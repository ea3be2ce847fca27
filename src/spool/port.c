/* port.c: the way in and the way back. A port belongs to one loop: its thread encodes records and queues the block; the commit thread
 * puts finished blocks on the port's list and wakes the loop once per commit; done() runs there.
 *
 * Only the port's thread knows a block's spool_append, so cancelling needs no lock: the block is told to forget it. */
#include "internal.h"

#include <errno.h>

#include "picket/base/clock.h"
#include "picket/base/error.h"

static void port_closed(uv_handle_t *handle)
{
    struct spool_port *port = container_of((uv_async_t *)handle, struct spool_port, async);
    struct spool *s = port->spool;
    void (*closed)(void *arg) = port->closed;
    void *arg = port->closed_arg;
    (void)pthread_mutex_lock(&s->lock);
    s->n_ports--;
    (void)pthread_mutex_unlock(&s->lock);
    (void)pthread_mutex_destroy(&port->lock);
    free(port);
    if (closed)
        closed(arg);
}

static void port_close_when_idle(struct spool_port *port)
{
    if (!port->closing || port->in_flight > 0 || uv_is_closing((uv_handle_t *)&port->async))
        return;
    (void)pthread_mutex_lock(&port->lock); /* the commit thread may still be about to wake us for a block that we have taken */
    uv_close((uv_handle_t *)&port->async, port_closed);
    (void)pthread_mutex_unlock(&port->lock);
}

static void port_wake(uv_async_t *async)
{
    struct spool_port *port = container_of(async, struct spool_port, async);
    struct list blocks;
    list_init(&blocks);
    (void)pthread_mutex_lock(&port->lock);
    list_splice(&blocks, &port->done);
    (void)pthread_mutex_unlock(&port->lock);
    for (struct list *it; (it = list_pop(&blocks)) != NULL;) {
        struct spool_block *block = container_of(it, struct spool_block, link);
        struct spool_append *a = block->append;
        int result = block->result;
        free(block);
        port->in_flight--;
        if (!a)
            continue;
        a->block = NULL;
        a->done(a, result);
    }
    port_close_when_idle(port);
}

int spool_port_open(struct spool *s, uv_loop_t *loop, struct spool_port **ret)
{
    struct spool_port *port = calloc(1, sizeof *port);
    if (!port)
        return -ENOMEM;
    int r = uv_async_init(loop, &port->async, port_wake);
    if (r < 0) {
        free(port);
        return r;
    }
    port->spool = s;
    (void)pthread_mutex_init(&port->lock, NULL);
    list_init(&port->done);
    list_init(&port->batch);
    list_init(&port->touched);
    (void)pthread_mutex_lock(&s->lock);
    s->n_ports++;
    (void)pthread_mutex_unlock(&s->lock);
    *ret = port;
    return 0;
}

void spool_port_close(struct spool_port *port, void (*closed)(void *arg), void *arg)
{
    assert(!port->closing);
    port->closing = true;
    port->closed = closed;
    port->closed_arg = arg;
    port_close_when_idle(port);
}

/* Takes room for `bytes`, or says why not. */
static int room_take(struct spool *s, uint64_t project_id, uint64_t bytes, unsigned *ret_slot)
{
    int r = 0;
    int64_t now_us = clock_mono_us();
    (void)pthread_mutex_lock(&s->lock);
    if (s->closing)
        r = -ERR_SPOOL_CLOSED;
    else if (s->refuse_until_us != 0 && now_us < s->refuse_until_us)
        r = -ERR_SPOOL_SEALED;
    else if (s->disk_low || s->bytes + bytes > s->config.max_bytes || s->pending_bytes + bytes > s->config.max_pending_bytes)
        r = -ERR_SPOOL_FULL;
    else if (!door_offer(&s->door, project_id, bytes, s->pending_bytes, now_us))
        r = -ERR_SPOOL_SHARE;
    if (r < 0) {
        s->refused++;
        s->turned_away += r == -ERR_SPOOL_SHARE;
    } else {
        *ret_slot = door_take(&s->door, project_id, bytes, now_us);
        s->bytes += bytes;
        s->pending_bytes += bytes;
    }
    (void)pthread_mutex_unlock(&s->lock);
    return r;
}

int spool_append(struct spool_port *port, struct spool_append *a, const struct spool_record *records, unsigned n)
{
    struct spool *s = port->spool;
    size_t bytes = records_encoded_bytes(records, n);
    if (port->closing)
        return -ERR_SPOOL_CLOSED;
    if (bytes == 0 || bytes > s->config.max_pending_bytes)
        return -ERR_TOO_LARGE;
    unsigned slot = 0;
    int r = room_take(s, records[0].project_id, bytes, &slot);
    if (r < 0)
        return r;
    struct spool_block *block = malloc(sizeof *block + bytes);
    if (!block)
        abort(); /* M4: the size passed a limit */
    block->append = a;
    block->port = port;
    block->slot = slot;
    block->bytes = bytes;
    block->n_records = n;
    records_encode(records, n, block->data);
    assert(!a->block);
    a->block = block;
    port->in_flight++;
    (void)pthread_mutex_lock(&s->lock);
    list_push_back(&s->pending, &block->link);
    s->appends_queued++;
    (void)pthread_cond_signal(&s->has_pending);
    (void)pthread_mutex_unlock(&s->lock);
    return 0;
}

int spool_turns_away(struct spool *s, uint64_t project_id, uint64_t bytes)
{
    int64_t now_us = clock_mono_us();
    (void)pthread_mutex_lock(&s->lock);
    bool away = door_turns_away(&s->door, project_id, bytes, now_us);
    s->turned_away += away;
    (void)pthread_mutex_unlock(&s->lock);
    return away ? -ERR_SPOOL_SHARE : 0;
}

unsigned spool_retry_s(struct spool *s)
{
    (void)pthread_mutex_lock(&s->lock);
    unsigned seconds = door_retry_s(&s->door);
    (void)pthread_mutex_unlock(&s->lock);
    return seconds;
}

void spool_append_cancel(struct spool_append *a)
{
    if (!a->block)
        return;
    a->block->append = NULL;
    a->block = NULL;
}

/* Under the port's lock the loop is woken too (one write to an eventfd): without it the port could be gone before the wake. */
static void port_answer(struct spool_port *port)
{
    (void)pthread_mutex_lock(&port->lock);
    list_splice(&port->done, &port->batch);
    (void)uv_async_send(&port->async); /* fails only on a closing handle, which has nothing in flight */
    (void)pthread_mutex_unlock(&port->lock);
}

void ports_answer(struct list *blocks, int result)
{
    struct list touched;
    list_init(&touched);
    for (struct list *it; (it = list_pop(blocks)) != NULL;) {
        struct spool_block *block = container_of(it, struct spool_block, link);
        block->result = result;
        if (list_empty(&block->port->batch))
            list_push_back(&touched, &block->port->touched);
        list_push_back(&block->port->batch, &block->link);
    }
    for (struct list *it; (it = list_pop(&touched)) != NULL;)
        port_answer(container_of(it, struct spool_port, touched));
}
