/* HeatedRoom.c: air and wall as two heat capacities, and a heater with a proportional controller. */
#include "model.h"

void evaluate(Values *x) {
    double to_room = x->G_in * (x->T_wall - x->T_room);
    x->Q_heat = fmin(fmax(x->K_heat * (x->T_set - x->T_room), 0), x->Q_max);
    x->der_T_room = (x->Q_heat + x->A_sun * x->q_sun + to_room + x->G_win * (x->T_out - x->T_room)) / x->C_air;
    x->der_T_wall = (x->G_out * (x->T_out - x->T_wall) - to_room) / x->C_wall;
    x->der_E_heat = x->Q_heat;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
