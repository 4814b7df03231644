"""Faults made to order, the clock that does not wait, the file that remembers, and a thousand buyers at once."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import KEY, Receiver, order

from stripe_stub.testing import LocalStripe, LocalStripeError

PATH = "/v1/checkout/sessions"


def test_429_is_not_retried_unless_stripe_says_so(stripe: LocalStripe) -> None:
    client = StripeClient(KEY, base_addresses=stripe.base_addresses, max_network_retries=2)
    stripe.fault("error", status=429, path=PATH)
    with pytest.raises(stripe_python.RateLimitError):
        client.v1.checkout.sessions.create(order())
    assert len(stripe.calls()) == 1
    stripe.fault("error", status=429, path=PATH, should_retry=True)
    assert client.v1.checkout.sessions.create(order()).status == "open"
    assert [call["status"] for call in stripe.calls()] == [429, 429, 200]


def test_an_error_before_the_commit_changes_nothing(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("error", status=503, path=PATH, when="before")
    with pytest.raises(stripe_python.APIError):
        client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    assert stripe.objects("checkout.session") == []
    assert client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).status == "open"


@pytest.mark.parametrize(("when", "made"), [("before", 0), ("after", 1)])
@pytest.mark.parametrize("kind", ["cut", "hang"])
def test_an_answer_that_never_comes(kind: str, when: str, made: int, stripe: LocalStripe) -> None:
    client = StripeClient(
        KEY,
        base_addresses=stripe.base_addresses,
        max_network_retries=0,
        http_client=stripe_python.RequestsClient(timeout=0.3),
    )
    stripe.fault(kind, path=PATH, when=when)
    with pytest.raises(stripe_python.APIConnectionError):
        client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    assert len(stripe.objects("checkout.session")) == made
    stripe.clear_faults()
    again = client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"})
    assert [session["id"] for session in stripe.objects("checkout.session")] == [again.id]


def test_a_slow_answer_comes(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("slow", path="*", seconds=0.05)
    assert client.v1.customers.list().data == []
    assert stripe.calls()[0]["fault"] == "slow"


def test_a_fault_waits_for_its_path_method_and_turn(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("error", status=500, path="/v1/customers", method="POST", nth=2, times=2)
    outcomes = []
    for _ in range(5):
        client.v1.customers.list()
        client.v1.events.list()
        try:
            client.v1.customers.create({})
            outcomes.append(200)
        except stripe_python.APIError:
            outcomes.append(500)
    assert outcomes == [200, 500, 500, 200, 200]
    assert stripe.control("GET", "/_stub/faults") == []


def test_a_fault_can_last_until_it_is_cleared(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.fault("error", status=500, times=None)
    for _ in range(3):
        with pytest.raises(stripe_python.APIError):
            client.v1.customers.list()
    stripe.clear_faults()
    assert client.v1.customers.list().data == []


@pytest.mark.parametrize(
    ("path", "wish"),
    [
        ("faults", {"kind": "flood"}),
        ("faults", {}),
        ("faults", {"kind": "error", "status": 200}),
        ("clock", {"jump": 1}),
        ("scripts", {"type": "*"}),
        ("scripts", {"dorp": True}),
        ("payments/pi_nobody/settle", {}),
    ],
)
def test_a_control_that_means_nothing_is_refused(path: str, wish: dict[str, Any], stripe: LocalStripe) -> None:
    with pytest.raises(LocalStripeError, match=r": 40[04] "):
        stripe.control("POST", f"/_stub/{path}", wish)


def test_the_clock_stands_jumps_and_goes_on(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.freeze()
    frozen = stripe.clock()["now"]
    stripe.set_clock(2_000_000_000)
    assert client.v1.customers.create({}).created == 2_000_000_000
    stripe.advance(5)
    assert client.v1.customers.create({}).created == 2_000_000_005
    stripe.set_clock(frozen)
    stripe.freeze(False)
    assert not stripe.clock()["frozen"]
    assert abs(stripe.clock()["ahead"]) < 60


def test_what_is_due_in_a_jump_happens_in_the_order_of_time(client: StripeClient, stripe: LocalStripe) -> None:
    now = stripe.clock()["now"]
    late = client.v1.checkout.sessions.create(order(expires_at=now + 7200)).id
    early = client.v1.checkout.sessions.create(order(expires_at=now + 3600)).id
    stripe.pay(client.v1.checkout.sessions.create(order()).id, bank="000123456789")
    stripe.advance(86400)
    told = [
        (e["type"], e["data"]["object"]["id"]) for e in stripe.events() if e["type"].startswith("checkout.session.")
    ]
    assert [type_ for type_, _ in told] == [
        "checkout.session.completed",
        "checkout.session.async_payment_succeeded",
        "checkout.session.expired",
        "checkout.session.expired",
    ]
    assert [id_ for _, id_ in told[2:]] == [early, late]


def test_time_that_passes_by_itself_fires_timers_too(client: StripeClient, stripe: LocalStripe) -> None:
    session = client.v1.checkout.sessions.create(order(expires_at=stripe.clock()["now"] + 1800))
    stripe.set_clock(session.expires_at - 1)
    while not stripe.events("checkout.session.expired"):
        time.sleep(0.02)  # the wall's last second, seen from outside: no request of ours made it happen
    assert stripe.objects("checkout.session")[0]["status"] == "expired"


def test_everything_is_remembered_in_a_file(tmp_path: Path, receiver: Receiver) -> None:
    file = tmp_path / "stripe.jsonl"
    with LocalStripe(receiver.url, state=file) as first:
        client = StripeClient(KEY, base_addresses=first.base_addresses)
        paid = first.pay(client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).id)["session"]
        open_ = client.v1.checkout.sessions.create(order()).id
        client.v1.refunds.create({"payment_intent": paid["payment_intent"], "amount": 10})
        first.advance(60)
        first.flush()
        before = first.state()
    with LocalStripe(receiver.url, state=file) as second:
        after = second.state()
        for part in ("objects", "events", "deliveries"):
            assert after[part] == before[part]
        assert abs(after["clock"]["ahead"] - 60) < 1
        client = StripeClient(KEY, base_addresses=second.base_addresses)
        assert client.v1.checkout.sessions.create(order(), {"idempotency_key": "k"}).id == paid["id"]
        second.advance(24 * 3600)
        assert client.v1.checkout.sessions.retrieve(open_).status == "expired"
        assert client.v1.customers.create({}).id not in str(before)


def test_the_command_serves_and_remembers_through_a_kill(tmp_path: Path) -> None:
    file = tmp_path / "stripe.jsonl"
    id_ = ""
    for _ in range(2):
        command = [sys.executable, "-m", "stripe_stub", "--port", "0", "--state", str(file)]
        with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            url = process.stdout.readline().split()[-1]
            client = StripeClient(KEY, base_addresses=dict.fromkeys(("api", "files", "connect", "meter_events"), url))
            if id_:
                assert client.v1.customers.retrieve(id_).name == "kept"
            else:
                id_ = client.v1.customers.create({"name": "kept"}).id
            os.kill(process.pid, signal.SIGKILL)


@pytest.mark.parametrize("arguments", [["--host", "0.0.0.0"], ["--port", "x"], ["--frob"]])
def test_the_command_refuses_what_it_should(arguments: list[str]) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "stripe_stub", *arguments], capture_output=True, text=True, check=False
    )
    assert (done.returncode, "usage:" in done.stderr) == (2, True)


def test_a_taken_port_is_said_in_one_line(stripe: LocalStripe) -> None:
    command = [sys.executable, "-m", "stripe_stub", "--port", str(stripe.port)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.startswith("stripe_stub: cannot listen on")


async def test_a_thousand_buyers_at_once(stripe: LocalStripe, receiver: Receiver) -> None:
    """States, events, deliveries and balance agree, although webhooks are lost, doubled, delayed and overtaken."""
    count = 1000
    await stripe.aio.script(seed=11)
    at_once = asyncio.Semaphore(50)
    async with httpx.AsyncClient(base_url=stripe.url, auth=(KEY, ""), timeout=60) as client:
        form = {
            "mode": "payment",
            "success_url": "http://127.0.0.1:9/",
            "line_items[0][quantity]": "1",
            "line_items[0][price_data][currency]": "usd",
            "line_items[0][price_data][unit_amount]": "100",
            "line_items[0][price_data][product_data][name]": "Run",
        }

        async def buy(number: int) -> str:
            async with at_once:
                made = await client.post(PATH, data={**form, "client_reference_id": f"p{number}"})
                paid = await client.post(f"/_stub/checkout/sessions/{made.json()['id']}/pay", json={})
            outcome: str = paid.json()["outcome"]
            return outcome

        outcomes = await asyncio.gather(*(buy(number) for number in range(count)))
    assert Counter(outcomes) == {"paid": count}
    pending = await stripe.aio.flush()
    while pending:
        pending = await stripe.aio.flush()
    state = await stripe.aio.state()
    objects = state["objects"]
    sessions = objects["checkout.session"]
    assert {(session["status"], session["payment_status"]) for session in sessions} == {("complete", "paid")}
    assert len({session["client_reference_id"] for session in sessions}) == count
    intents = {intent["id"]: intent for intent in objects["payment_intent"]}
    charges = {charge["id"]: charge for charge in objects["charge"]}
    assert len(intents) == len(charges) == count
    for session in sessions:
        charge = charges[intents[session["payment_intent"]]["latest_charge"]]
        assert (charge["payment_intent"], charge["amount"], charge["paid"]) == (session["payment_intent"], 100, True)
    assert sum(transaction["amount"] for transaction in objects["balance_transaction"]) == 100 * count
    assert set(Counter(event["type"] for event in state["events"]).values()) == {count}
    assert {row["state"] for row in state["deliveries"]} == {"delivered"}
    assert {event["id"] for event in receiver.events} == {event["id"] for event in state["events"]}
    assert len(receiver.heard) > 5 * count, "some came more than once"
    fates = Counter((row["type"], str(row["script"])) for row in state["deliveries"])
    assert fates == _fates_of(11, count, {row["type"] for row in state["deliveries"]})
    await stripe.aio.reset()  # checked above; five thousand more schema checks would only cost time


def _fates_of(seed: int, count: int, types: set[str]) -> Counter[tuple[str, str]]:
    """What the seed promises, however the thousand were interleaved."""
    from dataclasses import asdict

    from stripe_stub.scripts import Scripts

    scripts = Scripts()
    scripts.add({"seed": seed})
    return Counter((type_, str(asdict(scripts.fate(type_, "we")))) for type_ in types for _ in range(count))
