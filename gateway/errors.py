"""Every error a caller can see. Each class is one RFC 9457 problem and has a page at /problems/<code>.

Longer than other files: the tree and the sentences a caller may be told read better whole.

GatewayError
├── InvalidRequest                      422  the first fault, with `field` and `did_you_mean`
│   ├── IdempotencyMismatch             422
│   └── ModelIsFree                     422
├── UploadRefused                       422  one class for each code of UPLOAD_REFUSALS
├── WebhookRefused                      400
├── KeyRefused                          401
├── Offer                               402  a fresh quote comes along
│   ├── PaymentRequired
│   ├── PriceAboveMax
│   ├── TokenInvalid
│   ├── TokenExpired
│   └── TokenDoesNotCover
├── NotFound                            404
│   ├── ModelNotFound, PurchaseNotFound, RunNotFound, KeyNotFound
│   └── UploadsDisabled
├── MethodNotAllowed                    405
├── NotAcceptable                       406
├── RunInProgress, RunFinished, AlreadyPaid, PayInProgress  409
├── Gone                                410
│   ├── QuoteExpired, ModelWithdrawn, ResultExpired
│   ├── Consumed, Expired, Refunded, Revoked          what a purchase says of itself
│   └── TokenConsumed, TokenRefunded, TokenRevoked    what spending its token says
├── BodyTooSlow                         408
├── BodyTooLarge                        413
├── RateLimited                         429
├── RunFailed                                nothing was charged
│   ├── ModelError                      422
│   ├── ModelCrashed                    500
│   ├── SimulationTimeout               504
│   ├── MemoryLimit                     507
│   └── RunCancelled                    409
├── SandboxMissing                      501
├── StripeUnavailable                   502  code `stripe_error`
├── Busy, Draining, PrefetchRefused     503
├── StorageFull, UploadsFull            507
├── OutcomeUnknown                      500  the commit neither succeeded nor failed visibly
└── InternalError                       500
"""

import re
from typing import Any, ClassVar


class GatewayError(Exception):
    """Something went wrong that the caller can be told about."""

    status: ClassVar[int] = 500
    code: ClassVar[str] = "gateway_error"
    title: ClassVar[str] = "Gateway Error"
    next_step: str = "Try again; if it happens again, write to the operator and name the request id."
    retry_after: int | None = None

    def __init__(
        self, detail: str = "", *, next_step: str | None = None, retry_after: int | None = None, **fields: Any
    ):
        super().__init__(detail)
        self.detail = detail or (self.__doc__ or "").split("\n", 1)[0]
        if next_step is not None:
            self.next_step = next_step
        if retry_after is not None:
            self.retry_after = retry_after
        if None in fields.values():
            fields = {name: value for name, value in fields.items() if value is not None}
        self.fields = fields

    def __init_subclass__(cls, **kwargs: Any):
        super().__init_subclass__(**kwargs)
        words = re.findall(r"[A-Z][a-z]*", cls.__name__)
        if "code" not in cls.__dict__:
            cls.code = "_".join(words).lower()
        if "title" not in cls.__dict__:
            cls.title = " ".join(words)


class InvalidRequest(GatewayError):
    """Something in the request is not right. Nothing was charged and no token was used."""

    status = 422
    next_step = "Correct the named field and send the request again."


class IdempotencyMismatch(InvalidRequest):
    """This Idempotency-Key was used before with another request."""

    next_step = "Send the first request again unchanged, or use a new Idempotency-Key."


class ModelIsFree(InvalidRequest):
    """This model costs nothing, so there is nothing to pay."""

    next_step = "POST the request to /simulate without a payment token."


class UploadRefused(GatewayError):
    """The uploaded FMU cannot be taken."""

    status = 422


