/* Noisy.c: prints in every step. */
#include <stdio.h>

#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    if (until > m->x.loud_at) {
        printf("{\"noise\": %g}\n", until);
        fprintf(stderr, "noise at %g\n", until);
        fflush(stdout);
    }
    return DONE;
}
