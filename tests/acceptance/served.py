"""The gateway as its operator starts it: a process of its own, whose whole log is kept."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import httpx
from harness import PRICES, SECRET, WEBHOOK_SECRET, Buyer, rows, until

from stripe_stub.testing import LocalStripe

ROOT = Path(__file__).parents[2]


class Served(Buyer):
    """`python -m gateway serve` in a folder of its own, with a local Stripe; `settings` are environment variables."""

    def __init__(self, folder: Path, models: Path, stripe: LocalStripe, port: int, **settings: str):
        super().__init__(f"http://127.0.0.1:{port}", stripe)
        self.database = folder / "gateway.sqlite3"
        self.log = folder / "log"
        environment = {
            "PATH": os.environ["PATH"],
            "PYTHONPATH": str(ROOT),
            "GATEWAY_SECRET": SECRET,
            "STRIPE_SECRET_KEY": "sk_test_acceptance",
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
            "STRIPE_API_BASE": stripe.url,
            "FMU_GATEWAY_DB_PATH": str(self.database),
            "MODELS_DIR": str(models),
            "PRICING_FILE": str(folder / "prices.toml"),
            "PARALLEL_RUNS": "2",
            **settings,
        }
        (folder / "prices.toml").write_text(PRICES)
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
        with self.log.open("ab") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)

    def wait_until_ready(self) -> "Served":
        until(lambda: self.process.poll() is not None or self._answers(), "the gateway")
        assert self.process.poll() is None, self.log.read_text()
        self.stripe.set_webhook_url(f"{self.url}/webhooks/stripe", WEBHOOK_SECRET)
        return self

    def _answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except httpx.TransportError:
            return False

    def kill(self) -> None:
        """As the kernel does when memory runs out: nothing of ours gets to run any more."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> int:
        self.process.terminate()
        return self.process.wait(30)

    def rows(self, sql: str) -> list[dict[str, Any]]:
        return rows(self.database, sql)

    def close(self) -> None:
        self.http.close()
        if self.process.poll() is None:
            self.kill()