# What is wrong with an upload → what its modeller does about it. Each code becomes a class below.
UPLOAD_REFUSALS: dict[str, tuple[str, str]] = {
    "upload_invalid": (
        "The upload holds no FMU.",
        "Send the FMU as the multipart field `file`, or as the raw bytes of the body.",
    ),
    "not_an_archive": (
        "The file is no zip archive that can be read.",
        "Export the FMU again and send the file unchanged; check that it was not cut off on its way.",
    ),
    "too_many_files": (
        "The archive has too many files.",
        "Export without documentation, sources and binaries of other platforms.",
    ),
    "unsafe_path": (
        "The archive has a path that could lead out of it.",
        "Pack the FMU's files with relative paths and forward slashes.",
    ),
    "path_too_long": ("The archive has a path that is too long.", "Shorten the names of folders and files."),
    "duplicate_file": ("The archive has the same file twice.", "Pack each file once."),
    "special_file": ("The archive has a link or a special file.", "Pack the file that the link leads to instead."),
    "encrypted_file": ("The archive is encrypted.", "Pack the FMU without a password."),
    "unknown_compression": ("The archive is packed in another way than deflate.", "Pack it with deflate, or stored."),
    "compression_ratio": (
        "A file would unpack to a suspicious multiple of its size.",
        "Leave out files that hold nearly nothing but zeros, or store them uncompressed.",
    ),
    "unpacked_too_large": ("The archive would unpack to too much.", "Leave out what a run does not need."),
    "no_description": (
        "There is no modelDescription.xml at the top of the archive.",
        "Pack the FMU's contents themselves, not the folder that they stand in.",
    ),
    "description_too_large": (
        "The modelDescription.xml is too large.",
        "Export with fewer variables, for example without protected ones.",
    ),
    "document_type": (
        "The modelDescription.xml declares a document type or entities.",
        "Remove the DOCTYPE: FMI has no use for one.",
    ),
    "broken_description": (
        "The modelDescription.xml is no XML that makes sense.",
        "Export the FMU again, or look at it with `fmpy info`.",
    ),
    "description_too_deep": ("The modelDescription.xml is nested too deeply.", "Remove the nested annotations."),
    "unknown_fmi_version": ("The FMU's version of FMI is not 2.0 or 3.0.", "Export it as FMI 2.0 or 3.0."),
    "bad_model_identifier": (
        "The modelIdentifier is no C identifier.",
        "Use letters, digits and underscores only, and begin with a letter.",
    ),
    "needs_tool": (
        "The FMU needs the tool that made it to run.",
        "Export it as a stand-alone FMU, without needsExecutionTool.",
    ),
    "no_interface": (
        "The FMU offers neither co-simulation nor model exchange.",
        "Export it for co-simulation; scheduled execution is not run here.",
    ),
    "too_many_variables": (
        "The FMU has too many variables, or too large arrays.",
        "Export with fewer variables, for example without protected ones.",
    ),
    "bad_variable_name": (
        "A variable's name is empty, too long, not printable, or `time`.",
        "Rename the variable; `time` is the first column of every result.",
    ),
    "duplicate_variable": ("Two variables have the same name.", "Rename one of them."),
    "bad_experiment": (
        "The default experiment makes no sense.",
        "Give finite times with startTime before stopTime, and step sizes and a tolerance above 0.",
    ),
    "no_binary": (
        "The FMU has no binary for this server's platform.",
        "Export or cross-compile the FMU for Linux on this server's processor; the detail names the folder.",
    ),
    "bad_binary": (
        "The FMU's binary is no shared library for this server.",
        "Build a 64-bit ELF shared library for Linux on this server's processor.",
    ),
    "missing_libraries": (
        "The FMU needs shared libraries that are not here.",
        "Link them statically, or pack them beside the binary and set its RUNPATH to $ORIGIN.",
    ),
    "invalid_fmu": (
        "The FMU's description breaks a rule of FMI without which a run would be wrong.",
        "Correct what the detail names; `fmpy validate` on your machine says more.",
    ),
    "trial_failed": (
        "The FMU reported an error in its trial run.",
        "Make the first steps of the default experiment run; `fmpy simulate` shows the same.",
    ),
    "trial_crashed": (
        "The FMU crashed in its trial run.",
        "Make the first steps of the default experiment run; `fmpy simulate` shows the same.",
    ),
    "trial_timeout": (
        "The FMU's trial run took too long.",
        "Make loading it and the first steps of the default experiment take less than two seconds.",
    ),
    "trial_memory": (
        "The FMU's trial run wanted too much memory.",
        "Make loading it and the first steps of the default experiment take less memory.",
    ),
}


class WebhookRefused(GatewayError):
    """The webhook's signature is missing, wrong, too old, or dated in the future."""

    status = 400
    next_step = "Check that STRIPE_WEBHOOK_SECRET is this endpoint's secret and that both clocks are right."


