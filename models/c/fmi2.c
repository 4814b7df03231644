/* fmi2.c: FMI 2.0 over model.h, for models whose variables are all Real. MIT license. */
#include <stdlib.h>

#include "fmi2Functions.h"
#include "model.h"

#define M ((Model *)c)
#define CHECKED(condition) ((condition) ? fmi2OK : fmi2Error)
/* What the model description does not promise still has to be there. Nothing at all may be asked for, though. */
#define UNSUPPORTED(name, n, ...) fmi2Status fmi2##name(fmi2Component c, __VA_ARGS__) { return refuse(M, n, #name); }
#define TRIVIAL(name) fmi2Status fmi2##name(fmi2Component c) { return c ? fmi2OK : fmi2Error; }

typedef fmi2ValueReference Ref;

void log_error(Model *m, const char *text) {
    fmi2CallbackLogger log = (fmi2CallbackLogger)(uintptr_t)m->logger;
    if (log) log(m->environment, m->name, fmi2Error, "logStatusError", text); /* our texts contain no % */
}

static fmi2Status refuse(Model *m, size_t n, const char *name) {
    return n == 0 ? fmi2OK : CHECKED(complain(m, "fmi2%s is not supported by this model", name));
}

const char *fmi2GetTypesPlatform(void) { return fmi2TypesPlatform; }
const char *fmi2GetVersion(void) { return "2.0"; }

fmi2Component fmi2Instantiate(fmi2String name, fmi2Type type, fmi2String guid, fmi2String resources,
                              const fmi2CallbackFunctions *functions, fmi2Boolean visible, fmi2Boolean logging) {
    Model *m = create(name, guid);
    if (!m || !functions) return m;
    /* Copies, since not every importer keeps the structure itself alive. */
    m->logger = (const void *)(uintptr_t)functions->logger;
    m->environment = functions->componentEnvironment;
    return m;
}

void fmi2FreeInstance(fmi2Component c) { free(c); }

fmi2Status fmi2SetDebugLogging(fmi2Component c, fmi2Boolean on, size_t n, const fmi2String categories[]) {
    return fmi2OK; /* only errors are ever logged */
}

fmi2Status fmi2SetupExperiment(fmi2Component c, fmi2Boolean tolerance_defined, fmi2Real tolerance, fmi2Real start_time,
                               fmi2Boolean stop_defined, fmi2Real stop_time) {
    M->x.time = start_time;
    return fmi2OK;
}

TRIVIAL(EnterInitializationMode)

fmi2Status fmi2ExitInitializationMode(fmi2Component c) {
    if (!start(M)) return fmi2Error;
    M->running = M->stale = M->restart = true;
    return fmi2OK;
}

TRIVIAL(Terminate)

fmi2Status fmi2Reset(fmi2Component c) {
    reset(M);
    return fmi2OK;
}

fmi2Status fmi2GetReal(fmi2Component c, const Ref vr[], size_t n, fmi2Real value[]) {
    return CHECKED(get_values(M, vr, n, FLOAT64, value, n));
}

fmi2Status fmi2SetReal(fmi2Component c, const Ref vr[], size_t n, const fmi2Real value[]) {
    return CHECKED(set_values(M, vr, n, FLOAT64, value, n));
}

UNSUPPORTED(GetInteger, n, const Ref vr[], size_t n, fmi2Integer v[])
UNSUPPORTED(GetBoolean, n, const Ref vr[], size_t n, fmi2Boolean v[])
UNSUPPORTED(GetString, n, const Ref vr[], size_t n, fmi2String v[])
UNSUPPORTED(SetInteger, n, const Ref vr[], size_t n, const fmi2Integer v[])
UNSUPPORTED(SetBoolean, n, const Ref vr[], size_t n, const fmi2Boolean v[])
UNSUPPORTED(SetString, n, const Ref vr[], size_t n, const fmi2String v[])
UNSUPPORTED(GetFMUstate, 1, fmi2FMUstate *s)
UNSUPPORTED(SetFMUstate, 1, fmi2FMUstate s)
UNSUPPORTED(FreeFMUstate, 1, fmi2FMUstate *s)
UNSUPPORTED(SerializedFMUstateSize, 1, fmi2FMUstate s, size_t *size)
UNSUPPORTED(SerializeFMUstate, 1, fmi2FMUstate s, fmi2Byte b[], size_t size)
UNSUPPORTED(DeSerializeFMUstate, 1, const fmi2Byte b[], size_t size, fmi2FMUstate *s)
UNSUPPORTED(GetDirectionalDerivative, 1, const Ref u[], size_t nu, const Ref k[], size_t nk, const fmi2Real dk[],
            fmi2Real du[])

