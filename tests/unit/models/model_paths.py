"""Where the shipped models and the tests' models are."""

from pathlib import Path

ROOT = Path(__file__).parents[3]
SHIPPED = sorted((ROOT / "gateway/simulation/shipped/msl").glob("*.fmu"))
FOR_TESTS = sorted((ROOT / "tests/data/fmus/test").glob("*.fmu"))
