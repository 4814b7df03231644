"""Pages say what they must, never what they must not, and treat every text of a model as hostile."""

import re
import shlex
from html.parser import HTMLParser
from typing import get_args

import numpy as np
import pytest

from gateway.simulation.plot import plot_svg
from gateway.web import pages
from gateway.web.pages import CatalogueEntry, PurchaseStatus, SuccessView, commands

BASE = "https://gateway.example"
TOKEN = "fmt_secret.tag"
HOSTILE = "</code><script>alert(1)</script><img src=x onerror='alert(1)'>\"'`$(id)\n{{ 7*7 }}"


def entry(fmu_id: str = "msl:BouncingBall", **changes: object) -> CatalogueEntry:
    plot = plot_svg(
        columns=["time", "h"], arrays=[np.arange(3.0), np.arange(3.0)], units={"h": "m"}, title=fmu_id, small=True
    )
    values: dict[str, object] = {
        "fmu_id": fmu_id,
        "name": "BouncingBall",
        "description": "A ball.",
        "fmi_version": "3.0",
        "price_text": "1.00 usd",
        "is_free": False,
        "stop_time": 3.0,
        "step": 0.01,
        "inputs": 0,
        "outputs": 2,
        "plot_svg": plot,
    }
    return CatalogueEntry(**{**values, **changes})  # type: ignore[arg-type]


def view(status: PurchaseStatus, **changes: object) -> SuccessView:
    values = {"fmu_id": "msl:BouncingBall", "amount_text": "1.00 usd", "base_url": BASE, "keyed": False}
    return SuccessView(status=status, **{**values, **changes})  # type: ignore[arg-type]


def landing(*models: CatalogueEntry, livemode: bool = False, stripe_enabled: bool = True) -> str:
    return pages.landing(
        models=models,
        base_url=BASE,
        livemode=livemode,
        stripe_enabled=stripe_enabled,
        support_contact="help@example.org",
    )


def problem(**changes: object) -> dict[str, object]:
    return {"status": 404, "title": "Not Found", "code": "not_found", "detail": "d", "next_step": "n", **changes}


def every_page() -> dict[str, str]:
    views = [
        view(status, keyed=keyed, payment_token=token, run_url=BASE + "/runs/run_1", support_contact="help@example.org")
        for status in get_args(PurchaseStatus)
        for keyed in (True, False)
        for token in (TOKEN, None)
    ]
    hostile = entry(HOSTILE, name=HOSTILE, description=HOSTILE)
    return {
        "landing": landing(entry(), entry("msl:VanDerPol", is_free=True, price_text="free"), hostile),
        "empty": landing(),
        "cancelled": pages.cancelled(checkout_url=BASE + "/checkout/fmq_1", support_contact=HOSTILE),
        "problems": pages.problems_index(problems=pages.problem_entries(), support_contact=""),
        "error": pages.error_page(problem=problem(detail=HOSTILE), request_id=HOSTILE),
        "docs": pages.docs(spec=pages.openapi(base_url=BASE)),
        **{
            f"problem {e.code}": pages.problem_page(
                code=e.code,
                title=e.title,
                status=e.status,
                explanation=e.explanation,
                next_step=e.next_step,
                support_contact="",
            )
            for e in pages.problem_entries()
        },
        **{f"success {i}": pages.success(view=v) for i, v in enumerate(views)},
    }


class Elements(HTMLParser):
    """Every element with its attributes; fails on what closes nothing or stays open."""

    VOID = frozenset("meta link br img input hr path rect circle".split())

    def __init__(self, text: str):
        super().__init__()
        self.seen: list[tuple[str, dict[str, str | None]]] = []
        self.open: list[str] = []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open
        assert self.open.pop() == tag


@pytest.mark.parametrize(("name", "page"), every_page().items(), ids=lambda value: value[:24])
def test_every_page_is_clean_under_the_content_security_policy(name: str, page: str) -> None:
    for tag, attributes in Elements(page).seen:
        assert tag not in ("style", "img", "iframe", "object", "base"), name
        assert "style" not in attributes
        assert not [a for a in attributes if a.startswith("on")]
        if tag == "script":
            assert (attributes["src"] or "").startswith("/static/")
        for link in (attributes.get("href"), attributes.get("src")):
            assert link is None or link.startswith(("/", "#", BASE, "mailto:")), link


@pytest.mark.parametrize(("name", "page"), every_page().items(), ids=lambda value: value[:24])
def test_every_page_has_one_heading_a_language_and_unique_ids(name: str, page: str) -> None:
    seen = Elements(page).seen
    ids = [attributes["id"] for _, attributes in seen if "id" in attributes]
    assert sum(tag == "h1" for tag, _ in seen) == 1, name
    assert seen[0] == ("html", {"lang": "en"})
    assert len(ids) == len(set(ids))


def test_the_catalogue_shows_price_plot_and_a_line_to_copy() -> None:
    page = landing(entry(), entry("msl:VanDerPol", name="VanDerPol", is_free=True, price_text="free"))
    assert page.count('class="plot"') == 2
    assert "1.00 usd" in page
    assert "Copy quote" in page
    assert "Copy run" in page


