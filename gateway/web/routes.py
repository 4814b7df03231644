"""Routes: the table of contents."""

from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from starlette.datastructures import QueryParams
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import Receive, Scope, Send

from gateway.web import events, keys, ledger, models, pages, pay, payments, problems, runs, site, uploads
from gateway.web.requests import check_query
from gateway.web.simulate import Simulate


def by_method(**handlers: Callable[[Request], Awaitable[Response]]) -> type[HTTPEndpoint]:
    """One address with several methods, so that what it does not take is told which it does."""
    return type("Resource", (HTTPEndpoint,), {name: staticmethod(handler) for name, handler in handlers.items()})


class Api(Route):
    """A route for programs: a query parameter that it does not know is refused, for ignoring it would give the wrong
    answer silently. Pages ignore what others hang on to their links."""

    def __init__(self, path: str, endpoint: Callable[..., Any], *, query: Sequence[str] = (), **options: Any):
        super().__init__(path, endpoint, **options)
        self._query = query

    async def handle(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["query_string"]:
            check_query(QueryParams(scope["query_string"]), self._query)
        await super().handle(scope, receive, send)


async def metrics(request: Request) -> Response:
    """Imported when a monitor asks: 15 ms of every start otherwise."""
    from gateway.web.metrics import metrics

    return await metrics(request)


SIMULATE = Simulate()
ROUTES = [
    Route("/simulate", SIMULATE, methods=["POST"]),
    Api("/pay", pay.pay, methods=["POST"]),
    Route("/checkout/{quote}", payments.checkout),
    Api("/payments/checkout/{session_id}", payments.status, query=("wait",)),
    Route("/payments/success", payments.success),
    Route("/payments/cancelled", payments.cancelled),
    Route("/webhooks/stripe", payments.webhook, methods=["POST"]),
    Api("/runs/{run_id}", by_method(get=runs.run, delete=events.cancel)),
    Api("/runs/{run_id}/events", events.events),
    Api("/runs/{run_id}/result.{form}", runs.result),
    Api("/runs/{run_id}/plot.svg", runs.plot),
    Api("/library", models.library, query=("query",)),
    Api("/fmus", uploads.upload, methods=["POST"]),
    Api("/fmus/{fmu_id}", by_method(get=models.model, delete=uploads.withdraw)),
    Api("/fmus/{fmu_id}/variables", models.variables, query=("causality",)),
    Api("/fmus/{fmu_id}/inputs.csv", models.inputs),
    Api("/ledger", ledger.ledger, query=("from", "to", "limit", "cursor")),
    Api("/keys", keys.create, methods=["POST"]),
    Api("/keys/{key_id}", keys.revoke, methods=["DELETE"]),
    Route("/", site.landing),
    Route("/docs", site.docs),
    Route("/openapi.json", site.openapi),
    Route("/llms.txt", site.llms),
    Route("/health", site.health),
    Route("/ready", site.ready),
    Route("/metrics", metrics),
    Route("/problems", problems.problems_index),
    Route("/problems/{code}", problems.problem_page),
    Mount("/static", StaticFiles(directory=pages.STATIC)),
]

# Taken in front of the router, which costs as much as the quote itself.
DIRECT = {("POST", "/simulate"): SIMULATE}

# Logs name these, never paths: a path may hold a session id, which is a credential.
TEMPLATES = {route.endpoint: route.path for route in ROUTES if isinstance(route, Route)}
