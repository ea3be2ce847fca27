/* unreal.h: the archive that Unreal Engine's crash reporter sends (protocol §1.6 "Unreal"), after its zlib is undone. A pull parser that copies
 * nothing. Pure; any thread. */
#pragma once

#include "picket/base/str.h"

enum { UNREAL_MAX_FILES = 100, UNREAL_MAX_NAME = 4096 };

struct unreal {
    struct str rest; /* what is not read yet */
    uint32_t left;   /* files to come */
};
struct unreal_file {
    struct str name; /* as sent, without its padding */
    struct str content;
};

/* -ERR_BAD_UNREAL: cut short, lengths that are none, too many files. */
MUST_CHECK int unreal_open(struct str archive, struct unreal *ret);
/* 1: *ret filled; 0: that was all; -ERR_BAD_UNREAL. */
MUST_CHECK int unreal_next(struct unreal *u, struct unreal_file *ret);
