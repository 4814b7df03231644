"""Solvers: by which of its interfaces a model is run, what solves it then, and how exactly."""

from gateway.domain.models import Model, did_you_mean
from gateway.errors import InvalidRequest

FMI_TYPES = {"co_simulation": "co-simulation", "model_exchange": "model exchange"}
SOLVERS = ("CVode", "Euler")  # of model exchange; in co-simulation the model brings its own
MIN_TOLERANCE = 1e-12  # relative, of one step of the solver; CVode refuses less than a hundred times rounding
MAX_TOLERANCE = 1e-2  # with more than that no digit of a result is right
DEFAULT_TOLERANCE = 1e-5  # FMPy's for CVode, where a description names none


def kind(fmi_type: str | None, solver: str | None, model: Model) -> str:
    """By which interface it runs. Whoever names a solver wants model exchange."""
    return fmi_type or ("model_exchange" if solver else model.kinds[0])


def check(fmi_type: str | None, solver: str | None, tolerance: float | None, model: Model) -> None:
    """That the model can be run like this; None is what the request leaves open. InvalidRequest names the first
    fault."""
    if fmi_type is not None and fmi_type not in model.kinds:
        only = " and ".join(FMI_TYPES[kind] for kind in model.kinds)
        detail = f"{model.fmu_id} can be run by {only}, not {FMI_TYPES.get(fmi_type, repr(fmi_type))}."
        near = did_you_mean(fmi_type, model.kinds)
        raise InvalidRequest(detail, field="fmi_type", did_you_mean=near if fmi_type not in FMI_TYPES else None)
    if solver is not None:
        if solver not in SOLVERS:
            near = did_you_mean(solver, SOLVERS)
            raise InvalidRequest(f"solver is one of: {', '.join(SOLVERS)}.", field="solver", did_you_mean=near)
        if fmi_type == "co_simulation" or "model_exchange" not in model.kinds:
            detail = f"In co-simulation {model.fmu_id} solves itself: a solver is for model exchange."
            raise InvalidRequest(detail, field="solver")
    if tolerance is not None:
        if not MIN_TOLERANCE <= tolerance <= MAX_TOLERANCE:
            detail = f"tolerance is relative, from {MIN_TOLERANCE:g} to {MAX_TOLERANCE:g}; this is {tolerance:g}."
            raise InvalidRequest(detail, field="tolerance")
        if solver == "Euler":
            detail = "Euler takes one step for each row, however large its error is: it has no tolerance."
            raise InvalidRequest(detail, field="tolerance")