class KeyRefused(GatewayError):
    """The API key is wrong or was revoked."""

    status = 401
    next_step = "Use a valid key, leave the key out to buy without one, or POST /keys for a new one."


class Offer(GatewayError):
    """A refusal that carries a fresh quote."""

    status = 402
    next_step = "Open checkout_url and pay, then GET status_url for payment_token and repeat this request with it."


class PaymentRequired(Offer):
    """One run of this model has a price."""


class PriceAboveMax(Offer):
    """The price is above the max_price of the request."""

    next_step = "Raise max_price to at least amount and send the request again, or do nothing: nothing was created."


class TokenInvalid(Offer):
    """The payment token is not one of ours."""

    next_step = "Send the token exactly as the status URL gave it, or buy another run with checkout_url."


class TokenExpired(Offer):
    """The payment token is past its expiry. The money behind it is not lost."""

    next_step = "GET the status_url of the quote you paid, not of this fresh one: it hands out the next token."


class TokenDoesNotCover(Offer):
    """The payment token pays for another model. It is untouched and still works there."""

    next_step = "Use the token with the model it was bought for, or buy a run of this one with checkout_url."


class NotFound(GatewayError):
    """There is nothing at this address."""

    status = 404
    next_step = "See / for the catalogue and /docs for every endpoint."


class ModelNotFound(NotFound):
    """No model of that name is for sale here."""

    next_step = "GET /library lists every model; fmu_id is case-sensitive."


class PurchaseNotFound(NotFound):
    """No purchase can be read with this session id and these credentials."""

    next_step = "Use the session_id of your 402 unchanged, with the API key it was quoted to if there was one."


class RunNotFound(NotFound):
    """No run can be read with this id and these credentials."""

    next_step = "Send the API key of the account that paid, the token that paid, or the run_token of a free run."


class KeyNotFound(NotFound):
    """Your account has no key with that id."""

    next_step = "Use the key_id that POST /keys returned."


class UploadsDisabled(NotFound):
    """This server takes no uploads."""

    next_step = "GET /library lists what is for sale; the operator allows uploads with UPLOADS_ENABLED."


class MethodNotAllowed(GatewayError):
    """This address does not take that method."""

    status = 405
    next_step = "See /docs for the methods of every endpoint."


class NotAcceptable(GatewayError):
    """The result cannot be given in any of the media types that were asked for."""

    status = 406
    next_step = "Accept application/json, text/csv, or one of the Arrow and Parquet types that /docs names."


class RunInProgress(GatewayError):
    """The run that this token or Idempotency-Key pays for is not finished yet."""

    status = 409
    next_step = "GET run_url until it is finished; the result stays there."
    retry_after = 1


class RunFinished(GatewayError):
    """The run finished before it could be cancelled. Its result is there."""

    status = 409
    next_step = "GET run_url for the result."


class PayInProgress(GatewayError):
    """A request with this Idempotency-Key is being answered at this moment."""

    status = 409
    next_step = "Wait as long as Retry-After says and send the same request again: it gets the same answer."
    retry_after = 1


class AlreadyPaid(GatewayError):
    """This purchase is already paid."""

    status = 409
    next_step = "GET status_url for the payment token."


class Gone(GatewayError):
    """This is over."""

    status = 410


class QuoteExpired(Gone):
    """The quote has expired. Nothing was charged."""

    next_step = "POST /simulate again for a fresh quote."


class ModelWithdrawn(Gone):
    """The model was withdrawn before the token was spent. The payment is being refunded."""

    next_step = "Nothing: the money goes back to where it came from. GET /library shows what is for sale."


class ResultExpired(Gone):
    """The result was kept for its retention time and is deleted now."""

    next_step = "Buy another run."


class Consumed(Gone):
    """The purchase was spent: its run succeeded."""

    next_step = "GET run_url for the result."


class Expired(Gone):
    """Nobody paid in time. Nothing was charged."""

    next_step = "POST /simulate again for a fresh quote."


class Refunded(Gone):
    """The payment was given back, or is on its way back."""

    next_step = "POST /simulate again for a fresh quote."


class Revoked(Gone):
    """The payment was disputed or withdrawn, so it buys nothing for now."""

    next_step = "Write to the operator if you think this is wrong."


class TokenConsumed(Gone):
    """The payment token was used: its run succeeded."""

    next_step = "GET run_url with this token for the result; buy another run for another result."


