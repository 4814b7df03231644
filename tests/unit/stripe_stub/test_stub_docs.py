"""docs/local-stripe.md names every control and every endpoint's noun, and no test card that does not exist."""

import re
from pathlib import Path

from stripe_stub import cards
from stripe_stub.app import LocalStripeApp, Options

DOCS = (Path(__file__).parents[3] / "docs" / "local-stripe.md").read_text()


def test_every_control_is_documented() -> None:
    app = LocalStripeApp("http://127.0.0.1:1", Options())
    paths = {route.path for route in app.routes if route.path.startswith("/_stub/")} - {"/_stub/timeline"}
    missing = {path for path in paths if f"/{path.rsplit('/', 1)[-1]}" not in DOCS}
    assert paths
    assert missing == set()


def test_every_documented_card_exists() -> None:
    rows = re.findall(r"^\| ((?:\d{4} ){3}\d{4}|\d{12}|[A-Z]{2}\d{20})", DOCS, re.MULTILINE)
    assert len(rows) >= 8
    assert [number for number in rows if number.replace(" ", "") not in cards.BY_NUMBER] == []
