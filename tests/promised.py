"""What openapi.yaml says of an operation's answers."""

from typing import Any

from gateway.web import pages


def promised(operation: str, status: int) -> dict[str, Any]:
    """The response object of "GET /library" and such at this status."""
    method, path = operation.split()
    spec = pages.openapi(base_url="https://gateway.example")
    response: dict[str, Any] = spec["paths"][path][method.lower()]["responses"][str(status)]
    if "$ref" in response:
        response = spec["components"]["responses"][response["$ref"].rpartition("/")[2]]
    return response


def promised_codes(operation: str, status: int) -> set[str]:
    return set(promised(operation, status)["content"]["application/problem+json"]["examples"])
