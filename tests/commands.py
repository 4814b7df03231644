"""The operator's commands as processes of their own, beside a gateway of the harness."""

import json
import os
import subprocess
import sys
from typing import Any

from gateway.settings import Settings

PASSED_ON = (
    "gateway_secret", "stripe_secret_key", "stripe_webhook_secret", "stripe_api_base", "fmu_gateway_db_path", "port",
)  # fmt: skip


def environment(settings: Settings) -> dict[str, str]:
    values = {name: getattr(settings, name) for name in PASSED_ON}
    texts = {name.upper(): ",".join(v) if isinstance(v, tuple) else str(v) for name, v in values.items()}
    return {"PATH": os.environ["PATH"], **texts}


def command(settings: Settings, *arguments: str, **more: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "gateway", *arguments],
        env=environment(settings) | more, cwd=settings.database_path.parent, capture_output=True, text=True, timeout=60,
        check=False,
    )  # fmt: skip


def said(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.stdout, done.stderr
    return json.loads(done.stdout)
