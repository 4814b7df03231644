"""From checkout_url to Stripe and back: one session however often it is asked for, one browser that sees the token."""

from collections.abc import Callable
from typing import Any
from urllib.parse import urlsplit

import httpx
import pytest
from harness import Bought, Buyer, Gateway, at_once, change, problem

CREATE = ("POST", "/v1/checkout/sessions")


def created(gateway: Gateway) -> int:
    return sum((call["method"], call["path"]) == CREATE for call in gateway.stripe.calls())


def purchases(gateway: Gateway) -> int:
    return int(gateway.rows("SELECT count(*) AS n FROM purchase")[0]["n"])


@pytest.mark.parametrize(
    ("method", "headers", "status"),
    [
        ("HEAD", {}, 200), ("GET", {"purpose": "prefetch"}, 503), ("GET", {"sec-purpose": "prefetch;prerender"}, 503),
        ("GET", {"x-moz": "prefetch"}, 503), ("GET", {"x-purpose": "Prefetch"}, 503),
    ],
)  # fmt: skip
def test_who_only_looks_ahead_creates_nothing(gateway: Gateway, method: str, headers: Any, status: int) -> None:
    quote = gateway.quote()
    gateway.stripe.reset_calls()
    before = purchases(gateway)
    assert gateway.http.request(method, quote["checkout_url"], headers=headers).status_code == status
    assert (created(gateway), purchases(gateway)) == (0, before)


def test_who_looks_at_a_checkout_first_is_told_what_opening_it_would_say(gateway: Gateway) -> None:
    def look(quote: dict[str, Any]) -> httpx.Response:
        answer = gateway.http.head(quote["checkout_url"])
        assert "set-cookie" not in answer.headers
        return answer

    opened, unopened, bought = gateway.quote(), gateway.quote(), gateway.buy()
    session = gateway.open(opened)
    gateway.stripe.reset_calls()
    before = purchases(gateway)
    paid = look(bought.quote)
    assert (paid.status_code, bought.stripe_session_id in paid.headers["location"]) == (303, True)
    gateway.later(61 * 60)
    assert (look(opened).status_code, look(unopened).status_code) == (200, 410)
    change(gateway.settings.database_path, "UPDATE purchase SET state = 'expired' WHERE stripe_session_id = ?", session)
    assert look(opened).status_code == 410
    assert (gateway.stripe.calls(), purchases(gateway)) == ([], before)


def test_many_who_open_one_quote_get_one_session(gateway: Gateway) -> None:
    quote = gateway.quote()
    gateway.stripe.reset_calls()
    before = purchases(gateway)
    answers = at_once(8, lambda _: gateway.get(quote["checkout_url"]))
    assert {answer.status_code for answer in answers} == {303}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert (created(gateway), purchases(gateway)) == (1, before + 1)


def test_a_lost_answer_of_stripe_makes_no_second_session(gateway: Gateway) -> None:
    quote = gateway.quote()
    gateway.stripe.fault("cut", path=CREATE[1], method="POST", when="after", times=3)
    problem(gateway.get(quote["checkout_url"]), 502, "stripe_error")
    gateway.stripe.clear_faults()
    session = gateway.open(quote)
    purchase = gateway.rows("SELECT id FROM purchase WHERE stripe_session_id = ?", session)[0]["id"]
    made = [s["id"] for s in gateway.stripe.objects("checkout.session") if s["client_reference_id"] == purchase]
    assert made == [session]


def test_stripe_asks_for_exactly_what_was_quoted_until_at_least_its_minimum(gateway: Gateway) -> None:
    opened = gateway.open(gateway.quote({"fmu_id": "msl:DCMotor"}))
    session = next(s for s in gateway.stripe.objects("checkout.session") if s["id"] == opened)
    assert (session["amount_total"], session["currency"], session["mode"]) == (250, "usd", "payment")
    assert session["expires_at"] - session["created"] > 30 * 60


def test_an_opened_quote_can_be_paid_after_its_end_and_an_unopened_one_cannot(gateway: Gateway) -> None:
    opened, unopened = gateway.quote(), gateway.quote()
    location = gateway.get(opened["checkout_url"]).headers["location"]
    gateway.later(61 * 60)
    problem(gateway.get(unopened["checkout_url"]), 410, "quote_expired")
    assert gateway.get(opened["checkout_url"]).headers["location"] == location


def test_a_paid_checkout_url_leads_to_the_success_page_without_its_secret(gateway: Gateway) -> None:
    bought = gateway.buy()
    answer = gateway.another().get(bought.quote["checkout_url"])
    assert answer.status_code == 303
    assert answer.headers["location"].endswith(f"/payments/success?session_id={bought.stripe_session_id}")
    assert "set-cookie" not in answer.headers


def page(buyer: Buyer, url: str, **headers: str) -> dict[str, Any]:
    answer = buyer.get(url, headers={"accept": "application/json", **headers})
    assert answer.status_code == 200, answer.text
    assert answer.headers["cache-control"] == "no-store"
    found: dict[str, Any] = answer.json()
    return found


