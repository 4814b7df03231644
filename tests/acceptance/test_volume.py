"""A volume that fills up or becomes read-only under a real gateway: a clear refusal, nothing lost, and it recovers.

The volume is a tmpfs of the gateway's own mount namespace, so nobody else sees it and no root is needed where users may
have namespaces; without them these tests are skipped.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest
from harness import BALL, SECRET, WEBHOOK_SECRET, Buyer, free_port, problem, until
from served import ROOT

from stripe_stub.testing import LocalStripe

SIZE = "24m"  # the models take about a tenth of it
MOUNT = 'mount -t tmpfs -o size="$SIZE" tmpfs "$VOLUME" && exec "$@"'
CHECK = """import pathlib, sys
from gateway.store.store import violations
print(violations(pathlib.Path(sys.argv[1])))"""


def can_mount() -> bool:
    command = ["unshare", "--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


pytestmark = pytest.mark.skipif(not can_mount(), reason="this user may not have a mount namespace (unshare --mount)")


class OnItsVolume(Buyer):
    """`python -m gateway serve` whose database and results are on a volume of their own."""

    def __init__(self, folder: Path, models: Path, stripe: LocalStripe):
        self.port = free_port()
        super().__init__(f"http://127.0.0.1:{self.port}", stripe)
        self.volume, self.models = folder / "volume", models
        self.volume.mkdir()
        self.database = self.volume / "gateway.sqlite3"
        environment = {
            "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SIZE": SIZE, "VOLUME": str(self.volume),
            "GATEWAY_SECRET": SECRET, "STRIPE_SECRET_KEY": "sk_test_volume", "STRIPE_API_BASE": stripe.url,
            "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET, "FMU_GATEWAY_DB_PATH": str(self.database),
            "MODELS_DIR": str(models), "CHECKOUTS_PER_MINUTE": "0", "CHECKOUTS_PER_SECOND": "0",
        }  # fmt: skip
        command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]
        command += [sys.executable, "-m", "gateway", "serve", "--port", str(self.port)]
        self.log = folder / "log"
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log)
        stripe.set_webhook_url(f"{self.url}/webhooks/stripe", WEBHOOK_SECRET)
        until(lambda: self.process.poll() is not None or self._answers(), "the gateway")
        assert self.process.poll() is None, self.log.read_text()

    def _answers(self) -> bool:
        try:
            return self.http.get("/health").status_code == 200
        except Exception:
            return False

    def inside(self, *command: str) -> str:
        """What a command says that sees the volume."""
        enter = ["nsenter", f"--target={self.process.pid}", "--user", "--preserve-credentials", "--mount"]
        done = subprocess.run([*enter, *command], capture_output=True, text=True, check=False, cwd=ROOT)
        return done.stdout + done.stderr

    def violations(self) -> str:
        return self.inside(sys.executable, "-c", CHECK, str(self.database)).strip()

    def fill(self) -> None:
        said = self.inside("dd", "if=/dev/zero", f"of={self.volume}/filler", "bs=4096")
        assert "No space left" in said, said

    def close(self) -> None:
        self.http.close()
        self.process.terminate()
        assert self.process.wait(30) == 0, self.log.read_text()[-2000:]


@pytest.fixture
def gateway(tmp_path: Path, models: Path) -> Iterator[OnItsVolume]:
    with LocalStripe() as stripe, ExitStack() as stack:
        started = OnItsVolume(tmp_path, models, stripe)
        stack.callback(started.close)
        yield started
        assert started.violations() == "[]"


def test_a_volume_that_is_full_refuses_and_goes_on_when_there_is_room(gateway: OnItsVolume) -> None:
    delivered, bought, other = gateway.buy(), gateway.buy(), gateway.buy()
    quote = gateway.quote()
    assert gateway.simulate(BALL, delivered.token).status_code == 200
    gateway.fill()
    refused = problem(gateway.simulate(BALL, bought.token), 507, "storage_full")
    assert refused.get("charged", False) is False
    problem(gateway.http.get(quote["checkout_url"]), 507, "storage_full")
    assert gateway.quote()["checkout_url"]
    assert gateway.violations() == "[]"
    gateway.inside("rm", f"{gateway.volume}/filler")
    for one in (bought, other):
        answer = gateway.simulate(BALL, gateway.collect(one.session_id))
        assert (answer.status_code, answer.json()["charged"]) == (200, True)
    assert gateway.open(quote)


def test_a_payment_made_while_the_volume_is_full_is_found_afterwards(gateway: OnItsVolume) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    gateway.fill()
    paid = gateway.stripe.pay(session)
    assert {attempt["status"] for delivery in paid["webhooks"] for attempt in delivery["attempts"]} == {507}
    gateway.inside("rm", f"{gateway.volume}/filler")
    gateway.stripe.flush()
    assert gateway.simulate(BALL, gateway.collect(quote["session_id"])).status_code == 200


def test_a_volume_that_is_read_only_is_named_at_the_start(tmp_path: Path) -> None:
    volume = tmp_path / "volume"
    volume.mkdir()
    environment = {
        "PATH": os.environ["PATH"], "PYTHONPATH": str(ROOT), "SIZE": f"{SIZE},ro", "VOLUME": str(volume),
        "STRIPE_ENABLED": "false", "FMU_GATEWAY_DB_PATH": str(volume / "gateway.sqlite3"),
    }  # fmt: skip
    command = ["unshare", "--user", "--map-root-user", "--mount", "sh", "-c", MOUNT, "sh"]
    command += [sys.executable, "-m", "gateway", "serve", "--port", str(free_port())]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert f"{volume} cannot be written (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr
