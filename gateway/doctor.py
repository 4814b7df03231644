"""The doctor: everything `serve` would need, one line for each check, with the fix for each fault."""

import asyncio
import re
import shutil
import sqlite3
import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
from pydantic import ValidationError, model_validator

from gateway.app import read_price_file
from gateway.client.screen import bold, plain, put
from gateway.domain.models import did_you_mean
from gateway.domain.money import CURRENCIES
from gateway.domain.pricing import Prices
from gateway.serving import existing, fault_sentences, place_faults
from gateway.settings import Settings
from gateway.simulation import passage
from gateway.simulation.library import Library
from gateway.simulation.runner import Runner
from gateway.store import connection, store
from gateway.store.alarms import alarms_of

LEAST_FREE = 1 << 30  # bytes; a single result may take 64 MB, and SQLite needs room to commit
STRIPE_API = "https://api.stripe.com"
STRIPE_ANSWERS_WITHIN = 10  # seconds
SERVING_ANSWERS_WITHIN = 2  # seconds; it is this machine
KEY = re.compile(r"(sk|rk)_(test|live)_\w{4,}")
WEBHOOK_SECRET = re.compile(r"whsec_[A-Za-z0-9+/=_-]{8,}")


@dataclass(frozen=True)
class Finding:
    """One line: what was checked and what was found. `fix` is None where all is well."""

    check: str
    found: str
    fix: str | None = None


def examine() -> int:
    """Prints every finding; the exit code: 1 if anything needs fixing."""
    faults = asyncio.run(_print_all())
    put()
    put("All is well." if not faults else f"{faults} of these need fixing.")
    return 1 if faults else 0


async def _print_all() -> int:
    faults = 0
    async for finding in _findings():
        faults += finding.fix is not None
        mark = bold("ok   ") if finding.fix is None else bold("FAULT")
        put(f"{mark}  {finding.check.ljust(14)}  {plain(' '.join(filter(None, (finding.found, finding.fix))))}")
    return faults


async def _findings() -> AsyncIterator[Finding]:
    settings, wrong = _settings_as_they_are()
    for fault in wrong:
        yield Finding("settings", "", fault)
    if not wrong:
        yield Finding("settings", f"{settings.base_url}, {_mode(settings)}")
    prices = None
    faults = place_faults(settings)
    for finding in (
        *_keys(settings),
        *(() if settings.database_fault() else _database(settings, faults.get("database"))),
        *(() if settings.database_fault() else _alarms(settings)),
        *_disk(settings, faults.get("results")),
    ):
        yield finding
    if settings.stripe_simulation_currency.lower() in CURRENCIES:
        try:
            prices = read_price_file(settings)
        except ValueError as error:
            yield Finding("price", "", f"{error}.")
    if settings.stripe_enabled and not _keys_fault(settings) and not (settings.livemode and settings.stripe_api_base):
        yield await _stripe(settings)
    if "models" in faults:
        yield Finding("models", "", faults["models"])
        return
    async for finding in _models(settings, prices):
        yield finding


class _AsTheyAre(Settings):
    """The settings, however unsafe together: the doctor looks at all that `serve` would refuse at its first fault."""

    @model_validator(mode="after")
    def _safe_combination(self) -> "_AsTheyAre":
        return self


def _settings_as_they_are() -> tuple[Settings, list[str]]:
    """With their defaults in place of values that are none; and every fault."""
    try:
        settings, faults = _AsTheyAre(), []
    except ValidationError as error:
        found = fault_sentences(error)
        settings = _AsTheyAre(**{name: Settings.model_fields[name].default for name in found})
        faults = [sentence for sentences in found.values() for sentence in sentences]
    return settings, [*faults, *settings.faults()]


def _mode(settings: Settings) -> str:
    if not settings.stripe_enabled:
        return "everything is free"
    return "live mode: real money" if settings.livemode else "test mode"


def _keys_fault(settings: Settings) -> str | None:
    if KEY.fullmatch(settings.stripe_secret_key):
        return None
    if settings.stripe_secret_key.startswith("pk_"):
        return "STRIPE_SECRET_KEY is a publishable key (pk_…): use the secret one (sk_…) from the same page."
    return "STRIPE_SECRET_KEY should be sk_test_…, sk_live_…, rk_test_… or rk_live_…: copy it whole from the dashboard."


