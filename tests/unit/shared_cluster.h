/* shared_cluster.h: one PostgreSQL for all tests of a program, from its group's set-up to its teardown. */
#pragma once

#include "db_kit.h"

#include "picket/db/migrate.h"

static struct cluster_fixture cluster;

static inline int start_cluster(void **state)
{
    (void)state;
    fixture_make(&cluster);
    fixture_start(&cluster);
    return 0;
}

/* With Picket's tables. */
static inline int start_migrated_cluster(void **state)
{
    struct kit k;
    struct db_migration_report report;
    (void)start_cluster(state);
    kit_make_loop(&k);
    assert_int_equal(db_migrate(&k.loop, fixture_conninfo(&cluster), KIT_LIMIT_MS, NULL, &report), 0);
    kit_close_loop(&k);
    return 0;
}

static inline int stop_cluster(void **state)
{
    (void)state;
    fixture_remove(&cluster);
    return 0;
}
