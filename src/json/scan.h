/* scan.h: finding values in a text by brackets and quotes alone, without the library. What is right JSON is the parser's to say. Private
 * to json. */
#pragma once

#include "picket/base/str.h"

struct str scan_without_bom(struct str text);
size_t scan_space(struct str s, size_t i);  /* offset of the first byte from `i` on that is no space */
size_t scan_string(struct str s, size_t i); /* offset behind the string whose quote is at `i`, or s.n */
size_t scan_scalar(struct str s, size_t i); /* offset behind the number or word at `i` */
/* Offset behind the value that starts at `i`. False when the text ends within brackets. */
bool scan_value(struct str s, size_t i, size_t *ret);
