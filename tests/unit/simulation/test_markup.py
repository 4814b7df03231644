"""What is as large as it may be, or declared in an unusual way, is no fault of a description."""

import gc
import io

import pytest
from bad_uploads import attributes, utf16

from gateway.domain.solvers import MAX_TOLERANCE
from gateway.simulation import markup, pieces, variables
from gateway.simulation.description import no_collection

GOOD = """<fmiModelDescription fmiVersion="3.0"><CoSimulation modelIdentifier="M"/><DefaultExperiment tolerance="{}"/>
    <ModelVariables><Float64 name="x" valueReference="{}" start="{}"><Dimension start="9"/></Float64>
    </ModelVariables>{}</fmiModelDescription>"""


def check(raw: bytes) -> None:
    assert markup.check_description(io.BytesIO(raw), "it") == ("3.0", {"M"})


@pytest.mark.parametrize(
    ("tolerance", "reference", "start", "rest"),
    [
        (str(MAX_TOLERANCE), variables.MAX_REFERENCE, "1", ""),
        ("1e-9", 1, "0.123456789 " * 50_000, ""),  # the start values of a large array
        ("1e-9", 1, "1", f"<Annotations {attributes(markup.MAX_WORDS - 20)}/>"),
        ("1e-9", 1, "1", f"<Terminals {attributes(1_900, 20)}/>" * 20),
        ("1e-9", 1, "1", f"<Annotations>{'a = b; ' * 100_000}</Annotations>"),
        ("1e-9", 1, "1", "<Annotations/>" * (pieces.MAX_ELEMENTS - 6)),
    ],
)
def test_what_is_as_large_as_it_may_be_is_taken(tolerance: str, reference: int, start: str, rest: str) -> None:
    check(GOOD.format(tolerance, reference, start, rest).encode())


@pytest.mark.parametrize(
    "declaration", ["", "<?xml version='1.0'?>", f"<?xml version='1.0'{' ' * 200}encoding='ASCII'?>"]
)
def test_every_declaration_that_xml_has_is_taken(declaration: str) -> None:
    check((declaration.replace("ASCII", "us-ascii") + GOOD.format("1e-9", 1, 1, "")).encode())
    check(b"\xef\xbb\xbf" + (declaration.replace("ASCII", "utf-8") + GOOD.format("1e-9", 1, 1, "")).encode())


def test_utf_16_is_taken() -> None:
    check(utf16(GOOD.format("1e-9", 1, 1, "<Annotations><į/></Annotations>")))


def described(variables: str, version: str = "3.0") -> bytes:
    return f"""<fmiModelDescription fmiVersion="{version}"><CoSimulation modelIdentifier="M"/>
        <ModelVariables>{variables}</ModelVariables></fmiModelDescription>""".encode()


@pytest.mark.parametrize(
    "variables",
    [
        '<Float64 name="a" valueReference="1"/><!-- <Float64 name="a" valueReference="2"/> -->',
        '<Float64 name="a" valueReference="1" description=\'name="b"\'/><Float64 name="b" valueReference="2"/>',
        '<Float64 name="a" valueReference="1"><Annotations><Annotation><Float64 name="a"/></Annotation></Annotations>'
        "</Float64>",
        '<Float64 name="a" valueReference="1"/><String name="A" valueReference="2"><Start value="name=a"/></String>',
    ],
)
def test_what_only_looks_like_a_variable_is_no_second_one(variables: str) -> None:
    check(described(variables))


@pytest.mark.parametrize(
    "variables",
    [
        '<Int8 name="a" valueReference="1" start=" 7 " min="-inf" max=""/>',
        '<Float32 name="a" valueReference="1" start="NaN"/>',
        '<Boolean name="a" valueReference="1" start="True"/>',
        '<Binary name="a" valueReference="1"><Start value="x"/></Binary>',
        '<Int32 name="a" valueReference="1" start=""><Dimension start="2"/></Int32>',
    ],
)
def test_every_start_value_that_can_be_read_is_taken(variables: str) -> None:
    check(described(variables))


def test_a_variable_however_long_hides_none_that_is_there_twice() -> None:
    long = f'<Float64 name="a" valueReference="1" description="{"x " * 40_000}"/>'
    other = '<Float64 name="b" valueReference="2"/>'
    check(described(long + other))
    check(described(other + long))
    for text in (long + other * 2, other * 2 + long, other + long + other):
        with pytest.raises(variables.Refused) as raised:
            check(described(text))
        assert raised.value.code == "duplicate_variable"


def test_in_fmi_2_the_type_that_stands_first_in_a_variable_says_what_its_start_is() -> None:
    text = '<ScalarVariable name="a" valueReference="1"><String start="x"/><Real start="y"/></ScalarVariable>'
    assert markup.check_description(io.BytesIO(described(text, "2.0")), "it") == ("2.0", {"M"})


@pytest.mark.parametrize(("start", "taken"), [("1", True), ("much", False)])
def test_nothing_of_the_variables_waits_for_a_search_for_garbage(start: str, taken: bool) -> None:
    """Those of ten descriptions were freed in one go, which held the event loop for 40 ms."""
    gc.collect()
    with no_collection():
        try:
            check(GOOD.format("1e-9", 1, start, "").encode())
            assert taken
        except variables.Refused:
            assert not taken
        left = [each for each in gc.get_objects() if isinstance(each, variables.Variables)]
    assert not left
