/* LiIonCell.c: a voltage source looked up in a table, a resistor and an RC element. */
#include "model.h"

enum { LAST = sizeof((Values *)0)->ocv / sizeof(double) - 1 };

static double look_up(const double table[], double fraction) {
    double place = fmin(fmax(fraction, 0), 1) * LAST;
    int i = place < LAST ? (int)place : LAST - 1;
    return table[i] + (place - i) * (table[i + 1] - table[i]);
}

void evaluate(Values *x) {
    x->der_soc = -x->i / (3600 * x->Q);
    x->der_v_RC = (x->i - x->v_RC / x->R1) / x->C1;
    x->v_oc = look_up(x->ocv, x->soc);
    x->v = x->v_oc - x->R0 * x->i - x->v_RC;
}

bool start(Model *m) {
    for (int i = 0; i < LAST; i++)
        if (m->x.ocv[i + 1] < m->x.ocv[i])
            return complain(m, "ocv falls from %g V to %g V at element %d", m->x.ocv[i], m->x.ocv[i + 1], i + 2);
    return true;
}

Outcome advance(Model *m, double until) { return integrate(m, until); }
