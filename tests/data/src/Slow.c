/* Slow.c: sleeps in every step. */
#define _POSIX_C_SOURCE 199309L
#include <time.h>

#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    struct timespec pause = {.tv_sec = (time_t)m->x.pause};
    pause.tv_nsec = (long)((m->x.pause - (double)pause.tv_sec) * 1e9);
    if (m->x.pause > 0) nanosleep(&pause, NULL);
    m->x.time = until;
    return DONE;
}
