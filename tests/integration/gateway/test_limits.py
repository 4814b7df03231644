"""What failing runs may compute, what every limit says of itself, and what the log tells and never tells."""

import json
import os
import re
import subprocess
import sys
import time
from collections.abc import Callable

import httpx
import pytest
from harness import BALL, FREE, Buyer, Gateway, House, free_port, problem, until
from promised import promised
from uploading import fmu, send

from gateway.store.store import violations

Start = Callable[..., Gateway]
# Computes for 0.6 s, then fails.
BURNS = {"fmu_id": "test:Hangs", "start_values": {"hang_at": 0.5}}


@pytest.fixture
def strict(open_gateway: Start) -> Gateway:
    """A twentieth of a second of failed runs' processor time in an hour; a run is stopped after 0.6 s."""
    return open_gateway(released_cpu_seconds_per_hour=0.05, simulation_timeout_seconds=0.6, metrics_token="t")


def test_failures_of_the_models_making_are_bounded_and_the_token_stays_ready(strict: Gateway) -> None:
    buyer, other = strict.account(), strict.account()
    bought, theirs = buyer.buy(BURNS), other.buy(BURNS)
    problem(buyer.simulate(BURNS, bought.token), 504, "simulation_timeout")
    refused = buyer.simulate(BURNS, bought.token)
    problem(refused, 429, "rate_limited")
    assert int(refused.headers["retry-after"]) > 1  # what went beyond the limit is owed, too
    assert refused.headers["ratelimit-policy"] == '"released-cpu";q=0;w=3600;qu="cpu-seconds"'
    assert re.fullmatch(r'"released-cpu";r=0;t=\d+', refused.headers["ratelimit"])
    assert len(strict.rows("SELECT 1 FROM run")) == 1  # before any hold
    assert buyer.collect(bought.session_id) == bought.token
    problem(buyer.simulate({"fmu_id": "test:Hangs"}, bought.token), 429, "rate_limited")
    # It is that account's budget, not another's, and not its address's.
    problem(other.simulate(BURNS, theirs.token), 504, "simulation_timeout")
    assert strict.simulate(FREE).status_code == 200


def test_who_has_no_account_is_limited_by_address_also_where_nothing_is_paid(strict: Gateway) -> None:
    bought = strict.buy(BURNS)
    problem(strict.simulate(BURNS, bought.token), 504, "simulation_timeout")
    problem(strict.simulate(FREE), 429, "rate_limited")
    assert strict.account().simulate(FREE).status_code == 200
    assert strict.quote()  # quotes and reading go on


def test_what_is_repeated_under_its_key_costs_nothing_and_is_never_refused(strict: Gateway) -> None:
    done, bad = strict.buy(), strict.buy(BURNS)
    key = {"idempotency-key": "k"}
    first = strict.simulate(BALL, done.token, headers=key)
    assert first.status_code == 200
    problem(strict.simulate(BURNS, bad.token), 504, "simulation_timeout")
    problem(strict.simulate(FREE), 429, "rate_limited")
    assert strict.simulate(BALL, done.token, headers=key).content == first.content


def test_our_own_failures_do_not_count(strict: Gateway) -> None:
    bought = strict.buy()
    results = strict.settings.results_path
    results.write_text("a file where the folder should be")
    for _ in range(3):
        problem(strict.simulate(BALL, bought.token), 507, "storage_full")
    results.unlink()
    assert strict.simulate(BALL, bought.token).status_code == 200


def test_a_limited_answer_says_what_is_left(open_gateway: Start) -> None:
    gateway = open_gateway(keys_per_minute=3, free_runs_per_minute=2, checkouts_per_minute=2, quotes_per_second=5)
    state = re.compile(r'"([a-z-]+)";r=(\d+);t=(\d+)')

    def left(answer: httpx.Response) -> dict[str, int]:
        return {name: int(r) for name, r, _ in state.findall(answer.headers["ratelimit"])}

    first, second = gateway.http.post("/keys"), gateway.http.post("/keys")
    assert (left(first), left(second)) == ({"keys": 2}, {"keys": 1})
    assert first.headers["ratelimit-policy"] == '"keys";q=3;w=60'
    assert 0 < int(state.findall(first.headers["ratelimit"])[0][2]) <= 21
    quote = gateway.quote()
    assert "ratelimit" not in gateway.simulate(BALL).headers  # a header more would cost every unpaid quote
    assert left(gateway.get(quote["checkout_url"])) == {"checkouts": 1}
    assert left(gateway.http.post("/pay", json={"fmu_id": "msl:BouncingBall"})) == {"checkouts": 0}
    assert left(gateway.http.post("/pay", json={"fmu_id": "msl:BouncingBall"})) == {"checkouts": 0}
    assert left(gateway.simulate(FREE)) == {"free-runs": 1, "released-cpu": 120}
    assert "ratelimit" not in gateway.get("/library").headers
    refused = until(lambda: (a := gateway.simulate(BALL)).status_code == 429 and a, "the limit of quotes")
    assert (left(refused), refused.headers["retry-after"]) == ({"quotes": 0}, "1")


