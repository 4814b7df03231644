/* ChuaCircuit.c: two capacitors, an inductor and a diode with negative slope. */
#include "model.h"

void evaluate(Values *x) {
    double between = x->G * (x->v2 - x->v1);
    double diode = x->Gb * x->v1 + 0.5 * (x->Ga - x->Gb) * (fabs(x->v1 + x->V_E) - fabs(x->v1 - x->V_E));
    x->der_v1 = (between - diode) / x->C1;
    x->der_v2 = (x->i_L - between) / x->C2;
    x->der_i_L = -(x->v2 + x->R_L * x->i_L) / x->L;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
