"""The rules of the house that import-linter cannot see: lengths, and what is really loaded when the client is."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("gateway", "stripe_stub", "benchmarks", "models", "tests")
FILE_LINES, FUNCTION_LINES = 300, 50
EXCEPTION = "better whole"  # of a comment or docstring at the top that says why it is longer
TOP_LINES = 8  # how far down the top reaches


def sources() -> list[Path]:
    return [path for folder in FOLDERS for path in sorted((ROOT / folder).rglob("*.py"))]


def too_long(text: str) -> Iterator[str]:
    """What is longer than it may be and does not say why, each as `name: lines`."""
    lines = text.splitlines()
    if len(lines) > FILE_LINES and EXCEPTION not in "\n".join(lines[:TOP_LINES]):
        yield f"file: {len(lines)}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            length = (node.end_lineno or node.lineno) - node.lineno + 1
            top = lines[max(0, node.lineno - 3) : node.lineno + TOP_LINES]
            if length > FUNCTION_LINES and EXCEPTION not in "\n".join(top):
                yield f"{node.name}: {length}"


@pytest.mark.parametrize("path", sources(), ids=lambda path: str(path.relative_to(ROOT)))
def test_no_file_and_no_function_is_too_long(path: Path) -> None:
    assert list(too_long(path.read_text())) == []


def test_what_is_too_long_is_found_unless_it_says_why() -> None:
    function = "def long() -> None:\n" + "    pass\n" * FUNCTION_LINES
    assert list(too_long(function)) == ["long: 51"]
    assert list(too_long(f"# One table: {EXCEPTION}.\n{function}")) == []
    assert list(too_long("x = 1\n" * 301)) == ["file: 301"]
    assert list(too_long(f'"""One table: {EXCEPTION}."""\n' + "x = 1\n" * 300)) == []


def loaded_by(statement: str) -> set[str]:
    """The modules that a fresh interpreter holds after this statement."""
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_the_client_loads_nothing_of_the_server() -> None:
    own = {name for name in loaded_by("import gateway.client") if name.startswith(("gateway.", "stripe_stub"))}
    assert "gateway.client" in own
    assert {name for name in own if not name.startswith("gateway.client")} == set()


def test_the_domain_does_no_io() -> None:
    doors = {"sqlite3", "aiosqlite", "httpx", "stripe", "starlette", "uvicorn", "fmpy", "subprocess", "socket"}
    modules = [path.stem for path in (ROOT / "gateway/domain").glob("*.py") if path.stem != "__init__"]
    imports = {
        name.split(".")[0]
        for module in modules
        for node in ast.walk(ast.parse((ROOT / f"gateway/domain/{module}.py").read_text()))
        for name in (
            [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else []
        )
    }
    assert "dataclasses" in imports
    assert imports & (doors | {"os", "time", "random", "secrets", "uuid"}) == set()
