"""What is left of every run: one row of usage. And what an operator is shown while it goes on, and day by day."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from harness import BALL, FREE, SLOW, Gateway, change, until
from prometheus_client.parser import text_string_to_metric_families

from gateway.domain.funnel import FunnelDay
from gateway.store.reports import read_funnel

Start = Callable[..., Gateway]
DAY = 24 * 3600
BURNS = {"fmu_id": "test:Hangs", "start_values": {"hang_at": 0.5}}  # computes until it is stopped
COLUMNS = "fmu_id, payer, account_id, source, price, state, code, started_at, finished_at, cpu_ms, wall_ms"


def usage(gateway: Gateway) -> list[dict[str, Any]]:
    return gateway.rows(f"SELECT {COLUMNS} FROM run ORDER BY started_at, rowid")


def test_every_run_leaves_one_row_of_usage(open_gateway: Start) -> None:
    gateway = open_gateway(simulation_timeout_seconds=1.0)
    owner = gateway.account()
    account = gateway.rows("SELECT id FROM account")[0]["id"]
    bought, burnt = owner.buy(SLOW), gateway.buy(BURNS)
    now = gateway.services.now()
    key = {"idempotency-key": "k"}
    assert owner.simulate(SLOW, bought.token, headers=key).status_code == 200
    assert gateway.simulate(BURNS, burnt.token).status_code == 504
    assert gateway.simulate(FREE).status_code == 200
    assert owner.simulate(SLOW, bought.token, headers=key).status_code == 200  # repeated, not run again
    paid, failed, free = rows = usage(gateway)
    said = [(row["fmu_id"], row["source"], row["price"], row["state"], row["code"]) for row in rows]
    assert said == [
        ("test:Slow", "token", 1_000_000, "succeeded", None),
        ("test:Hangs", "token", 1_000_000, "failed", "simulation_timeout"),
        ("msl:VanDerPol", "free", 0, "succeeded", None),
    ]
    assert (paid["payer"], paid["account_id"]) == (account, account)
    assert (failed["payer"], failed["account_id"]) == (gateway.purchase_id(burnt), None)  # who paid is the token
    assert free["account_id"] is None
    for row in rows:
        assert now <= row["started_at"] <= row["finished_at"] <= gateway.services.now()
        assert row["cpu_ms"] >= 0
        assert 0 <= row["wall_ms"] < 10_000
    assert paid["cpu_ms"] < 400 <= paid["wall_ms"]  # it sleeps for half a second
    assert failed["cpu_ms"] >= 200  # of a second, on a busy machine
    assert failed["wall_ms"] >= 1000


def shown(gateway: Gateway) -> dict[tuple[str, ...], float]:
    text = gateway.get("/metrics").text
    families = text_string_to_metric_families(text)
    return {
        (sample.name.removeprefix("fmu_gateway_"), *sample.labels.values()): sample.value
        for family in families
        for sample in family.samples
    }


def test_what_runs_waits_and_is_at_risk_is_shown_while_it_is(open_gateway: Start) -> None:
    gateway = open_gateway(parallel_runs=1)
    first, second = gateway.buy(SLOW), gateway.buy(SLOW)
    session = gateway.open(gateway.quote())
    change(gateway.settings.database_path, "UPDATE purchase SET amount = 2000000 WHERE stripe_session_id = ?", session)
    gateway.stripe.fault("error", path="/v1/refunds", method="POST", times=None)
    gateway.stripe.pay(session)
    with ThreadPoolExecutor(2) as pool:
        runs = [pool.submit(gateway.simulate, SLOW, bought.token) for bought in (first, second)]
        until(lambda: len(gateway.rows("SELECT 1 FROM run")) == 2, "both to be held")
        until(lambda: shown(gateway)["runs_running",], "one to begin")
        seen = shown(gateway)
        assert [run.result().status_code for run in runs] == [200, 200]
    at_risk = {place: seen["money_at_risk_micros", "usd", "test", place] for place in ("unspent", "held", "unmatched")}
    assert at_risk == {"unspent": 0, "held": 2_000_000, "unmatched": 1_000_000}
    assert seen["money_at_risk_micros", "usd", "test", "refunds_todo"] == 1_000_000
    assert (seen["runs_running",], seen["runs_waiting",]) == (1, 1)
    over = shown(gateway)
    assert (over["runs_running",], over["runs_waiting",]) == (0, 0)
    assert over["money_at_risk_micros", "usd", "test", "held"] == 0


def test_each_stage_of_the_funnel_is_counted_on_its_own_day(open_gateway: Start) -> None:
    gateway = open_gateway()
    begun = gateway.services.now()  # Stripe's clock goes on: an earlier one's sessions would end too soon for it
    today = begun // DAY
    gateway.services.now = lambda: begun
    gateway.call(counts_from(begun))
    gateway.account()
    bought, failing, _ = gateway.buy(), gateway.buy({"fmu_id": "test:Fails"}), gateway.quote()
    gateway.open(gateway.quote())
    body = {"fmu_id": "test:Fails", "start_values": {"fail_at": 0.5}}
    assert gateway.simulate(body, failing.token).status_code == 422
    assert gateway.simulate(FREE).status_code == 200
    gateway.services.now = lambda: begun + DAY
    gateway.reconcile()  # another day: the quotes of the one before are written
    token = gateway.collect(bought.session_id)
    assert gateway.simulate(BALL, token).status_code == 200
    gateway.quote()
    gateway.services.now = lambda: begun + 2 * DAY
    gateway.reconcile()
    found = gateway.call(lambda s: read_funnel(s.store, begun, livemode=False))
    assert found == [
        FunnelDay(today, keys=1, quotes=4, checkouts=3, payments=2, runs=0, all_runs=1),
        FunnelDay(today + 1, keys=0, quotes=1, checkouts=0, payments=0, runs=1, all_runs=1),
    ]
    assert [day.conversion for day in found] == [0.5, 0.0]
    # What the other mode sells: keys, quotes and free runs have none.
    assert gateway.call(lambda s: read_funnel(s.store, begun, livemode=True)) == [
        FunnelDay(today, keys=1, quotes=4, checkouts=0, payments=0, runs=0, all_runs=1),
        FunnelDay(today + 1, keys=0, quotes=1, checkouts=0, payments=0, runs=0, all_runs=0),
    ]


def counts_from(now: int) -> Callable[[Any], Any]:
    async def begin(services: Any) -> None:
        services.meter.quotes_since = now

    return begin


def test_where_nothing_is_sold_free_runs_have_no_limit_by_minute_and_all_of_the_places(open_gateway: Start) -> None:
    limits = {"free_runs_per_minute": 1, "parallel_runs": 2, "queued_runs": 1}
    gateway = open_gateway(stripe_enabled=False, stripe_secret_key="", stripe_webhook_secret="", **limits)
    with ThreadPoolExecutor(3) as pool:
        answers = list(pool.map(lambda _: gateway.simulate(SLOW).status_code, range(3)))
    assert answers == [200, 200, 200]  # half of the places would be one
