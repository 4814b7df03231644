"""The pages: as forms that any client can send, and in a real browser, without JavaScript where a buyer is."""

import importlib.util
import shutil
import time
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import stripe as stripe_python
from stripe import StripeClient
from stripe_support import Receiver, order

from stripe_stub.testing import LocalStripe

CHROMIUM = shutil.which("chromium")
browser_only = pytest.mark.skipif(
    CHROMIUM is None or importlib.util.find_spec("playwright") is None,
    reason="needs a browser: chromium and playwright",
)


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Any) -> Iterator[Any]:
    """A buyer's page, without JavaScript."""
    context = chromium.new_context(java_script_enabled=False, viewport={"width": 390, "height": 844})
    context.set_default_timeout(15_000)
    yield context.new_page()
    context.close()


@pytest.fixture
def session(client: StripeClient, receiver: Receiver) -> stripe_python.checkout.Session:
    shop = receiver.url.removesuffix("/hook")
    urls = {"success_url": f"{shop}/paid?session={{CHECKOUT_SESSION_ID}}", "cancel_url": f"{shop}/cancelled"}
    return client.v1.checkout.sessions.create(order(**urls))


def buy(page: Any, url: str, number: str, field: str = "number") -> None:
    page.goto(url)
    page.fill("[name=email]", "ada@example.com")
    if field == "bank":
        page.check("[value=bank]")
    page.fill(f"[name={field}]", number)
    page.click("button[name=pay]")


