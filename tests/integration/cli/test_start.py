"""Commands start fast because nothing heavy is imported before it is needed. Counted in modules, not milliseconds."""

import os
import subprocess
import sys

import pytest

HEAVY = (
    "fmpy numpy stripe pydantic starlette uvicorn rich plotext pyarrow lxml jinja2 PIL click pygments asyncio".split()
)
PROGRAM = """
import sys
sys.argv = ["fmu-gateway", *sys.argv[1:]]
from gateway.cli import main
try:
    main()
finally:
    print("loaded:", *(name for name in sorted({heavy!r}) if sys.modules.get(name)), file=sys.stderr)
"""


def loaded(*args, url="http://127.0.0.1:9"):
    """The heavy modules that `fmu-gateway ARGS` imported, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM.format(heavy=HEAVY), *args],
        env={**os.environ, "FMU_GATEWAY_URL": url},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    return done.stderr.splitlines()[-1].removeprefix("loaded:").split()


@pytest.mark.parametrize("args", [["--help"], ["--version"], ["run", "--help"], ["serve", "--help"]])
def test_help_imports_nothing_heavy(args):
    assert loaded(*args) == []


def test_models_imports_nothing_heavy(scripted, card):
    scripted.then(200, {"models": [card]})
    assert loaded("models", url=scripted.url) == []


def test_a_result_that_is_piped_imports_nothing_heavy(scripted, result):
    scripted.then(200, result)
    assert loaded("run", "msl:BouncingBall", "--payment-token", "fmt_1", "--step", "0.1", url=scripted.url) == []
