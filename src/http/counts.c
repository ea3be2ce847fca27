/* counts.c: what the workers count, and its text. An answer counts when it begins: who has it finds it counted. */
#include "internal.h"

static const char *const kinds[] = {[CALL_INGEST] = "ingest", [CALL_API] = "api", [CALL_NO_ROUTE] = "none"};

void count_answer(struct worker *w, enum call_kind kind, int status)
{
    metric_add(&w->counts->answers[kind][answer_index(status)], 1);
}

static void put_answers(struct metric_text *t, enum call_kind kind, unsigned status, uint64_t n)
{
    char text[16] = "other";
    if (status < ANSWER_STATUSES)
        (void)snprintf(text, sizeof text, "%d", answer_status(status)); /* three digits */
    const struct metric_label labels[] = {{"kind", str_from(kinds[kind])}, {"code", str_from(text)}};
    if (n) /* most never occur */
        metric_put(t, labels, ARRAY_LEN(labels), n, 0);
}

static void put_requests(const struct http_server *s, struct metric_text *t)
{
    metric_family(t, "picket_http_requests_total", METRIC_COUNTER,
                  "Requests that were answered, by the status of the answer and by whose route it was.");
    for (unsigned kind = 0; kind < CALL_KINDS; kind++) {
        for (unsigned status = 0; status <= ANSWER_STATUSES; status++) {
            uint64_t n = 0;
            for (unsigned i = 0; i < s->config.threads; i++)
                n += metric_read(&s->workers[i].counts->answers[kind][status]);
            put_answers(t, (enum call_kind)kind, status, n);
        }
    }
}

void http_put_metrics(const struct http_server *s, struct metric_text *t)
{
    uint64_t begun = 0, over = 0, accepted = 0, connections = 0;
    for (unsigned i = 0; i < s->config.threads; i++) {
        const struct counts *c = s->workers[i].counts;
        over += metric_read(&c->over);
        begun += metric_read(&c->begun);
        accepted += metric_read(&c->accepted);
        connections += metric_read(&c->connections);
    }
    put_requests(s, t);
    metric_put_one(t, "picket_http_requests_in_flight", METRIC_GAUGE, "Requests that have arrived and are not answered to their end.",
                   begun > over ? begun - over : 0, 0);
    metric_put_one(t, "picket_http_connections", METRIC_GAUGE, "Open connections.", connections, 0);
    metric_put_one(t, "picket_http_connections_accepted_total", METRIC_COUNTER, "Connections that were accepted.", accepted, 0);
    metric_put_one(t, "picket_http_bodies_bytes", METRIC_GAUGE, "What bodies in flight hold, in memory and in files, as sent and decoded.",
                   atomic_load(&s->body_bytes), 0);
    metric_put_one(t, "picket_http_bodies_memory_bytes", METRIC_GAUGE, "The part of arriving bodies that is not in files.",
                   atomic_load(&s->memory_bytes), 0);
}

void http_db_collect(const struct http_server *s, struct db_reading *ret)
{
    for (unsigned i = 0; i < s->config.threads; i++)
        db_collect(&s->workers[i].counts->db, ret);
}
