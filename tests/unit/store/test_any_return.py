"""Whatever goes back, by whomever, in whatever order and however late it is told: our books end as Stripe's are."""

from dataclasses import dataclass, field
from typing import Any

from books import AMOUNT, FAILURE, SUCCESS, hold, pay
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import invariant, rule
from machine import Machine

from gateway.store import money, otherwise, returns
from gateway.store.store import violations

PURCHASES = ("pur_1", "pur_2")
WHICH = st.sampled_from(PURCHASES)
PARTS = st.sampled_from([1, 300_000, 400_000, 600_000, 700_000, AMOUNT])


@dataclass
class Back:
    """A refund or dispute, as Stripe has it."""

    id: str
    amount: int
    order: str | None = None
    disputed: bool = False
    status: str = "succeeded"


@dataclass
class Charge:
    """A payment, as Stripe has it: what went back of it, in the order in which it did."""

    back: list[Back] = field(default_factory=list)

    @property
    def left(self) -> int:
        return AMOUNT - sum(each.amount for each in self.back if each.status not in ("failed", "won"))

    @property
    def disputed(self) -> bool:
        return any(each.disputed for each in self.back)


class Returns(Machine):
    """Two paid purchases. What happens at Stripe happens at once; our books hear of it by `is_told`, or not yet."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.charges = {purchase: Charge() for purchase in PURCHASES}
        for purchase in PURCHASES:
            assert pay(self.db, purchase)

    def teardown(self) -> None:
        """At last all runs are over and all is told: then the books are equal, payment by payment."""
        for row in self.db.execute("SELECT id FROM run WHERE state = 'running'").fetchall():
            assert self.book(returns.finish_run, row["id"], FAILURE)
        for purchase in PURCHASES:
            self.is_told(purchase)
        assert violations(self.path) == []
        for purchase, charge in self.charges.items():
            assert -self.moved(purchase, "stripe") == charge.left
            assert -self.moved(purchase, "loss") <= self.moved(purchase, "revenue")  # nobody pays for what was not sold
        super().teardown()

    def moved(self, purchase: str, noun: str) -> int:
        """What the transfers of a purchase brought to the accounts of a noun."""
        sql = "SELECT * FROM transfer WHERE ref = ?"
        rows = self.db.execute(sql, [purchase]).fetchall()
        came = sum(row["amount"] for row in rows if row["credit"].startswith(f"{noun}:"))
        return int(came - sum(row["amount"] for row in rows if row["debit"].startswith(f"{noun}:")))

    def book(self, verb: Any, *args: Any, **more: Any) -> Any:
        with self.attempt():
            return verb(self.db, *args, **more, now=self.now)

    def new(self, prefix: str) -> str:
        self.count += 1
        return f"{prefix}_{self.count}"

    @rule(purchase=WHICH)
    def is_held(self, purchase: str) -> None:
        with self.attempt():
            hold(self.db, self.new("run"), purchase, now=3)

    @rule(purchase=WHICH, ending=st.sampled_from([SUCCESS, FAILURE]))
    def run_ends(self, purchase: str, ending: money.Ending) -> None:
        for row in self.db.execute(
            "SELECT id FROM run WHERE token_id = ? AND state = 'running'", [purchase]
        ).fetchall():
            self.book(returns.finish_run, row["id"], ending)

    @rule(purchase=WHICH)
    def refund_is_asked_for(self, purchase: str) -> None:
        self.book(returns.ask_refund, purchase, reason="r")

    @rule(purchase=WHICH, told=st.booleans())
    def order_reaches_stripe(self, purchase: str, told: bool) -> None:
        """It is carried out, and the answer comes back or not; or it is refused for good, as flows/refund does it."""
        charge = self.charges[purchase]
        sql = "SELECT id, amount FROM outbox WHERE ref = ? AND state = 'todo'"
        for order in self.db.execute(sql, [purchase]).fetchall():
            before = [back for back in charge.back if back.order == order["id"]]  # the same idempotency key
            if not before and charge.disputed | (order["amount"] > charge.left):
                if charge.left or charge.disputed:
                    self.is_told(purchase)
                    self.book(returns.refuse_refund, order["id"], reason="no")
                continue
            if not before:
                charge.back.append(Back(self.new("re"), order["amount"], order["id"]))
            refund = before[0] if before else charge.back[-1]
            if told:
                self.book(returns.finish_refund, order["id"], refund_id=refund.id)

    @rule(purchase=WHICH, part=PARTS)
    def refund_in_the_dashboard(self, purchase: str, part: int) -> None:
        charge = self.charges[purchase]
        if part <= charge.left and not charge.disputed:
            charge.back.append(Back(self.new("re"), part))

    @rule(purchase=WHICH, first=st.booleans())
    def refund_fails(self, purchase: str, first: bool) -> None:
        done = [each for each in self.charges[purchase].back if not each.disputed and each.status == "succeeded"]
        if done:
            done[0 if first else -1].status = "failed"

    @rule(purchase=WHICH)
    def is_disputed(self, purchase: str) -> None:
        charge = self.charges[purchase]
        if charge.left and not charge.disputed:
            charge.back.append(Back(self.new("dp"), charge.left, disputed=True, status="needs_response"))

    @rule(purchase=WHICH, end=st.sampled_from(["won", "lost"]))
    def dispute_ends(self, purchase: str, end: str) -> None:
        for each in self.charges[purchase].back:
            if each.disputed and each.status == "needs_response":
                each.status = end

    @rule(purchase=WHICH)
    def is_told(self, purchase: str) -> None:
        """As flows/settle_returns books what Stripe lists."""
        for each in self.charges[purchase].back:
            if each.disputed and each.status == "won":
                self.book(returns.dispute_won, purchase, each.id)
            elif each.disputed:
                self.book(returns.take_back, purchase, each.id, each.amount, disputed=True)
                if each.status == "lost":
                    with self.attempt():
                        returns.dispute_lost(self.db, purchase)
            elif each.order is not None:
                self.book(returns.finish_refund, each.order, refund_id=each.id)
            elif each.status != "failed":
                self.book(returns.take_back, purchase, each.id, each.amount, disputed=False)
            if each.status == "failed":
                self.book(returns.refund_failed, each.id)

    @rule(purchase=WHICH)
    def is_given_back_by_hand(self, purchase: str) -> None:
        self.book(otherwise._give_back, purchase, livemode=False, dry_run=False)

    @invariant()
    def nobody_can_spend_less_than_a_run_costs(self) -> None:
        sql = "SELECT b.amount FROM token k JOIN balance b ON b.acct = 'token:' || k.id WHERE k.state = 'ready'"
        assert {row["amount"] for row in self.db.execute(sql)} <= {AMOUNT}


TestAnyReturn = Returns.TestCase
TestAnyReturn.settings = settings(
    max_examples=60, stateful_step_count=25, deadline=None, suppress_health_check=list(HealthCheck)
)
