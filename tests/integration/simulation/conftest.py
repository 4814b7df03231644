"""A runner, a folder where models are unpacked once, and the users as whom a gateway may run."""

import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
import pytest_asyncio
from simulation_bench import FILES, MEMORY_MB, ROOT, Bench

from gateway.simulation.runner import Runner

NOBODY = 65534


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("models")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def bench(request: pytest.FixtureRequest, folder: Path) -> AsyncIterator[Bench]:
    timeout = getattr(request.module, "TIMEOUT", 60.0)
    runner = Runner(parallel=2, queued=64, timeout_seconds=timeout, memory_mb=MEMORY_MB)
    await runner.start()
    yield Bench(runner, folder)
    await runner.close()


@pytest.fixture(scope="module")
def place() -> Iterator[Path]:
    """A folder that everybody may enter, with a secret, an unpacked model, and models to run."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    (folder / "secret").write_text("sk_live")
    (folder / "secret").chmod(0o644)
    (folder / "secret-of-root").touch(0o600)
    (folder / "models" / "test").mkdir(parents=True)
    for name in ("BouncingBall", "Crashes"):
        shutil.copy(FILES[name], folder / "models" / "test")
    (folder / "unpacked" / "mine").mkdir(parents=True)
    (folder / "unpacked" / "mine" / "modelDescription.xml").write_text("<x/>")
    yield folder
    shutil.rmtree(folder)


def everybody_may(path: Path) -> bool:
    readable = path.stat().st_mode & (0o005 if path.is_dir() else 0o004)
    return bool(readable) and all(parent.stat().st_mode & 0o001 for parent in path.parents)


@pytest.fixture(scope="module")
def ordinary_python(place: Path) -> str:
    """An interpreter of this version that an ordinary user can run, seeing what this one sees."""
    if os.getuid() != 0:
        return sys.executable
    name = f"python{sys.version_info.major}.{sys.version_info.minor}"
    candidates = [sys.executable, *(shutil.which(name, path=p) or "" for p in ("/usr/bin", "/usr/local/bin"))]
    usable = next((c for c in candidates if c and everybody_may(Path(c).resolve())), None)
    if usable is None or not everybody_may(ROOT / "gateway") or not everybody_may(Path(sys.prefix)):
        pytest.skip(f"needs a {name} and a checkout that an ordinary user can read")
    subprocess.run([usable, "-m", "venv", "--without-pip", place / "venv"], check=True)
    packages = place / "venv" / "lib" / name / "site-packages"
    here = Path(sys.prefix) / "lib" / name / "site-packages"
    (packages / "here.pth").write_text(f"{here}\n{ROOT}\n")
    return str(place / "venv" / "bin" / "python")


@pytest.fixture
def users(ordinary_python: str) -> list[tuple[str, dict[str, object]]]:
    """All that a gateway can run as here: the interpreter and how to start it. An ordinary user first."""
    if os.getuid() != 0:
        return [(ordinary_python, {})]
    return [(ordinary_python, {"user": NOBODY, "group": NOBODY, "extra_groups": []}), (sys.executable, {})]


@pytest.fixture(params=["root", "ordinary user"])
def user(request: pytest.FixtureRequest, users: list[tuple[str, dict[str, object]]]) -> tuple[str, dict[str, object]]:
    """One of them."""
    if request.param == "root" and len(users) < 2:
        pytest.skip("needs root")
    return users[request.param == "root"]