class TokenRefunded(Gone):
    """The payment behind this token was given back, or is on its way back."""

    next_step = "POST /simulate without a token for a fresh quote."


class TokenRevoked(Gone):
    """The payment behind this token was disputed or withdrawn."""

    next_step = "Write to the operator if you think this is wrong."


class BodyTooSlow(GatewayError):
    """The request's body did not arrive in time. Nothing was charged and no token was used."""

    status = 408
    next_step = "Send the request again, with its whole body right behind its headers."


class BodyTooLarge(GatewayError):
    """The request's body is larger than this server takes."""

    status = 413
    next_step = "Send a smaller body; GET /openapi.json states the limit."


class RateLimited(GatewayError):
    """Too many requests of this kind from one account or address."""

    status = 429
    next_step = "Wait as long as Retry-After says and send the request again."
    retry_after = 60


class RunFailed(GatewayError):
    """The run failed. It was not charged."""

    status = 500
    next_step = "Nothing was charged and the token is ready again: change the request and send it with the same token."
    cpu_seconds: float = 0.0  # what the failed run used; set by the runner


class ModelError(RunFailed):
    """The model itself reported an error."""

    status = 422


class ModelCrashed(RunFailed):
    """The model's own code crashed."""


class SimulationTimeout(RunFailed):
    """The run took longer than this server allows."""

    status = 504
    next_step = "Nothing was charged and the token is ready again: ask for a shorter run or larger steps."


class MemoryLimit(RunFailed):
    """The run wanted more memory than this server allows."""

    status = 507
    next_step = "Nothing was charged and the token is ready again: ask for fewer rows or outputs."


class RunCancelled(RunFailed):
    """The run was cancelled by whoever may read it. It was not charged."""

    status = 409
    next_step = "Nothing was charged and the token is ready again: send a request with it when you like."


class SandboxMissing(GatewayError):
    """This machine cannot confine a stranger's model, so it takes none."""

    status = 501
    next_step = "Write to the operator: /ready and `fmu-gateway doctor` name what the sandbox lacks."


class StripeUnavailable(GatewayError):
    """Stripe did not answer as expected. Nothing was charged."""

    status = 502
    code = "stripe_error"
    title = "Stripe Error"
    next_step = "Try again in a moment; repeating is safe."
    retry_after = 5


class Busy(GatewayError):
    """Every place for a run, or for a new checkout, is taken. Nothing was held or charged."""

    status = 503
    next_step = "Wait as long as Retry-After says and send the same request again."
    retry_after = 2


class Draining(GatewayError):
    """The server is stopping. Nothing was held or charged."""

    status = 503
    next_step = "Wait as long as Retry-After says and send the same request again."
    retry_after = 5


class PrefetchRefused(GatewayError):
    """A checkout is opened by a person, not by a browser's prefetch."""

    status = 503
    next_step = "Open the link."
    retry_after = 1


class StorageFull(GatewayError):
    """The server cannot write to its disk. Nothing was charged."""

    status = 507
    next_step = "Try again later; the operator sees the alarm in /ready."
    retry_after = 60


class UploadsFull(GatewayError):
    """The space for uploads is used up."""

    status = 507
    next_step = "DELETE /fmus/{fmu_id} for uploads that you no longer need, or try again tomorrow."


class OutcomeUnknown(GatewayError):
    """The database did not say whether the change was kept."""

    next_step = "Send the same request again: repeating is safe, and shows what happened."


class InternalError(GatewayError):
    """Something unforeseen happened here."""


def _refusal(code: str, what: str, next_step: str) -> type[UploadRefused]:
    name = "".join(word.capitalize() for word in code.split("_"))
    return type(name, (UploadRefused,), {"code": code, "__doc__": what, "next_step": next_step})


UPLOAD_PROBLEMS = {code: _refusal(code, *sentences) for code, sentences in UPLOAD_REFUSALS.items()}


def every_problem() -> dict[str, type[GatewayError]]:
    """Code → class of every error, for the pages at /problems and the tests."""
    found: dict[str, type[GatewayError]] = {}
    queue: list[type[GatewayError]] = [GatewayError]
    while queue:
        for cls in queue.pop().__subclasses__():
            found[cls.code] = cls
            queue.append(cls)
    return found
