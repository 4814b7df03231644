"""Result header: what an answer says beside the money and the numbers; stored with them, so that it stays the same."""

from typing import Any

from gateway import __version__
from gateway.domain.runs import RunPlan
from gateway.simulation.runner import Outcome


def result_header(plan: RunPlan, outcome: Outcome) -> dict[str, Any]:
    units = {name: v.unit for name in outcome.result.columns if (v := plan.model.variables.get(name)) is not None}
    provenance = {
        "fmu_sha256": plan.model.sha256,
        **outcome.provenance,
        "gateway_version": __version__,
        "request": plan.as_json(),
        "request_digest": plan.digest,
        "result_sha256": outcome.result.sha256,
    }
    return {
        "columns": list(outcome.result.columns),
        "units": {"time": "s", **units},
        "kpis": dict(outcome.kpis),
        "reached_time": outcome.result.reached_time,
        "non_finite": outcome.result.non_finite,
        "provenance": provenance,
    }
