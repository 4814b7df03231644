"""Serving: settings from the environment, then uvicorn until it is told to stop."""

import asyncio
import gc
import os
import signal
import socket
import sqlite3
import sys
import tempfile
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, Any

from pydantic import ValidationError

from gateway.settings import Settings
from gateway.simulation.forkservers import Forkserver

if TYPE_CHECKING:
    import uvicorn
    from starlette.applications import Starlette

# A paid run in flight may take its whole deadline; its result is then stored, which takes a moment more.
STOP_MARGIN = 5  # seconds
SWITCH_SECONDS = 0.0005  # after which a thread that computes lets others in


def read_settings(**flags: Any) -> Settings | list[str]:
    """The settings, flags before the environment, or what is wrong with them, one sentence with the fix each."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        return [sentence for sentences in fault_sentences(error).values() for sentence in sentences]


def fault_sentences(error: ValidationError) -> dict[str, list[str]]:
    """What is wrong, by setting; under "" what is wrong with several of them together."""
    faults: dict[str, list[str]] = {}
    for fault in error.errors(include_url=False, include_context=False, include_input=False):
        words = fault["msg"].removeprefix("Value error, ")
        name = "_".join(str(part) for part in fault["loc"][:1])
        faults.setdefault(name, []).extend([f"{name.upper()}: {words}."] if name else words.split("\n"))
    return faults


def place_faults(settings: Settings) -> dict[str, str]:
    """Which of "models", "database" and "results" cannot be used where the settings put them, and what to do."""
    faults = {}
    models, database = settings.models_dir, settings.database_path.absolute()
    if not (os.path.isdir(models) and os.access(models, os.R_OK | os.X_OK)):
        faults["models"] = f"MODELS_DIR: {models} is no folder that can be read; models are <collection>/<Name>.fmu."
    if fault := _file_fault(database) or _folder_fault(database.parent):
        faults["database"] = f"{fault}. Set FMU_GATEWAY_DB_PATH to a file that can be written."
    if (settings.results_dir or not faults) and (fault := _folder_fault(settings.results_path)):
        faults["results"] = f"{fault}. Set RESULTS_DIR to a folder that can be written."
    return faults


def existing(path: Path) -> Path:
    """What there is of a path that will be made: itself, or the nearest one above."""
    return path if os.path.exists(path) else existing(path.parent)


def _file_fault(path: Path) -> str | None:
    if os.path.exists(path) and not (os.path.isfile(path) and os.access(path, os.R_OK | os.W_OK)):
        return f"{path} is no file that can be read and written"
    return None


def _folder_fault(path: Path) -> str | None:
    found = existing(path)
    try:
        tempfile.TemporaryFile(dir=found).close()
    except OSError as error:
        return f"{found} cannot be written ({error.strerror})"
    return None


def serve(host: str | None, port: int | None) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. 2: something needs fixing first, named on stderr."""
    settings = read_settings(host=host, port=port)
    faults = settings if isinstance(settings, list) else [*place_faults(settings).values()] or _serve(settings)
    if not faults:
        return 0
    print(*faults, sep="\n", file=sys.stderr)
    print("Nothing was started. `fmu-gateway doctor` checks everything else, too.", file=sys.stderr)
    return 2


def _serve(settings: Settings) -> list[str]:
    """Nothing, once it was stopped; or at once what needs fixing."""
    try:
        listener = _listen(settings)
    except OSError as error:
        reason = str(error.strerror).split(" (while")[0]  # Python repeats the address there
        return [f"{settings.host}:{settings.port}: {reason}; choose another with --port or --host."]
    forkserver = Forkserver()
    forkserver.begin()  # now, so that what it imports and what is imported here take one time, not two
    from gateway.app import create_app

    if faults := _price_faults(settings):
        return faults
    app = create_app(settings, forkserver)
    return _run(settings, app, _server(settings, app), listener)


def _run(settings: Settings, app: "Starlette", server: "uvicorn.Server", listener: socket.socket) -> list[str]:
    import structlog

    from gateway.store.connection import DatabaseUnusable
    from gateway.store.lock import DatabaseOwned

    def stop(number: int, frame: FrameType | None) -> None:
        if not server.should_exit:  # else uvicorn has stopped, and raises again the signal that made it stop
            raise SystemExit(0)

    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, stop)

    async def serve_app() -> None:
        async with app.router.lifespan_context(app):
            settle()
            structlog.get_logger().info("listening", url=settings.base_url, host=settings.host, port=settings.port)
            await server.serve(sockets=[listener])

    try:
        with asyncio.Runner(loop_factory=server.config.get_loop_factory()) as runner:
            runner.run(serve_app())
    except (DatabaseOwned, DatabaseUnusable) as error:
        return [str(error)]
    except sqlite3.DatabaseError as error:
        if server.started:
            raise
        path = settings.database_path.absolute()
        return [f"{path} cannot be used ({error}): restore it from a backup, or name another file."]
    except OSError as error:
        if server.started or error.filename is None:
            raise
        return [f"{error.filename}: {error.strerror}; it must be usable by who runs this."]
    return []


def settle() -> None:
    """Once everything is up. What is there by now stays, so no search for garbage need look at it, not even once: each
    would hold every thread for 30 ms, and of a start's 80,000 objects it would find fewer than a thousand. And who
    computes in a thread lets the event loop in sooner than after Python's 5 ms, since the loop may have to wait for
    that behind each of its system calls."""
    gc.freeze()
    gc.enable()  # the command line had switched it off; a server lives long enough to need it
    sys.setswitchinterval(SWITCH_SECONDS)


def _price_faults(settings: Settings) -> list[str]:
    from gateway.app import read_price_file

    try:
        return [f"PRICING_FILE: {fault}" for fault in read_price_file(settings).faults()]
    except ValueError as error:
        return [f"{error}."]


def _server(settings: Settings, app: "Starlette") -> "uvicorn.Server":
    import uvicorn

    from gateway.app import log_libraries

    log_libraries()

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Now, not when uvicorn has waited for every answer: those who wait for a payment are to be sent home.
            app.state.services.draining = True
            super().handle_exit(sig, frame)

    return Server(
        uvicorn.Config(
            app,
            loop="uvloop" if sys.platform != "win32" else "asyncio",
            http="httptools",
            lifespan="off",  # ours: uvicorn would print a traceback and forget what went wrong
            log_config=None,  # warnings and errors come as lines of ours
            ws="none",  # there is none, and its absence would be logged to whoever asks for one
            access_log=False,  # the app logs route templates; paths and queries may carry tokens
            server_header=False,
            proxy_headers=False,  # the app itself knows whose to trust
            timeout_graceful_shutdown=int(settings.simulation_timeout_seconds) + STOP_MARGIN,
        )
    )


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=2048)
