/* Types.c: outputs of every type, made from parameters of every type. */
#include "model.h"

#include <string.h>

enum { OFF = 1, RISING, FALLING };

void evaluate(Values *x) {
    static const double SIGN[] = {[OFF] = 0, [RISING] = 1, [FALLING] = -1};
    x->mode_now = x->enabled ? x->mode : OFF;
    x->y = SIGN[x->mode_now] * x->gain * x->u * x->time;
    x->y_single = (float)x->y;
    x->n = x->count * (int32_t)(10 * x->time + 0.5);
    x->big = (int64_t)x->n * x->n * x->n * x->n * x->n;
    x->small = (uint8_t)x->n;
    x->late = x->time >= 0.5;
    for (int i = 0; i < 3; i++) x->vector[i] = x->weights[i] * x->y;
    memcpy(x->text, x->label, sizeof x->text);
}

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    m->x.time = until;
    return DONE;
}
