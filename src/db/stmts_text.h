/* stmts_text.h: the texts behind enum db_stmt and the migrations, embedded from sql/ at build time (sql/embed.py). */
#pragma once

#include "stmts.h"

struct stmt_text {
    const char *name, *sql;
};
struct stmt_migration {
    int number;
    const char *name, *sql;
};
extern const struct stmt_text stmt_texts[STMT_COUNT];
extern const struct stmt_migration stmt_migrations[];
extern const int stmt_n_migrations;
