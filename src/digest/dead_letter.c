/* dead_letter.c: see the header. Lists show the head, everything else the whole. */
#include "picket/digest/dead_letter.h"

struct str dead_letter_item_type(enum spool_kind kind)
{
    switch (kind) {
    case SPOOL_EVENT:
        return STR("event");
    case SPOOL_CLIENT_REPORT:
        return STR("client_report");
    case SPOOL_SESSION:
        return STR("session");
    case SPOOL_SESSIONS:
        return STR("sessions");
    case SPOOL_FEEDBACK:
        return STR("feedback");
    case SPOOL_USER_REPORT:
        return STR("user_report");
    case SPOOL_ATTACHMENT:
        return STR("picket_attachment"); /* its bytes are elsewhere: no server takes this as an item */
    case SPOOL_CHECK_IN:
        return STR("check_in");
    case SPOOL_OUTCOMES:
        return STR("picket_outcomes");
    }
    return STR("picket_unknown"); /* of a newer release */
}

static int64_t time_or_0(const struct db_rows *rows, int row, int col)
{
    return db_is_null(rows, row, col) ? 0 : db_time(rows, row, col);
}

void dead_letter_head(const struct db_rows *rows, int row, int col, struct dead_letter *ret)
{
    *ret = (struct dead_letter){
        .number = db_i64(rows, row, col),
        .project = db_i64(rows, row, col + 1),
        .event = db_id(rows, row, col + 2),
        .status = db_text(rows, row, col + 3),
        .reason = db_text(rows, row, col + 4),
        .sqlstate = db_text(rows, row, col + 5),
        .detail = db_text(rows, row, col + 6),
        .position = db_is_null(rows, row, col + 7) ? -1 : db_i64(rows, row, col + 7),
        .attempts = db_i64(rows, row, col + 8),
        .received_us = db_time(rows, row, col + 9),
        .first_failed_us = db_time(rows, row, col + 10),
        .last_failed_us = db_time(rows, row, col + 11),
        .stored_us = time_or_0(rows, row, col + 12),
        .kind = (enum spool_kind)db_i64(rows, row, col + 13),
    };
}

void dead_letter_whole(const struct db_rows *rows, struct dead_letter *ret, struct str *ret_payload)
{
    dead_letter_head(rows, 0, 0, ret);
    ret->record = db_id(rows, 0, 14);
    ret->sent_at_us = time_or_0(rows, 0, 15);
    ret->address = db_text(rows, 0, 16);
    ret->meta = db_bytes(rows, 0, 17);
    ret->key = db_is_null(rows, 0, 19) ? 0 : db_i64(rows, 0, 19);
    ret->counted_as = db_is_null(rows, 0, 20) ? -1 : db_i64(rows, 0, 20);
    *ret_payload = db_bytes(rows, 0, 18);
}

static void put_text(struct json_writer *w, struct str key, struct str v)
{
    if (v.n)
        json_field_str(w, key, v);
    else
        json_field_null(w, key);
}

static void put_time(struct json_writer *w, struct str key, int64_t us)
{
    if (us)
        json_field_time(w, key, us);
    else
        json_field_null(w, key);
}

static void put_uuid(struct json_writer *w, struct str key, const struct id128 *id)
{
    char text[ID_DASHED + 1];
    id_dashed(id, text);
    json_field_str(w, key, str_of(text, ID_DASHED));
}

void dead_letter_put_head(struct json_writer *w, const struct dead_letter *l)
{
    json_field_i64(w, STR("id"), l->number);
    json_field_i64(w, STR("project_id"), l->project);
    put_uuid(w, STR("event_id"), &l->event);
    json_field_str(w, STR("item_type"), dead_letter_item_type(l->kind));
    json_field_str(w, STR("status"), l->status);
    json_field_str(w, STR("reason"), l->reason);
    put_text(w, STR("sqlstate"), l->sqlstate);
    put_text(w, STR("detail"), l->detail);
    if (l->position >= 0)
        json_field_i64(w, STR("position"), l->position);
    else
        json_field_null(w, STR("position"));
    json_field_i64(w, STR("attempts"), l->attempts);
    json_field_time(w, STR("received_at"), l->received_us);
    json_field_time(w, STR("first_failed_at"), l->first_failed_us);
    json_field_time(w, STR("last_failed_at"), l->last_failed_us);
    put_time(w, STR("stored_at"), l->stored_us);
}

void dead_letter_put_whole(struct json_writer *w, const struct dead_letter *l)
{
    dead_letter_put_head(w, l);
    put_uuid(w, STR("record_id"), &l->record);
    json_field_i64(w, STR("kind"), l->kind); /* a file becomes a row by it, though this release may have no name for it */
    put_time(w, STR("sent_at"), l->sent_at_us);
    put_text(w, STR("remote_addr"), l->address);
    if (l->key)
        json_field_i64(w, STR("key_id"), l->key);
    else
        json_field_null(w, STR("key_id"));
    if (l->counted_as >= 0)
        json_field_i64(w, STR("counted_as"), l->counted_as);
    else
        json_field_null(w, STR("counted_as"));
}
