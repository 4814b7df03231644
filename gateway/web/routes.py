"""Routes: the table of contents."""

from collections.abc import Awaitable, Callable

from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from gateway.web import events, keys, ledger, metrics, models, pages, pay, payments, problems, runs, site, uploads
from gateway.web.simulate import Simulate


def by_method(**handlers: Callable[[Request], Awaitable[Response]]) -> type[HTTPEndpoint]:
    """One address with several methods, so that what it does not take is told which it does."""
    return type("Resource", (HTTPEndpoint,), {name: staticmethod(handler) for name, handler in handlers.items()})


SIMULATE = Simulate()
ROUTES = [
    Route("/simulate", SIMULATE, methods=["POST"]),
    Route("/pay", pay.pay, methods=["POST"]),
    Route("/checkout/{quote}", payments.checkout),
    Route("/payments/checkout/{session_id}", payments.status),
    Route("/payments/success", payments.success),
    Route("/payments/cancelled", payments.cancelled),
    Route("/webhooks/stripe", payments.webhook, methods=["POST"]),
    Route("/runs/{run_id}", by_method(get=runs.run, delete=events.cancel)),
    Route("/runs/{run_id}/events", events.events),
    Route("/runs/{run_id}/result.{form}", runs.result),
    Route("/runs/{run_id}/plot.svg", runs.plot),
    Route("/library", models.library),
    Route("/fmus", uploads.upload, methods=["POST"]),
    Route("/fmus/{fmu_id}", by_method(get=models.model, delete=uploads.withdraw)),
    Route("/fmus/{fmu_id}/variables", models.variables),
    Route("/fmus/{fmu_id}/inputs.csv", models.inputs),
    Route("/ledger", ledger.ledger),
    Route("/keys", keys.create, methods=["POST"]),
    Route("/keys/{key_id}", keys.revoke, methods=["DELETE"]),
    Route("/", site.landing),
    Route("/docs", site.docs),
    Route("/openapi.json", site.openapi),
    Route("/llms.txt", site.llms),
    Route("/health", site.health),
    Route("/ready", site.ready),
    Route("/metrics", metrics.metrics),
    Route("/problems", problems.problems_index),
    Route("/problems/{code}", problems.problem_page),
    Mount("/static", StaticFiles(directory=pages.STATIC)),
]

# Taken in front of the router, which costs as much as the quote itself.
DIRECT = {("POST", "/simulate"): SIMULATE}

# Logs name these, never paths: a path may hold a session id, which is a credential.
TEMPLATES = {route.endpoint: route.path for route in ROUTES if isinstance(route, Route)}
