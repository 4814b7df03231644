"""Hostile: every fault of the hostile corpus as an FMU of its own, eight at once, as the user who calls it.

    .venv/bin/python -m benchmarks.hostile [--without namespaces]

Prints what was not as tests/hostile.py says, and how long it took; exit 1 if anything was not. The tests run a part of
it, for every user (tests/integration/simulation/test_hostile.py). Not on a machine that others need: it contains fork
bombs.
"""

import argparse
import asyncio
import os
import sys
import tempfile
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1] / "tests"))

from hostile import FAULTS, survey, take_away

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--without", choices=["namespaces"])
    chosen = parser.parse_args()
    if chosen.without:
        take_away(chosen.without)
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        begun = time.perf_counter()
        wrong = asyncio.run(survey(Path(folder), own=FAULTS, by_parameter=()))
    for name, why in wrong.items():
        print(f"{name}: {why}")
    print(
        f"{len(FAULTS)} faults, {len(wrong)} wrong, {time.perf_counter() - begun:.0f} s, load {os.getloadavg()[0]:.1f}"
    )
    sys.exit(bool(wrong))
