"""Build every FMU and the native loop for both platforms, byte for byte the same each time; run by models/build.

    models/build [Name ...]     build all, or the named ones, into the repository
    models/build --check        build into a temporary directory and compare; exit 1 where the bytes differ

The compiler is zig's clang (PyPI: ziglang), which cross-compiles and links against a chosen glibc on any host.
"""

import io
import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import IO

import fmpy
from describe import build_description, fmi2_xml, fmi3_xml, page
from table import Description, c_tables, read

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
# Where tables and C code stand → where the built FMUs go.
COLLECTIONS = {
    HERE / "msl": ROOT / "gateway" / "simulation" / "shipped" / "msl",
    ROOT / "tests" / "data" / "src": ROOT / "tests" / "data" / "fmus" / "test",
}
HEADERS = Path(fmpy.__file__).parent / "c-code"
GLIBC = "2.17"  # that of manylinux2014: older than any system that Python 3.11 wheels support
# Architecture → FMI version → directory of its binaries. FMI 2.0 has no name for Linux on ARM: it borrows that of 3.0.
PLATFORMS = {
    "x86_64": {"2.0": "linux64", "3.0": "x86_64-linux"},
    "aarch64": {"2.0": "aarch64-linux", "3.0": "aarch64-linux"},
}
FLAGS = [
    "-std=c11", "-O3", "-fPIC", "-shared", "-s", "-Wall", "-Wextra", "-Werror", "-Wno-unused-parameter",
    "-fvisibility=hidden",
    "-fno-math-errno",  # sqrt becomes one instruction
    "-ffp-contract=off",  # no fused multiply-add, which x86-64 lacks: both platforms round alike
    "-fno-sanitize=all",  # zig's default would trap
    "-fno-stack-protector", "-Wl,--build-id=none",
]  # fmt: skip
# The loop of gateway/simulation/loops.py, without any C library: the system's is not always glibc.
NATIVE = ROOT / "gateway" / "simulation" / "native"
FREESTANDING = ("-nostdlib", "-ffreestanding")
EPOCH = (1980, 1, 1, 0, 0, 0)  # the zip format's first moment


def compile_library(sources: Path, names: list[str], arch: str, more: Sequence[str] = ("-lm",)) -> bytes:
    """One shared object from `names` in `sources`. CalledProcessError, with the compiler's words on stderr."""
    library = sources.parent / f"{arch}.so"
    command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{arch}-linux-gnu.{GLIBC}", *FLAGS]
    # zig wants a place for its compiled glibc; $HOME may be missing, .venv never is.
    environment = {"ZIG_GLOBAL_CACHE_DIR": os.path.join(sys.prefix, "zig-cache"), **os.environ}
    command += ["-I", str(HEADERS), "-o", str(library), *names, *more]
    subprocess.run(command, cwd=sources, env=environment, check=True)  # noqa: S603
    return library.read_bytes()


def contents(d: Description, folder: Path) -> dict[str, bytes]:
    """Path in the FMU → bytes."""
    shim = "fmi2.c" if d.fmi == "2.0" else "fmi3.c"
    code = {name: (HERE / "c" / name).read_text() for name in ("model.h", "model.c", "solver.c", shim)}
    code |= {d.source: (folder / d.source).read_text(), **c_tables(d)}
    names = sorted(name for name in code if name.endswith(".c"))
    files = {f"sources/{name}": text.encode() for name, text in code.items()}
    if d.fmi == "2.0":
        files["modelDescription.xml"] = fmi2_xml(d, names).encode()
    else:
        files["modelDescription.xml"] = fmi3_xml(d).encode()
        files["sources/buildDescription.xml"] = build_description(d, names).encode()
    files["documentation/index.html"] = page(d).encode()
    files["documentation/licenses/license.txt"] = (ROOT / "LICENSE").read_bytes()
    with tempfile.TemporaryDirectory() as directory:
        sources = Path(directory) / "sources"
        sources.mkdir()
        for name, text in code.items():
            (sources / name).write_text(text)
        for arch, places in PLATFORMS.items():
            files[f"binaries/{places[d.fmi]}/{d.name}.so"] = compile_library(sources, names, arch)
    return files


def write_fmu(path: IO[bytes], files: dict[str, bytes]) -> None:
    """Zip without compression: deflate's bytes differ between versions of zlib, and git and wheels compress anyway."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name in sorted(files):
            entry = zipfile.ZipInfo(name, EPOCH)
            entry.create_system = 3  # Unix, whatever the host
            entry.external_attr = 0o100644 << 16
            archive.writestr(entry, files[name])


def fmu(table: Path) -> bytes:
    out = io.BytesIO()
    write_fmu(out, contents(read(table), table.parent))
    return out.getvalue()


def stepper(arch: str) -> bytes:
    with tempfile.TemporaryDirectory() as directory:
        sources = Path(directory) / "sources"
        shutil.copytree(NATIVE, sources, ignore=shutil.ignore_patterns("*.so"))
        return compile_library(sources, ["stepper.c"], arch, FREESTANDING)


def targets() -> Mapping[Path, Callable[[], bytes]]:
    """What is committed, and how it is made."""
    tables = [table for folder in COLLECTIONS for table in sorted(folder.glob("*.toml"))]
    made = {COLLECTIONS[t.parent] / f"{t.stem}.fmu": partial(fmu, t) for t in tables}
    return made | {NATIVE / f"stepper-{arch}.so": partial(stepper, arch) for arch in PLATFORMS}


def main(arguments: list[str]) -> int:
    check = "--check" in arguments
    wanted = {a for a in arguments if a != "--check"}
    made = {path: make for path, make in targets().items() if not wanted or path.stem in wanted}
    if unknown := wanted - {path.stem for path in made}:
        print(f"no such model: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2

    def build(path: Path) -> bool:
        raw = made[path]()
        same = path.exists() and path.read_bytes() == raw
        if not (same or check):
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(raw)
        return same

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        results = dict(zip(made, pool.map(build, made), strict=True))
    for path, same in results.items():
        print(f"{'same' if same else 'DIFFERS' if check else 'built'}  {path.relative_to(ROOT)}")
    return 1 if check and not all(results.values()) else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
