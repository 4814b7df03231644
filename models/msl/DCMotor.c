/* DCMotor.c: armature circuit and rotor. */
#include "model.h"

void evaluate(Values *x) {
    x->tau = x->k * x->i;
    x->der_i = (x->u - x->R * x->i - x->k * x->w) / x->L;
    x->der_w = (x->tau - x->b * x->w - x->tau_load) / x->J;
    x->der_phi = x->w;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
