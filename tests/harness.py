"""The real gateway on a free port, with a local Stripe, a real SQLite file and real FMUs, and its buyer."""

import asyncio
import shutil
import socket
import sqlite3
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import uvicorn
import uvloop
from buyer import BALL, FREE, PATIENCE, SLOW, Bought, Buyer, problem

from gateway.app import create_app
from gateway.flows.reconcile import reconcile
from gateway.flows.services import Services
from gateway.settings import SHIPPED_MODELS, Settings
from gateway.simulation.forkservers import Forkserver
from gateway.store.store import violations
from stripe_stub.testing import LocalStripe

__all__ = [
    "BALL",
    "FREE",
    "SLOW",
    "Bought",
    "Buyer",
    "problem",
]  # from here, too

TEST_MODELS = Path(__file__).parent / "data" / "fmus" / "test"
SHIPPED = ("BouncingBall", "VanDerPol", "DCMotor")
UNLISTED = ("Exits",)  # its default experiment ends the process
PRICES = '[prices]\n"msl:VanDerPol" = 0\n"msl:DCMotor" = "2.50"\n'
WEBHOOK_SECRET = "whsec_harness"
SECRET = "a-secret-of-the-harness-long-enough"
# Limits that a test of something else should not meet.
GENEROUS: dict[str, Any] = {
    "keys_per_minute": 0, "free_runs_per_minute": 0, "checkouts_per_minute": 0, "checkouts_per_second": 0,
    "uploads_enabled": True, "uploads_per_day": 0,
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


class Next:
    """The forkserver of the gateway after this one, which imports what it needs while this one is tested."""

    def __init__(self) -> None:
        self._begun: Forkserver | None = None

    def begin(self) -> None:
        if self._begun is None:
            self._begun = Forkserver()
            self._begun.begin()

    def take(self) -> Forkserver | None:
        taken, self._begun = self._begun, None
        return taken

    def close(self) -> None:
        if (left := self.take()) is not None:
            asyncio.run(left.close())


NEXT = Next()


class Gateway(Buyer):
    """A gateway in a thread of its own, and its anonymous buyer."""

    def __init__(self, settings: Settings, stripe: LocalStripe, listener: socket.socket):
        super().__init__(settings.base_url, stripe)
        self.settings = settings
        self.app = create_app(settings, NEXT.take())
        self._buyers: list[Buyer] = [self]
        as_serve_does: dict[str, Any] = {"access_log": False, "server_header": False, "proxy_headers": False}
        config = uvicorn.Config(self.app, log_config=None, http="httptools", lifespan="on", **as_serve_does)
        self._server = uvicorn.Server(config)
        self._listener = listener
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread = threading.Thread(target=self._serve, name="gateway")
        self._thread.start()
        until(lambda: self._server.started or not self._thread.is_alive(), "the gateway")
        assert self._server.started, "the gateway did not start"
        NEXT.begin()

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

    def payment_of(self, bought: Bought) -> str:
        """Stripe's payment intent."""
        session = next(s for s in self.stripe.objects("checkout.session") if s["id"] == bought.stripe_session_id)
        return str(session["payment_intent"])

    def another_session(self, purchase: str, **changes: str) -> str:
        """A Checkout Session that says of itself that it is for a purchase, as if Stripe had forgotten the first."""
        price = {"currency": "usd", "unit_amount": "100", "product_data][name": "again"}
        form = {
            "mode": "payment", "client_reference_id": purchase, "metadata[purchase]": purchase,
            "success_url": "https://example.com/", "line_items[0][quantity]": "1",
            **{f"line_items[0][price_data][{name}]": value for name, value in price.items()}, **changes,
        }  # fmt: skip
        made = httpx.post(f"{self.stripe.url}/v1/checkout/sessions", data=form, auth=("sk_test_harness", ""))
        return str(made.raise_for_status().json()["id"])

    def token_state(self, bought: Bought) -> str:
        return str(self.rows("SELECT state FROM token WHERE id = ?", self.purchase_id(bought))[0]["state"])

    def balances(self) -> dict[str, int]:
        """By the noun of the account, in a house where each noun has one with money in it."""
        found = self.rows("SELECT acct, amount FROM balance WHERE amount <> 0")
        return {row["acct"].split(":")[0]: row["amount"] for row in found}

    def rows(self, sql: str, *values: Any) -> list[dict[str, Any]]:
        return rows(self.settings.database_path, sql, *values)

    def bytes_on_disk(self) -> list[bytes]:
        """Of the database and its log, once nothing of earlier tests is on its way any more."""
        self.stripe.flush()
        until(lambda: not self.rows("SELECT id FROM inbox WHERE state = 'new'"), "the inbox")
        until(lambda: not self.services.tasks, "flows that go on by themselves")
        database = self.settings.database_path
        return [file.read_bytes() for file in (database, database.with_name(database.name + "-wal"))]

    def violations(self) -> list[str]:
        return violations(self.settings.database_path)

    @contextmanager
    def locked(self) -> Iterator[None]:
        """Meanwhile another process holds the database, longer than the gateway waits for it."""
        self.call(lambda s: s.store.write(lambda db: db.execute("PRAGMA busy_timeout=10").fetchone()))
        db = sqlite3.connect(self.settings.database_path, isolation_level=None)
        try:
            db.execute("BEGIN IMMEDIATE")
            yield
        finally:
            db.close()


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
