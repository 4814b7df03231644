/* VanDerPol.c: an oscillator whose damping is negative for small swings and positive for large ones. */
#include "model.h"

void evaluate(Values *x) {
    x->der_x0 = x->x1;
    x->der_x1 = x->mu * (1 - x->x0 * x->x0) * x->x1 - x->x0;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
