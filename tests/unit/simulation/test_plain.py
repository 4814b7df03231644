"""What is left out of the parse, since nothing can be wrong with it, changes nothing of what is said."""

import io
import zipfile
from collections.abc import Callable
from unittest.mock import ANY

import pytest
from bad_uploads import CASES
from hypothesis import given
from hypothesis import strategies as st
from late_uploads import LATE_CASES

from gateway.simulation import intake, markup, variables
from gateway.simulation.plain import LOOK, PART, sift
from gateway.simulation.variables import Plain, Refused

FRAME = '{}<fmiModelDescription fmiVersion="{}"><CoSimulation modelIdentifier="M"/>{}</fmiModelDescription>'
NOTES = '<Annotations><Annotation type="x">a &gt; b</Annotation> <Annotation type="y"/></Annotations>'
OTHERS = 'description="a \'b\' ü" unit="m" initial="exact" declaredType="T"'


def framed(inside: str, version: str = "3.0", begin: str = "") -> bytes:
    return FRAME.format(begin, version, f"<ModelVariables>{inside}</ModelVariables>").encode()


@pytest.mark.parametrize(
    ("version", "variable", "types"),
    [
        ("3.0", '<Float64 name="a[1].b" valueReference="7"/>', ["Float64"]),
        ("3.0", f'<Int8 valueReference="7" start="-12" {OTHERS} max="1e9" min="-3.5" name="a[1].b" />', ["Int8"]),
        ("3.0", '<Boolean name="a[1].b" causality="input" variability="fixed" valueReference="7"/>', ["Boolean"]),
        ("3.0", '<Float32\n\tname="a[1].b"\n\tvalueReference="7"\n\tstart="1.E+3"/>', ["Float32"]),
        ("2.0", '<ScalarVariable name="a[1].b" valueReference="7"><Real/></ScalarVariable>', []),
        ("2.0", f'<ScalarVariable valueReference="7" name="a[1].b" {OTHERS}> <Integer/>\n</ScalarVariable>', []),
    ],
)  # fmt: skip
def test_a_variable_as_tools_write_it_is_not_parsed(version: str, variable: str, types: list[str]) -> None:
    rest, plain = sift(framed(f"<!-- one -->{variable}", version, '<?xml version="1.0"?>'))
    assert b"valueReference" not in rest
    assert plain == Plain(version == "2.0", ["a[1].b"], ["7"], types, [None] * len(types))


@pytest.mark.parametrize(
    ("variable", "sizes"),
    [
        (
            '<Float64 name="a" valueReference="7" start="0 1.5"><Dimension start="2"/></Float64>',
            '<Dimension start="2"/>',
        ),
        ('<Int8 valueReference="7" name="a">\n<Dimension start="2"/> <Dimension start="3"/></Int8>', ANY),
        (f'<Boolean name="a" valueReference="7" start="true false">{NOTES}<Dimension start="2"/></Boolean>', ANY),
        (f'<Float64 name="a" valueReference="7" start="1">{NOTES}</Float64>', None),
    ],
)
def test_an_array_as_tools_write_it_is_not_parsed(variable: str, sizes: object) -> None:
    rest, plain = sift(framed(variable))
    assert b"valueReference" not in rest
    assert plain == Plain(False, ["a"], ["7"], [ANY], [sizes])


def test_what_tools_noted_at_a_variable_is_not_parsed() -> None:
    variable = (
        f'<ScalarVariable name="a" valueReference="7"><Real/>{NOTES.replace("Annotation ", "Tool ")}</ScalarVariable>'
    )
    assert sift(framed(variable, "2.0"))[1].names == ["a"]


