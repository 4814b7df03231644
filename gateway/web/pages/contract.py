"""The machine-readable contract: openapi.yaml and llms.txt of gateway/web, with this server's address in them."""

import textwrap
from functools import cache
from itertools import groupby
from pathlib import Path
from typing import Any

from gateway.errors import UploadRefused, every_problem
from gateway.web.pages.views import problem_entries

WEB = Path(__file__).parents[1]
LINE = 118  # characters, as in the rest of llms.txt
# Stripe's, a browser's, and those of who asks for what is not described above.
NOT_FOR_AGENTS = frozenset({"webhook_refused", "prefetch_refused", "not_found", "method_not_allowed"})


@cache
def _source() -> dict[str, Any]:
    import yaml

    source: dict[str, Any] = yaml.load((WEB / "openapi.yaml").read_text("utf-8"), Loader=yaml.CSafeLoader)
    return source


def openapi(*, base_url: str) -> dict[str, Any]:
    """openapi.yaml as a new top-level dict whose only server is this one; the rest is shared: do not change it."""
    return {**_source(), "servers": [{"url": base_url}]}


def llms_txt(*, base_url: str) -> str:
    """GET /llms.txt, plain text for agents."""
    text = (WEB / "llms.txt").read_text("utf-8")
    return text.replace("{problems}", _problem_list()).replace("{base_url}", base_url)


def _problem_list() -> str:
    """Status and codes of every problem that an agent may meet."""
    refused = {code for code, cls in every_problem().items() if issubclass(cls, UploadRefused)}
    told = [entry for entry in problem_entries() if entry.code not in refused | NOT_FOR_AGENTS]
    by_status = groupby(told, key=lambda entry: entry.status)
    said = " · ".join(f"{status} {', '.join(entry.code for entry in of)}" for status, of in by_status)
    return textwrap.fill(said, LINE, break_on_hyphens=False)
