/* Driven.c: integrates its inputs, the continuous one and the discrete ones. */
#include "model.h"

void evaluate(Values *x) {
    x->der_area = x->u;
    x->der_count = x->on ? x->k : 0;
    x->twice = 2 * x->u;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
