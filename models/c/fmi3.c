/* fmi3.c: FMI 3.0 over model.h: co-simulation and model exchange, every type but Binary and Clock. MIT license. */
#include <stdlib.h>

#include "fmi3Functions.h"
#include "model.h"

#define M ((Model *)c)
#define CHECKED(condition) ((condition) ? fmi3OK : fmi3Error)
/* What the model description does not promise still has to be there. */
#define UNSUPPORTED(name, ...)                                                                 \
    fmi3Status fmi3##name(fmi3Instance c, __VA_ARGS__) {                                       \
        return CHECKED(complain(M, "fmi3" #name " is not supported by this model"));           \
    }
#define TRIVIAL(name) fmi3Status fmi3##name(fmi3Instance c) { return c ? fmi3OK : fmi3Error; }
#define ACCESS(Name, TYPE)                                                                                    \
    fmi3Status fmi3Get##Name(fmi3Instance c, const Ref vr[], size_t n, fmi3##Name values[], size_t size) {       \
        return CHECKED(get_values(M, vr, n, TYPE, values, size));                                             \
    }                                                                                                         \
    fmi3Status fmi3Set##Name(fmi3Instance c, const Ref vr[], size_t n, const fmi3##Name values[], size_t size) { \
        return CHECKED(set_values(M, vr, n, TYPE, values, size));                                             \
    }

typedef fmi3ValueReference Ref;
typedef fmi3Float64 F64;

void log_error(Model *m, const char *text) {
    fmi3LogMessageCallback log = (fmi3LogMessageCallback)(uintptr_t)m->logger;
    if (log) log(m->environment, fmi3Error, "logStatusError", text);
}

const char *fmi3GetVersion(void) { return "3.0"; }

static fmi3Instance instantiate(fmi3String name, fmi3String token, void *environment, fmi3LogMessageCallback log) {
    Model *m = create(name, token);
    if (!m) return NULL;
    m->environment = environment;
    m->logger = (const void *)(uintptr_t)log;
    return m;
}

fmi3Instance fmi3InstantiateModelExchange(fmi3String name, fmi3String token, fmi3String resources, fmi3Boolean visible,
                                          fmi3Boolean logging, fmi3InstanceEnvironment environment,
                                          fmi3LogMessageCallback log) {
    return instantiate(name, token, environment, log);
}

fmi3Instance fmi3InstantiateCoSimulation(fmi3String name, fmi3String token, fmi3String resources, fmi3Boolean visible,
                                         fmi3Boolean logging, fmi3Boolean event_mode, fmi3Boolean early_return,
                                         const Ref required[], size_t n, fmi3InstanceEnvironment environment,
                                         fmi3LogMessageCallback log, fmi3IntermediateUpdateCallback update) {
    return instantiate(name, token, environment, log);
}

fmi3Instance fmi3InstantiateScheduledExecution(fmi3String name, fmi3String token, fmi3String resources,
                                               fmi3Boolean visible, fmi3Boolean logging,
                                               fmi3InstanceEnvironment environment, fmi3LogMessageCallback log,
                                               fmi3ClockUpdateCallback update, fmi3LockPreemptionCallback lock,
                                               fmi3UnlockPreemptionCallback unlock) {
    return NULL;
}

void fmi3FreeInstance(fmi3Instance c) { free(c); }

fmi3Status fmi3SetDebugLogging(fmi3Instance c, fmi3Boolean on, size_t n, const fmi3String categories[]) {
    return fmi3OK; /* only errors are ever logged */
}

fmi3Status fmi3EnterInitializationMode(fmi3Instance c, fmi3Boolean tolerance_defined, F64 tolerance, F64 start_time,
                                       fmi3Boolean stop_defined, F64 stop_time) {
    M->x.time = start_time;
    return fmi3OK;
}

