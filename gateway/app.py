"""App: the composition root. Settings → store → Stripe → runner → routes, and what begins and ends with the process."""

import asyncio
import contextlib
import logging
import os
import re
import secrets
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from types import SimpleNamespace
from typing import Any, TextIO, cast

import orjson
import structlog
from starlette.applications import Starlette
from starlette.types import ASGIApp
from structlog.tracebacks import ExceptionDictTransformer

from gateway.domain.models import did_you_mean
from gateway.domain.money import Money
from gateway.domain.pricing import Prices, read_prices
from gateway.domain.statements import Statements
from gateway.flows.funnel import write_quotes
from gateway.flows.reconcile import reconcile_forever, recover
from gateway.flows.services import Services
from gateway.payments.checkout import Checkout
from gateway.settings import Settings
from gateway.simulation.forkservers import Forkserver
from gateway.simulation.library import Library
from gateway.simulation.results import ResultFiles, prepare
from gateway.simulation.runner import Runner
from gateway.simulation.uploads import Uploads
from gateway.store.store import Store
from gateway.web.edge import Edge, add_request_id
from gateway.web.limits import Rates
from gateway.web.offers import Offers
from gateway.web.routes import DIRECT, ROUTES, TEMPLATES

LIBRARY_SECONDS = 60.0
PREPARE_SECONDS = 2.0  # after the start: first come those who waited for it
DRAIN_SECONDS = 25  # more than the longest run, less than what orchestrators allow

# Without the frames' variables: among them are tokens, keys and our own secrets.
TRACEBACKS = structlog.processors.ExceptionRenderer(ExceptionDictTransformer(show_locals=False))

# Keys, tokens and every other signed statement of ours; Stripe's keys and webhook secrets.
SECRET = re.compile(r"\b(fm[kqrst]_|[sr]k_(?:test|live)_|whsec_)[\w.~+/=-]+")

log = structlog.get_logger()


class Gateway(Starlette):
    """Starlette with one layer around its router instead of two: the edge turns every error into its problem."""

    def build_middleware_stack(self) -> ASGIApp:
        self.state.edge = Edge(self.router, TEMPLATES, DIRECT)
        edge: ASGIApp = self.state.edge
        return edge


def create_app(settings: Settings, forkserver: Forkserver | None = None) -> Starlette:
    """The gateway as an ASGI application. Everything that needs a loop, a file or a process begins in its lifespan; a
    forkserver may have begun before, and ends with it."""

    @contextlib.asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        async with open_services(settings, forkserver) as services:
            app.state.services = services
            app.state.rates = Rates.of(settings)
            app.state.offers = Offers(services)
            app.state.plots, app.state.passed = {}, {}
            yield

    gateway = Gateway(routes=ROUTES, lifespan=lifespan)
    gateway.state = SimpleNamespace()  # type: ignore[assignment]  # Starlette's own looks every name up in Python
    # Its redirects lead wherever the Host header says, with the session id or quote that stands in the path.
    gateway.router.redirect_slashes = False
    return gateway


@contextlib.asynccontextmanager
async def open_services(settings: Settings, forkserver: Forkserver | None = None) -> AsyncIterator[Services]:
    """Every part of a running gateway, closed again in the reverse order."""
    configure_logging()
    async with contextlib.AsyncExitStack() as stack:
        # The forkserver first: it, and so every zygote, must inherit neither the database nor a key.
        forkserver = forkserver or Forkserver()
        stack.push_async_callback(forkserver.close)
        runner = make_runner(settings, forkserver)
        stack.push_async_callback(runner.close)
        await runner.start()
        # Then the database, since its owner owns the folders beside it: who is refused must change nothing there.
        store = await Store(settings.database_path).open()
        stack.push_async_callback(store.close)
        data = settings.database_path.absolute().parent
        library = await Library.open(settings.models_dir, data / "models", runner)
        for name, reason in library.refused.items():
            log.warning("model_refused", file=name, reason=reason)
        uploads = Uploads(data / "uploads", settings.run_memory_mb)
        await asyncio.to_thread(uploads.open)
        checkout = None
        if settings.stripe_enabled:
            checkout = Checkout(settings.stripe_secret_key, settings.stripe_api_base)
            stack.push_async_callback(checkout.close)
        services = Services(
            settings=settings,
            statements=Statements(read_secrets(settings)),
            prices=read_price_file(settings),
            store=store,
            checkout=checkout,
            library=library,
            uploads=uploads,
            runner=runner,
            results=ResultFiles(settings.results_path),
            now=lambda: int(time.time()),
            random_bytes=secrets.token_bytes,
        )
        await recover(services)
        tasks = [asyncio.create_task(reconcile_forever(services)), asyncio.create_task(prepare_libraries())]
        log.info("serving", models=len(library.models), sandbox=runner.level, livemode=settings.livemode)
        try:
            yield services
        finally:
            services.draining = True
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            await drain(services)
            await write_quotes(services, stopping=True)


