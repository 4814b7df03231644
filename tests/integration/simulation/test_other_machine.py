"""The binaries for the other architecture: every shipped model and the loop give there the bits that they give here."""

import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

import fmpy
import numpy as np
import pytest
from simulation_bench import FILES, ROOT, SHIPPED

from gateway.simulation import description, intake

DRIVE = ROOT / "tests" / "data" / "machines" / "drive.c"
SYSROOT = Path("/usr/aarch64-linux-gnu")
NATIVE = ROOT / "gateway" / "simulation" / "native"
STEPS = 200

pytestmark = pytest.mark.skipif(
    platform.machine() != "x86_64" or not shutil.which("qemu-aarch64") or not (SYSROOT / "lib").is_dir(),
    reason="needs qemu-aarch64 and an aarch64 C library (Debian: qemu-user, libc6-arm64-cross) on x86-64",
)


@pytest.fixture(scope="module")
def drivers(tmp_path_factory):
    folder = tmp_path_factory.mktemp("drivers")
    environment = {"ZIG_GLOBAL_CACHE_DIR": os.path.join(sys.prefix, "zig-cache"), **os.environ}
    for machine in ("x86_64", "aarch64"):
        command = [sys.executable, "-m", "ziglang", "cc", "-target", f"{machine}-linux-gnu.2.17", "-O1", "-std=gnu11"]
        command += ["-I", str(Path(fmpy.__file__).parent / "c-code"), "-o", str(folder / machine), str(DRIVE), "-ldl"]
        subprocess.run(command, env=environment, check=True)
    return folder


def driven(driver, machine, folder, model, references):
    """Rows of time and values."""
    places = {"x86_64": ("x86_64-linux", "linux64"), "aarch64": ("aarch64-linux",)}[machine]
    (library,) = (file for place in places for file in folder.glob(f"binaries/{place}/*.so"))
    text = (folder / "modelDescription.xml").read_text()
    token = text.partition('guid="' if model.fmi_version == "2.0" else 'instantiationToken="')[2].partition('"')[0]
    experiment = model.experiment
    under = ["qemu-aarch64", "-L", str(SYSROOT)] if machine == "aarch64" else []
    command = [*under, str(driver / machine), model.fmi_version[0], library, NATIVE / f"stepper-{machine}.so", token]
    command += [experiment.start_time, experiment.stop_time, STEPS, *references]
    done = subprocess.run([str(word) for word in command], capture_output=True, check=False)
    assert done.returncode == 0, done.stderr
    return np.frombuffer(done.stdout).reshape(STEPS + 1, 1 + len(references))


@pytest.mark.parametrize("name", sorted(file.stem for file in SHIPPED.glob("*/*.fmu")))
def test_each_shipped_model_computes_there_what_it_computes_here(name, drivers, folder):
    if not (folder / name).is_dir():
        intake.unpack(FILES[name], folder / name)
    model = description.read(folder / name, f"test:{name}", name)
    described = fmpy.read_model_description(str(folder / name))
    references = [
        v.valueReference
        for v in described.modelVariables
        if v.type in ("Real", "Float64") and not v.dimensions and v.causality in ("output", "local")
    ]
    here, there = (driven(drivers, machine, folder / name, model, references) for machine in ("x86_64", "aarch64"))
    assert len(np.unique(here[:, 1])) > 2  # it did something
    assert there.tobytes() == here.tobytes()
