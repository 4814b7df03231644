"""Signals: input u(t) as a file to fill in."""

import csv
import io

from gateway.domain.models import Model


def inputs_csv(model: Model) -> str:
    """A header of "time" and every scalar numeric input, and one row each for the start and the end of the default
    experiment with the start values: the smallest file that `fmu-gateway run --input` takes."""
    inputs = [model.variables[name] for name in model.inputs]
    inputs = [v for v in inputs if v.recordable and not v.dimensions]
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(["time", *(v.name for v in inputs)])
    for time in (model.experiment.start_time, model.experiment.stop_time):
        writer.writerow([time, *(float(v.start) if isinstance(v.start, (int, float)) else 0.0 for v in inputs)])
    return out.getvalue()
