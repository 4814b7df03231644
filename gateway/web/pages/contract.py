"""The machine-readable contract: openapi.yaml and llms.txt of gateway/web, with this server's address in them."""

from functools import cache
from pathlib import Path
from typing import Any

import yaml

WEB = Path(__file__).parents[1]


@cache
def _source() -> dict[str, Any]:
    source: dict[str, Any] = yaml.load((WEB / "openapi.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return source


def openapi(*, base_url: str) -> dict[str, Any]:
    """openapi.yaml as a new top-level dict whose only server is this one; the rest is shared: do not change it."""
    return {**_source(), "servers": [{"url": base_url}]}


def llms_txt(*, base_url: str) -> str:
    """GET /llms.txt, plain text for agents."""
    return (WEB / "llms.txt").read_text("utf-8").replace("{base_url}", base_url)
