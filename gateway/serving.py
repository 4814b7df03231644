"""Serving: settings from the environment, then uvicorn until it is told to stop."""

import gc
import signal
import socket
import sys
from types import FrameType
from typing import Any

from pydantic import ValidationError

from gateway.settings import Settings

# A paid run in flight may take its whole deadline; its result is then stored, which takes a moment more.
STOP_MARGIN = 5  # seconds


def read_settings(**flags: Any) -> Settings | list[str]:
    """The settings, flags before the environment, or what is wrong with them, one sentence with the fix each."""
    try:
        return Settings(**{name: value for name, value in flags.items() if value is not None})
    except ValidationError as error:
        faults: list[str] = []
        for fault in error.errors(include_url=False, include_context=False, include_input=False):
            words = fault["msg"].removeprefix("Value error, ")
            name = "_".join(str(part) for part in fault["loc"][:1]).upper()
            faults += [f"{name}: {words}."] if name else words.split("\n")
        return faults


def serve(host: str | None, port: int | None) -> int:
    """Serves until SIGTERM or SIGINT; the exit code. 2: settings that need fixing, each named on stderr."""
    settings = read_settings(host=host, port=port)
    if isinstance(settings, list):
        return _refuse(settings)
    gc.enable()  # the command line had switched it off; a server lives long enough to need it
    import uvicorn

    from gateway.app import create_app, read_price_file

    try:
        read_price_file(settings)
        listener = _listen(settings)
    except ValueError as error:
        return _refuse([f"{error}."])
    except OSError as error:
        where = f"{settings.host}:{settings.port}"
        print(f"{where}: {error.strerror}; choose another with --port or --host.", file=sys.stderr)
        return 1
    app = create_app(settings)

    class Server(uvicorn.Server):
        def handle_exit(self, sig: int, frame: FrameType | None) -> None:
            # Now, not when uvicorn has waited for every answer: those who wait for a payment are to be sent home.
            if services := getattr(app.state, "services", None):
                services.draining = True
            super().handle_exit(sig, frame)

    config = uvicorn.Config(
        app,
        loop="uvloop" if sys.platform != "win32" else "asyncio",
        http="httptools",
        access_log=False,  # the app logs route templates; paths and queries may carry tokens
        server_header=False,
        proxy_headers=False,  # the app itself knows whose to trust
        timeout_graceful_shutdown=int(settings.simulation_timeout_seconds) + STOP_MARGIN,
    )
    # uvicorn stops gracefully and then raises the signal again: by then stopping has succeeded.
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, _stopped)
    Server(config).run(sockets=[listener])
    return 0


def _refuse(faults: list[str]) -> int:
    print(*faults, sep="\n", file=sys.stderr)
    print("Nothing was started. `fmu-gateway doctor` checks everything else, too.", file=sys.stderr)
    return 2


def _listen(settings: Settings) -> socket.socket:
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    return socket.create_server((settings.host, settings.port), family=family, backlog=2048)


def _stopped(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
