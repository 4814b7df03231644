/* Crashes.c: a segmentation fault once crash_at is passed. */
#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    if (until > m->x.crash_at) *(volatile int *)8 = 1;
    return DONE;
}
