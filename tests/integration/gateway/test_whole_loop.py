"""Quote, pay, collect, run, read: the whole loop, for everybody."""

import pytest
from harness import BALL, Gateway


@pytest.mark.parametrize("keyed", [False, True], ids=["without a key", "with a key"])
def test_a_run_is_quoted_paid_run_and_receipted(gateway: Gateway, keyed: bool) -> None:
    buyer = gateway.account() if keyed else gateway
    quote = buyer.quote()
    assert {"checkout_url", "session_id", "amount", "methods", "next_step", "status_url", "expires_at"} <= set(quote)
    assert (quote["amount"], quote["currency"], quote["methods"]) == ("1.00", "usd", ["stripe_checkout"])
    bought = buyer.buy()
    answer = buyer.simulate(BALL, bought.token)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert said["data"]["time"][-1] == 1.0
    assert said["receipt"]["purchase"] == buyer.purchase_id(bought)
