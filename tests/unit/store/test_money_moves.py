"""The operations that move money: each whole or not at all, each at most once."""

import pytest
from books import AMOUNT, FAILURE, SUCCESS, begin, fields, hold, pay, settle

from gateway.domain.purchases import PurchaseState
from gateway.domain.tokens import TokenState
from gateway.store import money, returns
from gateway.store.connection import queries
from gateway.store.money import Ending, Refused
from gateway.store.records import purchase_of, token_of
from gateway.store.statements import Database
from gateway.store.store import Store


def token(db: Database, purchase_id: str = "pur_1") -> TokenState:
    return token_of(queries.token(db, id=purchase_id)).state


def state(db: Database, purchase_id: str = "pur_1") -> PurchaseState:
    return purchase_of(queries.purchase(db, id=purchase_id)).state


def balance(db: Database, account: str) -> int:
    row = db.execute("SELECT amount FROM balance WHERE acct = ?", [account]).fetchone()
    return row[0] if row else 0


def test_settling_twice_credits_once(db: Database) -> None:
    assert pay(db)
    assert not settle(db, "pur_1", now=50)
    assert balance(db, "token:pur_1") == 1_000_000
    assert db.execute("SELECT count(*) FROM token").fetchone()[0] == 1


def test_money_that_comes_late_is_taken_all_the_same(db: Database) -> None:
    for move in (PurchaseState.EXPIRED, PurchaseState.FAILED):
        begin(db, move)
        money.open_purchase(db, move, stripe_session_id=f"cs_{move}", checkout_url="u")
        assert money.move_purchase(db, move, move, stripe_session_id=None)
        assert settle(db, move)
        assert token(db, move) is TokenState.READY


def test_a_paid_purchase_never_becomes_unpaid(db: Database) -> None:
    pay(db)
    for move in (PurchaseState.EXPIRED, PurchaseState.FAILED, PurchaseState.PROCESSING):
        assert not money.move_purchase(db, "pur_1", move, stripe_session_id=None)
    assert state(db) is PurchaseState.PAID


def test_only_an_open_or_new_purchase_expires(db: Database) -> None:
    begin(db)
    assert money.move_purchase(db, "pur_1", PurchaseState.PROCESSING, stripe_session_id="cs_1")
    assert not money.move_purchase(db, "pur_1", PurchaseState.EXPIRED, stripe_session_id=None)


def test_another_session_does_not_pay_a_purchase(db: Database) -> None:
    begin(db)
    money.open_purchase(db, "pur_1", stripe_session_id="cs_first", checkout_url="u")
    assert not settle(db, "pur_1")
    assert state(db) is PurchaseState.OPEN


def test_a_webhook_that_was_faster_than_the_answer_stands(db: Database) -> None:
    pay(db)
    money.open_purchase(db, "pur_1", stripe_session_id="cs_pur_1", checkout_url="u")
    assert state(db) is PurchaseState.PAID


@pytest.mark.parametrize(
    "wrong",
    [
        {"generation": 2}, {"generation": 0}, {"livemode": True}, {"now": 102}, {"fmu_sha256": "another"},
        {"price": AMOUNT - 1}, {"currency": "eur"},
    ],
    ids=[
        "next generation", "earlier generation", "other mode", "past its expiry", "another model",
        "another price", "another currency",
    ],
)  # fmt: skip
def test_a_token_is_held_only_for_exactly_what_it_is(db: Database, wrong: dict[str, object]) -> None:
    pay(db)
    with pytest.raises(Refused):
        hold(db, **wrong)
    assert db.execute("SELECT count(*) FROM run").fetchone()[0] == 0
    hold(db)


def test_a_held_token_is_not_held_again(db: Database) -> None:
    pay(db)
    hold(db)
    with pytest.raises(Refused):
        hold(db, "run_2")
    assert token(db) is TokenState.HELD


def test_success_spends_the_token_and_failure_gives_it_back(db: Database) -> None:
    pay(db)
    hold(db)
    assert money.finish_run(db, "run_1", FAILURE, now=4)
    assert token(db) is TokenState.READY
    assert balance(db, "token:pur_1") == 1_000_000
    hold(db, "run_2")
    assert money.finish_run(db, "run_2", SUCCESS, now=6)
    assert token(db) is TokenState.SPENT
    assert (balance(db, "token:pur_1"), balance(db, "revenue:test:usd")) == (0, 1_000_000)


def test_a_run_ends_once(db: Database) -> None:
    pay(db)
    hold(db)
    assert money.finish_run(db, "run_1", SUCCESS, now=4)
    assert money.finish_run(db, "run_1", FAILURE, now=5) is None
    assert money.finish_run(db, "run_1", SUCCESS, now=5) is None
    assert token(db) is TokenState.SPENT


