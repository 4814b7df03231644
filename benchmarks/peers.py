"""What the quote benchmark compares against, each an ASGI application that answers POST /simulate with a 402.

Every one of them sends a full JSON body of the gateway's size: the gateway's own 402, read from the file BENCH_BODY.
None calls a network: an unpaid request needs no facilitator, and what x402 asks its own at start is answered here.
"""

import json
import os
from pathlib import Path
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

RECIPIENT = "0x742d35Cc6634c0532925a3b844bC9e7595F8fE00"  # an address from pympp's README; nothing is ever sent there
NETWORK = "eip155:84532"  # Base Sepolia, the network of x402's own examples


def expected() -> dict[str, Any]:
    body: dict[str, Any] = json.loads(Path(os.environ["BENCH_BODY"]).read_bytes())
    return body


def never(request: Request) -> JSONResponse:
    """The paid route behind a payment middleware: an unpaid request must not reach it."""
    return JSONResponse({"error": "an unpaid request got through"}, status_code=500)


def bare() -> Starlette:
    """The upper limit: a constant, serialised per request as any JSON route does, and no work at all."""
    body = expected()

    async def simulate(request: Request) -> JSONResponse:
        return JSONResponse(body, status_code=402)

    return Starlette(routes=[Route("/simulate", simulate, methods=["POST"])])


def x402() -> Starlette:
    """The ASGI middleware of x402's documentation, one price on one route, with the body set by its own hook."""
    from x402.http import PaymentOption
    from x402.http.middleware.fastapi import PaymentMiddlewareASGI
    from x402.http.types import HTTPResponseBody, RouteConfig
    from x402.mechanisms.evm.exact import ExactEvmServerScheme
    from x402.schemas import SupportedKind, SupportedResponse
    from x402.server import x402ResourceServer

    class Facilitator:
        """Stands in for the remote service, which is asked once, at start, what it supports."""

        def get_supported(self) -> SupportedResponse:
            return SupportedResponse(kinds=[SupportedKind(x402_version=2, scheme="exact", network=NETWORK)])

        async def verify(self, *_: Any) -> Any:
            raise AssertionError("an unpaid request needs no facilitator")

        settle = verify

    body = expected()
    server = x402ResourceServer(Facilitator())
    server.register(NETWORK, ExactEvmServerScheme())
    route = RouteConfig(
        accepts=PaymentOption(scheme="exact", pay_to=RECIPIENT, price="$1.00", network=NETWORK),
        description="One run of msl:BouncingBall",
        mime_type="application/json",
        unpaid_response_body=lambda _: HTTPResponseBody("application/problem+json", body),
    )
    app = Starlette(routes=[Route("/simulate", never, methods=["POST"])])
    app.add_middleware(PaymentMiddlewareASGI, routes={"POST /simulate": route}, server=server)
    return app


def pympp() -> Starlette:
    """The decorator of pympp's README with its Stripe card method. Its body is a problem too, but a shorter one that
    cannot be set: blanks after the JSON make up the difference, which costs it next to nothing."""
    from mpp.methods.stripe import server as stripe
    from mpp.server import Mpp, pay

    card = stripe.charge(secret_key="sk_test_never_used", network_id="bn_test_never_used", currency="usd")
    mpp = Mpp(methods=card, realm="127.0.0.1", secret_key="a benchmark's secret of 32 bytes")
    size = len(JSONResponse(expected()).body)

    @pay(mpp.charge(amount="1.00", description="One run of msl:BouncingBall"))
    async def paid(request: Request, credential: Any, receipt: Any) -> JSONResponse:
        return never(request)

    async def simulate(request: Request) -> Response:
        response: Response = await paid(request)
        response.body = bytes(response.body).ljust(size)
        response.headers["content-length"] = str(size)
        return response

    return Starlette(routes=[Route("/simulate", simulate, methods=["POST"])])