@pytest.mark.parametrize(
    "variable",
    [
        '<Float64 valueReference="7"/>',
        '<Float64 name="a"/>',
        '<Float64 name="" valueReference="7"/>',
        '<Float64 name="time" valueReference="7"/>',
        '<Float64 name="ä" valueReference="7"/>',
        '<Float64 name="&#97;" valueReference="7"/>',
        f'<Float64 name="{"a" * (variables.MAX_NAME + 1)}" valueReference="7"/>',
        '<Float64 name="a" valueReference="-7"/>',
        '<Float64 name="a" valueReference="4294967296"/>',
        '<Float64 name="a" valueReference="7" causality="Input"/>',
        '<Float64 name="a" valueReference="7" variability=""/>',
        '<Float64 name="a" valueReference="7" start="1,5"/>',
        '<Int8 name="a" valueReference="7" start="1.5"/>',
        '<Float64 name="a" valueReference="7" min="-"/>',
        '<Float64 name="a" valueReference="7" other="x"/>',
        '<Float64 name="a" valueReference="7" start="0 1"/>',
        f'<Float64 name="a" valueReference="7" start="0 1">{NOTES}</Float64>',
        '<Int8 name="a" valueReference="7" start="0 1.5"><Dimension start="2"/></Int8>',
        '<Float64 name="a" valueReference="7"><Dimension start="two"/></Float64>',
        '<Float64 name="a" valueReference="7"><Dimension valueReference="2"/></Float64>',
        '<Float64 name="a" valueReference="7"><Dimension start="2"/></Float32>',
        '<Float64 name="a" valueReference="7"><Dimension start="2"/><Alias name="b"/></Float64>',
        '<Float64 name="a" valueReference="7"><Annotations><Annotation><x/></Annotation></Annotations></Float64>',
        '<Float64Type name="a" valueReference="7"/>',
        '<Real name="a" valueReference="7"/>',
    ],
)
def test_what_could_be_wrong_is_parsed(variable: str) -> None:
    raw = framed(variable)
    assert sift(raw) == (raw, Plain())


PLAIN = '<Float64 name="a" valueReference="7"/>'


@pytest.mark.parametrize(
    "raw",
    [
        framed(f"<![CDATA[{PLAIN}]]>"),
        framed(f"<![CDATA[<!--]]>{PLAIN}<![CDATA[-->]]>{PLAIN}"),
        framed(f"<?a <!-- ?>{PLAIN}<?a --> ?>{PLAIN}"),
        framed(PLAIN, begin="<?a b?>"),
        framed(PLAIN, begin="<?xml-a <!-- ?><!-- -->"),
        framed(f"{PLAIN}<![CDATA[ --> {PLAIN}<!-- ]]>", begin="<!-- -->"),
        framed(f"<Int8><Annotations><Annotation>{PLAIN}</Annotation></Annotations></Int8>"),
        framed(f"</ModelVariables><Other>{PLAIN}</Other><ModelVariables>{PLAIN}"),
        framed(PLAIN, begin=" "),
        framed(PLAIN).decode().encode("utf-16"),
        framed(PLAIN).replace(b"ModelVariables", b"Variables"),
    ],
)
def test_where_a_tag_could_be_something_else_all_is_parsed(raw: bytes) -> None:
    assert sift(raw) == (raw, Plain())


