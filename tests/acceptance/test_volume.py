"""A volume that fills up under a real gateway, its log on it, too: a clear refusal, nothing lost, and it recovers. One
that is read-only at the start.

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
from harness import BALL, free_port, problem
from served import ROOT
from volumes import AS_USER, SIZE, TMPFS, OnItsVolume, can_mount

from stripe_stub.testing import LocalStripe

pytestmark = pytest.mark.skipif(not can_mount(), reason="this user may not have a mount namespace (unshare --mount)")


@pytest.fixture
def gateway(tmp_path: Path, models: Path) -> Iterator[OnItsVolume]:
    with LocalStripe() as stripe, ExitStack() as stack:
        started = OnItsVolume(tmp_path, models, stripe, mount=f'{TMPFS} 2>> "$VOLUME/log"')
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
    assert "failed writes" in gateway.alarms()
    assert gateway.violations() == "[]"
    gateway.inside("rm", f"{gateway.volume}/filler")
    for one in (bought, other):
        answer = gateway.simulate(BALL, gateway.collect(one.session_id))
        assert (answer.status_code, answer.json()["charged"]) == (200, True)
    assert gateway.open(quote)
    assert gateway.alarms() == "none"


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
    command = ["unshare", *AS_USER, "--mount", "sh", "-c", TMPFS, "sh"]
    command += [sys.executable, "-m", "gateway", "serve", "--port", str(free_port())]
    done = subprocess.run(
        command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=30
    )
    assert done.returncode == 2
    assert f"{volume} cannot be written (Read-only file system)" in done.stderr
    assert "Traceback" not in done.stderr
