"""Every model that is sold says what it is, in units, and the build that made it can be repeated to the byte."""

import os
import re
import shutil
import struct
import subprocess
import sys
import zipfile
from pathlib import Path

import fmpy
import numpy as np
import pytest
from fmpy.validation import validate_fmu
from model_paths import FOR_TESTS, ROOT, SHIPPED

EXPECTED = ["BouncingBall", "ChuaCircuit", "DCMotor", "HeatedRoom", "LiIonCell", "PID_Controller", "VanDerPol"]
ELF_MACHINE = {"x86_64": 62, "aarch64": 183}


def test_the_collection_is_complete():
    assert [path.stem for path in SHIPPED] == EXPECTED


def test_fmpy_finds_no_problem(fmu):
    assert validate_fmu(os.fspath(fmu)) == []


def test_every_variable_is_described_and_has_a_unit(shipped):
    for v in fmpy.read_model_description(os.fspath(shipped)).modelVariables:
        assert v.description, v.name
        assert v.unit or v.type in {"Int32", "Boolean"}, v.name


def test_every_parameter_and_input_has_limits_and_starts_within_them(shipped):
    for v in fmpy.read_model_description(os.fspath(shipped)).modelVariables:
        if v.causality in {"parameter", "input"}:
            assert v.min is not None, v.name
            assert v.max is not None, v.name
        for start in (v.start or "").split():
            assert v.min is None or float(v.min) <= float(start), v.name
            assert v.max is None or float(start) <= float(v.max), v.name


def test_the_default_experiment_gives_a_picture_worth_looking_at(shipped, simulate):
    r = simulate(shipped.stem)
    experiment = fmpy.read_model_description(os.fspath(shipped)).defaultExperiment
    assert 100 <= len(r) <= 1000
    assert r["time"][-1] == float(experiment.stopTime)
    for column in r.dtype.names[1:]:
        assert np.isfinite(r[column]).all()
    assert any(np.ptp(r[column]) > 0.1 * np.abs(r[column]).max() for column in r.dtype.names[1:])


def test_the_same_run_gives_the_same_bytes(shipped, simulate):
    assert simulate(shipped.stem).tobytes() == simulate(shipped.stem).tobytes()


def test_each_file_of_c_is_small_and_comes_along(shipped):
    with zipfile.ZipFile(shipped) as archive:
        sources = [
            i for i in archive.infolist() if i.filename.startswith("sources/") and i.filename[-2:] in {".c", ".h"}
        ]
        own = archive.read(f"sources/{shipped.stem}.c").decode()
        assert "documentation/index.html" in archive.namelist()
        assert archive.read("documentation/licenses/license.txt") == (ROOT / "LICENSE").read_bytes()
    assert len(sources) == 7
    assert all(source.file_size < 10_000 for source in sources)
    assert own.startswith(f"/* {shipped.stem}.c: ")


def test_there_is_a_library_for_both_platforms_that_any_recent_linux_can_load(fmu):
    with zipfile.ZipFile(fmu) as archive:
        libraries = {name: archive.read(name) for name in archive.namelist() if name.startswith("binaries/")}
    machines = set()
    for library in libraries.values():
        assert library[:5] == b"\x7fELF\x02"
        machines.add(struct.unpack_from("<H", library, 18)[0])
        needed = {tuple(map(int, v)) for v in re.findall(rb"GLIBC_(\d+)\.(\d+)", library)}
        assert max(needed) <= (2, 17)
    assert machines == set(ELF_MACHINE.values())
    assert len(libraries) == 2


def test_archives_are_sorted_and_without_a_clock(fmu):
    with zipfile.ZipFile(fmu) as archive:
        assert archive.namelist() == sorted(archive.namelist())
        assert {entry.date_time for entry in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}


def test_no_two_models_share_a_token():
    tokens = [fmpy.read_model_description(os.fspath(path)).guid for path in SHIPPED + FOR_TESTS]
    assert len(set(tokens)) == len(tokens)


def test_a_binary_refuses_the_description_of_another_build(shipped, tmp_path):
    with zipfile.ZipFile(shipped) as archive:
        files = {name: archive.read(name) for name in archive.namelist()}
    token = re.search(rb"\{[0-9a-f-]{36}\}", files["modelDescription.xml"]).group()
    files["modelDescription.xml"] = files["modelDescription.xml"].replace(token, b"{another}")
    changed = tmp_path / shipped.name
    with zipfile.ZipFile(changed, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    with pytest.raises(Exception, match="instantiate"):
        fmpy.simulate_fmu(os.fspath(changed), remote_platform=None)


def build(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, os.fspath(root / "models/build.py"), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False)


def test_a_rebuild_gives_the_committed_bytes():
    done = build(ROOT, "--check")
    assert done.returncode == 0, done.stdout + done.stderr
    steppers = list(ROOT.glob("gateway/simulation/native/*.so"))
    assert done.stdout.count("same") == len(SHIPPED + FOR_TESTS + steppers)


@pytest.fixture
def copy(tmp_path):
    """models/, with the FMU of one model, at another place on the disk."""
    shutil.copytree(ROOT / "models", tmp_path / "models")
    shutil.copy(ROOT / "LICENSE", tmp_path)
    built = tmp_path / "gateway/simulation/shipped/msl"
    built.mkdir(parents=True)
    shutil.copy(SHIPPED[0], built)
    return tmp_path


def test_the_check_sees_any_change_of_a_table(copy):
    assert build(copy, "--check", "BouncingBall").returncode == 0
    table = copy / "models/msl/BouncingBall.toml"
    table.write_text(table.read_text().replace("start = 0.7", "start = 0.8"))
    done = build(copy, "--check", "BouncingBall")
    assert done.returncode == 1
    assert "DIFFERS" in done.stdout


def test_the_check_sees_a_missing_and_a_damaged_model(copy):
    built = copy / "gateway/simulation/shipped/msl/BouncingBall.fmu"
    content = built.read_bytes()
    built.write_bytes(content[:-1])
    assert build(copy, "--check", "BouncingBall").returncode == 1
    built.unlink()
    assert build(copy, "--check", "BouncingBall").returncode == 1
    assert build(copy, "BouncingBall").returncode == 0
    assert built.read_bytes() == content


def test_building_an_unknown_model_is_an_error():
    done = build(ROOT, "--check", "BouncingBal")
    assert done.returncode == 2
    assert "BouncingBal" in done.stderr