def test_the_success_page_shows_the_token_to_the_browser_that_paid_and_to_no_other(gateway: Gateway) -> None:
    payer, nobody = gateway.another(), gateway.another()
    bought = payer.buy()
    assert page(payer, bought.redirect_url)["payment_token"] == bought.token
    assert bought.token in payer.get(bought.redirect_url).text
    # The address alone, as it stands in histories and logs:
    assert set(page(nobody, bought.redirect_url)) == {"status", "expires_at"}
    assert bought.token not in nobody.get(bought.redirect_url).text
    # The cookie without what only Stripe's redirect carries:
    without = bought.redirect_url.split("&return=")[0]
    for wrong in ("", "&return=", "&return=x", f"&return={'0' * 32}", "&return=é"):
        assert "payment_token" not in page(payer, without + wrong)


def test_a_cookie_of_another_checkout_shows_nothing(gateway: Gateway) -> None:
    payer, other = gateway.another(), gateway.another()
    bought = payer.buy()
    name, code = next(iter(payer.http.cookies.items()))
    other.buy()
    _, others_code = next(iter(other.http.cookies.items()))
    assert "payment_token" not in page(other, bought.redirect_url)
    for value in (others_code, bought.session_id, bought.token, code[:-1], "x", ""):
        assert "payment_token" not in page(gateway.another(), bought.redirect_url, cookie=f"{name}={value}")
    assert "payment_token" not in page(gateway.another(), bought.redirect_url, cookie=f"fmu_other={code}")
    assert page(gateway.another(), bought.redirect_url, cookie=f"{name}={code}")["payment_token"] == bought.token


def test_the_cookie_is_for_the_success_page_only_and_out_of_scripts_reach(gateway: Gateway) -> None:
    header = gateway.get(gateway.quote()["checkout_url"]).headers["set-cookie"].lower()
    for part in ("httponly", "samesite=lax", "path=/payments/success"):
        assert part in header


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_what_links_are_built_from_says_whether_the_cookie_is_for_https_only(
    open_gateway: Callable[..., Gateway], scheme: str
) -> None:
    gateway = open_gateway(public_base_url=f"{scheme}://shop.example", trusted_proxies=("127.0.0.1",))
    local = gateway.another()
    local.http.base_url = f"http://127.0.0.1:{gateway.settings.port}"  # type: ignore[assignment]
    path = urlsplit(local.quote()["checkout_url"]).path
    for said in ("http", "https"):  # by the proxy, which may be wrong: the buyer's browser follows our links
        answer = local.get(path, headers={"x-forwarded-proto": said})
        assert ("secure" in answer.headers["set-cookie"].lower()) == (scheme == "https")


def test_bought_with_a_key_the_success_page_never_shows_the_token(gateway: Gateway) -> None:
    owner = gateway.account()
    bought = owner.buy()
    for buyer in (owner, gateway.another()):
        assert "payment_token" not in page(buyer, bought.redirect_url)
        assert bought.token not in buyer.get(bought.redirect_url).text


def test_an_unknown_session_has_no_success_page(gateway: Gateway) -> None:
    for query in ("", "?session_id=", "?session_id=cs_test_unknown"):
        problem(gateway.get(f"/payments/success{query}"), 404, "purchase_not_found")


def test_the_cancelled_page_leads_back_to_paying_and_reveals_nothing(gateway: Gateway) -> None:
    quote = gateway.quote()
    (purchase,) = gateway.rows("SELECT cancel_url FROM purchase WHERE stripe_session_id = ?", gateway.open(quote))
    text = gateway.get(urlsplit(purchase["cancel_url"])._replace(scheme="", netloc="").geturl()).text
    assert quote["checkout_url"].rsplit("/", 1)[1] in text
    assert quote["session_id"] not in text
    assert gateway.get("/payments/cancelled").status_code == 200


def pay(buyer: Buyer, **body: Any) -> httpx.Response:
    return buyer.http.post("/pay", json=body)


def test_pay_opens_a_quote_or_a_model_and_answers_with_stripes_url(gateway: Gateway) -> None:
    quote = gateway.quote()
    answer = pay(gateway, session_id=quote["session_id"]).json()
    assert answer["checkout_url"].startswith(gateway.stripe.url)
    assert (answer["session_id"], answer["amount"], answer["currency"]) == (quote["session_id"], "1.00", "usd")
    assert answer["stripe_session_id"] in answer["checkout_url"]
    assert pay(gateway, session_id=quote["session_id"]).json() == answer
    eager = pay(gateway, fmu_id="msl:BouncingBall").json()
    gateway.stripe.pay(eager["stripe_session_id"])
    assert gateway.collect(eager["session_id"])


