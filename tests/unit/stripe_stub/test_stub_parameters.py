"""Every endpoint knows exactly the parameters that Stripe's types know: the done ones and the refused ones together."""

import json
from pathlib import Path
from typing import Any

import pytest

from stripe_stub.app import NOUNS
from stripe_stub.forms import Fields, List

FACTS = json.loads((Path(__file__).parents[2] / "data" / "stripe" / "parameters.json").read_text())
ENDPOINTS = {f"{endpoint.method} {endpoint.path}": endpoint for noun in NOUNS for endpoint in noun.endpoints}


def compare(spec: Fields, facts: dict[str, Any], place: str) -> None:
    names = {name.rstrip("!"): inner for name, inner in facts.items()}
    assert set(spec.of) == set(names), place
    required = {name.rstrip("!") for name in facts if name.endswith("!")}
    assert required <= set(spec.need), place
    for name, inner in spec.of.items():
        deeper = inner.of if isinstance(inner, List) else inner
        if isinstance(deeper, Fields) and names[name]:
            compare(deeper, names[name], f"{place} {name}")


@pytest.mark.parametrize("endpoint", [name for name in FACTS if name != "$comment"])
def test_an_endpoint_knows_what_stripe_knows(endpoint: str) -> None:
    compare(ENDPOINTS[endpoint].accepts, FACTS[endpoint], endpoint)


def test_no_endpoint_with_parameters_is_left_unchecked() -> None:
    taking = {name for name, endpoint in ENDPOINTS.items() if set(endpoint.accepts.of) != {"expand"}}
    assert taking - set(FACTS) == set()