/* Model exchange; the models here that offer it have no events. */

TRIVIAL(EnterEventMode)
TRIVIAL(EnterContinuousTimeMode)

fmi2Status fmi2NewDiscreteStates(fmi2Component c, fmi2EventInfo *info) {
    *info = (fmi2EventInfo){0};
    return c ? fmi2OK : fmi2Error;
}

fmi2Status fmi2CompletedIntegratorStep(fmi2Component c, fmi2Boolean final, fmi2Boolean *event, fmi2Boolean *terminate) {
    *event = *terminate = fmi2False;
    return c ? fmi2OK : fmi2Error;
}

fmi2Status fmi2SetTime(fmi2Component c, fmi2Real time) {
    M->x.time = time;
    M->stale = true;
    return fmi2OK;
}

fmi2Status fmi2SetContinuousStates(fmi2Component c, const fmi2Real x[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) *real(&M->x, STATE[i].offset) = x[i];
    M->stale = true;
    return CHECKED(n == STATES);
}

fmi2Status fmi2GetContinuousStates(fmi2Component c, fmi2Real x[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) x[i] = *real(&M->x, STATE[i].offset);
    return CHECKED(n == STATES);
}

fmi2Status fmi2GetDerivatives(fmi2Component c, fmi2Real derivatives[], size_t n) {
    refresh(M);
    for (size_t i = 0; i < n && i < STATES; i++) derivatives[i] = *real(&M->x, STATE[i].derivative);
    return CHECKED(n == STATES);
}

fmi2Status fmi2GetNominalsOfContinuousStates(fmi2Component c, fmi2Real nominal[], size_t n) {
    for (size_t i = 0; i < n && i < STATES; i++) nominal[i] = STATE[i].nominal;
    return c ? CHECKED(n == STATES) : fmi2Error;
}

UNSUPPORTED(GetEventIndicators, n, fmi2Real z[], size_t n)

/* Co-simulation */

fmi2Status fmi2DoStep(fmi2Component c, fmi2Real time, fmi2Real step, fmi2Boolean final) {
    static const fmi2Status STATUS[] = {[DONE] = fmi2OK, [STOPPED] = fmi2Discard, [FAILED] = fmi2Error};
    return STATUS[do_step(M, time, step)];
}

/* Asked after fmi2Discard only, which means that the model stopped for good at x.time. */
fmi2Status fmi2GetRealStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Real *value) {
    *value = M->x.time;
    return kind == fmi2LastSuccessfulTime ? fmi2OK : fmi2Discard;
}

fmi2Status fmi2GetBooleanStatus(fmi2Component c, const fmi2StatusKind kind, fmi2Boolean *value) {
    *value = fmi2True;
    return c && kind == fmi2Terminated ? fmi2OK : fmi2Discard;
}

TRIVIAL(CancelStep)
UNSUPPORTED(GetStatus, 1, const fmi2StatusKind kind, fmi2Status *value)
UNSUPPORTED(GetIntegerStatus, 1, const fmi2StatusKind kind, fmi2Integer *value)
UNSUPPORTED(GetStringStatus, 1, const fmi2StatusKind kind, fmi2String *value)
UNSUPPORTED(SetRealInputDerivatives, n, const Ref vr[], size_t n, const fmi2Integer order[], const fmi2Real value[])
UNSUPPORTED(GetRealOutputDerivatives, n, const Ref vr[], size_t n, const fmi2Integer order[], fmi2Real value[])
