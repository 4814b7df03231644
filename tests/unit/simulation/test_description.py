"""A description becomes a Model with FMI 3.0's names for everything, and survives JSON."""

import gc
import threading
import zipfile
from pathlib import Path

import orjson
import pytest

from gateway.domain.models import Experiment
from gateway.simulation import description

ROOT = Path(__file__).parents[3]
FILES = sorted([*ROOT.glob("gateway/simulation/shipped/*/*.fmu"), *ROOT.glob("tests/data/fmus/*/*.fmu")])


def read(tmp_path, text):
    (tmp_path / "modelDescription.xml").write_text(text)
    return description.read(tmp_path, "c:M", "0" * 64)


def fmi2(variables, rest=""):
    return f"""<fmiModelDescription fmiVersion="2.0" modelName="M" guid="g">
        <ModelExchange modelIdentifier="M"/><CoSimulation modelIdentifier="M"/>
        <TypeDefinitions>
          <SimpleType name="T"><Real unit="K" min="0" max="400"/></SimpleType>
          <SimpleType name="U"><Real min="" max="9"/></SimpleType>
          <SimpleType name="E"><Enumeration>
            <Item name="off" value="1"/><Item name="on" value="2"/>
          </Enumeration></SimpleType>
        </TypeDefinitions>{rest}
        <ModelVariables>{variables}</ModelVariables><ModelStructure/></fmiModelDescription>"""


def variable(tmp_path, value, attributes='causality="parameter" variability="fixed"'):
    text = f'<ScalarVariable name="x" valueReference="0" {attributes}>{value}</ScalarVariable>'
    return read(tmp_path, fmi2(text)).variables["x"]


def test_units_and_bounds_may_stand_on_the_declared_type(tmp_path):
    x = variable(tmp_path, '<Real declaredType="T" start="300" max="350"/>')
    assert (x.unit, x.min, x.max, x.start, x.type) == ("K", 0.0, 350.0, 300.0, "Float64")


def test_a_bound_of_the_declared_type_that_is_empty_is_none(tmp_path):
    x = variable(tmp_path, '<Real declaredType="U" start="300" max=""/>')
    assert (x.min, x.max) == (None, 9.0)


def test_enumerations_have_their_items(tmp_path):
    x = variable(tmp_path, '<Enumeration declaredType="E" start="2"/>')
    assert (x.type, x.items, x.start) == ("Enumeration", {"off": 1, "on": 2}, 2)


@pytest.mark.parametrize(
    ("value", "start"),
    [
        ('<Integer start="-3"/>', -3),
        ('<Boolean start="true"/>', True),
        ('<Boolean start="0"/>', False),
        ('<String start="a b"/>', "a b"),
        ('<Real start="INF"/>', None),
        ("<Real/>", None),
    ],
)
def test_start_values_have_the_type_of_their_variable(tmp_path, value, start):
    assert variable(tmp_path, value).start == start


def test_co_simulation_is_preferred_where_both_are_there(tmp_path):
    assert read(tmp_path, fmi2("")).kinds == ("co_simulation", "model_exchange")


@pytest.mark.parametrize(
    ("given", "experiment"),
    [
        ("", Experiment(0.0, 1.0, 0.002, None)),
        ('<DefaultExperiment stopTime="3"/>', Experiment(0.0, 3.0, 0.005, None)),
        (
            '<DefaultExperiment startTime="1" stopTime="2" stepSize="0.5" tolerance="1e-4"/>',
            Experiment(1.0, 2.0, 0.5, 1e-4),
        ),
    ],
)
def test_the_default_experiment_is_always_complete(tmp_path, given, experiment):
    assert read(tmp_path, fmi2("", given)).experiment == experiment


@pytest.mark.parametrize("given", ['stopTime="0"', 'startTime="5" stopTime="5"', 'stopTime="x"'])
def test_an_experiment_that_makes_no_sense_is_refused(tmp_path, given):
    with pytest.raises(ValueError, match="cannot be read"):
        read(tmp_path, fmi2("", f"<DefaultExperiment {given}/>"))


def test_one_start_value_stands_for_every_element_of_an_array(tmp_path):
    text = """<fmiModelDescription fmiVersion="3.0" modelName="M" instantiationToken="g">
        <CoSimulation modelIdentifier="M"/><ModelVariables>
        <Float64 name="one" valueReference="1" causality="parameter" start="2"><Dimension start="3"/></Float64>
        <Float64 name="all" valueReference="2" causality="parameter" start="1 2"><Dimension start="2"/></Float64>
        </ModelVariables><ModelStructure/></fmiModelDescription>"""
    variables = read(tmp_path, text).variables
    assert (variables["one"].dimensions, variables["one"].start) == ((3,), (2.0, 2.0, 2.0))
    assert variables["all"].start == (1.0, 2.0)


def test_a_string_array_has_all_of_its_start_values(tmp_path):
    text = """<fmiModelDescription fmiVersion="3.0" modelName="M" instantiationToken="g">
        <CoSimulation modelIdentifier="M"/><ModelVariables>
        <String name="two" valueReference="1" causality="parameter"><Dimension start="2"/><Start value="a b"/>
        <Start value="c"/><Alias name="other"/></String>
        <String name="all" valueReference="2" causality="parameter"><Dimension start="2"/><Start value="x"/></String>
        <String name="none" valueReference="3"><Dimension start="2"/></String>
        </ModelVariables><ModelStructure/></fmiModelDescription>"""
    variables = read(tmp_path, text).variables
    assert {name: v.start for name, v in variables.items()} == {
        "two": ("a b", "c"), "other": ("a b", "c"), "all": ("x", "x"), "none": None,
    }  # fmt: skip


