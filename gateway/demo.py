"""The demo: a local Stripe and a gateway on fresh data, and the whole loop on screen as curl lines to paste."""

import contextlib
import json
import os
import re
import secrets
import shlex
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import FrameType
from typing import Any

import httpx

from gateway.client.plot import plot
from gateway.client.screen import bold, plain, put, put_fields, width
from gateway.client.values import Malformed, RunResult
from gateway.simulation import passage

PRICES = Path(__file__).parent / "demo_prices.toml"
PAID = {"fmu_id": "msl:BouncingBall", "stop_time": 3.0, "step": 0.01, "kpis": ["h:max", "h:rms"]}
FREE = {"fmu_id": "msl:VanDerPol"}
RECEIPT = ("purchase", "paid_at", "receipt_url")
CARD = {"card": "4242424242424242"}
START_WITHIN = 60.0  # seconds; the first start after an installation compiles Python's files
STOP_WITHIN = 10.0  # seconds
LAST_WORDS = 10  # lines of a log, shown where a step failed
# What a child may know of this machine: no setting of the person's, and above all no live key, gets into the demo.
INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "TMPDIR", "TEMP", "SYSTEMROOT", "VIRTUAL_ENV", "PYTHONDONTWRITEBYTECODE")


class StepFailed(Exception):
    """What was answered is not what the contract promises."""


