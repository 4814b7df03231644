"""Whatever is tried on the store, in whatever order: the invariants hold, and money is where the moves put it."""

from typing import Any

from books import AMOUNT, FAILURE, SUCCESS, begin, hold, settle
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, precondition, rule
from machine import Machine

from gateway.domain.purchases import PurchaseState
from gateway.store import money, returns

PURCHASES = st.sampled_from(["pur_1", "pur_2", "pur_3"])
RUNS = st.integers(1, 4).map("run_{}".format)
UNPAID = st.sampled_from([PurchaseState.PROCESSING, PurchaseState.EXPIRED, PurchaseState.FAILED])


class Books(Machine):
    """Three purchases, four run ids, every verb at any time. `booked` is what the moves that succeeded add up to."""

    def __init__(self) -> None:
        super().__init__()
        self.begun: set[str] = set()
        self.booked = {"stripe": 0, "revenue": 0}

    def move(self, account: str, happened: Any, amount: int) -> None:
        if happened:
            self.booked[account] += amount

    @rule(purchase=PURCHASES)
    def begins(self, purchase: str) -> None:
        with self.attempt():
            begin(self.db, purchase, self.now)
            self.begun.add(purchase)

    @precondition(lambda self: self.begun)
    @rule(purchase=PURCHASES)
    def opens(self, purchase: str) -> None:
        with self.attempt():
            if purchase in self.begun:
                money.open_purchase(self.db, purchase, stripe_session_id=f"cs_{purchase}", checkout_url="u")

    @rule(purchase=PURCHASES, state=UNPAID)
    def is_not_paid(self, purchase: str, state: PurchaseState) -> None:
        with self.attempt():
            money.move_purchase(self.db, purchase, state, stripe_session_id=f"cs_{purchase}")

    @rule(purchase=PURCHASES)
    def is_paid(self, purchase: str) -> None:
        with self.attempt():
            self.move("stripe", settle(self.db, purchase, self.now), -AMOUNT)

    @rule(purchase=PURCHASES, run=RUNS, generation=st.integers(1, 3))
    def is_held(self, purchase: str, run: str, generation: int) -> None:
        with self.attempt():
            hold(self.db, run, purchase, generation=generation, now=self.now)

    @rule(run=RUNS, ending=st.sampled_from([SUCCESS, FAILURE]))
    def run_ends(self, run: str, ending: money.Ending) -> None:
        with self.attempt():
            ended = money.finish_run(self.db, run, ending, now=self.now)
            self.move("revenue", ended is not None and ending is SUCCESS, AMOUNT)

    @precondition(lambda self: self.booked["stripe"])
    @rule(purchase=PURCHASES, later=st.sampled_from([0, 200]))
    def asks_for_the_next_token(self, purchase: str, later: int) -> None:
        with self.attempt():
            self.now += later
            if self.db.execute("SELECT 1 FROM token WHERE id = ?", [purchase]).fetchone():
                money.next_generation(self.db, purchase, expires_at=self.now + 100, now=self.now)

    @rule(purchase=PURCHASES)
    def refund_is_ordered(self, purchase: str) -> None:
        with self.attempt():
            returns.order_refund(self.db, purchase, reason="r", now=self.now)

    @rule(purchase=PURCHASES, attempt=st.integers(1, 2))
    def refund_is_carried_out(self, purchase: str, attempt: int) -> None:
        with self.attempt():
            done = returns.finish_refund(self.db, f"refund:{purchase}:{attempt}", refund_id="re", now=self.now)
            self.move("stripe", done, AMOUNT)

    @invariant()
    def the_money_is_where_the_moves_put_it(self) -> None:
        found = {row["acct"]: row["amount"] for row in self.db.execute("SELECT * FROM balance")}
        assert found.get("stripe:test:usd", 0) == self.booked["stripe"]
        assert found.get("revenue:test:usd", 0) == self.booked["revenue"]


TestAnySequence = Books.TestCase
TestAnySequence.settings = settings(
    max_examples=40, stateful_step_count=30, deadline=None, suppress_health_check=list(HealthCheck)
)