fmi3Status fmi3ExitInitializationMode(fmi3Instance c) {
    if (!start(M)) return fmi3Error;
    M->running = M->stale = M->restart = true;
    return fmi3OK;
}

TRIVIAL(Terminate)

fmi3Status fmi3Reset(fmi3Instance c) {
    reset(M);
    return fmi3OK;
}

ACCESS(Float32, FLOAT32)
ACCESS(Float64, FLOAT64)
ACCESS(Int8, INT8)
ACCESS(UInt8, UINT8)
ACCESS(Int16, INT16)
ACCESS(UInt16, UINT16)
ACCESS(Int32, INT32)
ACCESS(UInt32, UINT32)
ACCESS(Int64, INT64)
ACCESS(UInt64, UINT64)
ACCESS(Boolean, BOOLEAN)

fmi3Status fmi3GetString(fmi3Instance c, const Ref vr[], size_t n, fmi3String values[], size_t size) {
    for (size_t i = 0; i < n; i++)
        if (i >= size || !(values[i] = get_string(M, vr[i]))) return fmi3Error;
    return fmi3OK;
}

fmi3Status fmi3SetString(fmi3Instance c, const Ref vr[], size_t n, const fmi3String values[], size_t size) {
    for (size_t i = 0; i < n; i++)
        if (i >= size || !set_string(M, vr[i], values[i])) return fmi3Error;
    return fmi3OK;
}

UNSUPPORTED(GetBinary, const Ref vr[], size_t n, size_t sizes[], fmi3Binary v[], size_t m)
UNSUPPORTED(SetBinary, const Ref vr[], size_t n, const size_t sizes[], const fmi3Binary v[], size_t m)
UNSUPPORTED(GetClock, const Ref vr[], size_t n, fmi3Clock v[])
UNSUPPORTED(SetClock, const Ref vr[], size_t n, const fmi3Clock v[])
UNSUPPORTED(GetNumberOfVariableDependencies, Ref vr, size_t *n)
UNSUPPORTED(GetVariableDependencies, Ref vr, size_t e[], Ref i[], size_t f[], fmi3DependencyKind k[], size_t n)
UNSUPPORTED(GetFMUState, fmi3FMUState *s)
UNSUPPORTED(SetFMUState, fmi3FMUState s)
UNSUPPORTED(FreeFMUState, fmi3FMUState *s)
UNSUPPORTED(SerializedFMUStateSize, fmi3FMUState s, size_t *size)
UNSUPPORTED(SerializeFMUState, fmi3FMUState s, fmi3Byte b[], size_t size)
UNSUPPORTED(DeserializeFMUState, const fmi3Byte b[], size_t size, fmi3FMUState *s)
UNSUPPORTED(GetDirectionalDerivative, const Ref u[], size_t nu, const Ref k[], size_t nk, const F64 seed[], size_t ns,
            F64 v[], size_t nv)
UNSUPPORTED(GetAdjointDerivative, const Ref u[], size_t nu, const Ref k[], size_t nk, const F64 seed[], size_t ns,
            F64 v[], size_t nv)
UNSUPPORTED(GetIntervalDecimal, const Ref vr[], size_t n, F64 v[], fmi3IntervalQualifier q[])
UNSUPPORTED(GetIntervalFraction, const Ref vr[], size_t n, fmi3UInt64 v[], fmi3UInt64 r[], fmi3IntervalQualifier q[])
UNSUPPORTED(GetShiftDecimal, const Ref vr[], size_t n, F64 v[])
UNSUPPORTED(GetShiftFraction, const Ref vr[], size_t n, fmi3UInt64 v[], fmi3UInt64 r[])
UNSUPPORTED(SetIntervalDecimal, const Ref vr[], size_t n, const F64 v[])
UNSUPPORTED(SetIntervalFraction, const Ref vr[], size_t n, const fmi3UInt64 v[], const fmi3UInt64 r[])
UNSUPPORTED(SetShiftDecimal, const Ref vr[], size_t n, const F64 v[])
UNSUPPORTED(SetShiftFraction, const Ref vr[], size_t n, const fmi3UInt64 v[], const fmi3UInt64 r[])
UNSUPPORTED(GetOutputDerivatives, const Ref vr[], size_t n, const fmi3Int32 o[], F64 v[], size_t nv)
UNSUPPORTED(ActivateModelPartition, Ref clock, F64 time)

