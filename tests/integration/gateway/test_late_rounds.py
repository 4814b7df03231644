"""What the reconciler does when much is late, when it gives up, and what it tells the operator's log meanwhile."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import structlog
from harness import BALL, Bought, Gateway, House, change, until
from structlog.testing import LogCapture

from gateway.flows.receive_webhook import DEAD_AFTER, work_on_event
from gateway.flows.reconcile import keep_house, read_missed_events
from gateway.flows.services import Services
from gateway.store.money import NewRun

Start = Callable[..., Gateway]


def orphan(gateway: Gateway, bought: Bought) -> str:
    """A run that is held and that no process runs; its id."""
    purchase = gateway.purchase_id(bought)
    sha256 = gateway.rows("SELECT fmu_sha256 FROM purchase")[0]["fmu_sha256"]
    run = NewRun(f"run_{purchase[4:]}", purchase, None, None, "d", "msl:BouncingBall", sha256, 1_000_000, 2**40)
    asked = {"token_id": purchase, "generation": 1, "currency": "usd", "livemode": False}
    gateway.call(lambda s: s.store.hold(run, **asked, now=s.now()))
    return run.id


@pytest.fixture
def gateway(open_gateway: Start) -> Gateway:
    return open_gateway()


def test_many_that_stay_undecided_are_not_in_the_way_of_the_others(gateway: Gateway) -> None:
    """Bank debits take days, and a session of another Stripe account never says anything."""
    quote = gateway.quote()
    session = gateway.open(quote)
    copies = (
        "INSERT INTO purchase(id, fmu_id, fmu_sha256, amount, currency, livemode, state, quote_expires_at, expires_at, "
        "success_url, cancel_url, return_code, stripe_session_id, checkout_url, created_at) "
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100) "
        "SELECT 'pur_' || i, 'x', 'x', 1000000, 'usd', 0, 'processing', 1, 1, '', '', '', 'cs_' || i, '', 1 FROM n"
    )
    gateway.call(lambda s: s.store.write(lambda db: db.execute(copies).rowcount))
    gateway.stripe.drop("*", times=None)
    gateway.stripe.fault("error", status=400, path="/v1/events*", method="GET", times=None)  # no list tells either
    gateway.stripe.pay(session)
    gateway.later(3 * 3600)
    for state in ("open", "paid"):
        gateway.reconcile()
        assert gateway.rows("SELECT state FROM purchase WHERE stripe_session_id = ?", session) == [{"state": state}]
    gateway.stripe.reset_calls()
    gateway.reconcile()  # and from the beginning again
    assert [call for call in gateway.stripe.calls() if call["path"] == "/v1/checkout/sessions/cs_1"]


EVENT = "SELECT id, state, attempts, next_at FROM inbox WHERE type = 'checkout.session.completed'"


def test_an_event_is_tried_again_later_and_later_and_given_up_after_days(gateway: Gateway) -> None:
    quote = gateway.quote()
    session = gateway.open(quote)
    gateway.stripe.fault("error", status=400, path=f"/v1/checkout/sessions/{session}", method="GET", times=None)
    gateway.stripe.pay(session)
    now = gateway.services.now()
    gateway.services.now = lambda: now
    waited = []
    while (event := gateway.rows(EVENT)[0])["state"] == "new":
        assert event["attempts"] == len(waited) + 1
        waited.append(event["next_at"] - now)
        now = event["next_at"] - 1
        gateway.call(work_off)  # a second too early
        assert gateway.rows(EVENT) == [event]
        now = event["next_at"]
        gateway.call(work_off)
    assert waited[1:8] == [15, 60, 300, 900, 3600, 3600, 3600]
    assert (event["state"], event["attempts"]) == ("dead", DEAD_AFTER)
    assert sum(waited) > 3 * 24 * 3600  # as long as Stripe itself would try
    assert "1 dead events" in gateway.get("/ready").json()["checks"]["alarms"]["detail"]
    gateway.stripe.clear_faults()
    gateway.ask_again()
    assert gateway.status(quote["session_id"]).json()["status"] == "ready"  # the buyer's money waits for nobody


async def work_off(services: Services) -> None:
    for event in await services.store.due_events(services.now()):
        await work_on_event(services, event)


ROWS = {
    "dead_events": "INSERT INTO inbox VALUES ('evt', 't', 'o', 'dead', 80, 'e', '{}', 1, 1)",
    "dead_orders": "INSERT INTO outbox SELECT 'o', 'refund', 'gone', 1, 'pi', 1, 'usd', 0, 'r', 'dead', 9, 'e', "
    "NULL, 1, 1, NULL",
}


@pytest.mark.parametrize("alarm", [*ROWS, "failed_refunds", "webhooks_refused_in_a_row"])
def test_an_alarm_is_logged_when_it_begins_and_when_it_is_over_and_not_in_between(
    gateway: Gateway, alarm: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogCapture()  # instead of the standard error of whichever test was the first to log
    monkeypatch.setattr("gateway.flows.reconcile.log", structlog.wrap_logger(None, processors=[lines]))
    if alarm in ROWS:
        gateway.call(lambda s: s.store.write(lambda db: db.execute(ROWS[alarm]).rowcount))
    elif alarm == "failed_refunds":
        gateway.buy()
        gateway.stripe.fault("error", status=400, path="/v1/refunds", method="POST", times=None)
        gateway.later(31 * 24 * 3600)
    else:
        for _ in range(5):
            gateway.stripe.deliver_raw("{}", secret="whsec_wrong")
    for _ in range(3):
        gateway.reconcile()
    gone = {"dead_events": "DELETE FROM inbox", "dead_orders": "DELETE FROM outbox",
            "failed_refunds": "DELETE FROM outbox"}  # fmt: skip
    if alarm in gone:
        gateway.call(lambda s: s.store.write(lambda db: db.execute(gone[alarm]).rowcount))
        if alarm == "failed_refunds":
            gateway.later(-31 * 24 * 3600)
    else:
        gateway.stripe.deliver_raw("{}")
        gateway.buy()
    gateway.reconcile()
    alarms = [line for line in lines.entries if line["event"] in ("alarms", "alarms_over")]
    assert [(line["event"], line["log_level"]) for line in alarms] == [("alarms", "error"), ("alarms_over", "info")]
    assert alarms[0][alarm] == (5 if alarm.startswith("webhooks") else 1)


def test_what_breaks_in_one_step_hides_no_alarm_and_no_orphan(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = LogCapture()
    monkeypatch.setattr("gateway.flows.reconcile.log", structlog.wrap_logger(None, processors=[lines]))
    old, *orphans = (gateway.buy() for _ in range(3))
    run = gateway.simulate(BALL, old.token).json()["run_id"]
    results = gateway.settings.results_path
    (results / f"{run}.run").unlink()
    for broken in (run, orphan(gateway, orphans[0])):
        (results / f"{broken}.run").mkdir()  # neither read nor deleted
    orphan(gateway, orphans[1])
    change(gateway.settings.database_path, "UPDATE run SET keep_until = 1 WHERE id = ?", run)
    change(gateway.settings.database_path, ROWS["dead_events"])
    gateway.call(keep_house)
    assert [gateway.token_state(each) for each in orphans] == ["held", "ready"]
    broke = [line.get("step") for line in lines.entries if line["event"] == "reconcile_broke"]
    assert broke == ["_recover_run", "_delete_old_results"]
    assert [line["dead_events"] for line in lines.entries if line["event"] == "alarms"] == [1]


def test_a_gateway_starts_though_one_orphan_cannot_be_looked_at(house: House) -> None:
    with house.gateway() as gateway:
        bought = gateway.buy(), gateway.buy()
        runs = [orphan(gateway, each) for each in bought]
        blocked = gateway.settings.results_path / f"{runs[0]}.run"
        blocked.mkdir(parents=True)
    with house.gateway() as gateway:
        assert [gateway.token_state(each) for each in bought] == ["held", "ready"]
        blocked.rmdir()
        gateway.reconcile()
        assert gateway.token_state(bought[0]) == "ready"


def test_a_silent_stripe_holds_up_neither_orphans_nor_alarms(
    open_gateway: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("gateway.flows.reconcile.EVERY_SECONDS", 0.05)
    gateway = open_gateway()
    bought = gateway.buy()
    gateway.stripe.reset_calls()
    gateway.stripe.fault("hang", path="/v1/*", method="GET", times=None)
    many = "INSERT INTO inbox VALUES (?, 'checkout.session.expired', 'cs_x', 'new', 0, NULL, '{}', 1, 1)"
    for number in range(3):  # each of them is asked about until the client's patience ends
        change(gateway.settings.database_path, many, f"evt_{number}")
    until(lambda: [call for call in gateway.stripe.calls() if call["path"] == "/v1/events"], "a question to Stripe")
    orphan(gateway, bought)
    until(lambda: gateway.token_state(bought) == "ready", "the orphan's release")
    for _ in range(5):
        gateway.stripe.deliver_raw("{}", secret="whsec_wrong")
    until(lambda: gateway.services.meter.alarms, "the alarm")
    gateway.stripe.clear_faults()


@pytest.mark.parametrize("by_an_earlier_gateway", [False, True])
def test_what_happens_while_our_clock_is_ahead_is_read_from_stripes_list_all_the_same(
    gateway: Gateway, by_an_earlier_gateway: bool
) -> None:
    day = 24 * 3600
    bought = gateway.buy()
    gateway.reconcile()
    gateway.later(day)
    gateway.reconcile()
    gateway.later(-day)
    if by_an_earlier_gateway:  # which remembered its own clock
        ahead = "UPDATE progress SET at = at + ? WHERE name = 'test events'"
        change(gateway.settings.database_path, ahead, day)
    gateway.stripe.drop("*", times=None)
    gateway.stripe.refund(gateway.payment_of(bought))
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"
    newest = max(event["created"] for event in gateway.stripe.events())
    assert gateway.rows("SELECT at FROM progress") == [{"at": newest}]


def test_what_happened_while_stripe_gave_no_list_is_read_from_the_next_one(gateway: Gateway) -> None:
    gateway.reconcile()
    assert gateway.rows("SELECT at FROM progress") == [{"at": 0}]  # nothing was ever listed
    bought = gateway.buy()
    gateway.stripe.drop("*", times=None)
    gateway.stripe.fault("error", status=400, path="/v1/events*", method="GET", times=None)
    gateway.stripe.refund(gateway.payment_of(bought))
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "ready"
    gateway.stripe.clear_faults()
    gateway.later(3600)
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"


def test_what_happened_while_the_other_mode_was_served_is_read_afterwards(gateway: Gateway) -> None:
    async def read_as_live(services: Services) -> None:
        settings = services.settings.model_copy(update={"livemode": True})
        await read_missed_events(replace(services, settings=settings))

    bought = gateway.buy()
    gateway.reconcile()
    gateway.stripe.drop("*", times=None)
    gateway.stripe.refund(gateway.payment_of(bought))
    gateway.stripe.advance(1200)
    gateway.later(1200)
    gateway.stripe.pay(gateway.open(gateway.quote()))
    gateway.call(read_as_live)
    assert gateway.token_state(bought) == "ready"
    gateway.reconcile()
    assert gateway.token_state(bought) == "revoked"


def test_the_first_list_is_read_no_further_back_than_a_little_before_its_newest_event(gateway: Gateway) -> None:
    """An account may have sold other things for years."""
    gateway.stripe.drop("*", times=None)
    for session in (gateway.open(gateway.quote()), gateway.open(gateway.quote())):
        gateway.stripe.advance(1200)
        gateway.stripe.pay(session)
    gateway.reconcile()
    paid = "SELECT object_id FROM inbox WHERE type = 'checkout.session.completed'"
    assert gateway.rows(paid) == [{"object_id": session}]
