"""openapi.yaml is valid, complete and agrees with errors.py; /docs and llms.txt show what it says."""

import json
import re
from typing import Any

import jsonschema
import pytest
from openapi_spec_validator import OpenAPIV31SpecValidator

from gateway.domain.requests import KeysBody, PayBody, SignalBody, SimulateBody
from gateway.errors import every_problem
from gateway.web import pages
from gateway.web.pages import reference

BASE = "https://gateway.example"
SPEC = pages.openapi(base_url=BASE)
SCHEMAS = SPEC["components"]["schemas"]
OPERATIONS = [
    (path, method, item[method])
    for path, item in SPEC["paths"].items()
    for method in reference.METHODS
    if method in item
]
CODES = [entry.code for entry in pages.problem_entries()]


def follow(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        target: Any = SPEC
        for part in node["$ref"].removeprefix("#/").split("/"):
            target = target[part]
        node = target
    return node


def check(value: Any, schema: dict[str, Any]) -> None:
    jsonschema.Draft202012Validator({**schema, "components": SPEC["components"]}).validate(value)


def problems() -> list[tuple[str, str, dict[str, Any]]]:
    """(operation, status, media type object) of every refusal."""
    return [
        (f"{method} {path}", status, follow(response)["content"]["application/problem+json"])
        for path, method, operation in OPERATIONS
        for status, response in operation["responses"].items()
        if "application/problem+json" in follow(response).get("content", {})
    ]


def test_it_is_valid_openapi() -> None:
    assert [str(error) for error in OpenAPIV31SpecValidator(SPEC).iter_errors()] == []


def test_it_names_this_server_and_leaves_the_source_alone() -> None:
    other = pages.openapi(base_url="https://other.example")
    assert other["servers"] == [{"url": "https://other.example"}]
    assert pages.openapi(base_url=BASE)["servers"] == [{"url": BASE}]
    json.dumps(other)  # it is served as JSON: no dates or other YAML types


def test_every_problem_that_can_reach_a_caller_appears_where_it_can_happen() -> None:
    named = {code for _, _, media in problems() for code in media["examples"]}
    anywhere = {"method_not_allowed"}  # of no single operation; the description names it
    assert named | anywhere == set(CODES)
    assert all(code in SPEC["info"]["description"] for code in anywhere)


@pytest.mark.parametrize(("operation", "status", "media"), problems(), ids=lambda value: str(value)[:40])
def test_a_refusal_lists_the_codes_its_schema_allows_at_the_status_they_have(
    operation: str, status: str, media: dict[str, Any]
) -> None:
    schema = follow(media["schema"])
    allowed = next(part["properties"] for part in schema["allOf"] if "code" in part.get("properties", {}))
    codes = allowed["code"].get("enum") or [allowed["code"]["const"]]
    assert set(codes) == set(media["examples"])
    assert {every_problem()[code].status for code in codes} == {allowed["status"]["const"]} == {int(status)}
    for example in media["examples"].values():
        check(follow(example)["value"], media["schema"])


@pytest.mark.parametrize("code", CODES)
def test_the_example_of_a_problem_says_what_errors_says(code: str) -> None:
    cls = every_problem()[code]
    value = SPEC["components"]["examples"][code]["value"]
    assert (value["code"], value["status"], value["title"]) == (code, cls.status, cls.title)
    assert value["next_step"] == cls.next_step
    assert value["type"] == f"{BASE}/problems/{code}"


def test_what_may_be_tried_again_later_says_when() -> None:
    for path, method, operation in OPERATIONS:
        for status, response in operation["responses"].items():
            if status in ("202", "429", "503"):
                assert "Retry-After" in follow(response)["headers"], (path, method, status)


@pytest.mark.parametrize(
    ("name", "body"),
    [("SimulateRequest", SimulateBody), ("InputSignal", SignalBody), ("PayRequest", PayBody), ("KeyRequest", KeysBody)],
)
def test_a_request_has_exactly_the_fields_that_the_server_reads(name: str, body: Any) -> None:
    schema = SCHEMAS[name]
    fields = body.model_fields
    assert schema["additionalProperties"] is False
    assert set(schema["properties"]) == set(fields)
    assert set(schema.get("required", ())) == {field for field, info in fields.items() if info.is_required()}


def media_types() -> list[tuple[str, dict[str, Any]]]:
    found = []
    for path, method, operation in OPERATIONS:
        bodies = [operation.get("requestBody", {}), *(follow(r) for r in operation["responses"].values())]
        found += [(f"{method} {path}", media) for b in bodies for media in b.get("content", {}).values()]
    return found


@pytest.mark.parametrize(("operation", "media"), media_types(), ids=lambda value: str(value)[:40])
def test_examples_are_what_their_schemas_allow(operation: str, media: dict[str, Any]) -> None:
    for example in media.get("examples", {}).values():
        check(follow(example)["value"], media["schema"])
    if "example" in media:
        check(media["example"], media["schema"])


def test_no_part_is_left_over() -> None:
    used = set(re.findall(r"#/components/(\w+/\w+)", json.dumps(SPEC)))
    declared = {
        f"{kind}/{name}" for kind, parts in SPEC["components"].items() if kind != "securitySchemes" for name in parts
    }
    assert declared - used == {"examples/method_not_allowed"}


def test_the_docs_show_every_operation_parameter_field_and_code() -> None:
    page = pages.docs(spec=SPEC)
    for path, _, operation in OPERATIONS:
        assert f'id="{operation["operationId"]}"' in page
        assert path in page
    for parameter in SPEC["components"]["parameters"].values():
        assert parameter["name"] in page
    for name in ("SimulateRequest", "RunResult", "Offer", "Checkout", "NewKey", "Readiness"):
        properties = {k for part in SCHEMAS[name].get("allOf", [SCHEMAS[name]]) for k in part.get("properties", {})}
        assert [field for field in properties if f'<span class="id">{field}</span>' not in page] == []
    assert [c for c in CODES if f'href="/problems/{c}"' not in page] == ["method_not_allowed"]


def test_the_docs_show_nested_fields_types_and_what_is_required() -> None:
    groups = reference.read(SPEC).groups
    simulate = next(op for group in groups for op in group.operations if op.id == "simulate")
    fields = {field.name: field for field in simulate.body}
    assert fields["fmu_id"].required
    assert not fields["step"].required
    assert fields["input_signals"].type == "array of object"
    assert fields["input_signals[].t"].type == "array of number"
    offer = next(answer for answer in simulate.answers if answer.status == "402")
    assert {field.name for field in offer.shapes[0][1]} >= {"checkout_url", "next_step", "amount"}
    assert json.loads(offer.example)["methods"] == ["stripe_checkout"]


def test_the_docs_give_lines_to_paste() -> None:
    operations = {op.id: op for group in reference.read(SPEC).groups for op in group.operations}
    assert operations["listModels"].curl == "curl -s 'https://gateway.example/library?query=ball'"
    assert operations["getModel"].curl == "curl -s https://gateway.example/fmus/msl:BouncingBall"
    assert "-X DELETE" in operations["revokeKey"].curl
    assert "Authorization: Bearer" in operations["revokeKey"].curl
    assert operations["revokeKey"].credentials == "API key required"
    assert operations["simulate"].credentials == "API key or token, optional"


def test_the_text_for_agents_is_short_and_names_only_what_exists() -> None:
    text = pages.llms_txt(base_url=BASE)
    assert "{base_url}" not in text
    assert len(text) < 5100
    assert {"max_price", "Idempotency-Key", "wait=25", "Payment-Token"} <= set(re.findall(r"[\w-]+(?:=25)?", text))


def test_the_text_for_agents_names_every_refusal_but_those_of_an_upload_with_its_status() -> None:
    listed = pages.llms_txt(base_url=BASE).split("lists all.")[1].split("429 and 503 carry")[0]
    told = {code: int(of[:3]) for of in " ".join(listed.split()).split(" · ") for code in re.split(r", ?", of[4:])}
    at_uploads = set(SCHEMAS["UploadRefused"]["allOf"][1]["properties"]["code"]["enum"]) - {"invalid_request"}
    others = set(CODES) - at_uploads - {"webhook_refused", "prefetch_refused", "not_found", "method_not_allowed"}
    assert told == {code: every_problem()[code].status for code in others}