/* Model exchange */

TRIVIAL(EnterConfigurationMode)
TRIVIAL(ExitConfigurationMode)
TRIVIAL(EnterEventMode)
TRIVIAL(EnterContinuousTimeMode)
TRIVIAL(EnterStepMode)
TRIVIAL(EvaluateDiscreteStates)

fmi3Status fmi3UpdateDiscreteStates(fmi3Instance c, fmi3Boolean *again, fmi3Boolean *terminate, fmi3Boolean *nominals,
                                    fmi3Boolean *values, fmi3Boolean *next_defined, F64 *next_time) {
    *again = *terminate = *nominals = *values = *next_defined = false;
    *next_time = 0;
#if EVENT_INDICATORS
    *values = handle_event(&M->x);
    M->stale = true;
#endif
    return c ? fmi3OK : fmi3Error;
}

fmi3Status fmi3CompletedIntegratorStep(fmi3Instance c, fmi3Boolean final, fmi3Boolean *event, fmi3Boolean *terminate) {
    *event = *terminate = false;
    return c ? fmi3OK : fmi3Error;
}

fmi3Status fmi3SetTime(fmi3Instance c, F64 time) {
    M->x.time = time;
    M->stale = true;
    return fmi3OK;
}

fmi3Status fmi3SetContinuousStates(fmi3Instance c, const F64 x[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) *real(&M->x, STATE[i].offset) = x[i];
    M->stale = true;
    return CHECKED(n == STATES);
}

fmi3Status fmi3GetContinuousStates(fmi3Instance c, F64 x[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) x[i] = *real(&M->x, STATE[i].offset);
    return CHECKED(n == STATES);
}

fmi3Status fmi3GetContinuousStateDerivatives(fmi3Instance c, F64 derivatives[], size_t n) {
    refresh(M);
    for (size_t i = 0; i < n && i < STATES; i++) derivatives[i] = *real(&M->x, STATE[i].derivative);
    return CHECKED(n == STATES);
}

fmi3Status fmi3GetNominalsOfContinuousStates(fmi3Instance c, F64 nominals[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) nominals[i] = STATE[i].nominal;
    return c ? CHECKED(n == STATES) : fmi3Error;
}

fmi3Status fmi3GetEventIndicators(fmi3Instance c, F64 indicators[], size_t n) {
    refresh(M);
    for (size_t i = 0; i < n && i < EVENT_INDICATORS; i++) indicators[i] = *real(&M->x, INDICATOR[i]);
    return CHECKED(n == EVENT_INDICATORS);
}

fmi3Status fmi3GetNumberOfEventIndicators(fmi3Instance c, size_t *n) {
    *n = EVENT_INDICATORS;
    return c ? fmi3OK : fmi3Error;
}

fmi3Status fmi3GetNumberOfContinuousStates(fmi3Instance c, size_t *n) {
    *n = STATES;
    return c ? fmi3OK : fmi3Error;
}

/* Co-simulation */

fmi3Status fmi3DoStep(fmi3Instance c, F64 time, F64 step, fmi3Boolean final, fmi3Boolean *event, fmi3Boolean *terminate,
                      fmi3Boolean *early, F64 *reached) {
    Outcome outcome = do_step(M, time, step);
    *event = false;
    *early = false; /* only importers that allow it may be returned to early, and no model here asks */
    *terminate = outcome == STOPPED;
    *reached = M->x.time;
    return outcome == FAILED ? fmi3Error : fmi3OK;
}
