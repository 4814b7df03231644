"""A volume that becomes read-only under a real gateway: a clear refusal, nothing held or lost, and it recovers.

While a gateway has its database open nobody can remount that volume read-only: it is busy. The kernel can, after an
error of the file system, which must then be mounted anew: so here is an ext4 whose kernel is told of an error, and that
needs root and a loop device. The volume of the results has no file open between two runs: it is just remounted.
"""

import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from harness import BALL, SLOW, free_port, problem, until
from volumes import OnItsVolume, can_mount

from stripe_stub.testing import LocalStripe

RESULTS = """mount -t tmpfs -o size="$SIZE" tmpfs "$VOLUME" && mkdir "$VOLUME/results" &&
mount -t tmpfs tmpfs "$VOLUME/results" && exec "$@\""""
EXT4 = 'mount -o loop "$IMAGE" "$VOLUME" && exec "$@"'


def make_image(folder: Path) -> Path | None:
    """A file system in a file; None where it can be neither made nor mounted."""
    image, place = folder / "image", folder / "place"
    place.mkdir()
    if os.geteuid() != 0 or shutil.which("mkfs.ext4") is None:
        return None
    with image.open("wb") as file:
        file.truncate(64 << 20)
    subprocess.run(["mkfs.ext4", "-q", "-F", image], check=True)
    command = ["unshare", "--mount", "mount", "-o", "loop", image, place]
    return None if subprocess.run(command, capture_output=True, check=False).returncode else image


@pytest.fixture
def start(tmp_path: Path, models: Path) -> Iterator[Callable[..., OnItsVolume]]:
    """Starts the gateway on this test's volume, on one port; however it fared, it must stop as it should."""
    with LocalStripe() as stripe, ExitStack() as stack:
        port = free_port()

        def started(**how: Any) -> OnItsVolume:
            gateway = OnItsVolume(tmp_path, models, stripe, port=port, **how)
            stack.callback(gateway.close)
            return gateway

        yield started


@pytest.mark.skipif(not can_mount(), reason="this user may not have a mount namespace (unshare --mount)")
def test_results_that_cannot_be_stored_are_not_charged_until_they_can(
    start: Callable[..., OnItsVolume],
) -> None:
    gateway = start(mount=RESULTS)
    delivered, bought = gateway.buy(), gateway.buy()
    in_flight = gateway.buy(SLOW)
    first = gateway.simulate(BALL, delivered.token).json()
    with ThreadPoolExecutor() as pool:
        late = pool.submit(gateway.simulate, SLOW, in_flight.token)
        until(lambda: gateway.status(in_flight.session_id).json()["status"] == "running", "the slow run")
        assert gateway.inside("mount", "-o", "remount,ro", f"{gateway.volume}/results") == ""
        refusals = [gateway.simulate(BALL, bought.token), late.result()]
    for refusal in refusals:
        assert problem(refusal, 507, "storage_full")["charged"] is False
    assert gateway.status(bought.session_id).json()["payment_token"] == bought.token
    assert gateway.http.get(f"/runs/{first['run_id']}", headers={"payment-token": delivered.token}).status_code == 200
    assert gateway.violations() == "[]"
    assert gateway.inside("mount", "-o", "remount,rw", f"{gateway.volume}/results") == ""
    answer = gateway.simulate(BALL, bought.token)
    assert (answer.status_code, answer.json()["charged"]) == (200, True)
    assert gateway.violations() == "[]"


def test_a_database_that_the_kernel_made_read_only_refuses_and_loses_nothing(
    start: Callable[..., OnItsVolume], tmp_path: Path
) -> None:
    image = make_image(tmp_path)
    if image is None:
        pytest.skip("needs root, mkfs.ext4 and a loop device, to have a file system of its own")
    on_ext4 = {"mount": EXT4, "namespaces": (), "IMAGE": str(image)}
    gateway = start(**on_ext4)
    delivered, bought, unopened = gateway.buy(), gateway.buy(), gateway.quote()
    in_flight = gateway.buy(SLOW)
    first = gateway.simulate(BALL, delivered.token)
    with ThreadPoolExecutor() as pool:
        late = pool.submit(gateway.simulate, SLOW, in_flight.token)
        until(lambda: gateway.status(in_flight.session_id).json()["status"] == "running", "the slow run")
        assert gateway.inside("mount", "-o", "remount,abort", str(gateway.volume)) == ""
        refusals = [gateway.simulate(BALL, bought.token), late.result()]
    assert problem(refusals[0], 507, "storage_full").get("charged", False) is False
    assert problem(refusals[1], 507, "storage_full")["charged"] is False
    problem(gateway.http.get(unopened["checkout_url"]), 507, "storage_full")
    assert gateway.quote()["checkout_url"]
    assert "failed writes" in gateway.alarms()
    assert gateway.status(bought.session_id).json()["payment_token"] == bought.token
    assert gateway.status(in_flight.session_id).json()["status"] == "running"  # it could not be released
    assert gateway.violations() == "[]"
    gateway.close()

    gateway = start(**on_ext4)  # mounted anew
    for session_id, body in ((bought.session_id, BALL), (in_flight.session_id, SLOW)):
        answer = gateway.simulate(body, gateway.collect(session_id))
        assert (answer.status_code, answer.json()["charged"]) == (200, True)
    again = gateway.http.get(f"/runs/{first.json()['run_id']}", headers={"payment-token": delivered.token})
    assert again.json()["provenance"] == first.json()["provenance"]
    assert gateway.open(unopened)
    assert gateway.alarms() == "none"
    assert gateway.violations() == "[]"
