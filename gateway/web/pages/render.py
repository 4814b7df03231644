"""Pages as text: pure functions from plain values to HTML. Templates are read once, for the first page."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from markupsafe import Markup, escape

from gateway.web.pages import commands, reference
from gateway.web.pages.views import CatalogueEntry, ProblemEntry, SuccessView

if TYPE_CHECKING:
    from jinja2 import Environment

HERE = Path(__file__).parent
STATIC = HERE / "static"


def _static_url(name: str) -> str:
    """With a tag of its content, so that the router may let browsers keep it for ever."""
    return f"/static/{name}?v={_STATIC_TAGS[name]}"


def _contact(text: str) -> Markup:
    """An e-mail address or https page as a link, anything else as text."""
    if re.fullmatch(r"[^\s@<>\"?&]+@[^\s@<>\"?&]+", text):
        return Markup('<a href="mailto:{0}">{0}</a>').format(text)
    if re.fullmatch(r"https://\S+", text):
        return Markup('<a href="{0}">{0}</a>').format(text)
    return escape(text)


def _prose(text: str) -> Markup:
    """Paragraphs and `code` of our own contract's descriptions; everything else is escaped."""
    paragraphs = [part for part in re.split(r"\n\s*\n", text.strip()) if part]
    return Markup("").join(Markup("<p>{}</p>").format(_inline(part)) for part in paragraphs)


def _inline(text: str) -> Markup:
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))  # noqa: S704 - escaped first


def _seconds(value: float) -> str:
    return f"{value:g} s"


_STATIC_TAGS = {p.name: hashlib.sha256(p.read_bytes()).hexdigest()[:10] for p in sorted(STATIC.iterdir())}


@cache
def _pages() -> "Environment":
    from jinja2 import DictLoader, Environment, StrictUndefined  # 25 ms of every start, and programs want no page

    pages = Environment(
        loader=DictLoader({p.name: p.read_text("utf-8") for p in sorted((HERE / "templates").iterdir())}),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.globals["static"] = _static_url
    pages.filters |= {"contact": _contact, "prose": _prose, "inline": _inline, "seconds": _seconds}
    return pages


def landing(
    *,
    models: Sequence[CatalogueEntry],
    base_url: str,
    livemode: bool,
    stripe_enabled: bool,
    support_contact: str,
    uploads_enabled: bool = False,
) -> str:
    """GET /: what this is, the live catalogue, and the way to a result."""
    example = commands.example_model(models)
    return (
        _pages()
        .get_template("landing.html")
        .render(
            models=models,
            quote_lines={m.fmu_id: commands.simulate(base_url, {"fmu_id": m.fmu_id}) for m in models},
            example=example,
            steps=commands.steps(base_url, example) if example else [],
            base_url=base_url,
            testmode=stripe_enabled and not livemode,
            stripe_enabled=stripe_enabled,
            upload_line=commands.upload(base_url) if uploads_enabled else None,
            support_contact=support_contact,
        )
    )


def success(*, view: SuccessView) -> str:
    """GET /payments/success: follows the purchase. The token only stands here if the view carries it."""
    token = view.payment_token if view.status == "ready" and not view.keyed else None
    return (
        _pages()
        .get_template("success.html")
        .render(
            view=view,
            token=token,
            curl=commands.simulate(view.base_url, {"fmu_id": view.fmu_id}, token or "PAYMENT_TOKEN"),
            cli=commands.cli_run(view.base_url, view.fmu_id, token or "PAYMENT_TOKEN"),
            support_contact=view.support_contact,
        )
    )


def cancelled(*, checkout_url: str | None, support_contact: str) -> str:
    """GET /payments/cancelled: nothing was charged; `checkout_url`, if still open, leads back."""
    return _pages().get_template("cancelled.html").render(checkout_url=checkout_url, support_contact=support_contact)


def upload_report(*, report: Mapping[str, Any], support_contact: str) -> str:
    """POST /fmus and GET /fmus/{fmu_id} of an upload: what was found, and how to run it."""
    base_url = str(report["variables_url"]).partition("/fmus/")[0]
    return (
        _pages()
        .get_template("upload.html")
        .render(
            report=report,
            curl=commands.simulate(base_url, {"fmu_id": report["fmu_id"]}, key="API_KEY"),
            support_contact=support_contact,
        )
    )


def problem_page(*, code: str, title: str, status: int, explanation: str, next_step: str, support_contact: str) -> str:
    """GET /problems/{code}: what a problem's `type` leads to."""
    problem = ProblemEntry(code=code, title=title, status=status, explanation=explanation, next_step=next_step)
    return _pages().get_template("problem.html").render(problem=problem, support_contact=support_contact)


def problems_index(*, problems: Sequence[ProblemEntry], support_contact: str) -> str:
    """GET /problems: every kind of problem."""
    return _pages().get_template("problems.html").render(problems=problems, support_contact=support_contact)


def error_page(*, problem: Mapping[str, Any], request_id: str) -> str:
    """A problem+json answer as a page, for a caller that is a browser."""
    return (
        _pages()
        .get_template("error.html")
        .render(problem=problem, request_id=request_id, support_contact=str(problem.get("support_contact") or ""))
    )


def docs(*, spec: Mapping[str, Any]) -> str:
    """GET /docs: the OpenAPI contract as one page to read."""
    return _pages().get_template("docs.html").render(reference=reference.read(spec), support_contact="")
