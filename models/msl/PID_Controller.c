/* PID_Controller.c: a PID controller with limited output and anti-windup, and two inertias on an elastic shaft. */
#include "model.h"

static void control(Values *x) {
    double derivative = x->Nd * (-x->w_motor - x->x_D);
    double wish = x->k * (x->w_P * x->w_ref - x->w_motor + x->x_I + derivative);
    x->tau = fmin(fmax(wish, -x->tau_max), x->tau_max);
    x->der_x_I = (x->w_ref - x->w_motor + (x->tau - wish) / (x->k * x->Ni)) / x->Ti;
    x->der_x_D = derivative / x->Td;
}

void evaluate(Values *x) {
    control(x);
    double shaft = x->c * x->twist + x->d * (x->w_motor - x->w_load);
    x->der_w_motor = (x->tau - shaft) / x->J1;
    x->der_w_load = (shaft - x->tau_load) / x->J2;
    x->der_twist = x->w_motor - x->w_load;
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) { return integrate(m, until); }
