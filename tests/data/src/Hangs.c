/* Hangs.c: never comes back once hang_at is passed. */
#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    for (volatile bool forever = until > m->x.hang_at; forever;) continue;
    return DONE;
}
