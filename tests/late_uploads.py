"""Late uploads: descriptions of very many variables, of which something is wrong with the last, or behind it."""

from functools import partial

from bad_uploads import ARRAY, IDENTIFIER, NO_INTERFACE, TWO, described, described2, variables

MANY = 19_000
LAST = '<Float64 name="{}" valueReference="99"/>'
WRONG = '<Float64 name="w" valueReference="{}" {}/>'
WRONG2 = '<ScalarVariable name="{}" valueReference="99" {}><{} {}/></ScalarVariable>'


def after_many(last: str, *changes: str) -> bytes:
    return described("</ModelVariables>", variables(MANY, last), *changes)


def after_many2(last: str) -> bytes:
    """The same in FMI 2.0."""
    one = '<ScalarVariable name="n{0}" valueReference="{0}"><Real start="0.5"/></ScalarVariable>'
    many = "".join(one.format(i) for i in range(1_000, 1_000 + MANY))
    return described2("</ModelVariables>", f"{many}{last}</ModelVariables>")


def at_end(text: str) -> tuple[str, str]:
    return "</fmiModelDescription>", f"{text}</fmiModelDescription>"


LATE = {
    "broken_description": ['<Float64 name="w"', '<Float64 name="w" name="w"/>', "</Float64>", "&what;"],
    "description_too_deep": [f"{ARRAY}{'<Clock>' * 40}{'</Clock>' * 40}</Float64>"],
    "bad_variable_name": ['<Float64 name=""/>', '<Float64 name="a&#10;b"/>', LAST.format("time")],
    "duplicate_variable": [LAST.format("n0"), LAST.format("n&#48;"), f'{ARRAY}<Alias name="n0"/></Float64>'],
    "invalid_fmu": [
        *(WRONG.format(reference, "") for reference in ("", "-1", 1 << 32)),
        *(WRONG.format(99, wrong) for wrong in ('causality="result"', 'variability="smooth"', 'start="much"')),
        *(WRONG.format(99, wrong) for wrong in ('min="low"', 'max="high"')),
        *('<Real name="w" valueReference="99"/>', '<Int8 name="w" valueReference="99" start="1.5"/>'),
        *('<Int8 name="w" valueReference="100"/>', f"{TWO.replace('99', '100')}</Float64>"),
        *(f"{TWO.replace('2', 'two')}</Float64>", f"{TWO.replace('0', '1 x')}</Float64>"),
    ],
}
NOTES = '<Annotations><Annotation type="x">y</Annotation></Annotations>'
BEFORE = {  # what may stand there 19,000 times and needs a closer look
    "entities": '<Float64 name="n{0}" valueReference="{0}" description="a &gt; b" causality="local"/>',
    "unknown attributes": '<Float64 name="n{0}" valueReference="{0}" more="x"/>',
    "arrays": '<Float64 name="n{0}" valueReference="{0}" start="0 0"><Dimension start="2"/></Float64>',
    "annotations": f'<Float64 name="n{{0}}" valueReference="{{0}}">{NOTES}</Float64>',
}
LATE2 = {
    "bad_variable_name": [("", "", "Real", "")],
    "duplicate_variable": [("n1000", "", "Real", "")],
    "invalid_fmu": [
        *(("w2", 'causality="result"', "Real", ""), ("w2", "", "Float64", "")),
        *(("w2", "", "Real", wrong) for wrong in ('start="much"', 'min="low"', 'max="high"')),
    ],
}


def behind(one: str) -> bytes:
    """A duplicate behind 19,000 that are right and no usual ones."""
    many = "".join(one.format(i) for i in range(1_000, 1_000 + MANY))
    return described("</ModelVariables>", f'{many}<Float64 name="h" valueReference="99"/></ModelVariables>')


LATE_CASES = [
    *(("duplicate_variable", partial(behind, one)) for one in BEFORE.values()),
    *((code, partial(after_many, last)) for code, lasts in LATE.items() for last in lasts),
    *((code, partial(after_many2, WRONG2.format(*wrong))) for code, wrongs in LATE2.items() for wrong in wrongs),
    ("duplicate_variable", lambda: described("</ModelVariables>", LAST.format("n&#48;") + variables(MANY))),
    ("bad_model_identifier", lambda: after_many("", *at_end('<CoSimulation modelIdentifier="../../x"/>'))),
    ("bad_experiment", lambda: after_many("", *at_end('<DefaultExperiment stopTime="x"/>'))),
    ("no_interface", lambda: after_many("", *NO_INTERFACE)),
    ("no_binary", lambda: after_many("", IDENTIFIER, 'modelIdentifier="Other"')),
]
