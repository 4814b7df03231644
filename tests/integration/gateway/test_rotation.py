"""A new GATEWAY_SECRET in front of the old one: nothing that was issued is lost."""

from harness import BALL, House, problem

OLD, NEW = "the old secret of the harness", "the new secret of the harness"


def test_nothing_that_was_issued_is_lost_by_a_rotation(house: House) -> None:
    with house.gateway(gateway_secret=(OLD,)) as gateway:
        ready, quote, unpaid = gateway.buy(), gateway.quote(), gateway.quote()
        browser = gateway.another()
        to_stripe = browser.http.get(quote["checkout_url"])  # the cookie is signed with the old secret
        session = str(gateway.rows("SELECT stripe_session_id AS id FROM purchase ORDER BY created_at, rowid")[-1]["id"])
        free = gateway.simulate({"fmu_id": "msl:VanDerPol", "stop_time": 1.0, "step": 0.1}).json()
        cookies = dict(browser.http.cookies)
        paying = {"json": {"session_id": unpaid["session_id"]}, "headers": {"idempotency-key": "k"}}
        opened = gateway.http.post("/pay", **paying)
        assert opened.status_code == 200
        assert to_stripe.status_code == 303
    with house.gateway(gateway_secret=(NEW, OLD)) as gateway:
        for name, value in cookies.items():
            gateway.http.cookies.set(name, value, domain="127.0.0.1", path="/payments/success")
        paid = gateway.stripe.pay(session)
        seen = gateway.get(paid["redirect_url"], headers={"accept": "application/json"}).json()
        assert seen["status"] == "ready"  # the browser that paid is known again
        assert gateway.simulate(BALL, seen["payment_token"]).status_code == 200
        assert gateway.get(quote["checkout_url"]).status_code == 303
        fresh = gateway.collect(ready.session_id)
        assert fresh != ready.token  # the same right, signed with the new secret
        assert gateway.simulate(BALL, ready.token).status_code == 200
        problem(gateway.simulate(BALL, fresh), 410, "token_consumed")
        run_token = {"authorization": f"Bearer {free['run_token']}"}
        assert gateway.get(f"/runs/{free['run_id']}", headers=run_token).status_code == 200
        again = gateway.http.post("/pay", **paying)
        assert (again.headers["idempotent-replayed"], again.content) == ("true", opened.content)
        renewed = gateway.http.post("/pay", json={"session_id": again.json()["session_id"]}).json()
        assert renewed["session_id"] != again.json()["session_id"]  # the same purchase, signed with the new secret
        cancelled = gateway.get("/payments/cancelled", params={"purchase": gateway.rows(
            "SELECT id FROM purchase WHERE state = 'open'")[0]["id"]}).text  # fmt: skip
        assert "/checkout/fmq_" in cancelled
    with house.gateway(gateway_secret=(NEW,)) as gateway:
        problem(gateway.status(ready.session_id), 404, "purchase_not_found")
        problem(gateway.status(again.json()["session_id"]), 404, "purchase_not_found")
        assert gateway.status(renewed["session_id"]).json()["status"] == "pending"