def _keys(settings: Settings) -> Iterator[Finding]:
    if settings.stripe_enabled and settings.stripe_secret_key:
        yield Finding("stripe key", settings.stripe_secret_key[:8] + "…", _keys_fault(settings))
    if not (settings.stripe_enabled and settings.stripe_webhook_secret):
        return  # that it is missing was said before
    shaped = WEBHOOK_SECRET.fullmatch(settings.stripe_webhook_secret)
    yield Finding(
        "webhook secret",
        "whsec_…" if shaped else "",
        None if shaped else "STRIPE_WEBHOOK_SECRET should be whsec_…: copy the endpoint's signing secret whole.",
    )


async def _stripe(settings: Settings) -> Finding:
    """Whether Stripe takes the key, and sends events here. A key sees the endpoints of its own mode only."""
    ours = f"{settings.base_url}/webhooks/stripe"
    try:
        async with httpx.AsyncClient(timeout=STRIPE_ANSWERS_WITHIN) as http:
            answer = await http.get(
                f"{settings.stripe_api_base or STRIPE_API}/v1/webhook_endpoints?limit=100",
                headers={"Authorization": f"Bearer {settings.stripe_secret_key}"},
            )
            listed = answer.json()["data"] if answer.status_code == 200 else []
    except (httpx.HTTPError, ValueError, KeyError) as error:
        return Finding("stripe", "", f"Stripe did not answer ({error!r}): is there a way out from here?")
    enabled = {endpoint.get("url"): endpoint.get("status") != "disabled" for endpoint in listed}
    found, fix = f"takes the key and sends events to {ours}", None
    if answer.status_code == 403:
        found = "takes the key, which may not list webhook endpoints"
    elif answer.status_code == 401:
        found, fix = "", "Stripe does not know STRIPE_SECRET_KEY: copy it again, or make a new one."
    elif answer.status_code != 200:
        found, fix = "", f"Stripe answered {answer.status_code}: try again later."
    elif enabled.get(ours) is False:
        found, fix = "", f"The webhook endpoint {ours} is disabled: enable it in the dashboard."
    elif ours not in enabled and settings.livemode:
        found, fix = "", f"No webhook endpoint sends to {ours}: add one in the dashboard, in live mode."
    elif ours not in enabled:
        found = f"takes the key; nothing sends events to {ours} yet, but `stripe listen` can"
    return Finding("stripe", found, fix)


def _price(settings: Settings, prices: Prices, names: list[str], refused: list[str]) -> Iterator[Finding]:
    if not settings.stripe_enabled:
        return
    for fmu_id in prices.by_model:
        if fmu_id not in names and fmu_id not in refused:
            near = did_you_mean(fmu_id, names)
            hint = f"; did you mean {near}?" if near else ": correct it or take it out."
            yield Finding("price", "", f"PRICING_FILE prices {fmu_id}, which is not in MODELS_DIR{hint}")
    for fault in prices.faults():
        yield Finding("price", "", f"PRICING_FILE: {fault}")
    if settings.price_fault() is None:
        yield Finding("price", f"the default price is {prices.default if prices.default.micros else 'free'}")


def _database(settings: Settings, fault: str | None) -> Iterator[Finding]:
    path = settings.database_path.absolute()
    if fault:
        yield Finding("database", f"{path}:", fault)
        return
    if not path.exists():
        yield Finding("database", f"{path} will be made by the first start")
        return
    try:
        broken = store.violations(path)
        newest = len(list((connection.HERE / "schema").glob("*.sql")))
        db = connection.connect(path, readonly=True)
        version = db.execute("PRAGMA user_version").fetchone()[0]
        db.close()
    except Exception as error:
        yield Finding(
            "database", f"{path}:", f"it cannot be read ({error}): restore it from a backup, or name another."
        )
        return
    if version > newest:
        yield Finding("database", f"{path}:", f"it has schema {version}, newer than this gateway: install a newer one.")
    elif broken:
        yield Finding("database", f"{path}:", f"the books do not balance, {broken[0]}: stop and write to the authors.")
    else:
        yield Finding("database", f"{path}, the books balance")


