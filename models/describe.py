"""Write the documents of an FMU from its table: modelDescription.xml, buildDescription.xml, documentation/index.html.

Sources: FMI 2.0.5 and FMI 3.0.2 specifications, fmi-standard.org.
"""

import html
from typing import Any
from xml.sax.saxutils import quoteattr

from table import UNITS, Description, Variable

LIBRARY = "1.0.0"
LOG_CATEGORIES = """\
  <LogCategories><Category name="logStatusError" description="Why the model refused"/></LogCategories>
"""


def attributes(**values: Any) -> str:
    """XML attributes; None and "" are left out, a trailing underscore is dropped."""
    parts = []
    for key, value in values.items():
        if value is None or value == "":
            continue
        text = " ".join(map(xml_text, value)) if isinstance(value, list) else xml_text(value)
        parts.append(f" {key.rstrip('_')}={quoteattr(text)}")
    return "".join(parts)


def xml_text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def units_xml(d: Description) -> str:
    out = []
    for name in sorted({v.unit for v in d.variables if v.unit}):
        unit = dict(UNITS[name])
        shown = unit.pop("shown", {})
        displays = "".join(
            f"<DisplayUnit{attributes(name=n, factor=f, offset=o or None)}/>" for n, (f, o) in shown.items()
        )
        out.append(f"    <Unit{attributes(name=name)}><BaseUnit{attributes(**unit)}/>{displays}</Unit>\n")
    return f"  <UnitDefinitions>\n{''.join(out)}  </UnitDefinitions>\n"


def page(d: Description) -> str:
    """documentation/index.html: short, static, no scripts."""
    rows = "".join(
        f"<tr><td>{html.escape(v.name)}</td><td>{v.causality}</td><td>{html.escape(v.unit)}</td>"
        f"<td>{'' if v.start is None else html.escape(xml_text(v.start))}</td>"
        f"<td>{html.escape(v.description)}</td></tr>\n"
        for v in d.variables
    )
    return (
        f'<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{d.name}</title></head>\n<body>\n'
        f"<h1>{d.name}</h1>\n<p>{html.escape(d.description)}.</p>\n<p>{html.escape(d.about.strip())}</p>\n"
        "<p>Own C implementation, MIT license; its sources are in this FMU.</p>\n"
        "<table>\n<tr><th>name</th><th>causality</th><th>unit</th><th>start</th><th>description</th></tr>\n"
        f"{rows}</table>\n</body></html>\n"
    )


def experiment(d: Description) -> str:
    e = d.experiment
    return f"  <DefaultExperiment{attributes(startTime=0.0, stopTime=e['stop'], stepSize=e['step'])}/>\n"


def header(d: Description) -> dict[str, Any]:
    return {
        "modelName": d.name,
        "description": d.description,
        "version": LIBRARY,
        "license": "MIT",
        "generationTool": "models/build",
        "variableNamingConvention": "structured",
    }


def fmi2_xml(d: Description, sources: list[str]) -> str:
    """modelDescription.xml of FMI 2.0. Indices in ModelStructure count from 1. Every variable must be Real."""
    capabilities = {"modelIdentifier": d.name, "canNotUseMemoryManagementFunctions": True}
    files = "<SourceFiles>" + "".join(f"<File{attributes(name=s)}/>" for s in sources) + "</SourceFiles>"
    kinds = ""
    if "ModelExchange" in d.kinds:
        kinds += f"  <ModelExchange{attributes(**capabilities)}>{files}</ModelExchange>\n"
    if "CoSimulation" in d.kinds:
        extra = attributes(**capabilities, canHandleVariableCommunicationStepSize=True)
        kinds += f"  <CoSimulation{extra}>{files}</CoSimulation>\n"
    index = {v.name: i for i, v in enumerate(d.variables, 1)}
    variables = ""
    for reference, v in enumerate(d.variables):
        if v.type != "Float64" or v.size:
            raise ValueError(f"{d.name}.{v.name}: the FMI 2.0 shim knows only scalar Real")
        plain = v.causality in {"input", "independent"}
        scalar = attributes(name=v.name, valueReference=reference, description=v.description, causality=v.causality,
                            variability=v.variability, initial=None if plain else v.initial)  # fmt: skip
        real = attributes(unit=v.unit, displayUnit=v.display_unit, min=v.min, max=v.max,
                          nominal=v.nominal if v.nominal != 1 else None, start=v.start,
                          derivative=index.get(v.of))  # fmt: skip
        variables += f"    <ScalarVariable{scalar}><Real{real}/></ScalarVariable>\n"
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<fmiModelDescription{attributes(fmiVersion='2.0', guid=d.token, **header(d))}"
        f"{attributes(numberOfEventIndicators=len(d.indicators))}>\n{kinds}{units_xml(d)}"
        f"{LOG_CATEGORIES}"
        f"{experiment(d)}  <ModelVariables>\n{variables}  </ModelVariables>\n{structure2(d)}"
        "</fmiModelDescription>\n"
    )


