"""How models, offers, purchases, results and refusals look to a person at a terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from gateway.client.errors import (
    GatewayClientError,
    InvalidRequest,
    PaymentRequired,
    Problem,
    UnexpectedAnswer,
    Unreachable,
    WaitedTooLong,
)
from gateway.client.screen import bold, message, plain, put, put_fields, put_table, width
from gateway.client.values import ModelCard, Offer, PurchaseStatus, RunResult

# The gateway explains itself to programs; at this command line some ways out have other names.
NEXT_STEP_HERE = {
    "model_not_found": "fmu-gateway models lists them all.",
    "key_refused": "Correct FMU_GATEWAY_API_KEY; or unset it, and buy without or get one: fmu-gateway keys create.",
    "price_above_max": "Raise --max-price, or do nothing: nothing was created.",
}


def show_models(models: Sequence[ModelCard]) -> None:
    if not models:
        put("No model matches.")
        return
    put_table(
        [(card.fmu_id, _price(card), f"FMI {card.fmi_version}", card.description) for card in models],
        head=("model", "one run", "kind", "what it is"),
    )
    put()
    put("fmu-gateway model MODEL shows its variables, fmu-gateway run MODEL --quote its price for your run.")


def show_model(card: ModelCard, variables: Sequence[Mapping[str, Any]]) -> None:
    put(bold(plain(card.fmu_id)))
    put(plain(card.description))
    put()
    begin, end, step = (card.default_experiment.get(name, "?") for name in ("start_time", "stop_time", "step"))
    span = f"{begin} … {end} s, a row every {step} s"
    put_fields(
        [("one run", _price(card)), ("FMI", card.fmi_version), ("sha256", card.sha256), ("runs by default", span)]
    )
    put()
    put_table(
        [
            (
                v.get("name"),
                v.get("causality"),
                _number(v.get("start")),
                _unit(v.get("unit")),
                v.get("description") or "",
            )
            for v in variables
        ],
        head=("variable", "role", "start", "unit", "what it is"),
    )


def show_offer(offer: Offer) -> None:
    put_fields(
        [
            ("model", offer.fmu_id),
            ("one run", "free" if offer.is_free else f"{offer.amount} {offer.currency}"),
            ("until", offer.expires_at),
            ("pay here", offer.checkout_url),
            ("session", offer.session_id),
        ]
    )


def show_status(status: PurchaseStatus) -> None:
    put_fields(
        [
            ("status", status.status),
            ("payment token", status.payment_token),
            ("expires", status.expires_at),
            ("run", status.run_url),
        ]
    )
    if status.status == "pending":
        message("Not paid yet; with --wait 10m this command waits for the payment.")
    if status.payment_token:
        message("Spend it on one run: fmu-gateway run MODEL --payment-token TOKEN")


def show_result(result: RunResult, token: str | None, *, with_plot: bool) -> None:
    """Plot, KPIs, the last row, the receipt, and how to get the result again with `token`."""
    times = result.data.get("time", ())
    span = f"{_number(times[0])} … {_number(times[-1])} s, {len(times)} rows" if times else "no rows"
    put(f"{bold(plain(result.fmu_id))}  {span}")
    if with_plot:
        from gateway.client.plot import plot

        put(plot(result, width()))
    last = {name: result.data[name][-1] for name in result.columns if result.data.get(name)}
    row = [f"{name} = {_number(value)} {_unit(result.units.get(name))}".rstrip() for name, value in last.items()]
    receipt = result.receipt or {}
    put_fields(
        [
            *((plain(name), _number(value)) for name, value in result.kpis.items()),
            ("last row", ", ".join(row)),
            ("charged", f"{result.amount} {result.currency}" if result.charged else "nothing: this run was free"),
            ("purchase", receipt.get("purchase")),
            ("paid at", receipt.get("paid_at")),
            ("receipt", receipt.get("receipt_url")),
            ("result sha256", result.provenance.get("result_sha256")),
            ("run", result.run_id),
        ]
    )
    say_how_to_read_again(result, token)


def say_how_to_read_again(result: RunResult, token: str | None) -> None:
    credential = f" --payment-token {token}" if token else ""
    message(f"Again, as CSV: fmu-gateway result {result.run_id}{credential} --csv FILE")


def explain(error: GatewayClientError) -> None:
    """What went wrong and what to do next, on stderr."""
    if isinstance(error, PaymentRequired) and error.code == "payment_required" and error.offer:
        offer = error.offer
        message(f"One run of {offer.fmu_id} costs {offer.amount} {offer.currency}. Nothing was charged.")
        message("Pay and run: the same command with --pay. Or by hand:")
        message(f"1. Pay here:       {offer.checkout_url}")
        message(f"2. Get the token:  fmu-gateway status {offer.session_id} --wait 10m")
        message("3. Run:            the same command with --payment-token TOKEN")
    elif isinstance(error, Problem):
        named = isinstance(error, InvalidRequest) and error.field and error.field not in error.detail
        message(f"{error.field}: {error.detail}" if named else error.detail)
        if error.did_you_mean:
            message(f"Did you mean {error.did_you_mean}?")
        if error.charged is False:
            message("Nothing was charged.")
        if error.run_url:
            message(f"Its run: fmu-gateway result {error.run_url}")
        if next_step := NEXT_STEP_HERE.get(error.code, error.next_step):
            message(next_step)
    else:
        message(str(error)[:1].upper() + str(error)[1:] + ".")
    if isinstance(error, WaitedTooLong):
        message(f"A payment is not lost: fmu-gateway status {error.session_id} --wait 10m")
    if isinstance(error, UnexpectedAnswer) or (isinstance(error, Unreachable) and not error.sent):
        message("Is the address right? FMU_GATEWAY_URL says where the gateway is.")


def _price(card: ModelCard) -> str:
    return "free" if card.is_free else f"{card.price} {card.currency}"


def _number(value: object) -> str:
    return f"{value:.6g}" if isinstance(value, float) else "" if value is None else plain(value)


def _unit(unit: object) -> str:
    """FMI's unit of a number without one is "1"."""
    return "" if unit in (None, "1") else str(unit)