def _alarms(settings: Settings) -> Iterator[Finding]:
    """Those of the books, and those that only a gateway in service can know of, if one serves where ours would."""
    raised: dict[str, str] = {}  # name → with its count
    if settings.database_path.exists():
        try:
            found = alarms_of(settings.database_path, int(time.time())).raised
        except (sqlite3.Error, RuntimeError):
            return  # what is wrong with the database was said before
        raised = {name: f"{count} {name}" for name, count in found.items()}
    url = f"http://{_address(settings)}:{settings.port}"
    try:
        answer = httpx.get(f"{url}/ready", timeout=SERVING_ANSWERS_WITHIN, trust_env=False)
        alarms = answer.json()["checks"]["alarms"]
        said = [] if alarms["ok"] else alarms["detail"].split(", ")
    except (httpx.HTTPError, ValueError, KeyError, TypeError, AttributeError):
        unknown = "failed writes and refused webhooks, which only it could tell of, are not known"
        yield Finding("gateway", f"none answers at {url}: {unknown}")
    else:
        yield Finding("gateway", f"one answers at {url}")
        raised |= {alarm.lstrip("0123456789 "): alarm for alarm in said}  # it looked last
    if raised:
        yield Finding("alarms", f"{', '.join(raised.values())}:", "docs/operations.md says for each what to do.")


def _address(settings: Settings) -> str:
    """Where a gateway that listens at HOST is found on this machine."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"[{host}]" if ":" in host else host


def _disk(settings: Settings, fault: str | None) -> Iterator[Finding]:
    free = shutil.disk_usage(existing(settings.results_path)).free
    found = f"{free / 1e9:.1f} GB free for results in {settings.results_path}"
    if not fault and free < LEAST_FREE:
        fault = "That is less than 1 GB: make room, or lower RESULT_RETENTION_DAYS."
    yield Finding("disk", f"{found}{':' if fault else ''}", fault)


async def _models(settings: Settings, prices: Prices | None) -> AsyncIterator[Finding]:
    """The sandbox, and a run of every model in it; in a workspace of its own, so that nothing is taken as known."""
    runner = Runner(
        parallel=settings.parallel_runs,
        queued=settings.queued_runs,
        timeout_seconds=settings.simulation_timeout_seconds,
        memory_mb=settings.run_memory_mb,
        max_values=settings.max_result_values,
    )
    try:
        await runner.start()
        missing = "; ".join(runner.missing)
        fault = "run the gateway where a process may confine itself, see docs." if runner.level == "none" else None
        yield Finding("sandbox", f"{runner.level}{f' ({missing})' if missing else ''}{':' if fault else ''}", fault)
        data = settings.database_path.absolute().parent
        places = [data / "models", data / "uploads"]  # where serve unpacks them
        if not settings.database_fault() and (fault := passage.fault(places, runner.missing)):
            yield Finding("database", f"no model can run from {data}:", f"{fault}.")
        with passage.temporary_folder("fmu-gateway-doctor-") as folder:
            workspace = Path(folder)
            if fault := passage.fault([workspace], runner.missing):
                yield Finding("models", "not tried:", f"set TMPDIR to another folder than {workspace.parent}: {fault}.")
                return
            library = await Library.open(settings.models_dir, workspace, runner)
    finally:
        await runner.close()
    names = list(library.models)
    if not names and not library.refused:
        yield Finding("models", "", f"There is no <collection>/<Name>.fmu in MODELS_DIR, {settings.models_dir}.")
    for file, reason in library.refused.items():
        yield Finding("models", f"{file} is not listed:", f"{reason.rstrip('.')}. Repair it, or take it out.")
    if names:
        yield Finding("models", f"{len(names)} run here: {', '.join(names)}")
    if prices is not None:
        refused = [file.removesuffix(".fmu").replace("/", ":") for file in library.refused]
        for finding in _price(settings, prices, names, refused):
            yield finding
