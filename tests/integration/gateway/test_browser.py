"""A real browser: from checkout_url over Stripe's page to the token, with and without JavaScript."""

import re
import shutil
from collections.abc import Iterator
from typing import Any

import pytest
from harness import BALL, Gateway
from playwright.sync_api import Browser, Page, sync_playwright

CHROMIUM = shutil.which("chromium")
pytestmark = pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")

PHONE = {"viewport": {"width": 360, "height": 740}, "color_scheme": "dark"}
TOKEN = re.compile(r"fmt_[\w.-]+")


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@pytest.fixture
def page(chromium: Browser) -> Iterator[Page]:
    with_page = chromium.new_context()
    with_page.set_default_timeout(15_000)
    yield with_page.new_page()
    with_page.close()


def fill_in_and_pay(page: Page, card: str = "4242424242424242") -> None:
    page.fill("input[name=number]", card)
    page.fill("input[name=exp]", "12/39")
    page.fill("input[name=cvc]", "123")
    page.fill("input[name=email]", "buyer@example.com")
    page.click("button[name=pay]")


def test_who_pays_reads_the_token_and_runs_with_it(gateway: Gateway, page: Page) -> None:
    quote = gateway.quote()
    page.goto(quote["checkout_url"])
    assert page.url.startswith(gateway.stripe.url)
    fill_in_and_pay(page)
    page.wait_for_url("**/payments/success*")
    found = TOKEN.search(page.inner_text("main"))
    assert found, page.inner_text("main")
    assert found.group() == gateway.collect(quote["session_id"])
    assert gateway.simulate(BALL, found.group()).status_code == 200
    page.reload()
    assert "fmt_" not in page.content()  # spent: the page leads to the result instead


def test_no_other_browser_reads_it(gateway: Gateway, chromium: Browser, page: Page) -> None:
    quote = gateway.quote()
    page.goto(quote["checkout_url"])
    fill_in_and_pay(page)
    page.wait_for_url("**/payments/success*")
    assert TOKEN.search(page.content())
    stranger = chromium.new_context().new_page()
    stranger.goto(page.url)
    assert "Paid" in stranger.inner_text("main")
    assert "fmt_" not in stranger.content()
    stranger.goto(quote["checkout_url"])  # whoever has the link may pay, and nothing more
    assert "/payments/success" in stranger.url
    assert "fmt_" not in stranger.content()


def test_it_works_on_a_phone_without_javascript(gateway: Gateway, chromium: Browser) -> None:
    context = chromium.new_context(java_script_enabled=False, **PHONE)  # type: ignore[arg-type]
    page = context.new_page()
    page.goto(gateway.quote()["checkout_url"])
    fill_in_and_pay(page)
    page.wait_for_url("**/payments/success*")
    assert TOKEN.search(page.inner_text("main"))
    context.close()


def test_a_declined_card_can_be_followed_by_another(gateway: Gateway, page: Page) -> None:
    quote = gateway.quote()
    page.goto(quote["checkout_url"])
    fill_in_and_pay(page, "4000000000000002")
    page.wait_for_selector("text=declined")
    assert gateway.status(quote["session_id"]).json() == {"status": "pending"}
    fill_in_and_pay(page)
    page.wait_for_url("**/payments/success*")
    assert gateway.collect(quote["session_id"])


def test_who_cancels_finds_the_way_back_to_paying(gateway: Gateway, page: Page) -> None:
    quote = gateway.quote()
    page.goto(quote["checkout_url"])
    page.click("a.cancel")
    page.wait_for_url("**/payments/cancelled*")
    assert gateway.status(quote["session_id"]).json() == {"status": "pending"}
    page.click("main a[href*='/checkout/']")
    assert page.url.startswith(gateway.stripe.url)


def test_a_browser_gets_its_errors_as_pages(gateway: Gateway, page: Page) -> None:
    answer = page.goto(f"{gateway.url}/checkout/fmq_nonsense")
    assert answer is not None
    assert answer.status == 404
    assert "no quote of ours" in page.inner_text("main")


@pytest.mark.parametrize(
    "path", ["/", "/docs", "/problems", "/problems/token_expired", "/payments/cancelled", "/nowhere"]
)
@pytest.mark.parametrize("look", [{}, PHONE], ids=["desktop", "phone"])
def test_no_page_breaks_the_security_policy_or_the_width(
    gateway: Gateway, chromium: Browser, path: str, look: dict[str, Any]
) -> None:
    context = chromium.new_context(**look)
    page = context.new_page()
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(gateway.url + path, wait_until="networkidle")
    assert [text for text in complaints if "status of 404" not in text] == []
    wide = page.evaluate("document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{wide} pixels too wide"
    context.close()
