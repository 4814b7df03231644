"""While another process holds the database whoever wants to change something is told to come again, as openapi.yaml
says of each operation, and nothing is lost."""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from harness import Buyer, Gateway, problem
from promised import promised_codes
from uploading import bring, fmu

OPERATIONS = ["POST /keys", "DELETE /keys/{key_id}", "POST /fmus", "DELETE /fmus/{fmu_id}", "POST /pay",
              "GET /checkout/{quote}", "GET /payments/checkout/{session_id}", "GET /payments/success",
              "POST /webhooks/stripe", "POST /simulate"]  # fmt: skip


def prepare(operation: str, gateway: Gateway, owner: Buyer) -> Callable[[], httpx.Response]:
    """A request that will change the database, with everything done before that it needs."""
    path = operation.split()[1]
    if operation == "DELETE /keys/{key_id}":
        created = gateway.http.post("/keys").json()
        return lambda: gateway.another(created["api_key"]).http.delete(f"/keys/{created['key_id']}")
    if path == "/fmus":
        return lambda: owner.http.post("/fmus", content=fmu(tag="while it is locked"))
    if path == "/fmus/{fmu_id}":
        uploaded = bring(owner, fmu(tag="to be taken back"))["fmu_id"]
        return lambda: owner.http.delete(f"/fmus/{uploaded}")
    if path == "/pay":
        return lambda: owner.http.post("/pay", json={"fmu_id": "msl:BouncingBall"})
    if path == "/checkout/{quote}":
        quote = gateway.quote()
        return lambda: gateway.get(quote["checkout_url"])
    if path == "/webhooks/stripe":
        body = json.dumps({"id": "evt_1", "object": "event", "type": "charge.refunded", "livemode": False,
                           "data": {"object": {"id": "ch_1", "object": "charge"}}}).encode()  # fmt: skip
        signature = {"stripe-signature": gateway.stripe.sign(body)}
        return lambda: gateway.http.post("/webhooks/stripe", content=body, headers=signature)
    if path == "/keys":
        return lambda: gateway.http.post("/keys")
    bought = gateway.buy()
    if path == "/simulate":
        return lambda: gateway.simulate(token=bought.token)
    gateway.call(expire_tokens)  # whoever asks is given the next one
    page = f"/payments/success?session_id={bought.stripe_session_id}"
    return lambda: gateway.status(bought.session_id) if path.startswith("/payments/checkout") else gateway.get(page)


async def expire_tokens(services: Any) -> None:
    await services.store.write(lambda db: db.execute("UPDATE token SET expires_at = 1").rowcount)


@pytest.mark.parametrize("operation", OPERATIONS)
def test_who_would_change_something_is_told_to_come_again(open_gateway: Callable[..., Gateway], operation: str) -> None:
    gateway = open_gateway()
    request = prepare(operation, gateway, gateway.account())
    with gateway.locked():
        answer = request()
    problem(answer, 503, "busy")
    assert int(answer.headers["retry-after"]) > 0
    assert "busy" in promised_codes(operation, 503)
    assert request().status_code < 400


@pytest.mark.parametrize("operation", OPERATIONS)
def test_a_full_disk_may_refuse_the_same(operation: str) -> None:
    assert "storage_full" in promised_codes(operation, 507)
