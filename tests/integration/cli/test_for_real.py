"""The command line against a real gateway and the local Stripe, each in a process of its own: nothing is scripted."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

import httpx
import pytest

from stripe_stub.testing import LocalStripe

WEBHOOK_SECRET = "whsec_forreal"
PAYING_BROWSER = """#!{python}
import re, sys, httpx
session = re.search(r"cs_\\w+", httpx.get(sys.argv[1], trust_env=False).headers["location"]).group()
address = "{stripe}/_stub/checkout/sessions/" + session + "/pay"
httpx.post(address, json={{"card": "4242424242424242"}}, trust_env=False).raise_for_status()
"""


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return listener.getsockname()[1]


def start(folder, port, stripe_url):
    prices = folder / "prices.toml"
    prices.write_text('[prices]\n"msl:VanDerPol" = "0"\n')
    settings = {
        "PATH": "/usr/bin:/bin",
        "STRIPE_SECRET_KEY": "sk_test_forreal",
        "STRIPE_WEBHOOK_SECRET": WEBHOOK_SECRET,
        "STRIPE_API_BASE": stripe_url,
        "PRICING_FILE": str(prices),
        "FMU_GATEWAY_DB_PATH": str(folder / "real.sqlite3"),
    }
    with (folder / "gateway.log").open("ab") as log:
        command = [sys.executable, "-m", "gateway", "serve", "--port", str(port)]
        return subprocess.Popen(command, env=settings, cwd=folder, stderr=log)


def wait_until_ready(process, url):
    for _ in range(600):
        assert process.poll() is None, "the gateway did not start"
        try:
            if httpx.get(f"{url}/ready", trust_env=False).status_code == 200:
                return
        except httpx.TransportError:
            pass
        time.sleep(0.05)
    pytest.fail("the gateway did not become ready")


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """A running gateway; `world.restart()` stops and starts it on the same data."""
    folder = tmp_path_factory.mktemp("world")
    port = free_port()
    with LocalStripe(webhook_url=f"http://127.0.0.1:{port}/webhooks/stripe", webhook_secret=WEBHOOK_SECRET) as stripe:
        world = World(folder, port, stripe)
        world.begin()
        try:
            yield world
        finally:
            world.end()


class World:
    def __init__(self, folder: Path, port: int, stripe: LocalStripe):
        self.folder, self.port, self.stripe = folder, port, stripe
        self.url = f"http://127.0.0.1:{port}"
        self.browser = folder / "browser"
        self.browser.write_text(PAYING_BROWSER.format(python=sys.executable, stripe=stripe.url))
        self.browser.chmod(0o755)

    def begin(self):
        self.process = start(self.folder, self.port, self.stripe.url)
        wait_until_ready(self.process, self.url)

    def end(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(30)

    def run(self, *args, code=0, **environment):
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("FMU_GATEWAY_")}
        done = subprocess.run(
            [sys.executable, "-m", "gateway", *args],
            env={**inherited, "FMU_GATEWAY_URL": self.url, "BROWSER": str(self.browser), **environment},
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
        assert done.returncode == code, done.stderr
        return json.loads(done.stdout) if done.stdout.startswith(("{", "[")) else done.stdout


def test_models_and_a_model(world):
    listed = {card["fmu_id"]: card for card in world.run("models")}
    assert listed["msl:VanDerPol"]["price"] == "0.00"
    assert [card["fmu_id"] for card in world.run("models", "--query", "ball")] == ["msl:BouncingBall"]
    names = {variable["name"] for variable in world.run("model", "msl:BouncingBall")["variables"]}
    assert {"h", "v", "e", "g"} <= names


def test_quote_pay_run_in_one_command_without_a_key(world, tmp_path):
    assert world.run("run", "msl:BouncingBall", "--quote")["amount"] == "1.00"
    ran = world.run("run", "msl:BouncingBall", "--stop-time", "1", "--set", "e=0.5", "--pay", "--max-price", "1")
    assert (ran["charged"], ran["data"]["time"][-1]) == (True, 1.0)
    assert ran["receipt"]["amount"] == "1.00"


def test_the_steps_one_by_one_and_the_result_again(world, tmp_path):
    offer = world.run("run", "msl:BouncingBall", "--stop-time", "1", code=6)
    assert world.run("status", offer["session_id"])["status"] == "pending"
    subprocess.run([world.browser, offer["checkout_url"]], check=True)
    token = world.run("status", offer["session_id"], "--wait", "30s")["payment_token"]
    paid = ["run", "msl:BouncingBall", "--stop-time", "1", "--payment-token", token]
    first = world.run(*paid)
    assert world.run(*paid) == first  # the same command again is the same run, paid once
    assert world.run("run", "msl:BouncingBall", "--stop-time", "2", "--payment-token", token, code=6)["code"] == (
        "token_consumed"
    )
    out = tmp_path / "out.csv"
    assert world.run("result", first["run_id"], "--payment-token", token, "--csv", str(out))["data"] == first["data"]
    assert out.read_text().splitlines()[0] == '"time","h","v"'
    assert world.run("status", offer["session_id"])["status"] == "consumed"
    world.run("result", first["run_id"], code=5)


def test_an_account_buys_with_its_key_and_reads_with_it(world):
    key = world.run("keys", "create", "--name", "laptop")["api_key"]
    mine = {"FMU_GATEWAY_API_KEY": key}
    ran = world.run("run", "msl:DCMotor", "--pay", **mine)
    assert world.run("result", ran["run_id"], **mine)["provenance"] == ran["provenance"]
    world.run("result", ran["run_id"], code=5)
    world.run("models", code=4, FMU_GATEWAY_API_KEY="fmk_wrong")


def test_a_free_model_runs_with_an_input_file_of_the_gateways_own_making(world, tmp_path):
    free = world.run("run", "msl:VanDerPol", "--kpi", "x0:max")
    assert (free["charged"], list(free["kpis"])) == (False, ["x0:max"])
    assert world.run("result", free["run_id"], "--payment-token", free["run_token"])["data"] == free["data"]
    file = tmp_path / "in.csv"
    file.write_text(world.run("model", "msl:DCMotor", "--inputs"))
    assert world.run("run", "msl:DCMotor", "--input", str(file), "--quote")["amount"] == "1.00"


def test_typing_errors_are_found_before_any_price(world):
    refused = world.run("run", "msl:BouncingBall", "--set", "hh=1", code=7)
    assert refused["field"] == "start_values.hh"
    assert world.run("run", "msl:BouncingBal", code=5)["did_you_mean"] == "msl:BouncingBall"
    assert world.run("run", "msl:BouncingBall", "--max-price", "0.99", code=6)["code"] == "price_above_max"


def test_waiting_for_a_payment_outlives_a_restart_and_stopping_is_clean(world):
    offer = world.run("run", "msl:BouncingBall", "--quote")
    waiting = subprocess.Popen(
        [sys.executable, "-m", "gateway", "status", offer["session_id"], "--wait", "60s"],
        env={**os.environ, "FMU_GATEWAY_URL": world.url},
        stdout=subprocess.PIPE,
        text=True,
    )
    time.sleep(1)  # likely enough to have it waiting at the gateway; the test holds either way
    assert world.end() == 0
    world.begin()
    subprocess.run([world.browser, offer["checkout_url"]], check=True)
    out, _ = waiting.communicate(timeout=60)
    assert json.loads(out)["status"] == "ready"
