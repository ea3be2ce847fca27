/* tree.h: directories of tests, emptied and compared. */
#pragma once

#include <stdbool.h>

#include "picket/base/macros.h"

void tree_clear(const char *dir); /* the directory itself stays */
enum tree_look { TREE_BYTES, TREE_TIMES };
/* The same names with the same bytes; TREE_TIMES: and of files also the same times of change. */
MUST_CHECK bool tree_equal(const char *a, const char *b, enum tree_look look);
