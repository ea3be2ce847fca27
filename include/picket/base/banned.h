/* banned.h: calls that foreign bytes must never meet (style, smell 31). Included by the compiler's command line before everything, so it
 * only poisons names after the system headers that mention them. rand, srand and system are members of other libraries' structs, so `make lint`
 * looks for those. */
#pragma once

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#undef sprintf /* macros in clang's fortified headers */
#undef vsprintf
#pragma GCC poison strcpy strcat strncat strtok sprintf vsprintf gets atoi atol atoll popen
