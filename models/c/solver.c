/* solver.c: explicit Runge-Kutta 5(4) of Dormand and Prince (J. Comp. Appl. Math. 6, 1980, p. 23). MIT license.
 *
 * The solver walks on its own grid of adaptive steps base -> next. A time asked for between the two is one shorter step
 * from base, which leaves the grid alone: so the solution does not depend on when it is looked at, unless an input changed.
 */
#include "model.h"

static const double TOLERANCE = 1e-11; /* relative to |state| + nominal, per step: far below any plot or KPI */
static const double FIRST_STEP = 1e-6; /* s; it grows fivefold per step, so a wrong guess costs little */

static const double A[7][6] = {
    {0},
    {1. / 5},
    {3. / 40, 9. / 40},
    {44. / 45, -56. / 15, 32. / 9},
    {19372. / 6561, -25360. / 2187, 64448. / 6561, -212. / 729},
    {9017. / 3168, -355. / 33, 46732. / 5247, 49. / 176, -5103. / 18656},
    {35. / 384, 0, 500. / 1113, 125. / 192, -2187. / 6784, 11. / 84},
};
static const double C[7] = {0, 1. / 5, 3. / 10, 4. / 5, 8. / 9, 1, 1};
static const double E[7] = {71. / 57600, 0, -71. / 16695, 71. / 1920, -17253. / 339200, 22. / 525, -1. / 40};

Point here(const Model *m) {
    Point p = {.time = m->x.time};
    for (int i = 0; i < STATES; i++) p.state[i] = *real((Values *)&m->x, STATE[i].offset);
    return p;
}

/* Puts x one step of h behind base. With `error` also fills that in: 1 is just acceptable. */
static void runge_kutta(Model *m, double h, double *error) {
    double k[7][STATES + 1];
    Values *x = &m->x;
    for (int s = 0; s < (error ? 7 : 6); s++) {
        x->time = m->base.time + C[s] * h;
        for (int i = 0; i < STATES; i++) {
            double sum = 0;
            for (int j = 0; j < s; j++) sum += A[s][j] * k[j][i];
            *real(x, STATE[i].offset) = m->base.state[i] + h * sum;
        }
        evaluate(x);
        for (int i = 0; i < STATES; i++) k[s][i] = *real(x, STATE[i].derivative);
    }
    x->time = m->base.time + h;
    if (error) *error = 0;
    for (int i = 0; i < STATES; i++) {
        double sum = 0, difference = 0;
        for (int j = 0; j < 6; j++) sum += A[6][j] * k[j][i];
        *real(x, STATE[i].offset) = m->base.state[i] + h * sum;
        if (!error) continue;
        for (int j = 0; j < 7; j++) difference += E[j] * k[j][i];
        double relative = fabs(h * difference) / (TOLERANCE * (fabs(m->base.state[i]) + STATE[i].nominal));
        if (!(relative <= *error)) *error = relative; /* so that NaN is kept */
    }
}

/* Finds next: the end of a step from base that is accurate enough. */
static bool find_next(Model *m) {
    for (;;) {
        double error, h = m->step;
        if (m->base.time + h == m->base.time) return false;
        runge_kutta(m, h, &error);
        /* error^(-1/4) by square roots: exp and pow differ between C libraries, sqrt does not. */
        double factor = error > 0 ? 0.8 / sqrt(sqrt(error)) : 5;
        m->step = h * (factor < 5 ? (factor > 0.2 ? factor : 0.2) : (error >= 0 ? 5 : 0.2));
        if (!(error <= 1)) continue;
        m->next = here(m);
        return true;
    }
}

Outcome integrate(Model *m, double until) {
    if (m->restart) {
        double last = m->next.time - m->base.time; /* not m->step, or standing still would grow it without end */
        m->step = last > 0 ? last : FIRST_STEP;
        m->base = m->next = here(m);
        m->restart = false;
    }
    while (m->next.time < until) {
        m->base = m->next;
        if (!find_next(m)) {
            complain(m, "no accurate solution beyond t = %g s", m->base.time);
            return FAILED;
        }
    }
    runge_kutta(m, until - m->base.time, NULL);
    m->x.time = until;
    return DONE;
}
