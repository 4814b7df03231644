/* Hungry.c: takes memory and touches it, without end, once eat_at is passed. */
#include <stdlib.h>
#include <string.h>

#include "model.h"

void evaluate(Values *x) { x->y = x->time; }

bool start(Model *m) { return m != NULL; }

Outcome advance(Model *m, double until) {
    const size_t bite = 1 << 20;
    m->x.time = until;
    while (until > m->x.eat_at) {
        char *memory = malloc(bite);
        if (!memory) {
            complain(m, "out of memory");
            return FAILED;
        }
        memset(memory, 1, bite);
        __asm__ volatile("" : : "r"(memory) : "memory"); /* or the compiler drops all three lines */
    }
    return DONE;
}
