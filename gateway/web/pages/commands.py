"""The command lines the pages offer for copying, safe to paste whatever a model is called."""

import json
import shlex
from collections.abc import Sequence
from dataclasses import dataclass

from gateway.web.pages.views import CatalogueEntry

FIRST_EXAMPLE = "msl:BouncingBall"


@dataclass(frozen=True, slots=True)
class Step:
    """One step of the way to a result: a command, or the answer that a person acts on in the browser."""

    title: str
    text: str
    command: str | None = None
    answer: str | None = None


def simulate(base_url: str, request: dict[str, object], token: str | None = None, key: str | None = None) -> str:
    """A curl line for POST /simulate. json escapes control characters and shlex the rest, so nothing can break out."""
    parts = [f"curl -s {shlex.quote(base_url + '/simulate')}", "-H 'Content-Type: application/json'"]
    if key is not None:
        parts.append(f"-H {shlex.quote('Authorization: Bearer ' + key)}")
    if token is not None:
        parts.append(f"-H {shlex.quote('Payment-Token: ' + token)}")
    parts.append(f"-d {shlex.quote(json.dumps(request, separators=(',', ':')))}")
    return " \\\n  ".join(parts)


def upload(base_url: str) -> str:
    """A curl line for POST /fmus."""
    return f"curl -s -H 'Authorization: Bearer API_KEY' \\\n  -F file=@Model.fmu {shlex.quote(base_url + '/fmus')}"


def cli_run(base_url: str, fmu_id: str, token: str) -> str:
    """The same as a line for the fmu-gateway command."""
    return (
        f"FMU_GATEWAY_URL={shlex.quote(base_url)} \\\n"
        f"  fmu-gateway run {shlex.quote(_printable(fmu_id))} --payment-token {shlex.quote(token)}"
    )


def example_request(entry: CatalogueEntry) -> dict[str, object]:
    """What the steps ask for: the README's request where that model is for sale, else the first model's own times."""
    if entry.fmu_id == FIRST_EXAMPLE:
        return {"fmu_id": FIRST_EXAMPLE, "stop_time": 1.0, "step": 0.01}
    return {"fmu_id": entry.fmu_id, "stop_time": entry.stop_time, "step": entry.step}


def example_model(models: Sequence[CatalogueEntry]) -> CatalogueEntry | None:
    """The model of the four steps: BouncingBall, else the first one with a price, else the first."""
    ranked = sorted(models, key=lambda m: (m.fmu_id != FIRST_EXAMPLE, m.is_free))
    return ranked[0] if ranked else None


def steps(base_url: str, entry: CatalogueEntry) -> list[Step]:
    """quote → pay → token → run; a free model needs only the last."""
    request = example_request(entry)
    if entry.is_free:
        return [Step("Run", "Free here: one request, and the result comes back.", simulate(base_url, request))]
    return [
        Step(
            "Quote",
            "Ask for the run you want. Typing errors are found first; then the exact price comes back as an HTTP 402.",
            simulate(base_url, request),
        ),
        Step(
            "Pay",
            "Open checkout_url from the answer. Stripe takes the payment; no card reaches this server.",
            answer=_offer(base_url, entry),
        ),
        Step(
            "Token",
            "Ask status_url from the answer. It waits for the payment, then gives your payment token.",
            "curl -s 'STATUS_URL?wait=25'",
        ),
        Step(
            "Run",
            "Send the same request with the token. The result comes back; if the run fails, the token works again.",
            simulate(base_url, request, "PAYMENT_TOKEN"),
        ),
    ]


def _offer(base_url: str, entry: CatalogueEntry) -> str:
    """The part of a 402 that the next two steps need."""
    amount, _, currency = entry.price_text.partition(" ")
    fields = {
        "code": "payment_required",
        "amount": amount,
        "currency": currency,
        "checkout_url": f"{base_url}/checkout/…",
        "status_url": f"{base_url}/payments/checkout/…",
    }
    return json.dumps(fields, indent=2, ensure_ascii=False)


def _printable(text: str) -> str:
    return "".join(ch if ch.isprintable() else "\N{REPLACEMENT CHARACTER}" for ch in text)