def structure2(d: Description) -> str:
    outputs = [i for i, v in enumerate(d.variables, 1) if v.causality == "output"]
    derivatives = [i + 1 for _, i in d.states]
    unknown = sorted({i for i in outputs if d.variables[i - 1].start is None} | set(derivatives))
    parts = ""
    for tag, indices in (("Outputs", outputs), ("Derivatives", derivatives), ("InitialUnknowns", unknown)):
        if indices:
            parts += f"    <{tag}>" + "".join(f'<Unknown index="{i}"/>' for i in indices) + f"</{tag}>\n"
    return f"  <ModelStructure>\n{parts}  </ModelStructure>\n"


def fmi3_xml(d: Description) -> str:
    """modelDescription.xml of FMI 3.0. Everything refers by value reference, which is the place in the table."""
    kinds = ""
    if "ModelExchange" in d.kinds:
        kinds += f"  <ModelExchange{attributes(modelIdentifier=d.name)}/>\n"
    if "CoSimulation" in d.kinds:
        extra = attributes(modelIdentifier=d.name, canHandleVariableCommunicationStepSize=True)
        kinds += f"  <CoSimulation{extra}/>\n"
    types = ""
    for v in d.variables:
        if v.items:
            items = "".join(f"<Item{attributes(name=item, value=n)}/>" for n, item in enumerate(v.items, 1))
            types += f'    <EnumerationType name="{v.field}_type">{items}</EnumerationType>\n'
    if types:
        types = f"  <TypeDefinitions>\n{types}  </TypeDefinitions>\n"
    variables = "".join(variable3(d, reference, v) for reference, v in enumerate(d.variables))
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n'
        f"<fmiModelDescription{attributes(fmiVersion='3.0', instantiationToken=d.token, **header(d))}>\n"
        f"{kinds}{units_xml(d)}{types}"
        f"{LOG_CATEGORIES}"
        f"{experiment(d)}  <ModelVariables>\n{variables}  </ModelVariables>\n{structure3(d)}"
        "</fmiModelDescription>\n"
    )


def variable3(d: Description, reference: int, v: Variable) -> str:
    reals = v.type in {"Float64", "Float32"}
    numbers = v.type not in {"Boolean", "String", "Enumeration"}
    names = [other.name for other in d.variables]
    text = attributes(
        name=v.name, valueReference=reference, description=v.description, causality=v.causality,
        variability=v.variability, initial=v.initial if v.causality not in {"input", "independent"} else None,
        declaredType=f"{v.field}_type" if v.items else None, unit=v.unit, displayUnit=v.display_unit,
        min=v.min if numbers else None, max=v.max if numbers else None,
        nominal=v.nominal if reals and v.nominal != 1 else None, start=v.start if v.type != "String" else None,
        derivative=names.index(v.of) if v.of else None,
    )  # fmt: skip
    inner = f'<Dimension start="{v.size}"/>' if v.size else ""
    if v.type == "String" and v.start is not None:
        inner += f"<Start{attributes(value=v.start)}/>"
    return f"    <{v.type}{text}" + (f">{inner}</{v.type}>\n" if inner else "/>\n")


def structure3(d: Description) -> str:
    outputs = [i for i, v in enumerate(d.variables) if v.causality == "output"]
    derivatives = [i for _, i in d.states]
    unknown = sorted({i for i in outputs if d.variables[i].start is None} | set(derivatives))
    parts = "".join(
        f'    <{tag} valueReference="{i}"/>\n'
        for tag, references in (
            ("Output", outputs),
            ("ContinuousStateDerivative", derivatives),
            ("InitialUnknown", unknown),
        )
        for i in references
    )
    parts += "".join(f'    <EventIndicator valueReference="{i}"/>\n' for i in d.indicators)
    return f"  <ModelStructure>\n{parts}  </ModelStructure>\n"


def build_description(d: Description, sources: list[str]) -> str:
    """sources/buildDescription.xml of FMI 3.0."""
    files = "".join(f"      <SourceFile{attributes(name=s)}/>\n" for s in sources)
    return (
        '<?xml version="1.0" encoding="UTF-8"?>\n<fmiBuildDescription fmiVersion="3.0">\n'
        f'  <BuildConfiguration modelIdentifier="{d.name}">\n    <SourceFileSet language="C11">\n{files}'
        '    </SourceFileSet>\n    <Library name="m"/>\n  </BuildConfiguration>\n</fmiBuildDescription>\n'
    )