@browser_only
def test_a_buyer_pays(
    page: Any, session: stripe_python.checkout.Session, client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    page.goto(session.url)
    assert "Not real" in page.inner_text("[role=note]")
    assert "One run" in page.inner_text("main")
    assert "1.00 USD" in page.inner_text("button[name=pay]")
    buy(page, session.url or "", "4242 4242 4242 4242")
    assert page.inner_text("body") == f"/paid?session={session.id}"
    assert "checkout.session.completed" in receiver.types, "the shop knows before the buyer is back"
    paid = client.v1.checkout.sessions.retrieve(session.id, {"expand": ["payment_intent.latest_charge"]}).to_dict()
    assert (paid["payment_status"], paid["customer_details"]["email"]) == ("paid", "ada@example.com")
    page.goto(paid["payment_intent"]["latest_charge"]["receipt_url"])
    assert "1.00 USD" in page.inner_text("main")


@browser_only
def test_a_declined_buyer_pays_with_another_card(
    page: Any, session: stripe_python.checkout.Session, client: StripeClient, stripe: LocalStripe
) -> None:
    buy(page, session.url or "", "4000000000000002")
    assert page.inner_text("[role=alert]") == "Your card was declined."
    assert page.input_value("[name=email]") == "ada@example.com"
    page.fill("[name=number]", "4242424242424242")
    page.click("button[name=pay]")
    assert page.inner_text("body").startswith("/paid?session=")
    types = [event["type"] for event in stripe.events()]
    assert types == [
        "payment_intent.created",
        "charge.failed",
        "payment_intent.payment_failed",
        "charge.succeeded",
        "payment_intent.succeeded",
        "checkout.session.completed",
        "charge.updated",
    ]


@browser_only
@pytest.mark.parametrize(("answer", "status"), [("Complete", "paid"), ("Fail", "unpaid")])
def test_3d_secure(
    answer: str, status: str, page: Any, session: stripe_python.checkout.Session, client: StripeClient
) -> None:
    buy(page, session.url or "", "4000002500003155")
    page.click(f"text={answer} authentication")
    assert page.inner_text("body").startswith("/paid?session=") == (status == "paid")
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == status
    if status == "unpaid":
        assert "unable to authenticate" in page.inner_text("[role=alert]")


@browser_only
def test_a_delayed_method(
    page: Any, session: stripe_python.checkout.Session, client: StripeClient, stripe: LocalStripe
) -> None:
    buy(page, session.url or "", "000123456789", "bank")
    assert page.inner_text("body").startswith("/paid?session=")
    found = client.v1.checkout.sessions.retrieve(session.id)
    assert (found.status, found.payment_status) == ("complete", "unpaid")
    stripe.advance(180)
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"


@browser_only
def test_cancel_goes_back_to_the_shop_and_leaves_the_session_open(
    page: Any, session: stripe_python.checkout.Session, client: StripeClient
) -> None:
    page.goto(session.url)
    page.click("a.cancel")
    assert page.inner_text("body") == "/cancelled"
    assert client.v1.checkout.sessions.retrieve(session.id).status == "open"


@browser_only
@pytest.mark.parametrize("width", [360, 1280])
def test_no_page_is_wider_than_its_screen(width: int, chromium: Any, client: StripeClient, stripe: LocalStripe) -> None:
    session = client.v1.checkout.sessions.create(order(client_reference_id="p_" + "x" * 150))
    stripe.pay(session.id)
    unpaid = client.v1.checkout.sessions.create(order(line_items=_long_line()))
    context = chromium.new_context(viewport={"width": width, "height": 800})
    page = context.new_page()
    for url in (unpaid.url, stripe.url, stripe.objects("charge")[0]["receipt_url"]):
        page.goto(url)
        assert page.evaluate("document.documentElement.scrollWidth") <= width, url
    context.close()


def _long_line() -> list[dict[str, Any]]:
    data = {"name": "A_model_with_a_name_that_never_ends_" * 5}
    return [{"price_data": {"currency": "usd", "product_data": data, "unit_amount": 99_999_999}, "quantity": 1}]


@browser_only
def test_the_timeline_is_live_and_its_controls_work(
    chromium: Any, client: StripeClient, stripe: LocalStripe, receiver: Receiver
) -> None:
    context = chromium.new_context()
    context.set_default_timeout(15_000)
    page = context.new_page()
    page.goto(stripe.url)
    session = client.v1.checkout.sessions.create(order(client_reference_id="<script>document.title='broken'</script>"))
    page.click("article button:has-text('Pay')")
    page.wait_for_selector("text=checkout.session.completed")
    assert client.v1.checkout.sessions.retrieve(session.id).payment_status == "paid"
    before = len(receiver.heard)
    page.locator("li.event", has_text="checkout.session.completed").locator("text=Resend").click()
    page.click("button:has-text('Refund')")
    page.wait_for_selector("text=charge.refunded")
    assert receiver.types[before:].count("checkout.session.completed") == 1
    page.click("aside button:has-text('+1 day')")
    page.wait_for_selector("text=+86400 s")
    page.select_option("#fate", label="arrives five times")
    page.click("form:has(#fate) button:has-text('Set')")
    page.wait_for_selector("text=checkout.session.*: duplicate 4")
    page.fill("#status", "429")
    page.click("form:has(#status) button:has-text('Set')")
    page.wait_for_selector("text=error 429 before the commit")
    assert stripe.control("GET", "/_stub/faults")[0]["status"] == 429
    assert "broken" not in page.title()
    context.close()


def test_a_form_that_is_not_filled_in_says_what_is_missing(client: StripeClient, stripe: LocalStripe) -> None:
    url = client.v1.checkout.sessions.create(order()).url or ""
    answer = httpx.post(url, data={"number": "1234"})
    assert answer.status_code == 422
    assert "Your email is missing." in answer.text
    assert "Your card number is incorrect." in answer.text
    assert stripe.events() == []


def test_what_the_shop_wrote_is_shown_as_text(client: StripeClient) -> None:
    data = {"currency": "usd", "unit_amount": 100, "product_data": {"name": "<script>alert(1)</script>"}}
    session = client.v1.checkout.sessions.create(order(line_items=[{"price_data": data, "quantity": 1}]))
    text = httpx.get(session.url or "").text
    assert "<script>" not in text
    assert "&lt;script&gt;" in text


def test_a_closed_session_has_a_page_too(client: StripeClient, stripe: LocalStripe) -> None:
    paid, expired = (client.v1.checkout.sessions.create(order()) for _ in range(2))
    stripe.pay(paid.id)
    client.v1.checkout.sessions.expire(expired.id)
    done = httpx.post(paid.url or "", data={"email": "a@b.co", "number": "4242424242424242"})
    assert (done.status_code, "already placed" in done.text) == (200, True)
    gone = httpx.get(expired.url or "")
    assert (gone.status_code, "expired" in gone.text, "/cancelled" in gone.text) == (410, True, True)
    assert len(stripe.objects("charge")) == 1
    assert httpx.get(f"{stripe.url}/c/pay/cs_test_nobody").status_code == 404
    assert httpx.get(f"{stripe.url}/c/pay/{paid.id}/challenge").status_code == 200


def test_the_timeline_says_when_nothing_is_new(client: StripeClient, stripe: LocalStripe) -> None:
    stripe.freeze()
    first = httpx.get(f"{stripe.url}/_stub/timeline")
    again = httpx.get(f"{stripe.url}/_stub/timeline", headers={"If-None-Match": first.headers["etag"]})
    client.v1.customers.create({})
    changed = httpx.get(f"{stripe.url}/_stub/timeline", headers={"If-None-Match": first.headers["etag"]})
    assert (first.status_code, again.status_code, changed.status_code) == (200, 304, 200)


def test_the_way_back_waits_for_the_webhook(client: StripeClient, receiver: Receiver) -> None:
    answered = []

    def slowly(event: dict[str, Any]) -> int:
        time.sleep(0.2)
        answered.append(event["type"])
        return 200

    receiver.answer = slowly
    url = client.v1.checkout.sessions.create(order()).url or ""
    back = httpx.post(url, data={"email": "a@b.co", "number": "4242424242424242"})
    assert back.status_code == 303
    assert "checkout.session.completed" in answered