def test_no_search_is_longer_than_its_part() -> None:
    many = "".join(f'<Float64 name="a{i}" valueReference="{i}"/>' for i in range(PART // 20))
    long = f'<Float64 name="b" valueReference="7" description="{"x" * 2 * PART}"/>'
    rest, plain = sift(framed(many + long + many.replace('"a', '"c') + PLAIN))
    assert len(plain.names) == 2 * (PART // 20) + 1
    assert rest.count(b"<Float64") == 1


def test_where_nothing_is_plain_for_long_all_is_parsed() -> None:
    other = "<Float64 name='a' valueReference='7'/>"
    assert sift(framed(other * ((LOOK + PART) // len(other) + 1) + PLAIN * 30_000))[1] == Plain()
    assert len(sift(framed(other * (LOOK // len(other) - 1) + PLAIN * 30_000))[1].names) == 30_000


def test_where_hardly_anything_is_plain_all_is_parsed() -> None:
    other = "<Float64 name='a' valueReference='7'/>"
    assert sift(framed(PLAIN + 20 * other))[1] == Plain()
    assert sift(framed(PLAIN + 4 * other))[1].names == ["a"]


@pytest.mark.parametrize("inside", ["", NOTES, '<Dimension start="2"/>'])
def test_no_part_ends_inside_a_variable(inside: str) -> None:
    many = "".join(f'<Float64 name="a{i}" valueReference="{i}">{inside}</Float64>' for i in range(PART // 4))
    assert len(sift(framed(many))[1].names) == PART // 4


def test_what_is_plain_in_another_version_has_no_type_in_this_one() -> None:
    raw = framed('<Boolean name="a" valueReference="7"/>').replace(b'"3.0"', b"'2.0'")
    assert sift(raw)[1].names == ["a"]
    with pytest.raises(Refused, match="no type"):
        markup.check_description(io.BytesIO(raw), "it")


def test_a_fault_of_xml_is_told_with_its_line_in_the_file() -> None:
    two = '\n<ScalarVariable name="a"\nvalueReference="7">\n<Real/></ScalarVariable>'
    with pytest.raises(Refused, match="line 7"):
        markup.check_description(io.BytesIO(framed(two + two.replace("<Real", "<Real <"), "2.0")), "it")


def told(raw: bytes) -> str:
    try:
        markup.check_description(io.BytesIO(raw), "it")
    except Refused as refused:
        return f"{refused.code}: {refused}"
    return "taken"


def told_of_all(raw: bytes) -> str:
    """If all of it is parsed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(markup, "sift", lambda raw: (raw, Plain()))
        return told(raw)


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize(("code", "make"), [*CASES, *LATE_CASES])
def test_of_everything_bad_the_same_is_told_as_if_all_of_it_were_parsed(code: str, make: Callable[[], bytes]) -> None:
    try:
        with zipfile.ZipFile(io.BytesIO(make())) as archive:
            raw = archive.read(intake.DESCRIPTION)
    except (zipfile.BadZipFile, KeyError):
        assert code in ("not_an_archive", "too_many_files", "no_description")
        return
    assert told(raw) == told_of_all(raw)


VARIABLES = st.sampled_from(
    [
        *('<Float64 name="{0}" valueReference="{1}"/>', '<Float32 name="{0}" valueReference="{1}" min="0"/>'),
        *('<Int8 name="{0}" valueReference="{1}" start="3"/>', "<Boolean name='{0}' valueReference='{1}'/>"),
        '<Float64 name="{0}" valueReference="{1}"><Dimension start="2"/></Float64>',
        '<Float64 name="{0}" valueReference="{1}" start="1 2"><Dimension start="2"/></Float64>',
        '<Int8 name="{0}" valueReference="{1}" start="1 2"/>',
        '<Float64 name="{0}" valueReference="{1}"><Dimension start="2"/><Alias name="{0}x"/></Float64>',
        f'<Float64 name="{{0}}" valueReference="{{1}}">{NOTES}</Float64>',
        f'<Float64 name="{{0}}" valueReference="{{1}}">{NOTES}</Float32>',
        '<Float64 name="{0}" valueReference="{1}"><Dimension start="3"/><Annotations></Annotations></Float64>',
        '<!-- <Float64 name="{0}" valueReference="{1}"/> -->',
        *('<Int8 name="{0}" valueReference="{1}" start="3.5"/>', '<Float64 name="{0}" valueReference="{1}" min="x"/>'),
        *('<Float64 name="{0}" valueReference="{1}" causality="x"/>', '<Float64 name="{0}" />', "&x;", "<open>"),
        '<ScalarVariable name="{0}" valueReference="{1}"><Real/></ScalarVariable>',
        '<ScalarVariable name="{0}" valueReference="{1}" causality="input"> <Integer start="1"/> </ScalarVariable>',
        '<ScalarVariable name="{0}" valueReference="{1}"><Integer start="x"/></ScalarVariable>',
        '<ScalarVariable name="{0}" valueReference="{1}"><Other/></ScalarVariable>',
        '<Float64 name="{0}" valueReference="0{1}" description="&lt;&#{1};"/>',
        *("</ModelVariables>", "<ModelVariables>", "<!--", "-->", "--> ?>", "<!--<!-->", "<!-- -->"),
        *("<![CDATA[", "]]>", "<?x", "?>", ">", '"'),
    ]
)  # fmt: skip


@given(
    st.lists(st.tuples(VARIABLES, st.integers(0, 30), st.integers(0, 30)), max_size=12),
    st.sampled_from(["2.0", "3.0"]),
    st.sampled_from(
        ["", "<?xml version='1.0'?>", "<?xml version='1.0' <!-- ?>", "<?xml-a <!-- ?>", "<?a <!-- ?>", "<!--"]
    ),
)
def test_of_whatever_is_there_the_same_is_told_as_if_all_of_it_were_parsed(
    many: list[tuple[str, int, int]], version: str, begin: str
) -> None:
    raw = framed("".join(one.format(f"n{name}", reference) for one, name, reference in many), version, begin)
    assert told(raw).partition(":")[0] == told_of_all(raw).partition(":")[0]
