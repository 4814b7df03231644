/* Exits.c: ends its process with the exit code of success. */
#include <stdlib.h>

#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    if (until > m->x.exit_at) exit(0);
    return DONE;
}