def test_the_contract_names_the_headers_that_say_what_is_left(open_gateway: Start) -> None:
    gateway = open_gateway(keys_per_minute=2, checkouts_per_minute=1, free_runs_per_minute=1, uploads_per_day=2)
    owner, raw = gateway.account(), fmu()
    first, second = gateway.quote(), gateway.quote()
    answers = {
        "POST /keys": [gateway.http.post("/keys"), gateway.http.post("/keys")],
        "GET /checkout/{quote}": [gateway.get(quote["checkout_url"]) for quote in (first, second)],
        "POST /pay": [owner.http.post("/pay", json={"fmu_id": "msl:BouncingBall"})],
        "POST /simulate": [
            gateway.simulate(FREE, headers={"prefer": "respond-async"}), gateway.simulate(FREE),
        ],
        "POST /fmus": [send(owner, raw), send(owner, raw), send(owner, raw)],
    }  # fmt: skip
    statuses = [answer.status_code for of_one in answers.values() for answer in of_one]
    assert statuses == [201, 429, 303, 429, 429, 202, 429, 201, 200, 429]
    for operation, of_one in answers.items():
        for answer in of_one:
            assert {"ratelimit", "ratelimit-policy"} <= set(answer.headers)
            assert {"RateLimit", "RateLimit-Policy"} <= set(promised(operation, answer.status_code)["headers"])


def serve(house: House) -> tuple[subprocess.Popen[bytes], str]:
    """The gateway in a process of its own, as it is served, its log in a file."""
    settings = house.settings(port=free_port())
    names = ("gateway_secret", "stripe_secret_key", "stripe_webhook_secret", "stripe_api_base", "pricing_file",
             "models_dir", "fmu_gateway_db_path", "port")  # fmt: skip
    values = {name.upper(): getattr(settings, name) for name in names}
    texts = {name: ",".join(v) if isinstance(v, tuple) else str(v) for name, v in values.items()}
    with (house.folder / "log").open("ab") as log:
        process = subprocess.Popen(
            [sys.executable, "-m", "gateway", "serve"],
            env={"PATH": os.environ["PATH"], **texts}, stderr=log, cwd=house.folder,
        )  # fmt: skip
    house.stripe.set_webhook_url(f"http://127.0.0.1:{settings.port}/webhooks/stripe", settings.stripe_webhook_secret)
    url = f"http://127.0.0.1:{settings.port}"

    def answers() -> bool:
        assert process.poll() is None
        try:
            return httpx.get(f"{url}/health", trust_env=False).status_code == 200
        except httpx.TransportError:
            time.sleep(0.05)
            return False

    until(answers, "the gateway")
    return process, url


def test_the_log_of_a_whole_life_tells_every_payment_event_and_no_secret(house: House) -> None:
    process, url = serve(house)
    secrets: list[str] = []
    try:
        buyer = Buyer(url, house.stripe)
        key = buyer.http.post("/keys").json()["api_key"]
        owner = Buyer(url, house.stripe, key)
        failing = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}
        bought, spent = owner.buy(failing), buyer.buy()
        failed = owner.simulate(failing, bought.token)
        ran = buyer.simulate(BALL, spent.token)
        assert (failed.status_code, ran.status_code) == (422, 200)
        payment = next(
            s["payment_intent"] for s in house.stripe.objects("checkout.session") if s["id"] == bought.stripe_session_id
        )
        house.stripe.refund(payment)
        # What is sent in the wrong places must not be written down either.
        for path in (f"/nowhere/{bought.token}", f"/runs/{bought.token}", f"/checkout/{bought.session_id}"):
            buyer.get(path, params={"token": bought.token}, headers={"authorization": f"Bearer {bought.token}"})
        buyer.http.post("/webhooks/stripe", content=bought.token, headers={"stripe-signature": bought.token})
        buyer.http.post("/simulate", json={"fmu_id": bought.token, "payment_token": spent.token})
        secrets += [key, bought.token, spent.token, bought.session_id, spent.session_id, *house_secrets(house)]
        secrets += [quote["checkout_url"].rsplit("/", 1)[1] for quote in (bought.quote, spent.quote)]
        ids = {"request": ran.headers["x-request-id"], "run": ran.json()["run_id"], "session": spent.stripe_session_id}
        buyer.http.close()
        owner.http.close()
    finally:
        process.terminate()
        process.wait(30)
    log = (house.folder / "log").read_text()
    for secret in secrets:
        assert secret not in log
        assert secret.split("_", 1)[-1] not in log  # nor without what names its kind
    assert "…" not in log  # the net caught nothing: nothing was thrown into it
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    mine = [line for line in lines if line.get("run") == ids["run"]]
    events = [line["event"] for line in mine]
    assert events == ["held", "captured"]
    for line in mine:
        if line["event"] in events:
            assert line["request_id"] == ids["request"]
            assert (line["session"], line["purchase"][:4]) == (ids["session"], "pur_")
    told = {line["event"] for line in lines}
    assert {"checkout_opened", "paid", "held", "captured", "released", "money_went_back"} <= told
    paid = [line for line in lines if line["event"] == "paid"]
    assert all({"request_id", "purchase", "session", "amount", "currency"} <= set(line) for line in paid)
    assert violations(house.folder / "gateway.sqlite3") == []


def house_secrets(house: House) -> list[str]:
    settings = house.settings()
    return [*settings.gateway_secret, settings.stripe_secret_key, settings.stripe_webhook_secret]


def test_the_net_masks_what_nobody_foresaw() -> None:
    from gateway.app import mask_secrets

    line = '{"error": "cannot send fmt_AbC-d_e.f~1 with sk_live_51Hx and whsec_abc=", "session": "cs_test_a1"}'
    masked = '{"error": "cannot send fmt_… with sk_live_… and whsec_…", "session": "cs_test_a1"}'
    assert mask_secrets(None, "info", line) == masked
