"""Real processes, real kills: whatever dies and whatever Stripe does, every payment is delivered once or goes back."""

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
LONGEST = 300  # seconds, on a slow machine; about 30 here


@pytest.mark.parametrize("seed", [int(os.environ.get("FAULTS_SEED", "1"))])
def test_nothing_is_lost_and_nothing_is_doubled_at_any_kill(seed: int) -> None:
    """`benchmarks/faults.py` does the same for as long as it is told to; its output says what a seed decided."""
    command = [sys.executable, "benchmarks/faults.py", "--purchases", "60", "--kills", "14", "--seed", str(seed)]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
    with subprocess.Popen(command, cwd=ROOT, start_new_session=True, **pipes) as simulation:
        try:
            said, _ = simulation.communicate(timeout=LONGEST)
        finally:
            with contextlib.suppress(ProcessLookupError):  # its gateways and its Stripe, should it not have ended
                os.killpg(simulation.pid, signal.SIGKILL)
    print(said)
    assert simulation.returncode == 0
    assert " 14 kills" in said