def test_the_steps_are_the_lines_of_the_readme() -> None:
    quote, pay, token, run = commands.steps(BASE, entry())
    body = '{"fmu_id":"msl:BouncingBall","stop_time":1.0,"step":0.01}'
    assert quote.command is not None
    assert shlex.split(quote.command.replace("\\\n", ""))[-1] == body
    assert pay.command is None
    assert "wait=25" in (token.command or "")
    assert shlex.split((run.command or "").replace("\\\n", ""))[-3:] == ["Payment-Token: PAYMENT_TOKEN", "-d", body]


def test_the_steps_use_the_first_priced_model_where_the_ball_is_not_for_sale() -> None:
    models = [entry("own:Free", is_free=True), entry("own:Pump")]
    assert commands.example_model(models) is models[1]
    assert commands.example_request(models[1]) == {"fmu_id": "own:Pump", "stop_time": 3.0, "step": 0.01}


def test_a_free_server_does_not_speak_of_money() -> None:
    page = landing(entry(is_free=True, price_text="free"), stripe_enabled=False)
    assert "One step to a result" in page
    assert "checkout_url" not in page
    assert "Test mode" not in page


@pytest.mark.parametrize(("livemode", "shown"), [(True, False), (False, True)])
def test_test_mode_is_named(livemode: bool, shown: bool) -> None:
    assert ("Test mode" in landing(entry(), livemode=livemode)) is shown


def test_nothing_for_sale_is_said() -> None:
    assert "Nothing is for sale yet" in landing()


def test_a_hostile_model_cannot_leave_its_card_or_its_command() -> None:
    page = landing(entry(HOSTILE, name=HOSTILE, description=HOSTILE))
    assert "<script>alert" not in page
    assert "<img" not in page
    assert "{{ 7*7 }}" in page
    words = shlex.split(commands.simulate(BASE, {"fmu_id": HOSTILE}).replace("\\\n", ""))
    assert len(words) == 7, "the model's name became a word of the shell"
    assert shlex.split(commands.cli_run(BASE, HOSTILE, TOKEN).replace("\\\n", ""))[-2:] == ["--payment-token", TOKEN]
    assert "\n" not in shlex.split(commands.cli_run(BASE, "a\nrm -rf b", TOKEN).replace("\\\n", ""))[3]


def test_the_buyer_without_a_key_reads_the_token_and_the_ready_commands() -> None:
    page = pages.success(view=view("ready", payment_token=TOKEN))
    assert page.count(TOKEN) == 3
    assert "fmu-gateway run msl:BouncingBall --payment-token" in page
    assert "curl -s https://gateway.example/simulate" in page


def test_another_browser_is_told_where_the_token_is() -> None:
    page = pages.success(view=view("ready"))
    assert "status_url" in page
    assert "not the one the payment was made in" in page


def test_bought_with_a_key_the_token_never_stands_in_the_page() -> None:
    page = pages.success(view=view("ready", keyed=True, payment_token=TOKEN))
    assert TOKEN not in page
    assert "fmu-gateway run msl:BouncingBall" in page


@pytest.mark.parametrize("status", [s for s in get_args(PurchaseStatus) if s != "ready"])
def test_a_token_that_is_not_ready_is_not_shown(status: PurchaseStatus) -> None:
    assert TOKEN not in pages.success(view=view(status, payment_token=TOKEN))


@pytest.mark.parametrize(("status", "refreshes"), [("pending", True), ("running", True), ("ready", False)])
def test_a_page_that_waits_refreshes_without_javascript(status: PurchaseStatus, refreshes: bool) -> None:
    page = pages.success(view=view(status))
    assert ('<noscript><meta http-equiv="refresh"' in page) is refreshes
    assert f'data-follow="{status}"' in page


@pytest.mark.parametrize("status", ["running", "consumed"])
def test_a_run_is_found_by_its_address(status: PurchaseStatus) -> None:
    assert "https://gateway.example/runs/run_1" in pages.success(view=view(status, run_url=BASE + "/runs/run_1"))


def test_a_cancelled_checkout_leads_back_where_it_still_can() -> None:
    url = BASE + "/checkout/fmq_1"
    assert f'href="{url}"' in pages.cancelled(checkout_url=url, support_contact="")
    assert "checkout/" not in pages.cancelled(checkout_url=None, support_contact="")


def test_an_error_page_names_the_way_out_and_the_request() -> None:
    page = pages.error_page(problem=problem(next_step="Do this.", support_contact="a@b.example"), request_id="req_1")
    assert "Do this." in page
    assert "req_1" in page
    assert 'href="mailto:a@b.example"' in page


@pytest.mark.parametrize("contact", ["javascript:alert(1)", 'https://x.example/"><script>', 'a@b"onclick=x', HOSTILE])
def test_a_contact_that_is_no_address_is_only_text(contact: str) -> None:
    page = pages.cancelled(checkout_url=None, support_contact=contact)
    assert "<script>" not in page.replace("<script src", "")
    assert not [a for _, a in Elements(page).seen if "onclick" in a or (a.get("href") or "").startswith("javascript")]


def test_a_static_address_changes_with_its_content() -> None:
    for name, tag in re.findall(r"/static/([\w.]+)\?v=(\w+)", landing()):
        assert (pages.STATIC / name).is_file()
        assert len(tag) == 10
