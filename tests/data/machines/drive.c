/* drive.c: a co-simulation from start to stop through the shipped loop, for a machine that has no Python.
 *
 *     drive <2|3> <library.so> <stepper.so> <guid or token> <start> <stop> <steps> <value reference> ...
 *
 * Writes the rows (time, then one double per value reference, all Float64) to stdout as raw bytes; exits 1 with a word
 * on stderr. MIT license. */
#include <dlfcn.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fmi2FunctionTypes.h"
#include "fmi3FunctionTypes.h"

/* As in native/stepper.c. */
typedef struct { void *call; const unsigned *references; size_t count; char *address; size_t width, values; } Port;
typedef struct {
    void *instance, *step;
    const double *times;
    const Port *inputs, *records;
    double *reached;
    size_t input_count, record_count, rows, row;
    double last;
    int status;
    bool is_fmi2, event, terminate, early;
} Loop;

static void fail(const char *what) {
    fprintf(stderr, "%s: %s\n", what, dlerror());
    exit(1);
}

static void *find(void *library, const char *name) {
    void *found = dlsym(library, name);
    if (!found) fail(name);
    return found;
}

static void log2_(fmi2ComponentEnvironment e, fmi2String n, fmi2Status s, fmi2String c, fmi2String m, ...) {
    (void)e, (void)n, (void)s, (void)c;
    fprintf(stderr, "%s\n", m);
}

static void log3(fmi3InstanceEnvironment e, fmi3Status s, fmi3String c, fmi3String m) {
    (void)e, (void)s, (void)c;
    fprintf(stderr, "%s\n", m);
}

static void *begin2(void *library, const char *guid, double start, double stop) {
    static fmi2CallbackFunctions callbacks = {log2_, calloc, free, NULL, NULL};
    fmi2Component c = ((fmi2InstantiateTYPE *)find(library, "fmi2Instantiate"))(
        "drive", fmi2CoSimulation, guid, "", &callbacks, fmi2False, fmi2False);
    if (!c || ((fmi2SetupExperimentTYPE *)find(library, "fmi2SetupExperiment"))(c, fmi2False, 0, start, fmi2True, stop) ||
        ((fmi2EnterInitializationModeTYPE *)find(library, "fmi2EnterInitializationMode"))(c) ||
        ((fmi2ExitInitializationModeTYPE *)find(library, "fmi2ExitInitializationMode"))(c))
        fail("initialization");
    return c;
}

static void *begin3(void *library, const char *token, double start, double stop) {
    fmi3Instance c = ((fmi3InstantiateCoSimulationTYPE *)find(library, "fmi3InstantiateCoSimulation"))(
        "drive", token, "", false, false, false, false, NULL, 0, NULL, log3, NULL);
    if (!c ||
        ((fmi3EnterInitializationModeTYPE *)find(library, "fmi3EnterInitializationMode"))(c, false, 0, start, true, stop) ||
        ((fmi3ExitInitializationModeTYPE *)find(library, "fmi3ExitInitializationMode"))(c))
        fail("initialization");
    return c;
}

int main(int argc, char **argv) {
    if (argc < 9) return 1;
    bool is_fmi2 = argv[1][0] == '2';
    void *library = dlopen(argv[2], RTLD_NOW), *stepper = dlopen(argv[3], RTLD_NOW);
    if (!library || !stepper) fail("dlopen");
    double start = atof(argv[5]), stop = atof(argv[6]);
    size_t steps = strtoul(argv[7], NULL, 10), count = argc - 8, rows = steps + 1;
    unsigned *references = calloc(count, sizeof *references);
    double *times = calloc(rows, sizeof *times), *values = calloc(rows * count, sizeof *values), reached = 0;
    for (size_t i = 0; i < count; i++) references[i] = strtoul(argv[8 + i], NULL, 10);
    for (size_t i = 0; i < rows; i++) times[i] = i == steps ? stop : start + i * ((stop - start) / steps);
    void *instance = (is_fmi2 ? begin2 : begin3)(library, argv[4], start, stop);
    void *get = find(library, is_fmi2 ? "fmi2GetReal" : "fmi3GetFloat64");
    Port port = {get, references, count, (char *)values, count * sizeof *values, count};
    int status = is_fmi2 ? ((fmi2GetRealTYPE *)get)(instance, references, count, values)
                         : ((fmi3GetFloat64TYPE *)get)(instance, references, count, values, count);
    Loop loop = {.instance = instance, .step = find(library, is_fmi2 ? "fmi2DoStep" : "fmi3DoStep"), .times = times,
                 .records = &port, .record_count = 1, .reached = &reached, .rows = rows, .row = 1, .is_fmi2 = is_fmi2};
    if (status || ((int (*)(Loop *))find(stepper, "run"))(&loop)) fail("a step");
    for (size_t i = 0; i < rows; i++) {
        fwrite(times + i, sizeof *times, 1, stdout);
        fwrite(values + i * count, sizeof *values, count, stdout);
    }
    return fclose(stdout) ? 1 : 0;
}
