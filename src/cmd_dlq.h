/* cmd_dlq.h: what the verbs of `picket dlq` share. Private to cmd_dlq*.c. */
#pragma once

#include "cmd.h"
#include "picket/digest/spill.h"

enum { DLQ_LETTERS_MAX = 1000 };

/* What retry and drop are asked to do. */
struct dlq_wanted {
    const char *arguments[DLQ_LETTERS_MAX];
    int64_t numbers[DLQ_LETTERS_MAX];
    size_t n; /* 0: all */
    int64_t project;
};
/* `numbers` is the caller's to end with db_array_done() when the query is answered. */
void dlq_bind_wanted(struct db_query *q, const struct dlq_wanted *wanted, struct db_array *numbers);
int dlq_explain(int r, const struct db_query *q); /* tells it; EXIT_FAILED */

struct dlq_files {            /* ascending by number */
    struct spill_name *names; /* the caller's to free */
    size_t n;
};
void dlq_load_files(const struct config *config, struct dlq_files *ret); /* none, and why is told, when they cannot be read */
/* Leaves out the files whose record has a row. */
MUST_CHECK int dlq_without_rows(struct db *db, struct dlq_files *f);
/* Are they asked for, by number, by project or as all? */
bool dlq_is_wanted(const struct config *config, const struct dlq_wanted *wanted, const struct spill_name *name);

int dlq_retry(const struct config *config, const struct dlq_wanted *wanted); /* exit code */
