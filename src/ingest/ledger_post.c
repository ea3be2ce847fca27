/* ledger_post.c: see the header. What the spool does not take waits, with the id that it got; the ledger goes on counting meanwhile, within its bounds. */
#include "ledger_post.h"

#include <stdlib.h>

#include "picket/base/clock.h"

static void on_durable(struct spool_append *append, int r)
{
    struct ledger_post *p = container_of(append, struct ledger_post, append);
    p->running = false;
    if (r == 0)
        buf_clear(&p->taken); /* else it is tried again */
}

void ledger_post(struct ledger_post *p, struct spool_port *port)
{
    int64_t now_us = clock_wall_us();
    if (p->running)
        return;
    if (p->taken.n == 0) {
        if (!ledger_take(p->ledger, &p->taken))
            return;
        p->id = id_v7(now_us);
    }
    struct spool_record record = {
        .id = p->id, .received_us = now_us, .kind = SPOOL_OUTCOMES, .meta = STR("{}"), .payload = buf_str(&p->taken)};
    p->append.done = on_durable;
    p->running = spool_append(port, &p->append, &record, 1) == 0;
}

void ledger_post_settle(struct ledger_post *p, struct spool *spool)
{
    uv_loop_t loop;
    struct spool_port *port;
    if (uv_loop_init(&loop) < 0)
        abort();
    if (spool_port_open(spool, &loop, &port) == 0) {
        ledger_post(p, port); /* what an earlier try left */
        uv_run(&loop, UV_RUN_NOWAIT);
        while (p->running)
            uv_run(&loop, UV_RUN_ONCE);
        ledger_post(p, port);
        spool_port_close(port, NULL, NULL); /* answers first */
        uv_run(&loop, UV_RUN_DEFAULT);
    }
    int r = uv_loop_close(&loop);
    assert(r == 0);
}

void ledger_post_done(struct ledger_post *p)
{
    buf_done(&p->taken);
}
