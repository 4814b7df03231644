/* others.c: the hostile model of hostile.c by its other interfaces: FMI 2.0 model exchange, and FMI 3.0. In model exchange
 * y is the only state and its derivative is 1. MIT license. */
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>

#include "hostile.h"

static int derive(M *m, double *derivatives) {
    m->out = derivatives;
    *derivatives = 1;
    return m->time >= 0.5 ? at(STEP, m) : fmi2OK;
}
static int update(M *m) {
    m->again = m->ends = 0;
    m->next = 0;
    return at(EVENT, m);
}

/* ---- FMI 2.0, model exchange ---- */

fmi2Status fmi2SetTime(fmi2Component c, fmi2Real time) { return ((M *)c)->time = time, fmi2OK; }
fmi2Status fmi2SetContinuousStates(fmi2Component c, const fmi2Real x[], size_t n) { return ((M *)c)->y = *x, fmi2OK; }
fmi2Status fmi2GetContinuousStates(fmi2Component c, fmi2Real x[], size_t n) { return *x = ((M *)c)->y, fmi2OK; }
fmi2Status fmi2GetNominalsOfContinuousStates(fmi2Component c, fmi2Real x[], size_t n) { return *x = 1, fmi2OK; }
fmi2Status fmi2GetDerivatives(fmi2Component c, fmi2Real dx[], size_t n) { return derive(c, dx); }
fmi2Status fmi2GetEventIndicators(fmi2Component c, fmi2Real z[], size_t n) { return fmi2OK; }
fmi2Status fmi2EnterEventMode(fmi2Component c) { return fmi2OK; }
fmi2Status fmi2EnterContinuousTimeMode(fmi2Component c) { return fmi2OK; }
fmi2Status fmi2CompletedIntegratorStep(fmi2Component c, fmi2Boolean final, fmi2Boolean *event, fmi2Boolean *ends) {
    return *event = *ends = fmi2False, fmi2OK;
}
fmi2Status fmi2NewDiscreteStates(fmi2Component c, fmi2EventInfo *info) {
    M *m = c;
    int status = update(m);
    *info = (fmi2EventInfo){m->again, m->ends, fmi2False, fmi2False, m->next != 0, m->next};
    return status;
}

/* ---- FMI 3.0 ---- */

const char *fmi3GetVersion(void) { return "3.0"; }
void *fmi3InstantiateCoSimulation(void) { M *m = calloc(1, sizeof *m); return at(INSTANTIATE, m) ? NULL : m; }
void *fmi3InstantiateModelExchange(void) { return fmi3InstantiateCoSimulation(); }
void fmi3FreeInstance(M *m) { free(m); }
int fmi3EnterInitializationMode(M *m) { return at(ENTER, m); }
int fmi3ExitInitializationMode(M *m) { return at(INIT, m); }
int fmi3SetTime(M *m, double time) { return m->time = time, fmi2OK; }
int fmi3SetContinuousStates(M *m, const double x[], size_t n) { return m->y = *x, fmi2OK; }
int fmi3GetContinuousStates(M *m, double x[], size_t n) { return *x = m->y, fmi2OK; }
int fmi3GetNominalsOfContinuousStates(M *m, double x[], size_t n) { return *x = 1, fmi2OK; }
int fmi3GetContinuousStateDerivatives(M *m, double dx[], size_t n) { return derive(m, dx); }
int fmi3GetNumberOfContinuousStates(M *m, size_t *n) { return *n = 1, fmi2OK; }
int fmi3GetNumberOfEventIndicators(M *m, size_t *n) { return *n = 0, fmi2OK; }
int fmi3CompletedIntegratorStep(M *m, bool final, bool *event, bool *ends) { return *event = *ends = false, fmi2OK; }
int fmi3UpdateDiscreteStates(M *m, bool *again, bool *ends, bool *nominals, bool *values, bool *defined, double *next) {
    int status = update(m);
    *again = m->again, *ends = m->ends, *nominals = *values = false, *defined = m->next != 0, *next = m->next;
    return status;
}
int fmi3DoStep(M *m, double time, double step, bool final, bool *event, bool *ends, bool *early, double *last) {
    m->y = m->time = m->last = time + step;
    int status = m->time >= 0.5 ? at(STEP, m) : fmi2OK;
    *event = false, *ends = m->ends, *early = m->early, *last = m->last;
    return status;
}
int fmi3GetFloat64(M *m, const uint32_t vr[], size_t n, double values[], size_t value_count) {
    for (size_t i = 0; i < n; i++) values[i] = vr[i] ? m->got : m->y;
    m->out = values;
    return m->time >= 0.5 ? at(GET, m) : fmi2OK;
}

#define NOTHING(name) int fmi3##name(void) { return fmi2OK; }
NOTHING(SetDebugLogging) NOTHING(Terminate) NOTHING(Reset) NOTHING(EnterEventMode) NOTHING(EnterContinuousTimeMode)
NOTHING(EnterStepMode) NOTHING(EnterConfigurationMode) NOTHING(ExitConfigurationMode) NOTHING(GetEventIndicators)

/* What FMPy wants to find, and nobody calls. */
#define UNUSED(name) int fmi3##name(void) { return fmi2Error; }
#define BOTH(type) UNUSED(Get##type) UNUSED(Set##type)
BOTH(Float32) BOTH(Int8) BOTH(UInt8) BOTH(Int16) BOTH(UInt16) BOTH(Int32) BOTH(UInt32) BOTH(Int64) BOTH(UInt64)
BOTH(Boolean) BOTH(String) BOTH(Binary) BOTH(Clock) BOTH(IntervalDecimal) BOTH(IntervalFraction) BOTH(ShiftDecimal)
BOTH(ShiftFraction) BOTH(FMUState) UNUSED(SetFloat64) UNUSED(FreeFMUState) UNUSED(SerializedFMUStateSize)
UNUSED(SerializeFMUState) UNUSED(DeserializeFMUState) UNUSED(GetNumberOfVariableDependencies)
UNUSED(GetVariableDependencies) UNUSED(GetDirectionalDerivative) UNUSED(GetAdjointDerivative)
UNUSED(GetOutputDerivatives) UNUSED(EvaluateDiscreteStates) UNUSED(ActivateModelPartition)
UNUSED(InstantiateScheduledExecution)
