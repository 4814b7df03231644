"""Forkserver whose zygotes are not confined, for benchmarks/runs.py alone: what forking costs. Not for strangers."""

import socket
import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from gateway.simulation import forkserver, sandbox, seccomp

sandbox.namespaces = lambda: None
sandbox.confine_zygote = lambda *_, **__: []
sandbox.filter_system_calls = lambda *_: None
sandbox.limit = lambda **_: None
seccomp.program = lambda **_: None

forkserver.prepare()
forkserver.serve(socket.socket(fileno=int(sys.argv[1])))
