"""GET /metrics, the funnel and the alarms: what an operator sees, and that an unpaid quote costs nothing for it."""

import asyncio
import json
import sqlite3
from collections.abc import Callable
from typing import Any

import pytest
from harness import BALL, FREE, Gateway, House, problem
from prometheus_client.parser import text_string_to_metric_families

FAILING = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}
REQUEST = json.dumps(BALL).encode()
Start = Callable[..., Gateway]


def metrics(gateway: Gateway) -> dict[tuple[str, ...], float]:
    """(name, label values …) → value."""
    answer = gateway.get("/metrics")
    assert answer.status_code == 200, answer.text
    return {
        (sample.name.removeprefix("fmu_gateway_"), *sample.labels.values()): sample.value
        for family in text_string_to_metric_families(answer.text)
        for sample in family.samples
    }


def test_what_happened_is_counted(open_gateway: Start) -> None:
    gateway = open_gateway()
    gateway.account()
    bought = gateway.buy(FAILING)
    assert gateway.simulate(FAILING, bought.token).status_code == 422
    assert gateway.simulate({"fmu_id": "test:Fails"}, bought.token).status_code == 200
    assert gateway.simulate(FREE).status_code == 200
    waiting = gateway.buy()
    seen = metrics(gateway)
    assert seen["quotes_total",] == 2
    assert seen["answers_total", "/simulate", "402"] == 2
    assert seen["answers_total", "/simulate", "200"] == 2
    counted = {"checkout_opened": 2, "paid": 2, "held": 2, "captured": 1, "released": 1}
    assert {event: seen["payment_events_total", event] for event in counted} == counted
    assert seen["runs_total", "paid", "model_error"] == seen["runs_total", "paid", "succeeded"] == 1
    assert seen["runs_total", "free", "succeeded"] == 1
    assert seen["run_seconds_bucket", "+Inf"] == seen["run_seconds_count",] == 3
    assert seen["run_seconds_sum",] > 0
    assert seen["run_cpu_seconds_total",] > 0
    assert (seen["runs_running",], seen["runs_waiting",]) == (0, 0)
    assert seen["writer_operations_total",] >= seen["writer_batches_total",] > 5
    assert {stage: seen["today", stage] for stage in ("keys", "quotes", "checkouts", "payments", "runs")} == {
        "keys": 1, "quotes": 2, "checkouts": 2, "payments": 2, "runs": 1,
    }  # fmt: skip
    assert seen["today_conversion",] == 1
    assert {value for (name, *_), value in seen.items() if name == "alarms"} == {0}
    at_risk = {place: seen["money_at_risk_micros", "usd", "test", place] for place in ("unspent", "held", "unmatched")}
    assert at_risk == {"unspent": 1_000_000, "held": 0, "unmatched": 0}
    gateway.call(lambda s: s.store.order_refund(gateway.purchase_id(waiting), reason="test", now=s.now()))
    seen = metrics(gateway)
    assert seen["money_at_risk_micros", "usd", "test", "unspent"] == 0
    assert seen["money_at_risk_micros", "usd", "test", "refunds_todo"] == 1_000_000


def test_no_path_and_no_secret_becomes_a_label(gateway: Gateway) -> None:
    bought = gateway.buy()
    gateway.get(f"/nowhere/{bought.token}")
    gateway.get(f"/payments/checkout/{bought.session_id}x")
    text = gateway.get("/metrics").text
    assert 'route="/payments/checkout/{session_id}",status="404"' in text
    assert 'route="-",status="404"' in text
    for secret in (bought.token, bought.session_id, "nowhere"):
        assert secret not in text


def test_metrics_are_shown_here_and_to_the_token_and_not_through_a_proxy(open_gateway: Start) -> None:
    gateway = open_gateway(metrics_token="let me see")
    token = {"authorization": "Bearer let me see"}
    assert gateway.get("/metrics").status_code == 200
    for header in ("x-forwarded-for", "x-real-ip", "forwarded", "via"):
        handed_on = {header: "127.0.0.1"}
        problem(gateway.get("/metrics", headers=handed_on), 401, "key_refused")
        assert gateway.get("/metrics", headers={**handed_on, **token}).status_code == 200
    wrong = {"x-forwarded-for": "192.0.2.1", "authorization": "Bearer let me see it"}
    problem(gateway.get("/metrics", headers=wrong), 401, "key_refused")


def test_what_a_trusted_proxy_hands_on_is_not_from_here(open_gateway: Start) -> None:
    gateway = open_gateway(trusted_proxies=("127.0.0.0/8",))
    problem(gateway.get("/metrics"), 401, "key_refused")
    problem(gateway.get("/metrics", headers={"authorization": "Bearer"}), 401, "key_refused")