def demo(port: int, stub_port: int, *, once: bool) -> int:
    """Runs the loop and, unless `once`, serves until Ctrl-C. The exit code: 0, or 1 if anything failed."""
    signal.signal(signal.SIGTERM, _terminated)
    try:
        _check_ports(port, stub_port)
        with (
            passage.temporary_folder("fmu-gateway-demo-") as folder,
            _servers(port, stub_port, Path(folder)) as both,
        ):
            _wait_until_ready(both, port, stub_port)
            with httpx.Client(trust_env=False, timeout=60) as http:
                Loop(http, f"http://127.0.0.1:{port}", f"http://127.0.0.1:{stub_port}").walk()
            if not once:
                _serve_on(both, port, stub_port)
    except (StepFailed, httpx.HTTPError, Malformed) as error:
        print(f"\nThe demo failed: {plain(error)}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        put("\nStopped; the demo's data are gone.")
    return 0


class Loop:
    """Quote, payment, token, run, and a free run: each step sent as it is printed."""

    def __init__(self, http: httpx.Client, gateway: str, stub: str):
        self.http, self.gateway, self.stub = http, gateway, stub

    def walk(self) -> None:
        quote = self._quote()
        self._pay(str(quote["checkout_url"]))
        token = self._token(str(quote["status_url"]))
        self._run("4  Run: the same request with the token", PAID, token)
        self._run("5  A free model needs none of that", FREE, None)

    def _quote(self) -> Mapping[str, Any]:
        _title("1  Quote: ask for the run you want, get its price")
        quote = self._send("POST", f"{self.gateway}/simulate", PAID, expect=402)
        missing = {"checkout_url", "session_id", "amount", "methods", "next_step", "status_url"} - set(quote)
        _require(not missing, f"the quote lacks {', '.join(sorted(missing))}")
        return quote

    def _pay(self, checkout_url: str) -> None:
        _title("2  Pay: the link leads to the checkout page, where a person would type a card number")
        answer = self.http.get(checkout_url)
        put(f"curl -s -o /dev/null -w '%{{http_code}} %{{redirect_url}}\\n' {shlex.quote(checkout_url)}")
        page = answer.headers.get("location", "")
        put(f"{answer.status_code} {plain(page)}\n")
        found = re.search(r"cs_\w+", page)
        _require(answer.status_code == 303 and found is not None, "checkout_url did not lead to the checkout page")
        assert found is not None
        put("Here a test card of the local Stripe pays instead:\n")
        address = f"{self.stub}/_stub/checkout/sessions/{found.group()}/pay"
        paid = self._send("POST", address, CARD, expect=200, show=("outcome", "redirect_url"))
        _require(paid.get("outcome") == "paid", "the payment did not succeed")

    def _token(self, status_url: str) -> str:
        _title("3  Token: the status address of the quote hands it out")
        ready = self._send("GET", f"{status_url}?wait=25", None, expect=200)
        _require(ready.get("status") == "ready" and bool(ready.get("payment_token")), "no payment token came")
        return str(ready["payment_token"])

    def _run(self, title: str, request: Mapping[str, Any], token: str | None) -> None:
        _title(title)
        body = {**request, "payment_token": token} if token else request
        result = RunResult.read(self._send("POST", f"{self.gateway}/simulate", body, expect=200))
        put(plot(result, width()))
        last = result.data["time"][-1]
        asked = request.get("stop_time", last)
        _require(last == asked, f"the last row stands at {last}, not at {asked}")
        _require(result.charged is bool(token), "what was charged is not what was agreed")
        receipt = result.receipt or {}
        _require(bool(receipt) is bool(token), "a paid run has a receipt and a free one has none")
        put_fields(
            [
                ("last time", f"{last} s, exactly as asked" if "stop_time" in request else f"{last} s"),
                ("charged", f"{result.amount} {result.currency}" if token else "nothing was charged"),
                *((name.replace("_", " "), value) for name, value in receipt.items() if name in RECEIPT),
            ]
        )

    def _send(
        self, method: str, url: str, body: Mapping[str, Any] | None, *, expect: int, show: tuple[str, ...] = ()
    ) -> dict[str, Any]:
        put(_curl(method, url, body))
        answer = self.http.request(method, url, json=body)
        try:
            said = answer.json()
        except ValueError:
            said = None
        _require(isinstance(said, dict), f"{url} answered {answer.status_code} without a JSON object")
        assert isinstance(said, dict)
        put(f"HTTP {answer.status_code} {answer.reason_phrase}")
        put(_pretty({name: said[name] for name in show} if show else said))
        _require(answer.status_code == expect, f"{url} answered {answer.status_code} instead of {expect}")
        return said


def _curl(method: str, url: str, body: Mapping[str, Any] | None) -> str:
    if body is None:
        return f"curl -s {shlex.quote(url)}"
    return f"curl -s {shlex.quote(url)} -H 'Content-Type: application/json' \\\n    -d {shlex.quote(json.dumps(body))}"


def _pretty(body: Mapping[str, Any]) -> str:
    """JSON, lists on one line. Shortened are only what nobody pastes: long lists, and the request said again."""
    text = json.dumps(_shortened(body), indent=2, ensure_ascii=False)
    flat = re.sub(r"\[\s+([^][{}]*?)\s+\]", lambda each: f"[{' '.join(each[1].split())}]", text)
    return "\n".join(map(plain, flat.split("\n"))) + "\n"


def _shortened(value: Any) -> Any:
    if isinstance(value, dict):
        return {name: "…" if name == "request" else _shortened(each) for name, each in value.items()}
    if isinstance(value, list) and len(value) > 4:
        return [value[0], value[1], f"… {len(value) - 3} more …", value[-1]]
    return value


def _title(text: str) -> None:
    put(f"\n{bold(text)}\n")


def _require(held: bool, otherwise: str) -> None:
    if not held:
        raise StepFailed(otherwise)


def _check_ports(port: int, stub_port: int) -> None:
    _require(port != stub_port, "--port and --stub-port must differ")
    for flag, number in (("--port", port), ("--stub-port", stub_port)):
        try:
            socket.create_server(("127.0.0.1", number)).close()
        except OSError as error:
            raise StepFailed(f"port {number}: {error.strerror}; choose another with {flag}") from None


@contextlib.contextmanager
def _servers(port: int, stub_port: int, folder: Path) -> Iterator[dict[str, subprocess.Popen[bytes]]]:
    """Both, started at once; they end with this process, however it ends."""
    secret = f"whsec_demo{secrets.token_hex(16)}"
    webhook = f"http://127.0.0.1:{port}/webhooks/stripe"
    settings = {
        "STRIPE_SECRET_KEY": f"sk_test_demo{secrets.token_hex(8)}",
        "STRIPE_WEBHOOK_SECRET": secret,
        "STRIPE_API_BASE": f"http://127.0.0.1:{stub_port}",
        "PRICING_FILE": str(PRICES),
        "UPLOADS_ENABLED": "true",
        "FMU_GATEWAY_DB_PATH": str(folder / "demo.sqlite3"),
        "RESULTS_DIR": str(folder / "results"),
    }
    commands = {
        "stripe": ["stripe_stub", "--port", str(stub_port), "--webhook-url", webhook, "--webhook-secret", secret],
        "gateway": ["gateway", "serve", "--host", "127.0.0.1", "--port", str(port)],
    }
    (folder / "results").mkdir(0o700)
    for name in ("demo.sqlite3", "gateway.log", "stripe.log"):  # others may pass the folder, for the models in it
        folder.joinpath(name).touch(0o600)
    environment = {name: os.environ[name] for name in INHERITED if name in os.environ}
    processes: dict[str, subprocess.Popen[bytes]] = {}
    try:
        for name, (module, *arguments) in commands.items():
            with (folder / f"{name}.log").open("wb") as log:
                processes[name] = subprocess.Popen(  # noqa: S603 - our own modules
                    [sys.executable, "-m", module, *arguments],
                    env=environment | (settings if name == "gateway" else {}),
                    cwd=PRICES.parent.parent,  # where a clone keeps both packages
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=subprocess.STDOUT,
                    umask=0o022,  # of what it makes there
                    start_new_session=True,  # Ctrl-C reaches us alone, and we end them in order
                    preexec_fn=_end_with_parent if sys.platform == "linux" else None,  # noqa: PLW1509 - no threads yet
                )
        yield processes
    except Exception:
        for name in processes:
            if lines := (folder / f"{name}.log").read_text(errors="replace").splitlines():
                print(f"\nThe last words of the {name} process:", *lines[-LAST_WORDS:], sep="\n", file=sys.stderr)
        raise
    finally:
        for process in reversed(processes.values()):  # the gateway first, while its Stripe still answers
            _end(process)


def _end_with_parent() -> None:
    """In the child, before exec: prctl(PR_SET_PDEATHSIG, SIGTERM), so that even our kill -9 leaves nobody behind."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(STOP_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def _wait_until_ready(both: Mapping[str, subprocess.Popen[bytes]], port: int, stub_port: int) -> None:
    put("Starting the gateway and a local Stripe …")
    end = time.monotonic() + START_WITHIN
    with httpx.Client(trust_env=False, timeout=5) as http:
        for url in (f"http://127.0.0.1:{stub_port}/_stub/state", f"http://127.0.0.1:{port}/ready"):
            while True:
                _require(all(p.poll() is None for p in both.values()), "a server did not start")
                with contextlib.suppress(httpx.TransportError):
                    answer = http.get(url)
                    if answer.status_code == 200:
                        break
                    _require("/ready" not in url or _has_models(answer), "no model runs here")  # nor will one later
                _require(time.monotonic() < end, f"{url} did not become ready within {START_WITHIN:.0f} s")
                time.sleep(0.05)


def _has_models(ready: httpx.Response) -> bool:
    return ready.status_code != 503 or bool(ready.json()["models"])


def _serve_on(both: Mapping[str, subprocess.Popen[bytes]], port: int, stub_port: int) -> None:
    put(f"\n{bold('Now you')}\n")
    put_fields(
        [
            ("Catalogue", f"http://127.0.0.1:{port}/"),
            ("API", f"http://127.0.0.1:{port}/docs"),
            ("Local Stripe", f"http://127.0.0.1:{stub_port}/"),
            ("Command line", f"FMU_GATEWAY_URL=http://127.0.0.1:{port} .venv/bin/fmu-gateway run msl:DCMotor --pay"),
        ]
    )
    put("\nCtrl-C ends both and deletes the demo's data.")
    sys.stdout.flush()
    while all(process.poll() is None for process in both.values()):
        time.sleep(0.5)
    raise StepFailed("a server ended")


def _terminated(number: int, frame: FrameType | None) -> None:
    raise SystemExit(128 + number)
