"""What a gateway writes to its log is no credential: not one, over everything that can be bought."""

import json
import socket
from collections.abc import Callable

from harness import PATIENCE, SECRET, WEBHOOK_SECRET, Buyer, change, problem
from served import Served

BODY = {"fmu_id": "test:Slow", "step": 0.1}


def break_it(gateway: Served) -> str:
    """Brings about what nobody foresaw, in the middle of opening this checkout: a traceback among secrets."""
    quote = gateway.quote(BODY)
    gateway.stripe.fault("error", status=500, path="/v1/checkout/sessions*", times=None)
    assert gateway.get(quote["checkout_url"]).status_code == 502
    change(gateway.database, "UPDATE purchase SET amount = 1 WHERE state = 'new'")
    problem(gateway.get(quote["checkout_url"]), 500, "internal_error")
    return str(quote["checkout_url"].rsplit("/", 1)[1])


def test_the_log_of_whole_purchases_holds_no_secret(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    key = gateway.http.post("/keys").json()["api_key"]
    keyed = Buyer(gateway.url, gateway.stripe, key)
    secrets = [key, SECRET, WEBHOOK_SECRET, "sk_test_acceptance"]
    for buyer in (gateway, keyed):
        bought = buyer.buy(BODY)
        code = bought.quote["checkout_url"].rsplit("/", 1)[1]
        secrets += [bought.token, bought.session_id, code, bought.redirect_url.split("return=")[1]]
        answers = [
            buyer.get(bought.redirect_url),
            buyer.simulate(BODY, bought.token, headers={"idempotency-key": "log-me-not"}),
            buyer.simulate(BODY, bought.token),
            buyer.simulate({"fmu_id": "msl:DCMotor"}, bought.token),
            buyer.status(bought.session_id, params={"wait": 0}),
            buyer.status(bought.session_id + "x"),
            buyer.get(bought.quote["checkout_url"]),
            buyer.get(f"/nowhere/{bought.token}?secret={bought.token}"),
            buyer.http.post("/webhooks/stripe", content=bought.session_id, headers={"stripe-signature": "t=1,v1=x"}),
        ]
        assert [answer.status_code for answer in answers] == [200, 200, 410, 410, 410, 404, 303, 404, 400]
    free = gateway.simulate({"fmu_id": "msl:VanDerPol"}).json()
    secrets.append(free["run_token"])
    secrets.append(break_it(gateway))
    keyed.http.close()
    assert gateway.stop() == 0

    log = gateway.log.read_text()
    for secret in (*secrets, "log-me-not", "?secret", "wait=", "session_id="):
        assert secret not in log, secret
    assert "is not a whole number of minor units" in log  # the traceback is there, without what its frames held
    lines = [json.loads(line) for line in log.splitlines() if line.startswith("{")]
    routes = {line["route"] for line in lines if line["event"] == "request"}
    assert {"/simulate", "/payments/checkout/{session_id}", "/checkout/{quote}", "-"} <= routes
    assert {"checkout_opened", "held", "captured"} <= {line["event"] for line in lines}


def test_every_line_is_json_whatever_strangers_send(serve: Callable[[], Served]) -> None:
    gateway = serve().wait_until_ready()
    for _ in range(20):
        with socket.create_connection(("127.0.0.1", gateway.http.base_url.port or 0), timeout=PATIENCE) as connection:
            connection.sendall(b"\x16\x03\x01 this is no HTTP\r\n\r\n")
            assert connection.recv(100).startswith(b"HTTP/1.1 400 ")
    upgrade = {"connection": "upgrade", "upgrade": "websocket"}
    assert gateway.get("/health", headers=upgrade).status_code == 200
    assert gateway.stop() == 0
    lines = [json.loads(line) for line in gateway.log.read_text().splitlines()]
    told = [line["message"] for line in lines if line["event"] == "library"]
    assert told.count("Invalid HTTP request received.") == 1
    assert len(told) < 5
