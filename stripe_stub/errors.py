"""The errors of the API, in Stripe's own shape (https://docs.stripe.com/api/errors).

StripeError
├── Invalid        400  the request can never work: bad parameter, wrong state
│   └── Missing    404  no such object
├── Unknown        404  no such address
├── Unauthorized   401
├── KeyInUse       409  a request with the same idempotency key has not ended yet
├── KeyMisused     400  the same key with another request
└── Broken         429, 5xx  made by a fault
"""

from typing import Any


class StripeError(Exception):
    """An answer that is no success. `body()` is what goes over the wire."""

    status = 400
    type = "invalid_request_error"

    def __init__(self, message: str, *, code: str | None = None, param: str | None = None, validation: bool = False):
        super().__init__(message)
        self.message, self.code, self.param = message, code, param
        self.validation = validation  # refused before anything began: Stripe stores no result under the idempotency key

    def body(self, request_id: str) -> dict[str, Any]:
        error: dict[str, Any] = {"message": self.message, "type": self.type}
        if self.code:
            error["code"] = self.code
            error["doc_url"] = f"https://stripe.com/docs/error-codes/{self.code.replace('_', '-')}"
        if self.param:
            error["param"] = self.param
        error["request_log_url"] = f"/_stub#{request_id}"
        return {"error": error}


class Invalid(StripeError):
    """The request is wrong."""


class Missing(Invalid):
    """There is no such object."""

    status = 404

    def __init__(self, kind: str, id_: str, param: str = "id"):
        super().__init__(f"No such {kind}: '{id_}'", code="resource_missing", param=param)
        if param != "id":
            self.status = 400  # Stripe answers 404 for the object of the path and 400 for one named by a parameter


class Unknown(StripeError):
    """There is no such address."""

    status = 404


class Unauthorized(StripeError):
    """No API key, or none that a local Stripe takes."""

    status = 401


class KeyInUse(StripeError):
    """Another request with this idempotency key is running."""

    status = 409


class KeyMisused(StripeError):
    """This idempotency key belongs to another request."""

    type = "idempotency_error"


class Broken(StripeError):
    """What a fault makes of a request."""

    def __init__(self, status: int):
        limited = status == 429
        super().__init__(
            "Too many requests hit the API too quickly. We recommend an exponential backoff of your requests."
            if limited
            else "An unknown error occurred. (This one was ordered at the local Stripe.)",
            code="rate_limit" if limited else None,
        )
        self.status = status
        self.type = "invalid_request_error" if limited else "api_error"


def unsupported(param: str) -> Invalid:
    """Stripe knows this parameter or value; this local Stripe does not. Said loudly, so that nobody believes it had
    an effect.
    """
    return Invalid(
        f"Stripe knows {param}, the local Stripe does not do it yet.",
        code="local_stripe_unsupported",
        param=param,
        validation=True,
    )
