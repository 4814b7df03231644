"""The local Stripe inside a test process: `with LocalStripe() as stripe: stripe.pay(session_id)`.

It runs in a thread of its own with its own event loop, so an application under test may block or be killed without it.
"""

import asyncio
import http.client
import json
import secrets
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, Self

from stripe_stub.app import LocalStripeApp, Options
from stripe_stub.serving import server_for
from stripe_stub.signature import sign

Json = Any
ANSWER_WITHIN = 60.0  # seconds for one control; a flush may wait for slow receivers


class LocalStripe:
    """A local Stripe on a free port. Every method blocks until it is done; `aio` has the same ones to be awaited."""

    def __init__(
        self,
        webhook_url: str | None = None,
        webhook_secret: str = "whsec_local",  # noqa: S107 (signs test events on this machine)
        *,
        state: Path | None = None,
        seed: int | None = None,
        port: int = 0,
    ):
        self.webhook_secret = webhook_secret
        self._listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        self._listener.bind(("127.0.0.1", port))
        self._listener.listen(2048)
        self.port: int = self._listener.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        options = Options(webhook_url, webhook_secret, state, secrets.randbits(48) if seed is None else seed)
        self._failure: BaseException | None = None
        self._server: Any = None
        self._thread = threading.Thread(target=self._serve, args=(options,), name="local-stripe", daemon=True)
        self._thread.start()
        self.clock()  # answered once it is up

    def _serve(self, options: Options) -> None:
        try:
            self._server = server_for(LocalStripeApp(self.url, options))
            self._server.run(sockets=[self._listener])
        except BaseException as error:  # shown to the test by the next call
            self._failure = error
        finally:
            self._listener.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Stop and wait for it."""
        while self._server is None and self._thread.is_alive():
            time.sleep(0.005)
        if self._server is not None:
            self._server.should_exit = True
        self._thread.join(10)

    @property
    def base_addresses(self) -> dict[str, str]:
        """For stripe.StripeClient: all four, or one of them leaks to the real host."""
        return dict.fromkeys(("api", "files", "connect", "meter_events"), self.url)

    @property
    def aio(self) -> "_Awaitable":
        """The same methods, awaited: they leave the event loop free to receive webhooks meanwhile."""
        return _Awaitable(self)

    def control(self, method: str, path: str, wish: Json = None) -> Json:
        """Any control, e.g. `control("POST", "/_stub/clock", {"advance": 60})`. Raises LocalStripeError if it is
        refused.
        """
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=ANSWER_WITHIN)
        try:
            connection.request(method, path, None if wish is None else json.dumps(wish))
            answer = connection.getresponse()
            text = answer.read().decode()
        except OSError as error:
            raise LocalStripeError(f"{method} {path}: {self._failure or error!r}") from error
        finally:
            connection.close()
        if answer.status != 200:
            raise LocalStripeError(f"{method} {path}: {answer.status} {text}")
        return json.loads(text)

    def _post(self, path: str, /, **wish: Json) -> Json:
        return self.control("POST", f"/_stub/{path}", wish)

    def pay(
        self, session_id: str, card: str = "4242424242424242", *, bank: str | None = None, challenge: str = "complete"
    ) -> Json:
        """Pay like the hosted page: {"outcome", "session", "redirect_url", "error", "webhooks"}, once the webhook is
        answered.
        """
        means = {"bank": bank} if bank else {"card": card}
        return self._post(f"checkout/sessions/{session_id}/pay", challenge=challenge, **means)

    def state(self) -> Json:
        return self.control("GET", "/_stub/state")

    def objects(self, kind: str) -> list[Json]:
        """All objects of a kind, e.g. "refund", oldest first."""
        found: list[Json] = self.state()["objects"][kind]
        return found

    def events(self, type: str | None = None) -> list[Json]:
        """All events, oldest first."""
        return [event for event in self.state()["events"] if type in (None, event["type"])]

    def calls(self) -> list[Json]:
        """Every API call since the start or `reset_calls`, oldest first."""
        found: list[Json] = self.control("GET", "/_stub/calls")["calls"]
        return found

    def reset_calls(self) -> None:
        self.control("DELETE", "/_stub/calls")

    def reset(self) -> None:
        """Forget everything but the first webhook endpoint."""
        self._post("reset")

    def set_webhook_url(self, url: str, secret: str | None = None) -> None:
        wish = {"url": url, **({"secret": secret} if secret else {})}
        self.webhook_secret = self._post("endpoint", **wish)["secret"]

    def fault(self, kind: str, /, **wish: Json) -> Json:
        """`fault("error", status=500, path="/v1/refunds", when="after")`; see docs/local-stripe.md."""
        return self._post("faults", kind=kind, **wish)

    def clear_faults(self) -> None:
        self.control("DELETE", "/_stub/faults")

    def script(self, **wish: Json) -> None:
        """`script(type="charge.refunded", delay=60)`; see docs/local-stripe.md."""
        self._post("scripts", **wish)

    def drop(self, type: str = "*", *, times: int | None = 1) -> None:
        """The next `times` deliveries of this type never arrive (until resent)."""
        self.script(type=type, times=times, drop=True)

    def duplicate(self, type: str = "*", *, n: int = 1, times: int | None = 1) -> None:
        """The next `times` deliveries of this type arrive with `n` copies besides."""
        self.script(type=type, times=times, duplicate=n)

    def clear_scripts(self) -> None:
        self.control("DELETE", "/_stub/scripts")

    def clock(self) -> Json:
        return self.control("GET", "/_stub/clock")

    def advance(self, seconds: float) -> Json:
        """Everything due until then has happened when this returns."""
        return self._post("clock", advance=seconds)

    def set_clock(self, unix: float) -> Json:
        return self._post("clock", set=unix)

    def freeze(self, stand: bool = True) -> Json:
        return self._post("clock", freeze=stand)

    def deliveries(self) -> list[Json]:
        found: list[Json] = self.control("GET", "/_stub/deliveries")
        return found

    def flush(self) -> int:
        """Send everything that waits, once; how many still wait after that."""
        pending: int = self._post("flush")["pending"]
        return pending

    def resend(self, event_id: str) -> list[Json]:
        found: list[Json] = self._post(f"events/{event_id}/resend")
        return found

    def send_event(self, type: str, object: Json, **envelope: Json) -> Json:
        """A signed event of your own: {"event", "webhooks"}."""
        return self._post("events", type=type, object=object, **envelope)

    def deliver_raw(self, body: Json, /, **wish: Json) -> Json:
        """Any body, with `secret`, `timestamp_offset` or a whole `signature`: the receiver's {"status", "body",
        "error"}.
        """
        return self._post("webhook", body=body, **wish)

    def sign(self, body: bytes, timestamp: int | None = None, secret: str | None = None) -> str:
        """The Stripe-Signature header for these bytes."""
        return sign(body, secret or self.webhook_secret, int(time.time()) if timestamp is None else timestamp)

    def settle(self, payment_intent: str, outcome: str = "succeeded") -> Json:
        """A delayed payment ends now."""
        return self._post(f"payments/{payment_intent}/settle", outcome=outcome)

    def refund(self, payment_intent: str, amount: int | None = None) -> Json:
        """As in the dashboard: without metadata."""
        return self._post(f"payments/{payment_intent}/refund", **({} if amount is None else {"amount": amount}))

    def fail_refund(self, refund: str) -> Json:
        return self._post(f"refunds/{refund}/fail")

    def dispute(self, payment_intent: str, reason: str = "fraudulent", *, inquiry: bool = False) -> Json:
        """The bank takes the money; by an `inquiry` it only asks."""
        return self._post(f"payments/{payment_intent}/dispute", reason=reason, inquiry=inquiry)

    def escalate_dispute(self, dispute: str) -> Json:
        """An inquiry becomes a dispute."""
        return self._post(f"disputes/{dispute}/escalate")

    def close_dispute(self, dispute: str, status: str) -> Json:
        """`won` or `lost`; of an inquiry `warning_closed` or `prevented`."""
        return self._post(f"disputes/{dispute}/close", status=status)


class LocalStripeError(Exception):
    """The local Stripe refused a control, or is gone."""


class _Awaitable:
    """Each method of a LocalStripe, run in a worker thread."""

    def __init__(self, stripe: LocalStripe):
        self._stripe = stripe

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._stripe, name)

        async def run(*args: Any, **kwargs: Any) -> Any:
            return await asyncio.to_thread(method, *args, **kwargs)

        return run
