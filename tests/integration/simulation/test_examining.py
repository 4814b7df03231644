"""Examining an upload: alike for whoever the gateway runs as."""

import asyncio
import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import hostile
import pytest
from bad_uploads import described as ball
from simulation_bench import FILES, ROOT
from uploading import described, fmu

from gateway.domain.requests import Limits
from gateway.simulation import forkservers, intake, uploads, validator
from gateway.simulation.intake import Refused
from gateway.simulation.runner import Runner
from gateway.simulation.uploads import Uploads

SCRIPT = """
import asyncio, json, pathlib, shutil, sys
sys.path.insert(0, {root!r})
from gateway.domain.requests import Limits
from gateway.simulation.intake import Refused
from gateway.simulation.runner import Runner
from gateway.simulation.uploads import Uploads

async def main():
    runner = Runner(parallel=1, queued=8, timeout_seconds=20, memory_mb=256)
    await runner.start()
    uploads = Uploads(pathlib.Path({folder!r}), 256)
    uploads.open()
    said = {{}}
    for path in sorted(pathlib.Path({files!r}).iterdir()):
        file = uploads.incoming(path.stem)
        shutil.copy(path, file)
        try:
            with runner.reserve(paid=False) as place:
                await uploads.examine(file, path.stem.ljust(64, "0"), runner.forkserver, place, Limits())
            said[path.stem] = "taken"
        except Refused as refusal:
            said[path.stem] = refusal.code
        uploads.discard(file)
    await runner.close()
    return {{"level": runner.level, "said": said, "kept": sorted(uploads.ids())}}

print(json.dumps(asyncio.run(main())))
"""


@pytest.fixture(scope="module")
def files(place: Path) -> Path:
    folder = place / "files"
    folder.mkdir()
    shutil.copy(FILES["BouncingBall"], folder / "ball.fmu")
    (folder / "crash.fmu").write_bytes(fmu("Crashes", startTime="20", stopTime="21"))
    (folder / "color.fmu").write_bytes(described(b'causality="output"', b'causality="output" color="red"'))
    for path in folder.iterdir():
        path.chmod(0o644)
    return folder


def test_an_upload_is_examined_alike_for_every_user(user: tuple[str, dict[str, Any]], place: Path, files: Path) -> None:
    python, how = user
    folder = place / f"uploads-{how.get('user', 0)}"
    folder.mkdir(mode=0o777)
    folder.chmod(0o777)
    script = SCRIPT.format(root=str(ROOT), folder=str(folder), files=str(files))
    command = [python, "-I", "-c", script]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=120, cwd="/", **how)
    assert done.stdout, done.stderr
    said = json.loads(done.stdout)
    assert said["level"] == "full"
    assert said["said"] == {"ball": "taken", "crash": "trial_crashed", "color": "taken"}
    assert said["kept"] == [name.ljust(64, "0") for name in ("ball", "color")]


async def test_a_library_that_does_not_load_holds_up_other_uploads_for_less_time_than_a_buyers_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(uploads, "LOADING_SECONDS", 0.5)
    runner, examined = Runner(parallel=1, queued=8, timeout_seconds=60, memory_mb=256), Uploads(tmp_path / "u", 256)
    examined.open()
    file = hostile.write_fmu(examined.incoming("loop"), "loop_load")
    try:
        with runner.reserve(paid=False) as place, pytest.raises(Refused, match="Loading"):
            async with asyncio.timeout(forkservers.START_SECONDS / 2):
                await examined.examine(file, "0" * 64, runner.forkserver, place, Limits())
    finally:
        await runner.close()


async def test_a_default_experiment_that_is_not_sold_is_told(tmp_path: Path) -> None:
    runner, examined = Runner(parallel=1, queued=8, timeout_seconds=60, memory_mb=256), Uploads(tmp_path / "u", 256)
    examined.open()
    (file := examined.incoming("long")).write_bytes(ball('stopTime="3.0"', 'stopTime="1e9"'))
    try:
        with runner.reserve(paid=False) as place:
            report = await examined.examine(file, "0" * 64, runner.forkserver, place, Limits())
    finally:
        await runner.close()
    assert any("100000000001 rows" in warning for warning in report.warnings)


@pytest.mark.parametrize(("count", "told"), [(5, True), (600, False)])
def test_very_many_names_are_not_parsed_since_that_takes_seconds(tmp_path: Path, count: int, told: bool) -> None:
    names = "".join(f'<Float64 name="a{i}" valueReference="{200 + i}"/>' for i in range(count))
    wrong = f'{names}<Float64 name="motor..{"x" * count}" valueReference="99"/></ModelVariables>'
    (tmp_path / "x.fmu").write_bytes(ball("</ModelVariables>", wrong))
    intake.unpack(tmp_path / "x.fmu", tmp_path / "x")
    assert any("motor.." in problem for problem in validator.problems(str(tmp_path / "x"))) is told