async def ask_for_quotes(app: Any, count: int) -> set[int]:
    """In-process, so that ten thousand take a second. The statuses of the answers."""
    statuses = set()

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": REQUEST, "more_body": False}

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            statuses.add(message["status"])

    for i in range(count):
        scope = {
            "type": "http", "asgi": {"version": "3.0"}, "http_version": "1.1", "method": "POST", "scheme": "http",
            "path": "/simulate", "raw_path": b"/simulate", "root_path": "", "query_string": b"",
            "headers": [(b"host", b"x"), (b"content-type", b"application/json")],
            "client": ("192.0.2.1", 1), "server": ("x", 80), "state": {},
        }  # fmt: skip
        await app(scope, receive, send)
        if i % 500 == 0:
            await asyncio.sleep(0)
    return statuses


def test_ten_thousand_unpaid_quotes_write_nothing_and_are_counted_all_the_same(house: House) -> None:
    with house.gateway() as gateway:
        gateway.quote()
        watching = sqlite3.connect(gateway.settings.database_path)
        batches = gateway.services.store.write.batches
        version = watching.execute("PRAGMA data_version").fetchone()  # changes when anybody else commits anything
        assert gateway.call(lambda s: ask_for_quotes(gateway.app, 10_000)) == {402}
        assert watching.execute("PRAGMA data_version").fetchone() == version
        assert gateway.services.store.write.batches == batches
        gateway.account()  # the guard itself is not blind
        assert watching.execute("PRAGMA data_version").fetchone() != version
        watching.close()
        assert metrics(gateway)["today", "quotes"] == 10_001
    with house.gateway() as gateway:
        assert metrics(gateway)["today", "quotes"] == 10_001
        assert gateway.rows("SELECT count FROM quotes") == [{"count": 10_001}]


def test_quotes_are_added_to_the_books_once_an_hour_and_on_their_own_day(open_gateway: Start) -> None:
    gateway = open_gateway()
    midnight = (gateway.services.now() // 86400 + 1) * 86400
    gateway.services.now = lambda: midnight + 10
    gateway.call(lambda s: setattr_later(s, midnight + 10))
    gateway.quote()
    gateway.later(60)
    gateway.reconcile()
    assert gateway.rows("SELECT * FROM quotes") == []
    gateway.later(3600)
    gateway.reconcile()
    gateway.reconcile()
    assert gateway.rows("SELECT * FROM quotes") == [{"day": midnight // 86400, "count": 1}]
    gateway.quote()
    gateway.later(23 * 3600)
    gateway.reconcile()  # another day: what was counted belongs to the one before
    assert gateway.rows("SELECT * FROM quotes") == [{"day": midnight // 86400, "count": 2}]


async def setattr_later(services: Any, now: int) -> None:
    services.meter.quotes_since = now


def test_webhooks_refused_in_a_row_are_an_alarm_that_a_good_one_ends(open_gateway: Start) -> None:
    gateway = open_gateway()

    def detail() -> str:
        answer = gateway.get("/ready")
        assert answer.status_code == 200  # a stranger can send these: they must not take the shop off the net
        return str(answer.json()["checks"]["alarms"]["detail"])

    for _ in range(4):
        assert gateway.stripe.deliver_raw("{}", secret="whsec_wrong")["status"] == 400
    assert detail() == "none"
    gateway.stripe.deliver_raw("{}", secret="whsec_wrong")
    assert detail() == "5 webhooks refused in a row"
    assert metrics(gateway)["webhooks_refused",] == 5
    gateway.buy()
    assert detail() == "none"


@pytest.mark.parametrize(
    ("row", "alarm"),
    [
        ("INSERT INTO inbox VALUES ('evt', 't', 'o', 'dead', 80, 'e', '{}', 1, 1)", "1 dead events"),
        ("INSERT INTO inbox VALUES ('evt', 't', 'o', 'new', 0, NULL, '{}', 1, 99999999999)", "1 late events"),
        ("INSERT INTO outbox SELECT 'o', 'refund', 'gone', 1, 'pi', 1, 'usd', 0, 'r', 'dead', 9, 'no such payment', "
         "NULL, 1, 1, NULL", "1 dead orders"),
        ("INSERT INTO outbox SELECT 'o', 'refund', 'gone', 1, 'pi', 1, 'usd', 0, 'r', 'todo', 9, NULL, NULL, 1, "
         "99999999999, NULL", "1 late orders"),
    ],
)  # fmt: skip
def test_what_is_dead_or_late_is_an_alarm(open_gateway: Start, row: str, alarm: str) -> None:
    gateway = open_gateway()
    gateway.call(lambda s: s.store.write(lambda db: db.execute(row).rowcount))
    ready = gateway.get("/ready")
    assert ready.status_code == 200
    assert not ready.json()["checks"]["alarms"]["ok"]
    assert ready.json()["checks"]["alarms"]["detail"] == alarm
    assert metrics(gateway)["alarms", alarm[2:].replace(" ", "_")] == 1
