"""The command line as a person or a pipe meets it, against a gateway of scripted answers on 127.0.0.1."""

import io
import json
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, NamedTuple

import pytest
from answers import OFFER, RESULT

from gateway.cli import app

CARD = {
    "fmu_id": "msl:BouncingBall",
    "name": "BouncingBall",
    "description": "A ball that falls.",
    "fmi_version": "3.0",
    "sha256": "ab" * 32,
    "price": "1.00",
    "currency": "usd",
    "default_experiment": {"start_time": 0.0, "stop_time": 3.0, "step": 0.01},
}


class Asked(NamedTuple):
    method: str
    path: str
    headers: dict[str, str]
    body: Any


class ScriptedGateway:
    """Answers each request with the next scripted answer; `None` cuts the connection."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, bytes, dict[str, str]] | None] = []
        self.asked: list[Asked] = []
        script = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = json.loads(self.rfile.read(length)) if length else None
                script.asked.append(Asked(self.command, self.path, dict(self.headers.items()), body))
                answer = script.answers.pop(0)
                if answer is None:
                    self.close_connection = True
                    return
                status, content, headers = answer
                self.send_response(status)
                for name, value in {"Content-Length": str(len(content)), **headers}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_POST = do_GET

            def log_message(self, *args: Any) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,))
        self.thread.start()

    def then(self, status: int, body: Any, **headers: str) -> "ScriptedGateway":
        content = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.answers.append((status, content, {name.replace("_", "-"): value for name, value in headers.items()}))
        return self

    def cut(self) -> "ScriptedGateway":
        self.answers.append(None)
        return self

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


@pytest.fixture
def scripted(monkeypatch: pytest.MonkeyPatch) -> Iterator[ScriptedGateway]:
    gateway = ScriptedGateway()
    monkeypatch.setenv("FMU_GATEWAY_URL", gateway.url)
    yield gateway
    gateway.close()


class Said(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def json(self) -> Any:
        return json.loads(self.out)


class Stream(io.TextIOWrapper):
    """A standard stream that is a terminal, or is not."""

    def __init__(self, terminal: bool):
        super().__init__(io.BytesIO(), encoding="utf-8", write_through=True)
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal

    def text(self) -> str:
        return self.buffer.getvalue().decode()  # type: ignore[attr-defined,no-any-return]


class CommandLine:
    """`fmu-gateway …` in this process: piped, or at a terminal."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch):
        self._patch = monkeypatch

    def piped(self, *args: str) -> Said:
        return self._run(args, terminal=False)

    def typed(self, *args: str) -> Said:
        return self._run(args, terminal=True)

    def _run(self, args: tuple[str, ...], *, terminal: bool) -> Said:
        out, err = Stream(terminal), Stream(False)
        with self._patch.context() as patch:
            patch.setattr(sys, "stdout", out)
            patch.setattr(sys, "stderr", err)
            patch.setenv("COLUMNS", "100")
            patch.setenv("NO_COLOR", "1")
            with pytest.raises(SystemExit) as end:
                app(list(args), prog_name="fmu-gateway")
        return Said(int(end.value.code or 0), out.text(), err.text())


@pytest.fixture
def fmu_gateway(monkeypatch: pytest.MonkeyPatch) -> CommandLine:
    for name in (
        "FMU_GATEWAY_URL",
        "FMU_GATEWAY_API_KEY",
        "FMU_GATEWAY_MAX_PRICE",
        "DISPLAY",
        "WAYLAND_DISPLAY",
        "BROWSER",
    ):
        monkeypatch.delenv(name, raising=False)
    return CommandLine(monkeypatch)


@pytest.fixture
def offer() -> dict[str, Any]:
    return dict(OFFER)


@pytest.fixture
def result() -> dict[str, Any]:
    return dict(RESULT)


@pytest.fixture
def card() -> dict[str, Any]:
    return dict(CARD)
