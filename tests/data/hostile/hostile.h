/* hostile.h: what the model is made of, and when a fault of it may strike. MIT license. */
#include <stddef.h>

#include "fmi2FunctionTypes.h"

/* STEP: in doStep or, in model exchange, in the derivatives. EVENT: when discrete states are updated. */
typedef enum { NEVER, LOAD, INSTANTIATE, SETUP, ENTER, INIT, STEP, EVENT, GET, TERMINATE, FREE, UNLOAD } When;

typedef struct {
    double time, y, got;
    char fault[40];
    fmi2CallbackFunctions call;
    fmi2Component environment;
    double *out;              /* where the values that are asked for go */
    int again, ends, early;   /* what it says of a step or an event */
    double next, last;        /* time of the next event, 0 if there is none; until when the step was right */
} M;

int at(When when, M *m); /* the status of the fault, if it strikes now */