def test_pay_gives_a_keyed_account_its_open_purchase_again_until_it_is_paid(gateway: Gateway) -> None:
    owner = gateway.account()
    first = pay(owner, fmu_id="msl:BouncingBall").json()
    assert pay(owner, fmu_id="msl:BouncingBall").json() == first
    assert pay(gateway.account(), fmu_id="msl:BouncingBall").json()["session_id"] != first["session_id"]
    assert pay(gateway, fmu_id="msl:BouncingBall").json()["session_id"] != first["session_id"]
    assert pay(owner, fmu_id="msl:DCMotor").json()["session_id"] != first["session_id"]
    gateway.stripe.pay(first["stripe_session_id"])
    paid = problem(pay(owner, session_id=first["session_id"]), 409, "already_paid")
    assert paid["status_url"].endswith(first["session_id"])
    assert pay(owner, fmu_id="msl:BouncingBall").json()["session_id"] != first["session_id"]


def test_20_who_pay_at_once_with_one_key_get_one_purchase(gateway: Gateway) -> None:
    owner = gateway.account()
    gateway.stripe.reset_calls()
    before = purchases(gateway)
    answers = at_once(20, lambda _: pay(owner, fmu_id="msl:BouncingBall"))
    assert {answer.status_code for answer in answers} == {200}, {answer.text for answer in answers}
    assert len({answer.json()["session_id"] for answer in answers}) == 1
    assert len({answer.json()["stripe_session_id"] for answer in answers}) == 1
    assert (created(gateway), purchases(gateway)) == (1, before + 1)


def test_an_account_is_not_kept_to_a_purchase_that_stripe_will_not_open(gateway: Gateway) -> None:
    """What Stripe answered with an error is repeated under its idempotency key for a day."""
    owner = gateway.account()
    once = {"path": "/v1/checkout/sessions", "method": "POST", "when": "after", "times": 1}
    gateway.stripe.fault("error", status=500, **once)
    problem(pay(owner, fmu_id="msl:BouncingBall"), 502, "stripe_error")
    assert pay(owner, fmu_id="msl:BouncingBall").status_code == 200


LONG = "https://{own}/" + "x" * 2048
REFUSED = [
    "https://evil.example/", "http://evil.example/", "//evil.example", "javascript:alert(1)", "/relative", "", "x",
    "https://user@{own}/", "https://user:pass@{own}/", "https://{own}@evil.example/", "https://{own}.evil.example/",
    "https://evil.example\\@{own}/", "http://{own}\n.evil.example/", "https://{own}/\r\nx", "https://{own}/\x00",
    "https://{own}/ x", "https://[::1", "ftp://{own}/", "https://{host}:1/", LONG, "HTTPS://EVIL.example",
]  # fmt: skip


@pytest.mark.parametrize("field", ["success_url", "cancel_url"])
def test_a_buyer_is_sent_only_where_the_operator_allows(gateway: Gateway, field: str) -> None:
    own, before = gateway.settings.own_host, purchases(gateway)
    for url in REFUSED:
        text = url.format(own=own, host=own.split(":")[0])
        refused = problem(pay(gateway, fmu_id="msl:BouncingBall", **{field: text}), 422, "invalid_request")
        assert refused["field"] == field, text
    assert purchases(gateway) == before
    session = pay(gateway, fmu_id="msl:BouncingBall", **{field: f"http://{own}/mine?x={{CHECKOUT_SESSION_ID}}"}).json()
    made = next(s for s in gateway.stripe.objects("checkout.session") if s["id"] == session["stripe_session_id"])
    assert made[field].startswith(f"http://{own}/mine")


@pytest.mark.parametrize(
    ("body", "field"),
    [({}, "session_id"), ({"session_id": "a", "fmu_id": "b"}, "session_id"), ({"fmu": "a"}, "fmu"),
     ({"fmu_id": 1}, "fmu_id"), ({"session_id": "x" * 500}, "session_id"), ({"success_url": 3}, "success_url")],
)  # fmt: skip
def test_pay_names_what_is_wrong(gateway: Gateway, body: Any, field: str) -> None:
    assert problem(pay(gateway, **body), 422, "invalid_request")["field"] == field


def test_there_is_nothing_to_pay_for_a_free_or_unknown_model(gateway: Gateway) -> None:
    problem(pay(gateway, fmu_id="msl:VanDerPol"), 422, "model_is_free")
    assert problem(pay(gateway, fmu_id="msl:BouncinBall"), 404, "model_not_found")["did_you_mean"] == "msl:BouncingBall"


def test_what_was_bought_is_what_the_stripe_session_says(gateway: Gateway) -> None:
    bought: Bought = gateway.buy()
    session = next(s for s in gateway.stripe.objects("checkout.session") if s["id"] == bought.stripe_session_id)
    assert session["metadata"] == {"purchase": session["client_reference_id"]}
    intent = next(i for i in gateway.stripe.objects("payment_intent") if i["id"] == session["payment_intent"])
    assert intent["metadata"] == session["metadata"]
