"""The buyer's commands. What they need is imported when it is known what was asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from os import devnull, environ
from pathlib import Path
from typing import Annotated

import typer

from gateway.client import exits, typed, views
from gateway.client.errors import GatewayClientError, PaymentRequired, Problem, RunFailed, Unreachable
from gateway.client.gateway import DEFAULT_URL, Gateway
from gateway.client.options import (
    Csv,
    FmiType,
    Input,
    Json,
    Kpis,
    MaxPrice,
    Model,
    Output,
    Outputs,
    Pay,
    Plot,
    Png,
    Quote,
    ReadToken,
    Set,
    Solver,
    Start,
    Step,
    Stop,
    Token,
    Tolerance,
    Wait,
    checked,
)
from gateway.client.screen import Waiting, message, plain, put_json
from gateway.client.values import Offer, RunRequest, RunResult
from gateway.client.watching import run_watched


def models(
    query: Annotated[str | None, typer.Option("--query", metavar="Q", help="Only those that match.")] = None,
    json: Json = False,
) -> None:
    """What is for sale, with prices."""
    out = Output(json)
    with _gateway(out) as gateway:
        cards = gateway.models(query)
        if out.as_json:
            put_json([card.body for card in cards])
        else:
            views.show_models(cards)


def model(
    model: Model,
    inputs: Annotated[bool, typer.Option("--inputs", help="Print an input file to fill in, for run --input.")] = False,
    json: Json = False,
) -> None:
    """One model: price, default experiment, variables, units."""
    out = Output(json)
    with _gateway(out) as gateway:
        if inputs:
            sys.stdout.write("".join(f"{plain(line)}\n" for line in gateway.inputs_csv(model).splitlines()))
            return
        card, variables = gateway.model(model), gateway.variables(model)
        if out.as_json:
            put_json({**card.body, "variables": variables})
        else:
            views.show_model(card, variables)


def run(
    model: Model,
    *,
    start_time: Start = None,
    stop_time: Stop = None,
    step: Step = None,
    set_: Set = None,
    input_: Input = None,
    output: Outputs = None,
    kpi: Kpis = None,
    fmi_type: FmiType = None,
    solver: Solver = None,
    tolerance: Tolerance = None,
    quote: Quote = False,
    payment_token: Token = None,
    pay: Pay = False,
    max_price: MaxPrice = None,
    wait: Wait = "10m",
    csv: Csv = None,
    json: Json = False,
    plot: Plot = None,
    png: Png = None,
) -> None:
    """Run a model once; --pay or --payment-token if it has a price."""
    if quote + pay + (payment_token is not None) > 1:
        raise typer.BadParameter("choose one of them", param_hint="--quote, --pay, --payment-token")
    request = RunRequest(
        fmu_id=model,
        start_time=checked(typed.finite, start_time, "--start-time"),
        stop_time=checked(typed.finite, stop_time, "--stop-time"),
        step=checked(typed.finite, step, "--step"),
        start_values=checked(typed.start_values, set_ or [], "--set"),
        input_signals=checked(typed.input_file, input_, "--input") if input_ else None,
        outputs=typed.names(output or []),
        kpis=typed.names(kpi or []),
        fmi_type=fmi_type,
        solver=solver,
        tolerance=checked(typed.finite, tolerance, "--tolerance"),
        max_price=checked(typed.price, max_price, "--max-price") if max_price else None,
    )
    seconds = checked(typed.duration, wait, "--wait")
    out = Output(json, plot, csv, png)
    with _gateway(out) as gateway:
        if quote:
            offer = gateway.quote(request)
            put_json(offer.body) if out.as_json else views.show_offer(offer)
            return
        _deliver(gateway, *_run_or_buy(gateway, request, payment_token, pay, seconds), out)


def _run_or_buy(
    gateway: Gateway, request: RunRequest, payment_token: str | None, pay: bool, seconds: float
) -> tuple[RunResult, str | None]:
    """The result, and the payment token that it took."""
    try:
        return _run(gateway, request, payment_token), payment_token
    except PaymentRequired as due:
        if not pay or due.offer is None or due.code != "payment_required":
            raise
        payment_token = _buy(gateway, due.offer, seconds)
        return _run(gateway, request, payment_token), payment_token


def result(
    run: Annotated[str, typer.Argument(metavar="RUN", help="run_… or its run_url.")],
    *,
    payment_token: ReadToken = None,
    csv: Csv = None,
    json: Json = False,
    plot: Plot = None,
    png: Png = None,
) -> None:
    """The result of a finished run, again and at no cost."""
    out = Output(json, plot, csv, png)
    with _gateway(out) as gateway:
        found = gateway.result(run.rstrip("/").rsplit("/", 1)[-1], payment_token)
        _deliver(gateway, found, payment_token, out)


def status(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="The session_id of your quote.")],
    wait: Annotated[str | None, typer.Option("--wait", metavar="10m", help="Wait this long for the payment.")] = None,
    json: Json = False,
) -> None:
    """Where a purchase stands; its payment token once it is paid."""
    seconds = checked(typed.duration, wait, "--wait") if wait else 0.0
    out = Output(json)
    with _gateway(out) as gateway:
        if wait:
            with Waiting(lambda passed: _left(seconds - passed)):
                gateway.wait_for_token(session, seconds)
        found = gateway.status(session)
        if out.as_json:
            put_json(found.body)
        else:
            views.show_status(found)


def keys_create(
    email: Annotated[str | None, typer.Option(metavar="E", help="Where the operator may write to.")] = None,
    name: Annotated[str | None, typer.Option(metavar="N", help="What the key is for.")] = None,
    json: Json = False,
) -> None:
    """A new account and its API key, shown this once."""
    out = Output(json)
    with _gateway(out) as gateway:
        key = gateway.create_key(email, name)
        if out.as_json:
            put_json(key.body)
        else:
            print(f"export FMU_GATEWAY_API_KEY={plain(key.api_key)}")
            message(f"Shown this once. Key {key.key_id} of account {key.account_id}.")


@contextmanager
def _gateway(out: Output) -> Iterator[Gateway]:
    """The gateway of the environment; whatever it refuses is explained and becomes the exit code."""
    url = environ.get("FMU_GATEWAY_URL", "").strip() or DEFAULT_URL
    key = environ.get("FMU_GATEWAY_API_KEY", "").strip() or None
    try:
        gateway = Gateway(url, key, on_pause=lambda pause: message(f"{pause.because}; asking again"))
    except ValueError as error:
        raise typer.BadParameter(str(error), param_hint="FMU_GATEWAY_URL") from None
    try:
        with gateway:
            yield gateway
        sys.stdout.flush()
    except BrokenPipeError:
        raise  # whoever read our data has enough
    except OSError as error:
        message(f"{error.filename or 'The output'} could not be written: {error.strerror}.")
        if error.filename is None:
            sys.stdout = open(devnull, "w")  # noqa: SIM115 - or Python would try again as it ends, and complain
        raise typer.Exit(exits.Exit.UNEXPECTED) from None
    except GatewayClientError as error:
        if isinstance(error, Problem) and out.as_json:
            put_json(error.body)
        views.explain(error)
        raise typer.Exit(exits.code(error)) from None


def _run(gateway: Gateway, request: RunRequest, token: str | None) -> RunResult:
    try:
        if sys.stderr.isatty():  # somebody watches, and may want to stop it
            return run_watched(gateway, request, token)
        with Waiting(lambda passed: f"running {request.fmu_id} …" + (f" {passed:.0f} s" if passed >= 1 else "")):
            return gateway.run(request, token)
    except RunFailed:
        if token:
            message(f"The payment token works again: --payment-token {token}")
        raise
    except (Unreachable, KeyboardInterrupt) as stopped:
        if token and not (isinstance(stopped, Unreachable) and not stopped.sent):
            message("A paid run goes on without you. The same command gets its result and is not charged again,")
            message(f"with --payment-token {token}")
        raise


def _buy(gateway: Gateway, offer: Offer, seconds: float) -> str:
    """The payment token, once a person paid in the browser."""
    message(f"One run of {offer.fmu_id} costs {offer.amount} {offer.currency}.")
    message(f"Pay here: {offer.checkout_url}")
    _open_browser(offer.checkout_url)
    try:
        with Waiting(lambda passed: _left(seconds - passed)):
            token = gateway.wait_for_token(offer.session_id, seconds).payment_token
    except (Unreachable, KeyboardInterrupt):
        message(f"A payment is not lost: fmu-gateway status {offer.session_id} --wait 10m")
        raise
    message("Paid.")
    return token


def _open_browser(url: str) -> None:
    """As well as this machine can; the address stands on the screen anyway."""
    if not url.startswith(("http://", "https://")) or url != plain(url):
        return
    if sys.platform == "linux" and not any(environ.get(name) for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER")):
        return  # a browser of characters would take the terminal from us
    import threading
    import webbrowser

    threading.Thread(target=lambda: webbrowser.open(url), daemon=True).start()


def _left(seconds: float) -> str:
    minutes, rest = divmod(max(0, round(seconds)), 60)
    return f"waiting for the payment, {minutes}:{rest:02d} left; Ctrl-C loses nothing"


def _deliver(gateway: Gateway, result: RunResult, token: str | None, out: Output) -> None:
    """Shows the result first, and then writes its files: what was paid for is seen whatever the disk says."""
    token = token or result.run_token
    try:
        if not out.csv_to_stdout:
            put_json(result.body) if out.as_json else views.show_result(result, token, with_plot=out.plot is not False)
        if out.csv is not None:
            _write(out.csv, gateway.result_csv(result.run_id, token))
        if out.png is not None:
            from gateway.client.png import png

            _write(out.png, png(result))
    except BrokenPipeError:
        raise
    except (GatewayClientError, OSError):
        views.say_how_to_read_again(result, token)
        raise


def _write(path: Path, content: bytes) -> None:
    if str(path) == "-":
        sys.stdout.buffer.write(content)
        return
    try:
        path.write_bytes(content)
    except OSError as error:
        raise OSError(error.errno, error.strerror, str(path)) from None  # what a full disk says names no file
    message(f"Written to {path}.")
