"""Model exchange: a model whose description lists fewer of its states or event indicators than it has is no result."""

import re

import pytest
from simulation_bench import FILES

from gateway.errors import RunFailed
from gateway.simulation import description, intake
from gateway.simulation.library import trial

pytestmark = pytest.mark.asyncio(loop_scope="module")
EXCHANGE_ONLY = (r"<CoSimulation [^>]*(/>|>.*?</CoSimulation>)", "")


def changed(bench, name, *change):
    """The plan of a model of which the description was changed in this one way, and made one for model exchange."""
    directory = bench.folder / f"{name}-{abs(hash(change))}"
    intake.unpack(FILES[name], directory)
    file = directory / "modelDescription.xml"
    text = file.read_text()
    for old, new in (change, EXCHANGE_ONLY):
        text, count = re.subn(old, new, text, count=1)
        assert count
    file.write_text(text)
    return trial(description.read(directory, f"test:{name}", directory.name))


@pytest.mark.parametrize(
    ("missing", "sentence"),
    [
        ("EventIndicator", "The model has 1 event indicators, but its description lists 0"),
        ("ContinuousStateDerivative", "The model has 2 continuous states, but its description lists 1"),
    ],
)
async def test_a_model_with_more_than_its_description_lists_fails(bench, missing, sentence):
    with pytest.raises(RunFailed, match=sentence) as raised:
        await bench.run_plan(changed(bench, "BouncingBall", f"<{missing} [^>]*/>", ""))
    assert raised.value.code == "model_error"


async def test_a_model_of_fmi_2_with_more_states_than_listed_says_so_itself(bench):
    with pytest.raises(RunFailed) as raised:
        await bench.run_plan(changed(bench, "VanDerPol", '<Unknown index="5"/></Derivatives>', "</Derivatives>"))
    assert raised.value.code == "model_error"


async def test_a_model_with_what_its_description_lists_runs(bench):
    outcome = await bench.run_plan(changed(bench, "BouncingBall", 'description="A ball', 'description="The ball'))
    assert min(outcome.result.arrays[outcome.result.columns.index("h")]) > -1e-3
