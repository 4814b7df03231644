"""What the documents say against what the code has: every setting is named, every default and every link is right."""

import re
import tomllib
from pathlib import Path

import pytest

from gateway.flows.meter import WEBHOOKS_REFUSED_ALARM, Meter
from gateway.flows.receive_webhook import WATCHED
from gateway.settings import Settings
from gateway.store.alarms import Alarms

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = {name.upper() for name in Settings.model_fields}
SECRETS = {name for name in SETTINGS if name.endswith(("_SECRET", "SECRET_KEY", "METRICS_TOKEN"))}
EXAMPLE = dict(re.findall(r"^#?([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE))
DOCUMENTS = [ROOT / "README.md", *sorted(ROOT.glob("docs/**/*.md")), *sorted(ROOT.glob("*/README.md"))]
LINK = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def missing_from(text: str) -> set[str]:
    return {name for name in SETTINGS if not re.search(rf"\b{name}\b", text)}


def test_every_setting_stands_in_the_readme() -> None:
    assert missing_from((ROOT / "README.md").read_text()) == set()


def test_every_setting_and_no_other_stands_in_env_example() -> None:
    assert set(EXAMPLE) == SETTINGS


def test_a_setting_that_no_document_names_is_found() -> None:
    assert missing_from("`PORT` and PORTS") == SETTINGS - {"PORT"}


def test_env_example_states_the_defaults(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)
    keys = {"STRIPE_SECRET_KEY": "sk_test_x", "STRIPE_WEBHOOK_SECRET": "whsec_x"}  # without them nothing starts
    for name, value in keys.items():
        monkeypatch.setenv(name, value)
    defaults = Settings().model_dump()
    for name, value in {**EXAMPLE, **keys}.items():
        monkeypatch.setenv(name, value)
    assert Settings().model_dump() == defaults


def test_no_secret_stands_in_env_example_or_fly_toml() -> None:
    in_fly = tomllib.loads((ROOT / "fly.toml").read_text())["env"]
    assert {name: EXAMPLE[name] for name in SECRETS} == dict.fromkeys(SECRETS, "")
    assert SECRETS & set(in_fly) == set()
    assert set(in_fly) <= SETTINGS


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_relative_links_lead_somewhere(document: Path) -> None:
    targets = [target for target in LINK.findall(document.read_text()) if "://" not in target]
    assert [target for target in targets if not (document.parent / target).exists()] == []


@pytest.mark.parametrize("name", ["README.md", "docs/operations.md"])
def test_an_operator_is_told_every_event_that_the_gateway_acts_on(name: str) -> None:
    assert {event for event in WATCHED if f"`{event}`" not in (ROOT / name).read_text()} == set()


def test_an_operator_is_told_what_to_do_about_every_alarm() -> None:
    meter = Meter()
    meter.webhooks_refused = WEBHOOKS_REFUSED_ALARM
    every = dict.fromkeys(Alarms.__dataclass_fields__, 1)
    table = re.findall(
        r"^\| `([a-z ]+)` \|", (ROOT / "docs/operations.md").read_text().split("| alarm |")[1], re.MULTILINE
    )
    assert set(table) == {*Alarms(**every).raised, *meter.webhook_alarm}
