/* fault.h: places where tests make the world fail. fault("spool.write") is 0 in release builds and compiles away. In builds with
 * -Dfault_points=true it returns a negative errno, or kills the process, at the n-th passing that PICKET_FAULT or fault_arm() names. */
#pragma once

enum fault_action { FAULT_ERROR, FAULT_SHORT_WRITE, FAULT_KILL };

#ifdef PICKET_FAULT_POINTS
/* Fails the `nth` (1 = next) passing of `point` with -error (EIO when 0); FAULT_SHORT_WRITE is reported as 1, FAULT_KILL never returns. */
void fault_arm(const char *point, enum fault_action action, unsigned nth, int error);
void fault_disarm(void);
unsigned fault_hits(const char *point); /* how often the point was passed since fault_arm or fault_disarm */
/* 0: go on; <0: fail with this -errno; 1: write only a part. PICKET_FAULT="point:error|short|kill:nth[:errno]" arms one at start; when it
 * strikes, the standard error says "PICKET_FAULT: <point>". */
int fault(const char *point);
#else
static inline int fault(const char *point)
{
    (void)point;
    return 0;
}
#endif
