"""What is as large as it may be, or declared in an unusual way, is no fault of a description."""

import io

import pytest
from bad_uploads import attributes, utf16

from gateway.domain.solvers import MAX_TOLERANCE
from gateway.simulation import markup

GOOD = """<fmiModelDescription fmiVersion="3.0"><CoSimulation modelIdentifier="M"/><DefaultExperiment tolerance="{}"/>
    <ModelVariables><Float64 name="x" valueReference="{}" start="{}"/></ModelVariables>{}</fmiModelDescription>"""


def check(raw: bytes) -> None:
    assert markup.check_description(io.BytesIO(raw), "it") == ("3.0", {"M"})


@pytest.mark.parametrize(
    ("tolerance", "reference", "start", "rest"),
    [
        (str(MAX_TOLERANCE), markup.MAX_REFERENCE, "1", ""),
        ("1e-9", 1, "0.123456789 " * 50_000, ""),  # the start values of a large array
        ("1e-9", 1, "1", f"<Annotations {attributes(markup.MAX_WORDS - 20)}/>"),
        ("1e-9", 1, "1", f"<Terminals {attributes(1_900, 20)}/>" * 20),
        ("1e-9", 1, "1", f"<Annotations>{'a = b; ' * 100_000}</Annotations>"),
        ("1e-9", 1, "1", "<Annotations/>" * (markup.MAX_ELEMENTS - 5)),
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
