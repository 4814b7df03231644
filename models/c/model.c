/* model.c: one instance of a model: its values, and what may be set when. MIT license. */
#include "model.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const size_t SIZE[] = {4, 8, 1, 1, 2, 2, 4, 4, 8, 8, sizeof(bool), 1};

Model *create(const char *name, const char *token) {
    if (!token || strcmp(token, TOKEN)) return NULL;
    Model *m = calloc(1, sizeof *m);
    if (!m) return NULL;
    snprintf(m->name, sizeof m->name, "%s", name ? name : MODEL_NAME);
    reset(m);
    return m;
}

void reset(Model *m) {
    m->x = START;
    m->base = m->next = (Point){0};
    m->running = false;
    m->stale = m->restart = true;
}

bool complain(Model *m, const char *format, ...) {
    char text[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof text, format, arguments);
    va_end(arguments);
    log_error(m, text);
    return false;
}

double *real(Values *x, size_t offset) { return (double *)((char *)x + offset); }

void refresh(Model *m) {
    if (m->stale) evaluate(&m->x);
    m->stale = false;
}

static const Variable *find(Model *m, uint32_t vr, Type type) {
    if (vr < VARIABLE_COUNT && VARIABLES[vr].type == type) return &VARIABLES[vr];
    complain(m, "value reference %u is no variable of this type", (unsigned)vr);
    return NULL;
}

static bool may_set(Model *m, const Variable *v) {
    if (v->settable == ALWAYS || (v->settable == AT_START && !m->running)) return true;
    return complain(m, "%s cannot be set %s", v->name, v->settable == NEVER ? "at all" : "after the start");
}

static double number(Type type, const void *p) {
    switch (type) {
    case FLOAT32: return *(const float *)p;
    case FLOAT64: return *(const double *)p;
    case INT8: return *(const int8_t *)p;
    case UINT8: return *(const uint8_t *)p;
    case INT16: return *(const int16_t *)p;
    case UINT16: return *(const uint16_t *)p;
    case INT32: return *(const int32_t *)p;
    case UINT32: return *(const uint32_t *)p;
    case INT64: return (double)*(const int64_t *)p;
    case UINT64: return (double)*(const uint64_t *)p;
    default: return *(const bool *)p;
    }
}

bool get_values(Model *m, const uint32_t vr[], size_t n, Type type, void *values, size_t n_values) {
    char *to = values;
    refresh(m);
    for (size_t i = 0; i < n; i++) {
        const Variable *v = find(m, vr[i], type);
        if (!v) return false;
        if (v->count > n_values) return complain(m, "too few places for the values of %s", v->name);
        memcpy(to, (char *)&m->x + v->offset, v->count * SIZE[type]);
        to += v->count * SIZE[type];
        n_values -= v->count;
    }
    return true;
}

bool set_values(Model *m, const uint32_t vr[], size_t n, Type type, const void *values, size_t n_values) {
    const char *from = values;
    for (size_t i = 0; i < n; i++) {
        const Variable *v = find(m, vr[i], type);
        if (!v || !may_set(m, v)) return false;
        if (v->count > n_values) return complain(m, "too few values for %s", v->name);
        for (size_t k = 0; k < v->count; k++) {
            double value = number(type, from + k * SIZE[type]);
            if (!isfinite(value)) return complain(m, "%s must be finite", v->name);
            if (value < v->min || value > v->max)
                return complain(m, "%s = %g is not within [%g, %g]", v->name, value, v->min, v->max);
        }
        char *to = (char *)&m->x + v->offset;
        if (memcmp(to, from, v->count * SIZE[type])) m->stale = m->restart = true;
        memcpy(to, from, v->count * SIZE[type]);
        from += v->count * SIZE[type];
        n_values -= v->count;
    }
    return true;
}

const char *get_string(Model *m, uint32_t vr) {
    const Variable *v = find(m, vr, STRING);
    refresh(m);
    return v ? (const char *)&m->x + v->offset : NULL;
}

bool set_string(Model *m, uint32_t vr, const char *value) {
    const Variable *v = find(m, vr, STRING);
    if (!v || !may_set(m, v)) return false;
    if (!value || strlen(value) >= v->count)
        return complain(m, "%s takes at most %u bytes", v->name, (unsigned)v->count - 1);
    memset((char *)&m->x + v->offset, 0, v->count);
    strcpy((char *)&m->x + v->offset, value);
    m->stale = m->restart = true;
    return true;
}

Outcome do_step(Model *m, double from, double step) {
    if (!(step >= 0) || !isfinite(from + step)) {
        complain(m, "a step of %g s from %g s cannot be taken", step, from);
        return FAILED;
    }
    Outcome outcome = advance(m, from + step);
    m->stale = true;
    return outcome;
}
