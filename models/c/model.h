/* model.h: what a model, the solver and the FMI shim know of each other. MIT license. */
#ifndef MODEL_H
#define MODEL_H

#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "variables.h" /* generated: Values, MODEL_NAME, TOKEN, STATES, EVENT_INDICATORS */

typedef enum {
    FLOAT32, FLOAT64, INT8, UINT8, INT16, UINT16, INT32, UINT32, INT64, UINT64, BOOLEAN, STRING
} Type;

typedef enum { NEVER, AT_START, ALWAYS } Settable;

/* A variable's value reference is its index in VARIABLES; an array's elements stand one after the other. */
typedef struct {
    const char *name;
    Type type;
    Settable settable;
    size_t offset, count; /* in Values; number of elements, for STRING its capacity */
    double min, max;
} Variable;

typedef struct {
    size_t offset, derivative; /* in Values */
    double nominal;
} State;

extern const Values START;
extern const Variable VARIABLES[VARIABLE_COUNT];
extern const State STATE[STATES + 1];
extern const size_t INDICATOR[EVENT_INDICATORS + 1]; /* in Values: an event is where one of them crosses zero */

typedef struct {
    double time, state[STATES + 1];
} Point;

typedef struct {
    Values x;
    Point base, next;    /* the solver's own grid: x lies between these two */
    double step;         /* s, the solver's next step */
    bool running;        /* the start values are final */
    bool stale;          /* something was set since the last evaluate() */
    bool restart;        /* ... and the solver has to begin again at x */
    void *environment;   /* the importer's */
    const void *logger;  /* the importer's */
    char name[64];       /* of the instance */
} Model;

typedef enum { DONE, STOPPED, FAILED } Outcome;

/* Defined by each model. */
void evaluate(Values *x);                    /* derivatives and outputs from time, states, inputs, parameters */
bool start(Model *model);                    /* once the start values are set; false: complained */
Outcome advance(Model *model, double until); /* co-simulation: from x.time to exactly `until`, s */
#if EVENT_INDICATORS
bool handle_event(Values *x); /* true: it changed a state */
#endif

/* solver.c: `advance` for a model that is only an ordinary differential equation. */
Outcome integrate(Model *model, double until);
Point here(const Model *model);

/* model.c */
Model *create(const char *name, const char *token);
void reset(Model *model);
bool get_values(Model *m, const uint32_t vr[], size_t n, Type type, void *values, size_t n_values);
bool set_values(Model *m, const uint32_t vr[], size_t n, Type type, const void *values, size_t n_values);
bool set_string(Model *m, uint32_t vr, const char *value);
const char *get_string(Model *m, uint32_t vr); /* NULL: complained */
Outcome do_step(Model *m, double from, double step);
void refresh(Model *m);
double *real(Values *x, size_t offset);
bool complain(Model *m, const char *format, ...); /* logs an error; always false */

/* Defined by the FMI shim: hands a text to the importer's logger. */
void log_error(Model *m, const char *text);

#endif
