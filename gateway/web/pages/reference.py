"""OpenAPI document → what the /docs page shows: operations by tag, with parameters, bodies, answers and a curl line."""

import json
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

METHODS = ("get", "post", "put", "patch", "delete")
DEEPEST = 3  # levels of nested objects that are listed field by field

Json = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Field:
    """A line of a table: a parameter, or a property at a dotted path such as `input_signals[].name`."""

    name: str
    where: str  # "path", "query", "header"; "" for a property
    type: str
    required: bool
    description: str


@dataclass(frozen=True, slots=True)
class Answer:
    """One status: either data with fields and an example, or problems by code."""

    status: str
    description: str
    media_types: Sequence[str]
    headers: Sequence[str]
    codes: Sequence[str]
    shapes: Sequence[tuple[str, Sequence[Field]]]  # (title, fields) of each alternative
    example: str


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one address."""

    id: str
    method: str
    path: str
    summary: str
    description: str
    credentials: str
    parameters: Sequence[Field]
    body: Sequence[Field]
    body_note: str
    curl: str
    answers: Sequence[Answer]


@dataclass(frozen=True, slots=True)
class Group:
    """The operations of one tag."""

    name: str
    description: str
    operations: Sequence[Operation]


@dataclass(frozen=True, slots=True)
class Reference:
    """The whole contract in reading order."""

    title: str
    version: str
    description: str
    server: str
    credentials: Sequence[Field]
    problem: Sequence[Field]
    groups: Sequence[Group]


def read(spec: Json) -> Reference:
    """The contract in reading order; KeyError where `spec` has references that lead nowhere."""
    server = spec["servers"][0]["url"]
    operations: dict[str, list[Operation]] = {tag["name"]: [] for tag in spec["tags"]}
    for path, item in spec["paths"].items():
        for method in METHODS:
            if method in item:
                operations[item[method]["tags"][0]].append(_operation(spec, server, path, method, item))
    return Reference(
        title=spec["info"]["title"],
        version=spec["info"]["version"],
        description=spec["info"]["description"],
        server=server,
        credentials=[_scheme(scheme) for scheme in spec["components"]["securitySchemes"].values()],
        problem=list(_fields(spec, spec["components"]["schemas"]["Problem"])),
        groups=[Group(tag["name"], tag["description"], operations[tag["name"]]) for tag in spec["tags"]],
    )


def _scheme(scheme: Json) -> Field:
    name, where = scheme.get("name", "Authorization"), scheme.get("in", "header")
    return Field(name, where, "string", False, scheme["description"])


def _operation(spec: Json, server: str, path: str, method: str, item: Json) -> Operation:
    operation = item[method]
    parameters = [_resolve(spec, p) for p in (*item.get("parameters", ()), *operation.get("parameters", ()))]
    content = operation.get("requestBody", {}).get("content", {})
    media = content.get("application/json") or content.get("multipart/form-data", {})
    schema = _resolve(spec, media.get("schema", {}))
    return Operation(
        id=operation["operationId"],
        method=method.upper(),
        path=path,
        summary=operation["summary"],
        description=operation.get("description", ""),
        credentials=_credentials(operation["security"]),
        parameters=[
            Field(p["name"], p["in"], _type(spec, p["schema"]), p.get("required", False), p.get("description", ""))
            for p in parameters
        ],
        body=list(_fields(spec, schema)),
        body_note=schema.get("description", ""),
        curl=_curl(server + path, method, parameters, media, operation["security"]),
        answers=[_answer(spec, status, _resolve(spec, r)) for status, r in operation["responses"].items()],
    )


def _answer(spec: Json, status: str, response: Json) -> Answer:
    content = response.get("content", {})
    problem = content.get("application/problem+json")
    data: Json = problem if problem is not None else content.get("application/json", {})
    if problem is not None and not _says_more(spec, problem["schema"]):
        data = {}
    schema = _resolve(spec, data.get("schema", {}))
    alternatives = schema.get("oneOf", [data["schema"]] if data else [])
    examples = [_resolve(spec, e) for e in data.get("examples", {}).values()]
    return Answer(
        status=status,
        description=response["description"],
        media_types=list(content),
        headers=list(response.get("headers", {})),
        codes=list(problem["examples"]) if problem else [],
        shapes=[(_name(s), fields) for s in alternatives if (fields := list(_fields(spec, _resolve(spec, s))))],
        example=_pretty(examples[0]["value"]) if examples else "",
    )


def _says_more(spec: Json, problem: Json) -> bool:
    """Whether this problem has fields beyond those that every problem has."""
    every = spec["components"]["schemas"]["Problem"]["properties"]
    return bool(_resolve(spec, problem)["properties"].keys() - every.keys())


def _fields(spec: Json, schema: Json, prefix: str = "", depth: int = 1) -> Iterator[Field]:
    required = schema.get("required", ())
    for name, ref in schema.get("properties", {}).items():
        inner = _resolve(spec, ref)
        path = prefix + name
        yield Field(path, "", _type(spec, ref), name in required, inner.get("description", ""))
        items = _resolve(spec, inner.get("items", {}))
        if depth < DEEPEST:
            yield from _fields(spec, inner, path + ".", depth + 1)
            yield from _fields(spec, items, path + "[].", depth + 1)


def _resolve(spec: Json, node: Json) -> Json:
    """`node` with its $ref followed and its allOf and `anyOf … null` merged; what stands beside a $ref wins."""
    if "$ref" in node:
        target: Any = spec
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part.replace("~1", "/")]
        return {**_resolve(spec, target), **{k: v for k, v in node.items() if k != "$ref"}}
    merged: dict[str, Any] = {}
    if not node.keys() & {"allOf", "anyOf"}:
        return node
    parts = [_resolve(spec, p) for p in (*node.get("allOf", ()), *node.get("anyOf", ())) if p != {"type": "null"}]
    for part in (*parts, {k: v for k, v in node.items() if k not in ("allOf", "anyOf")}):
        properties = {**merged.get("properties", {}), **part.get("properties", {})}
        required = [*merged.get("required", ()), *part.get("required", ())]
        merged |= {**part, **({"properties": properties, "required": required} if properties else {})}
    return merged


def _type(spec: Json, ref: Json) -> str:
    schema = _resolve(spec, ref)
    if "const" in schema:
        return json.dumps(schema["const"])
    if "enum" in schema:
        return " | ".join(each for each in schema["enum"] if each is not None)
    if schema.get("format") in ("uri", "date-time"):
        return "URL" if schema["format"] == "uri" else "date and time"
    kinds = schema.get("type", "any")
    names = [kinds] if isinstance(kinds, str) else [kind for kind in kinds if kind != "null"]
    if names == ["array"] and "items" in schema:
        return f"array of {_type(spec, schema['items'])}"
    return " | ".join(names)


def _name(ref: Json) -> str:
    return str(ref.get("$ref", "")).rsplit("/", 1)[-1]


def _credentials(security: Sequence[Json]) -> str:
    names = {name for option in security for name in option}
    if not names:
        return "No credentials"
    what = "API key or token" if "paymentToken" in names else "API key"
    return f"{what}, optional" if {} in security else f"{what} required"


def _curl(address: str, method: str, parameters: Sequence[Json], media: Json, security: Sequence[Json]) -> str:
    """A line to paste, with every example of the contract filled in."""
    query = []
    for p in parameters:
        if "example" in p and p["in"] == "path":
            address = address.replace(f"{{{p['name']}}}", quote(p["example"], safe=":…"))
        elif "example" in p and p["in"] == "query":
            query.append(f"{p['name']}={p['example']}")
    words = ["curl -s", *(["-X", method.upper()] if method not in ("get", "post") else [])]
    words.append(shlex.quote(address + ("?" + "&".join(query) if query else "")))
    lines = [" ".join(words)]
    if security and {} not in security:
        lines.append("-H 'Authorization: Bearer fmk_…'")
    files = media.get("schema", {}).get("properties", {})
    lines += [f"-F {name}=@Model.fmu" for name, part in files.items() if part.get("format") == "binary"]
    examples = list(media.get("examples", {}).values())
    if examples:
        lines.append("-H 'Content-Type: application/json'")
        lines.append(f"-d {shlex.quote(json.dumps(examples[-1]['value']))}")
    return " \\\n  ".join(lines)


def _pretty(value: Any) -> str:
    """JSON with short lists on one line, as a person would write it."""
    if isinstance(value, dict) and value:
        inner = ",\n".join(f"{json.dumps(k)}: {_pretty(v)}" for k, v in value.items())
        return "{\n" + "\n".join("  " + line for line in inner.split("\n")) + "\n}"
    return json.dumps(value, ensure_ascii=False)
