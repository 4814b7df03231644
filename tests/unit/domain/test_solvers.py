"""A request may say how a model is solved; what cannot be is named before a price is."""

from dataclasses import replace
from typing import Any

import pytest

from gateway.domain.models import Experiment, Model, Variable
from gateway.domain.requests import Limits, SimulateBody, plan_run
from gateway.domain.runs import RunPlan
from gateway.errors import InvalidRequest

BOTH = Model(
    *("c:M", "0" * 64, "M", "", "3.0", ("co_simulation", "model_exchange"), Experiment(0.0, 1.0, 0.1, 1e-4)),
    variables={"y": Variable("y", "Float64", "output", "continuous")},
)
ITSELF = replace(BOTH, kinds=("co_simulation",))
EXCHANGE = replace(BOTH, kinds=("model_exchange",))


def plan(model: Model, **body: Any) -> RunPlan:
    return plan_run(SimulateBody(fmu_id="c:M", **body), model, Limits())


@pytest.mark.parametrize(
    ("model", "body", "kind", "solver", "tolerance"),
    [
        (BOTH, {}, "co_simulation", "the model's own", 1e-4),
        (BOTH, {"fmi_type": "co_simulation", "tolerance": 1e-8}, "co_simulation", "the model's own", 1e-8),
        (BOTH, {"fmi_type": "model_exchange"}, "model_exchange", "CVode", 1e-4),
        (BOTH, {"solver": "CVode", "tolerance": 1e-12}, "model_exchange", "CVode", 1e-12),
        (BOTH, {"solver": "Euler"}, "model_exchange", "Euler", None),
        (EXCHANGE, {}, "model_exchange", "CVode", 1e-4),
        (EXCHANGE, {"solver": "Euler", "fmi_type": "model_exchange"}, "model_exchange", "Euler", None),
        (replace(EXCHANGE, experiment=Experiment(0.0, 1.0, 0.1)), {}, "model_exchange", "CVode", 1e-5),
        (replace(ITSELF, experiment=Experiment(0.0, 1.0, 0.1)), {}, "co_simulation", "the model's own", None),
    ],
)
def test_a_run_is_solved_as_asked_or_as_the_description_says(
    model: Model, body: Any, kind: str, solver: str, tolerance: float | None
) -> None:
    made = plan(model, **body)
    assert (made.kind, made.effective_solver, made.effective_tolerance) == (kind, solver, tolerance)


@pytest.mark.parametrize(
    ("model", "body", "field", "near"),
    [
        (BOTH, {"solver": "cvode"}, "solver", "CVode"), (BOTH, {"solver": "DASSL"}, "solver", None),
        (ITSELF, {"solver": "CVode"}, "solver", None), (BOTH, {"solver": ""}, "solver", None),
        (BOTH, {"solver": "Euler", "fmi_type": "co_simulation"}, "solver", None),
        (BOTH, {"fmi_type": "ModelExchange"}, "fmi_type", "model_exchange"), (BOTH, {"fmi_type": ""}, "fmi_type", None),
        (ITSELF, {"fmi_type": "model_exchange"}, "fmi_type", None),
        (EXCHANGE, {"fmi_type": "co_simulation"}, "fmi_type", None),
        (BOTH, {"tolerance": 0.0}, "tolerance", None), (BOTH, {"tolerance": -1e-6}, "tolerance", None),
        (BOTH, {"tolerance": 1e-13}, "tolerance", None), (BOTH, {"tolerance": 0.02}, "tolerance", None),
        (BOTH, {"tolerance": 1e-6, "solver": "Euler"}, "tolerance", None),
    ],
)  # fmt: skip
def test_what_cannot_be_is_named(model: Model, body: Any, field: str, near: str | None) -> None:
    with pytest.raises(InvalidRequest) as refusal:
        plan(model, **body)
    assert (refusal.value.fields["field"], refusal.value.fields.get("did_you_mean")) == (field, near)


def test_a_request_that_leaves_it_open_keeps_the_digest_that_it_always_had() -> None:
    assert plan(BOTH).digest == "519320737b2942182165b615a8354f5121d710e6f12796337b86b795c0d67e3e"
    others = [{}, {"solver": "CVode"}, {"solver": "Euler"}, {"tolerance": 1e-4}, {"fmi_type": "co_simulation"}]
    assert len({plan(BOTH, **body).digest for body in others}) == len(others)