def test_a_failed_run_frees_its_idempotency_key_and_a_running_one_holds_it(db: Database) -> None:
    for name in ("pur_1", "pur_2"):
        pay(db, name)
    hold(db, "run_1", "pur_1", payer="acc", idem_key="k")
    db.execute("SAVEPOINT second")
    with pytest.raises(Refused):
        hold(db, "run_2", "pur_2", payer="acc", idem_key="k")
    db.execute("ROLLBACK TO second")
    money.finish_run(db, "run_1", FAILURE, now=4)
    hold(db, "run_2", "pur_2", payer="acc", idem_key="k", now=5)


def test_the_next_generation_comes_only_after_the_expiry_of_a_ready_token(db: Database) -> None:
    pay(db)  # until 102
    assert money.next_generation(db, "pur_1", expires_at=200, now=101).generation == 1
    assert money.next_generation(db, "pur_1", expires_at=202, now=102).generation == 2
    assert money.next_generation(db, "pur_1", expires_at=300, now=103).expires_at == 202
    hold(db, generation=2, now=110)
    assert money.next_generation(db, "pur_1", expires_at=400, now=300).generation == 2


def test_a_refund_is_ordered_only_for_a_ready_token_and_booked_once(db: Database) -> None:
    pay(db)
    hold(db)
    assert not returns.order_refund(db, "pur_1", reason="r", now=4)
    money.finish_run(db, "run_1", FAILURE, now=5)
    assert returns.order_refund(db, "pur_1", reason="r", now=6)
    assert not returns.order_refund(db, "pur_1", reason="r", now=6)
    with pytest.raises(Refused):
        hold(db, "run_2", now=7)
    assert returns.finish_refund(db, "refund:pur_1:1", refund_id="re", now=8)
    assert not returns.finish_refund(db, "refund:pur_1:1", refund_id="re", now=9)
    assert token(db) is TokenState.REFUNDED
    assert balance(db, "token:pur_1") == 0


def test_an_account_gets_its_open_purchase_again_and_nobody_elses(db: Database) -> None:
    db.executemany("INSERT INTO account VALUES (?, NULL, NULL, 1)", [("acc_1",), ("acc_2",)])

    def ask(purchase_id: str, *opening: str, **changes: object) -> str:
        return money.begin_purchase(db, fields(purchase_id, **changes), reuse=opening, now=10).id

    assert ask("first", account_id="acc_1") == "first"
    assert ask("while it is opened", "first", account_id="acc_1") == "first"
    assert ask("after nobody could open it", "another", account_id="acc_1") == "after nobody could open it"
    money.open_purchase(db, "first", stripe_session_id="cs_first", checkout_url="u")
    assert ask("second", account_id="acc_1") == "first"
    assert ask("other account", account_id="acc_2") == "other account"
    assert ask("other model", account_id="acc_1", fmu_sha256="x") == "other model"
    assert ask("other price", account_id="acc_1", amount=5_000_000) == "other price"
    assert ask("other mode", account_id="acc_1", livemode=1) == "other mode"
    settle(db, "first")
    assert ask("after paying", account_id="acc_1") == "after paying"
    assert money.begin_purchase(db, fields("too late", account_id="acc_1"), reuse=[], now=1000).id == "too late"


async def test_only_purchases_of_the_servers_mode_are_looked_after(store: Store) -> None:
    """Live money's key knows nothing of test purchases: asking Stripe for them would fail for ever."""
    for name, livemode in (("test", 0), ("live", 1)):
        await store.begin_purchase(fields(name, livemode=livemode), reuse=None, now=1)
    assert await store.unsettled_purchases(2000, livemode=False) == ["test"]
    assert await store.unsettled_purchases(2000, livemode=True) == ["live"]
    assert await store.unsettled_purchases(1999, livemode=True) == []


@pytest.mark.parametrize(("ending", "state"), [(SUCCESS, "spent"), (FAILURE, "refunding")])
def test_a_refund_that_was_wished_for_during_a_run_is_ordered_by_its_release_and_forgotten_by_its_capture(
    db: Database, ending: Ending, state: str
) -> None:
    pay(db)
    hold(db)
    assert returns.ask_refund(db, "pur_1", reason="r", now=4) is TokenState.HELD
    returns.finish_run(db, "run_1", ending, now=5)
    row = db.execute("SELECT state, refund_reason FROM token").fetchone()
    assert tuple(row) == (state, None)
