/* tree.h: directories of tests, emptied and compared. */
#pragma once

#include <stdbool.h>

#include "picket/base/macros.h"

void tree_clear(const char *dir); /* the directory itself stays */
/* The same names with the same bytes. */
MUST_CHECK bool tree_equal(const char *a, const char *b);
