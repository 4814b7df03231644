"""The real gateway on a free port, with a local Stripe, a real SQLite file and real FMUs, and its buyer."""

import asyncio
import json
import re
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import uvloop

from gateway.app import create_app
from gateway.flows.reconcile import reconcile
from gateway.flows.services import Services
from gateway.settings import SHIPPED_MODELS, Settings
from gateway.store.store import violations
from stripe_stub.testing import LocalStripe

TEST_MODELS = Path(__file__).parent / "data" / "fmus" / "test"
SHIPPED = ("BouncingBall", "VanDerPol", "DCMotor")
UNLISTED = ("Exits",)  # its default experiment ends the process
BALL = {"fmu_id": "msl:BouncingBall", "stop_time": 1.0, "step": 0.01}
FREE = {"fmu_id": "msl:VanDerPol", "stop_time": 1.0, "step": 0.1}
SLOW = {"fmu_id": "test:Slow", "step": 0.1, "start_values": {"pause": 0.05}}  # half a second, in ten steps
PRICES = '[prices]\n"msl:VanDerPol" = 0\n"msl:DCMotor" = "2.50"\n'
WEBHOOK_SECRET = "whsec_harness"
SECRET = "a secret of the harness, long enough"
PATIENCE = 20.0  # seconds a test waits for something that must happen; nothing waits that long when all is well
# Limits that a test of something else should not meet.
GENEROUS: dict[str, Any] = {
    "keys_per_minute": 0, "free_runs_per_minute": 0, "checkouts_per_minute": 0, "checkouts_per_second": 0,
}  # fmt: skip


def make_models(directory: Path) -> Path:
    """A MODELS_DIR: three shipped models, of which VanDerPol is free, and the misbehaving ones of tests/data."""
    for source, collection in ((SHIPPED_MODELS / "msl", "msl"), (TEST_MODELS, "test")):
        (directory / collection).mkdir(parents=True)
        for file in sorted(source.glob("*.fmu")):
            if file.stem not in UNLISTED and (collection == "test" or file.stem in SHIPPED):
                shutil.copy(file, directory / collection)
    return directory


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def until(happened: Callable[[], Any], what: str) -> Any:
    """What `happened` says once it is truthy."""
    end = time.monotonic() + PATIENCE
    while not (said := happened()):
        assert time.monotonic() < end, f"waited in vain for {what}"
        time.sleep(0.005)
    return said


def at_once(count: int, call: Callable[[int], Any]) -> list[Any]:
    """`call(0)` … `call(count - 1)`, all begun at the same moment, each in its own thread."""
    barrier = threading.Barrier(count)

    def one(i: int) -> Any:
        barrier.wait()
        return call(i)

    with ThreadPoolExecutor(count) as pool:
        return list(pool.map(one, range(count)))


@dataclass(frozen=True)
class Bought:
    """A paid purchase, as its buyer knows it."""

    quote: dict[str, Any]
    stripe_session_id: str
    redirect_url: str
    token: str

    @property
    def session_id(self) -> str:
        return str(self.quote["session_id"])


class Buyer:
    """Speaks HTTP to a gateway at `url` whose Stripe is `stripe`; `key` is sent with every request."""

    def __init__(self, url: str, stripe: LocalStripe, key: str | None = None):
        self.url, self.stripe, self.key = url, stripe, key
        headers = {"authorization": f"Bearer {key}"} if key else {}
        self.http = httpx.Client(base_url=url, headers=headers, timeout=PATIENCE * 2, trust_env=False)

    def get(self, path: str, **options: Any) -> httpx.Response:
        return self.http.get(path, **options)

    def simulate(self, body: Any = BALL, token: str | None = None, **options: Any) -> httpx.Response:
        """POST /simulate; `body` is sent as it is where it is bytes."""
        if isinstance(body, bytes):
            return self.http.post("/simulate", content=body, **options)
        return self.http.post("/simulate", json={**body, **({"payment_token": token} if token else {})}, **options)

    def quote(self, body: Any = BALL) -> dict[str, Any]:
        answer = self.simulate(body)
        assert answer.status_code == 402, answer.text
        found: dict[str, Any] = answer.json()
        return found

    def open(self, quote: dict[str, Any]) -> str:
        """Stripe's id of the Checkout Session behind a quote's checkout_url."""
        answer = self.http.get(quote["checkout_url"])
        assert answer.status_code == 303, answer.text
        found = re.search(r"cs_\w+", answer.headers["location"])
        assert found, answer.headers["location"]
        return found.group()

    def status(self, session_id: str, **options: Any) -> httpx.Response:
        return self.http.get(f"/payments/checkout/{session_id}", **options)

    def collect(self, session_id: str) -> str:
        answer = self.status(session_id)
        assert answer.status_code == 200, answer.text
        return str(answer.json()["payment_token"])

    def buy(self, body: Any = BALL) -> Bought:
        """402 → checkout → pay → token."""
        quote = self.quote(body)
        session = self.open(quote)
        paid = self.stripe.pay(session)
        assert paid["outcome"] == "paid", paid
        return Bought(quote, session, paid["redirect_url"], self.collect(quote["session_id"]))

    def purchase_id(self, bought: Bought) -> str:
        found = next(s for s in self.stripe.objects("checkout.session") if s["id"] == bought.stripe_session_id)
        return str(found["client_reference_id"])


