"""Keys: a new account with its first key, shown once; and revoking one."""

import base64

from starlette.requests import Request
from starlette.responses import Response

from gateway.domain.accounts import KEY_PREFIX, hash_key
from gateway.domain.requests import KeysBody, parse
from gateway.errors import KeyNotFound, KeyRefused
from gateway.flows.services import Services
from gateway.web.answers import JsonResponse
from gateway.web.limits import within
from gateway.web.requests import client_address, identify, read_body, read_headers

KEY_BYTES = 32


async def create(request: Request) -> Response:
    """POST /keys."""
    services: Services = request.app.state.services
    body = parse(KeysBody, await read_body(request.scope, request.receive, services.settings.max_body_kib * 1024))
    assert isinstance(body, KeysBody)
    headers = read_headers(request.scope)
    identify(services, headers)  # a wrong key is refused even where none is needed
    address = client_address(request.scope, headers, services.settings.trusted_proxies)
    within(request.scope, request.app.state.rates.keys, address, "new keys")
    secret = base64.urlsafe_b64encode(services.random_bytes(KEY_BYTES)).rstrip(b"=").decode()
    api_key = KEY_PREFIX + secret
    account_id, key_id = services.new_id("acc"), services.new_id("key")
    await services.store.add_account(
        account_id=account_id,
        key_id=key_id,
        key_hash=hash_key(api_key),
        email=body.email,
        name=body.name,
        now=services.now(),
    )
    answer = {"api_key": api_key, "key_id": key_id, "account_id": account_id}
    return JsonResponse(answer, status_code=201, headers={"cache-control": "no-store"})


async def revoke(request: Request) -> Response:
    """DELETE /keys/{key_id}: at once, also the key that asks for it."""
    services: Services = request.app.state.services
    sender = identify(services, read_headers(request.scope))
    if sender.account_id is None:
        raise KeyRefused("Revoking a key takes a key of the same account.")
    if not await services.store.revoke_key(request.path_params["key_id"], sender.account_id, now=services.now()):
        raise KeyNotFound()
    return Response(status_code=204)
