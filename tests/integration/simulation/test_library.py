"""A model is for sale only after a run of it succeeded here, and a restart does not try it again."""

import asyncio
import shutil
from pathlib import Path

import pytest
from simulation_bench import FILES, SHIPPED, crashing

from gateway.errors import RunFailed
from gateway.simulation import intake, library
from gateway.simulation.library import Library
from gateway.simulation.runner import Runner


@pytest.fixture
async def runner():
    runner = Runner(parallel=2, queued=8, timeout_seconds=60, memory_mb=128)
    yield runner
    await runner.close()


@pytest.fixture
def shop(tmp_path):
    """A folder of models: one good, one that crashes, one that is no FMU, one with a bad name."""
    models = tmp_path / "shop" / "a"
    models.mkdir(parents=True)
    shutil.copy(FILES["VanDerPol"], models)
    crashing(models / "Crashes.fmu")
    (models / "Text.fmu").write_text("no zip")
    shutil.copy(FILES["VanDerPol"], models / "Van der Pol.fmu")
    return tmp_path / "shop"


async def test_only_what_ran_is_listed_and_the_rest_says_why(shop, tmp_path, runner):
    found = await Library.open(shop, tmp_path / "work", runner)
    assert list(found.models) == ["a:VanDerPol"]
    assert set(found.refused) == {"a/Crashes.fmu", "a/Text.fmu", "a/Van der Pol.fmu"}
    assert "signal 11" in found.refused["a/Crashes.fmu"]
    assert "zip" in found.refused["a/Text.fmu"]
    assert "letters" in found.refused["a/Van der Pol.fmu"]


async def test_one_file_that_nobody_foresaw_keeps_no_other_from_being_listed(shop, tmp_path, runner, monkeypatch):
    unpack = intake.unpack

    def breaking(file, directory):
        if file.name == "Text.fmu":
            raise ZeroDivisionError
        unpack(file, directory)

    monkeypatch.setattr(intake, "unpack", breaking)
    found = await Library.open(shop, tmp_path / "work", runner)
    assert list(found.models) == ["a:VanDerPol"]
    assert "ZeroDivisionError" in found.refused["a/Text.fmu"]


async def test_a_listed_model_is_found_by_every_name_it_has(shop, tmp_path, runner):
    found = await Library.open(shop, tmp_path / "work", runner)
    model = found.get("a:VanDerPol")
    assert found.by_sha256(model.sha256) is model
    assert found.get("a:Crashes") is found.get("a:vanderpol") is found.by_sha256("0" * 64) is None
    assert (found.directory_of(model) / "modelDescription.xml").is_file()
    reference = found.reference(model)
    assert reference.columns == ("time", *model.outputs)
    assert reference.reached_time == model.experiment.stop_time


async def test_search_looks_for_every_word_in_id_name_and_description(tmp_path, runner):
    found = await Library.open(SHIPPED, tmp_path / "work", runner)
    assert [m.fmu_id for m in found.search("ball")] == ["msl:BouncingBall"]
    assert [m.fmu_id for m in found.search(" BALL   msl ")] == ["msl:BouncingBall"]
    assert found.search("") == list(found.models.values())
    assert found.search("ball nosuchword") == []
    assert list(found.models) == sorted(found.models)
    assert not found.refused


async def test_a_restart_runs_nothing_and_knows_the_same(shop, tmp_path, runner, monkeypatch):
    (shop / "a" / "Crashes.fmu").unlink()
    first = await Library.open(shop, tmp_path / "work", runner)

    async def run(*_):
        raise RunFailed("it ran again")

    monkeypatch.setattr(runner, "run", run)
    again = await Library.open(shop, tmp_path / "work", runner)
    assert again.models == first.models
    model = again.models["a:VanDerPol"]
    assert again.reference(model).sha256 == first.reference(model).sha256


async def test_another_version_of_the_gateway_tries_every_model_again(shop, tmp_path, runner, monkeypatch):
    await Library.open(shop, tmp_path / "work", runner)

    async def run(*_):
        raise RunFailed("it ran again")

    monkeypatch.setattr(runner, "run", run)
    monkeypatch.setattr(library, "__version__", "another")
    assert "it ran again" in (await Library.open(shop, tmp_path / "work", runner)).refused["a/VanDerPol.fmu"]


async def test_a_file_that_changed_is_another_model(shop, tmp_path, runner):
    before = (await Library.open(shop, tmp_path / "work", runner)).models["a:VanDerPol"]
    shutil.copy(FILES["BouncingBall"], shop / "a" / "VanDerPol.fmu")
    found = await Library.open(shop, tmp_path / "work", runner)
    assert found.models["a:VanDerPol"].sha256 != before.sha256
    assert found.by_sha256(before.sha256) is None


async def test_one_model_under_two_names_is_listed_twice(shop, tmp_path, runner):
    (shop / "b").mkdir()
    shutil.copy(FILES["VanDerPol"], shop / "b" / "Same.fmu")
    found = await Library.open(shop, tmp_path / "work", runner)
    assert list(found.models) == ["a:VanDerPol", "b:Same"]
    both = [found.reference(model).sha256 for model in found.models.values()]
    assert both[0] == both[1]


async def test_a_file_that_cannot_be_read_does_not_close_the_shop(shop, tmp_path, runner):
    (shop / "a" / "Gone.fmu").symlink_to(tmp_path / "nowhere")
    found = await Library.open(shop, tmp_path / "work", runner)
    assert "cannot be read" in found.refused["a/Gone.fmu"]
    assert list(found.models) == ["a:VanDerPol"]


async def test_an_empty_folder_is_an_empty_library(tmp_path, runner):
    found = await Library.open(tmp_path / "nothing", tmp_path / "work", runner)
    assert (dict(found.models), dict(found.refused)) == ({}, {})


def test_everything_works_on_the_event_loop_of_uvicorn_too(tmp_path, shop):
    uvloop = pytest.importorskip("uvloop", reason="needs uvloop")

    async def main(work: Path) -> dict[str, str]:
        runner = Runner(parallel=2, queued=8, timeout_seconds=60, memory_mb=128)
        found = await Library.open(shop, work, runner)
        await runner.close()
        return {m.fmu_id: found.reference(m).sha256 for m in found.models.values()} | dict(found.refused)

    assert uvloop.run(main(tmp_path / "1")) == asyncio.run(main(tmp_path / "2"))
