"""The contract: what openapi.yaml promises, held against what the gateway answers to requests made from it."""

import subprocess
import sys
from pathlib import Path

from harness import Gateway

# A long poll may last 25 s, which says nothing about its answer.
CONFIG = """
request-timeout = 40
[parameters]
"query.wait" = 0
"""
# Not among the checks: positive_data_acceptance, which takes a 402 to a right request for a refusal. It is the product.
EXCLUDED = "positive_data_acceptance"


def test_no_answer_contradicts_openapi(gateway: Gateway, tmp_path: Path) -> None:
    config = tmp_path / "schemathesis.toml"
    config.write_text(CONFIG)
    key = gateway.http.post("/keys").json()["api_key"]
    command = [str(Path(sys.executable).with_name("schemathesis")), "--config-file", str(config), "run"]
    command += [f"{gateway.url}/openapi.json", "--checks", "all", "--exclude-checks", EXCLUDED]
    command += ["--max-examples", "15", "--seed", "1", "--generation-deterministic", "--no-color"]
    command += ["--header", f"X-API-Key: {key}", "--exclude-path", "/keys/{key_id}"]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=300, cwd=tmp_path)
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    assert "Test cases:" in done.stdout
