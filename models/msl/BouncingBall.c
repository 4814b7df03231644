/* BouncingBall.c: exact flight between bounces; the ball rests once it leaves the floor slower than v_min. */
#include "model.h"

void evaluate(Values *x) {
    x->der_h = x->v;
    x->der_v = x->at_rest ? 0 : -x->g;
    x->gap = x->at_rest ? 1 : x->h;
}

static void bounce(Values *x, double impact_speed) {
    x->h = 0;
    x->v = x->e * impact_speed;
    x->bounces++;
    /* Without this the bounces would come ever faster and never end (Zeno). */
    if (x->v < x->v_min) x->at_rest = true, x->v = 0;
}

bool start(Model *m) {
    m->x.at_rest = m->x.h == 0 && m->x.v == 0;
    m->x.bounces = 0;
    m->base = here(m);
    return true;
}

Outcome advance(Model *m, double until) {
    Values *x = &m->x;
    while (!x->at_rest) {
        double h = m->base.state[0], v = m->base.state[1];
        double impact_speed = sqrt(v * v + 2 * x->g * h);
        double impact = m->base.time + (v + impact_speed) / x->g;
        if (impact > until) {
            double t = until - m->base.time;
            x->h = fmax(0, h + t * (v - x->g / 2 * t));
            x->v = v - x->g * t;
            break;
        }
        x->time = impact;
        bounce(x, impact_speed);
        m->base = here(m);
    }
    x->time = until;
    return DONE;
}

bool handle_event(Values *x) {
    /* An integrator finds the floor a rounding error above or below zero. */
    if (x->at_rest || x->v >= 0 || x->h > 1e-9) return false;
    bounce(x, -x->v);
    return true;
}