def make_runner(settings: Settings, forkserver: Forkserver) -> Runner:
    return Runner(
        forkserver=forkserver,
        parallel=settings.parallel_runs,
        queued=settings.queued_runs,
        timeout_seconds=settings.simulation_timeout_seconds,
        memory_mb=settings.run_memory_mb,
        max_values=settings.max_result_values,
        tell_missing=warn_of_missing,
    )


def warn_of_missing(runner: Runner) -> None:
    """At the start, and when a model's process turned out to be confined less than that: at "none" uploads are off."""
    log.warning("sandbox_missing", sandbox=runner.level, missing=runner.missing)


async def prepare_libraries() -> None:
    """Import what encodes results that are no JSON, and what looks for near names, before one of them is asked for, as
    they may be at any time."""
    await asyncio.sleep(PREPARE_SECONDS)
    await asyncio.to_thread(prepare)
    await asyncio.to_thread(did_you_mean, "", ())


async def drain(services: Services) -> None:
    """Let what runs finish, then cancel it: a cancelled run is released."""
    if services.tasks:
        _, unfinished = await asyncio.wait(services.tasks, timeout=DRAIN_SECONDS)
        for task in unfinished:
            task.cancel()
        await asyncio.gather(*unfinished, return_exceptions=True)


def read_secrets(settings: Settings) -> tuple[str, ...]:
    """GATEWAY_SECRET, or one made once and kept beside the database, readable by its owner only."""
    if settings.gateway_secret:
        return settings.gateway_secret
    path = settings.database_path.with_name(settings.database_path.name + ".secret")
    if not path.exists():
        with tempfile.NamedTemporaryFile("w", dir=path.parent, prefix=path.name) as file:  # mode 0600
            file.write(secrets.token_hex(32))
            file.flush()
            os.fsync(file.fileno())
            with contextlib.suppress(FileExistsError):
                os.link(file.name, path)  # whole or not at all
    return (path.read_text().strip(),)


def read_price_file(settings: Settings) -> Prices:
    """PRICING_FILE over the default price; everything is free without Stripe. ValueError names what is wrong."""
    default = settings.default_price
    if not settings.stripe_enabled:
        return Prices(Money(0, default.currency))
    if settings.pricing_file is None:
        return Prices(default)
    try:
        return read_prices(settings.pricing_file.read_text(), default)
    except OSError as error:
        raise ValueError(f"PRICING_FILE: {settings.pricing_file} cannot be read ({error.strerror})") from None
    except ValueError as error:
        raise ValueError(f"PRICING_FILE: {error}") from None


def mask_secrets(logger: Any, method: str, line: Any) -> str:
    """The last thing that happens to a line: a net for what nobody foresaw, such as a token in an exception's text."""
    return SECRET.sub(r"\1…", line)


class LossyStream:
    """A stream of which a line is lost when it cannot be written, such as on a full disk. No sale and no thread may end
    for it: the writer's would leave everybody waiting."""

    def __init__(self, stream: TextIO):
        self._stream = stream

    def write(self, text: str) -> None:
        with contextlib.suppress(OSError):
            self._stream.write(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


class Libraries(logging.Handler):
    """What libraries log, as lines of ours. Strangers can bring about warnings at will, such as uvicorn's of bytes that
    are no HTTP: one from each place in the code stands for all that come within a minute."""

    def __init__(self) -> None:
        super().__init__(logging.WARNING)
        self._quiet: dict[tuple[str, int], tuple[float, int]] = {}  # place → until when, how many were left out

    def emit(self, record: logging.LogRecord) -> None:
        place = record.pathname, record.lineno
        until, left_out = self._quiet.get(place, (0.0, 0))
        if record.levelno < logging.ERROR:
            if record.created < until:
                self._quiet[place] = until, left_out + 1
                return
            self._quiet[place] = record.created + LIBRARY_SECONDS, 0
        more = {"left_out": left_out} if left_out else {}
        event = {"logger": record.name, "message": record.getMessage().strip(), **more}
        log.log(record.levelno, "library", exc_info=record.exc_info, **event)


def log_libraries() -> None:
    """For a process of our own: nothing that anybody logs or warns of gets to stderr as anything but JSON."""
    configure_logging()
    logging.captureWarnings(True)
    logging.getLogger().addHandler(Libraries())


def configure_logging() -> None:
    """One JSON line per event on stderr."""
    structlog.configure(
        processors=[
            add_request_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            TRACEBACKS,
            structlog.processors.JSONRenderer(lambda event, **options: orjson.dumps(event, **options).decode()),
            mask_secrets,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(logging.INFO),
        logger_factory=structlog.PrintLoggerFactory(cast("TextIO", LossyStream(sys.stderr))),
        cache_logger_on_first_use=True,
    )
