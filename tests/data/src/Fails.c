/* Fails.c: reports an error once fail_at is passed. */
#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    if (until <= m->x.fail_at) return DONE;
    complain(m, "this model fails after %g s, as it was asked to", m->x.fail_at);
    return FAILED;
}