class Gateway(Buyer):
    """A gateway in a thread of its own, and its anonymous buyer."""

    def __init__(self, settings: Settings, stripe: LocalStripe, listener: socket.socket):
        super().__init__(settings.base_url, stripe)
        self.settings = settings
        self.app = create_app(settings)
        self._buyers: list[Buyer] = [self]
        config = uvicorn.Config(self.app, log_config=None, access_log=False, http="httptools", lifespan="on")
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="gateway")
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), "the gateway")
        assert self._server.started, "the gateway did not start"

    def _serve(self) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[self._listener])

        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    def close(self) -> None:
        for buyer in self._buyers:
            buyer.http.close()
        self._server.should_exit = True
        self._thread.join()
        self._listener.close()

    @property
    def services(self) -> Services:
        found: Services = self.app.state.services
        return found

    def call(self, flow: Callable[[Services], Awaitable[Any]]) -> Any:
        """A flow, run on the gateway's own loop."""
        assert self._loop is not None

        async def run() -> Any:
            return await flow(self.services)

        return asyncio.run_coroutine_threadsafe(run(), self._loop).result(PATIENCE * 2)

    def reconcile(self) -> None:
        self.call(reconcile)

    def later(self, seconds: int) -> None:
        """The gateway's clock jumps; the local Stripe's does not."""
        before = self.services.now
        self.services.now = lambda: before() + seconds

    def ask_again(self) -> None:
        """The pause between two questions to Stripe about one purchase is over."""
        self.services.asked_at.clear()

    def account(self) -> Buyer:
        """A buyer with a key of their own."""
        answer = self.http.post("/keys")
        assert answer.status_code == 201, answer.text
        return self.another(answer.json()["api_key"])

    def another(self, key: str | None = None) -> Buyer:
        """A buyer of their own: no cookie or connection is shared."""
        self._buyers.append(Buyer(self.url, self.stripe, key))
        return self._buyers[-1]

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return rows(self.settings.database_path, sql, *values)

    def violations(self) -> list[str]:
        return violations(self.settings.database_path)


def rows(database: Path, sql: str, *values: Any) -> list[dict[str, Any]]:
    db = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
    db.row_factory = sqlite3.Row
    try:
        return [dict(row) for row in db.execute(sql, values)]
    finally:
        db.close()


def change(database: Path, sql: str, *values: Any) -> None:
    """Behind the gateway's back."""
    db = sqlite3.connect(database, timeout=PATIENCE)
    try:
        with db:
            assert db.execute(sql, values).rowcount > 0
    finally:
        db.close()


class House:
    """Where gateways of one test (or of all) live: a folder with database, results and models, and a local Stripe."""

    def __init__(self, folder: Path, models: Path, workspace: Path, stripe: LocalStripe):
        self.folder, self.models, self.stripe = folder, models, stripe
        self.databases: set[Path] = set()
        self._port = free_port()
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "models").symlink_to(workspace)  # models are unpacked and tried once for all tests
        (folder / "prices.toml").write_text(PRICES)

    def settings(self, **overrides: Any) -> Settings:
        port = overrides.pop("port", self._port)
        values: dict[str, Any] = {
            "port": port,
            "gateway_secret": (SECRET,),
            "stripe_secret_key": "sk_test_harness",
            "stripe_webhook_secret": WEBHOOK_SECRET,
            "stripe_api_base": self.stripe.url,
            "pricing_file": self.folder / "prices.toml",
            "models_dir": self.models,
            "fmu_gateway_db_path": str(self.folder / "gateway.sqlite3"),
            "parallel_runs": 2,
            **GENEROUS,
            **overrides,
        }
        return Settings(**values)

    @contextmanager
    def gateway(self, **overrides: Any) -> Iterator[Gateway]:
        """A running gateway. Begun again on the same house, it finds what the one before it left."""
        settings = self.settings(**overrides)
        self.databases.add(settings.database_path)
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(("127.0.0.1", settings.port))
        listener.listen(2048)
        gateway = Gateway(settings, self.stripe, listener)
        self.stripe.set_webhook_url(f"http://127.0.0.1:{settings.port}/webhooks/stripe", WEBHOOK_SECRET)
        try:
            yield gateway
        finally:
            gateway.close()

    def check(self) -> None:
        """The books are right, whatever the test did."""
        for database in self.databases:
            assert violations(database) == []


def problem(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    """The problem that an answer must be, with everything that every problem has."""
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["cache-control"] == "no-store"
    body: dict[str, Any] = json.loads(answer.content)
    assert body["code"] == code, body
    assert body["status"] == status
    assert body["title"]
    assert body["detail"]
    assert body["next_step"]
    assert body["type"].endswith(f"/problems/{code}")
    return body