def exchange2(variables, derivatives=""):
    """An FMI 2.0 one for model exchange only, whose first variables are the input u, the state x and its derivative."""
    text = fmi2(
        '<ScalarVariable name="u" valueReference="0" causality="input"><Real start="0"/></ScalarVariable>'
        '<ScalarVariable name="x" valueReference="1" causality="output"><Real/></ScalarVariable>' + variables
    )
    structure = f"<ModelStructure><Derivatives>{derivatives}</Derivatives></ModelStructure>"
    return text.replace('<CoSimulation modelIdentifier="M"/>', "").replace("<ModelStructure/>", structure)


def derivative(name, of, reference=2):
    return f'<ScalarVariable name="{name}" valueReference="{reference}"><Real derivative="{of}"/></ScalarVariable>'


@pytest.mark.parametrize(
    ("variables", "derivatives", "sentence"),
    [
        (derivative("dx", 2), "", "no states' derivatives, yet 'dx' is one"),
        (derivative("dx", 2), '<Unknown index="3"/>' * 2, "derivative of 'x' twice"),
        (derivative("a", 2) + derivative("b", 2, 3), '<Unknown index="3"/><Unknown index="4"/>', "of 'x' twice"),
        (derivative("dx", 2), '<Unknown index="2"/>', "'x' as a state's derivative"),
    ],
)
def test_model_exchange_with_other_states_than_its_model_structure_lists_is_refused(
    tmp_path, variables, derivatives, sentence
):
    with pytest.raises(ValueError, match=sentence):
        read(tmp_path, exchange2(variables, derivatives))
    both = exchange2(variables, derivatives).replace(
        "<ModelExchange", '<CoSimulation modelIdentifier="M"/><ModelExchange'
    )
    assert read(tmp_path, both).kinds == ("co_simulation",)


@pytest.mark.parametrize(
    ("variables", "derivatives"),
    [
        ("", ""),
        (derivative("du", 1), ""),  # of the input
        (derivative("dx", 2) + derivative("ddx", 3, 3), '<Unknown index="3"/>'),  # of what is no state
        (derivative("dx", 2) + derivative("alias", 2), '<Unknown index="4"/>'),
    ],
)
def test_variables_that_are_no_states_may_have_derivatives(tmp_path, variables, derivatives):
    assert read(tmp_path, exchange2(variables, derivatives)).kinds == ("model_exchange",)


@pytest.mark.parametrize("file", FILES, ids=lambda f: f.stem)
def test_a_model_survives_json(tmp_path, file):
    with zipfile.ZipFile(file) as archive:
        model = read(tmp_path, archive.read("modelDescription.xml").decode())
    assert model.variables
    assert description.from_json(orjson.loads(orjson.dumps(description.to_json(model)))) == model


@pytest.mark.parametrize("sign", ["\u009b", "\u202e", "\u2028", "\u0085", "&#10;", "&#9;"])
def test_what_would_act_on_a_terminal_or_a_page_is_taken_out_of_every_text(tmp_path, sign):
    text = f"a{sign}[31mb"
    x = f'<ScalarVariable name="x" valueReference="0" description="{text}"><Real unit="{text}"/></ScalarVariable>'
    e = '<ScalarVariable name="e" valueReference="1"><Enumeration declaredType="E" start="1"/></ScalarVariable>'
    described = fmi2(x + e).replace('guid="g"', f'guid="g" description="{text}"').replace('"M" guid', f'"{text}" guid')
    model = read(tmp_path, described.replace('"off"', f'"{text}"'))
    of_variable = (model.variables["x"].description, model.variables["x"].unit)
    assert {model.name, model.description, *of_variable, *model.variables["e"].items} == {"a [31mb", "on"}


def test_garbage_is_collected_again_when_the_last_of_several_readers_is_done():
    first, second = description.no_collection(), description.no_collection()
    assert gc.isenabled()
    first.__enter__()
    second.__enter__()
    first.__exit__(None, None, None)
    assert not gc.isenabled()
    second.__exit__(None, None, None)
    assert gc.isenabled()


def test_garbage_is_collected_again_however_two_readers_follow_each_other(monkeypatch):
    """One is held between asking whether garbage is collected and ending that, while another one leaves."""
    asked, go_on = threading.Event(), threading.Event()

    class Slow:
        enable, disable = staticmethod(gc.enable), staticmethod(gc.disable)

        @staticmethod
        def isenabled():
            found = gc.isenabled()
            if threading.current_thread() is slow:
                asked.set()
                go_on.wait(5)
            return found

    def use():
        with description.no_collection():
            pass

    monkeypatch.setattr(description, "gc", Slow)
    slow = threading.Thread(target=use)
    with description.no_collection():
        slow.start()
        asked.wait(0.1)  # it does not ask any more
    go_on.set()
    slow.join()
    assert gc.isenabled()


def test_whoever_ended_the_collection_before_has_it_so_afterwards():
    gc.disable()
    try:
        with description.no_collection():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
