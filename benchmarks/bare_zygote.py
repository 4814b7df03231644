"""Zygote without its confinement, for benchmarks/runs.py alone: what forking costs by itself. Not for strangers."""

import sys
from pathlib import Path

sys.path.append(str(Path(__file__).parents[1]))

from gateway.simulation import sandbox, seccomp, zygote

sandbox.namespaces = lambda: None
sandbox.confine_zygote = lambda *_, **__: []
sandbox.filter_system_calls = lambda *_: None
sandbox.limit = lambda **_: None
seccomp.program = lambda **_: None

zygote.main()
