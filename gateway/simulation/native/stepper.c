/* stepper.c: the loop of stepper.py over rows, forty times as fast. Calls the FMU's functions through the pointers that it
 * is given, and nothing else: no C library. Built by models/build for each architecture. MIT license. */
#include <stdbool.h>
#include <stddef.h>

typedef int Move2(void *instance, const unsigned *references, size_t count, void *values);
typedef int Move3(void *instance, const unsigned *references, size_t count, void *values, size_t value_count);
typedef int Step2(void *instance, double now, double step, int final);
typedef int Step3(void *instance, double now, double step, bool final, bool *event, bool *terminate, bool *early, double *last);

/* Both as their namesakes in stepper.py. */
typedef struct {
    void *call;
    const unsigned *references;
    size_t count;
    char *address;
    size_t width, values;
} Port;

typedef struct {
    void *instance, *step;
    const double *times;
    const Port *inputs, *records;
    double *reached; /* volatile for whoever watches, yet written once per step anyway */
    size_t input_count, record_count, rows, row;
    double last;
    int status;
    bool is_fmi2, event, terminate, early;
} Loop;

enum { DONE, INPUT, STEP, TERMINATED, EARLY, OUTPUT };

static bool good(int status) { return status == 0 || status == 1; } /* fmi2Status, fmi3Status: OK or a warning */

static bool move(Loop *l, const Port *ports, size_t count, size_t row) {
    for (const Port *p = ports; p < ports + count; p++) {
        void *at = p->address + row * p->width;
        l->status = l->is_fmi2 ? ((Move2 *)p->call)(l->instance, p->references, p->count, at)
                               : ((Move3 *)p->call)(l->instance, p->references, p->count, at, p->values);
        if (!good(l->status)) return false;
    }
    return true;
}

/* Steps to each of the times from `row` on. Returns why it ended; `row` is then where. */
__attribute__((visibility("default"))) int run(Loop *l) {
    for (; l->row < l->rows; l->row++) {
        double now = l->times[l->row - 1], then = l->times[l->row];
        if (!move(l, l->inputs, l->input_count, l->row - 1)) return INPUT;
        l->status = l->is_fmi2 ? ((Step2 *)l->step)(l->instance, now, then - now, 1)
                               : ((Step3 *)l->step)(l->instance, now, then - now, true, &l->event, &l->terminate,
                                                    &l->early, &l->last);
        if (!good(l->status)) return STEP;
        if (l->terminate) return TERMINATED;
        if (l->early) return EARLY;
        if (!move(l, l->records, l->record_count, l->row)) return OUTPUT;
        *l->reached = then;
    }
    return DONE;
}
