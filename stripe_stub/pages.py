"""The pages a person sees: Checkout's hosted page, the bank's 3-D Secure page, the receipt, and the timeline of
everything.
"""

import hashlib
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qsl

from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response
from starlette.routing import Route

from stripe_stub import cards, money, payments, sessions, timeline
from stripe_stub.deliveries import Deliveries
from stripe_stub.errors import Missing
from stripe_stub.payments import Buyer, Outcome
from stripe_stub.wire import Wire
from stripe_stub.world import Obj, World

HINTS = (
    ("4242 4242 4242 4242", "pays"),
    ("4000 0000 0000 0002", "is declined"),
    ("4000 0000 0000 9995", "has insufficient funds"),
    ("4000 0000 0000 0069", "has expired"),
    ("4000 0025 0000 3155", "asks for 3-D Secure"),
    ("4000 0000 0000 0259", "pays and is disputed"),
)
TYPED = ("email", "method", "number", "exp", "cvc", "name", "bank")
BANK_HINTS = {
    "us_bank_account": (("000123456789", "pays later"), ("000222222227", "fails later")),
    "sepa_debit": (("DE89370400440532013000", "pays later"), ("DE62370400440532013001", "fails later")),
}


class Pages:
    """HTML. Nothing here needs JavaScript but the timeline's live part."""

    def __init__(self, world: World, wire: Wire, deliveries: Deliveries):
        self.world, self.wire, self.deliveries = world, wire, deliveries
        self._templates: Any = None

    def routes(self) -> list[Route]:
        table: list[tuple[str, str, Callable[[Request], Awaitable[Response]]]] = [
            ("GET", "/c/pay/{id}", self.checkout),
            ("POST", "/c/pay/{id}", self.submit),
            ("GET", "/c/pay/{id}/challenge", self.challenge),
            ("POST", "/c/pay/{id}/challenge", self.answer_challenge),
            ("GET", "/receipts/{id}", self.receipt),
            ("GET", "/", self.timeline),
            ("GET", "/_stub", self.timeline),
            ("GET", "/_stub/timeline", self.live),
        ]
        return [Route(path, self._showing(show), methods=[method]) for method, path, show in table]

    def _showing(self, show: Callable[[Request], Awaitable[Response]]) -> Callable[[Request], Awaitable[Response]]:
        async def answer(request: Request) -> Response:
            self.world.clock.tick()
            try:
                return await show(request)
            except Missing as error:
                return self._page("gone.html", 404, title="Nothing here", text=error.message, link=None, link_text="")
            finally:
                self.world.store.commit()

        return answer

    def _page(self, name: str, status: int = 200, **values: Any) -> Response:
        if self._templates is None:
            import jinja2  # late: the first page may take a moment, the start may not

            self._templates = jinja2.Environment(
                loader=jinja2.PackageLoader("stripe_stub"),
                autoescape=True,
                undefined=jinja2.StrictUndefined,
                trim_blocks=True,
            )
            self._templates.filters["money"] = money.text
        headers = {"Cache-Control": "no-store", "Referrer-Policy": "no-referrer"}
        return HTMLResponse(self._templates.get_template(name).render(**values), status, headers)

    def _session(self, request: Request) -> Obj:
        return self.world.get("checkout.session", request.path_params["id"])

    async def checkout(self, request: Request) -> Response:
        return self._form(self._session(request), {}, {})

    def _form(self, session: Obj, typed: dict[str, str], faults: dict[str, str], status: int = 200) -> Response:
        if session["status"] == "expired":
            return self._page(
                "gone.html",
                410,
                title="This page has expired",
                text="Nothing was charged.",
                link=session["cancel_url"],
                link_text="Back to the shop",
            )
        if session["status"] == "complete":
            return self._page(
                "gone.html",
                title="You are all done",
                text="This order was already placed. Nothing will be charged again.",
                link=sessions.success_url(session),
                link_text="Continue",
            )
        kinds = [kind for kind in session["payment_method_types"] if kind != "card"]
        return self._page(
            "checkout.html",
            status,
            session=session,
            items=self.world.private(session["id"])["line_items"],
            typed={**dict.fromkeys(TYPED, ""), "email": session["customer_email"] or "", **typed},
            faults={**dict.fromkeys(("page", "email", "number", "bank")), **faults},
            failed=bool(faults),
            bank=kinds[0] if kinds else None,
            takes_cards="card" in session["payment_method_types"],
            hints=HINTS,
            bank_hints=BANK_HINTS.get(kinds[0], ()) if kinds else (),
        )

    async def submit(self, request: Request) -> Response:
        session = self._session(request)
        typed = dict(parse_qsl((await request.body()).decode("utf-8", "replace"), keep_blank_values=True))
        if session["status"] != "open":
            return self._form(session, {}, {})
        by_bank = typed.get("method") == "bank"
        faults = {} if typed.get("email") or session["customer_email"] else {"email": "Your email is missing."}
        number = typed.get("bank" if by_bank else "number", "")
        means = payments.means_for(session, None if by_bank else number, number if by_bank else None)
        if isinstance(means, str):
            faults["bank" if by_bank else "number"] = means
        if faults or isinstance(means, str):
            return self._form(session, typed, faults, 422)
        buyer = Buyer(typed.get("email") or None, typed.get("name") or None)
        return await self._go_on(payments.pay(self.world, session, means, buyer), typed)

    async def _go_on(self, outcome: Outcome, typed: dict[str, str]) -> Response:
        session = outcome.session
        if outcome.result == "challenge":
            return RedirectResponse(f"/c/pay/{session['id']}/challenge", 303)
        if outcome.result == "declined":
            return self._form(session, typed, {"page": (outcome.error or {})["message"]}, 402)
        await self.deliveries.first_answers(outcome.events)  # as Checkout does: the shop knows before the buyer is back
        return RedirectResponse(sessions.success_url(session) or "/", 303)

    async def challenge(self, request: Request) -> Response:
        session = self._session(request)
        if session["status"] != "open" or "challenge" not in self.world.private(session["id"]):
            return self._form(session, {}, {})
        return self._page("challenge.html", session=session)

    async def answer_challenge(self, request: Request) -> Response:
        session = self._session(request)
        asked = self.world.private(session["id"]).get("challenge")
        if session["status"] != "open" or asked is None:
            return self._form(session, {}, {})
        complete = (await request.body()).decode("utf-8", "replace").startswith("answer=complete")
        outcome = payments.pay(
            self.world,
            session,
            cards.BY_NUMBER[asked["number"]],
            Buyer(asked["email"], asked["name"]),
            challenge="complete" if complete else "fail",
        )
        return await self._go_on(outcome, {"email": asked["email"] or ""})

    async def receipt(self, request: Request) -> Response:
        charge = self.world.get("charge", request.path_params["id"])
        refunded = [
            r for r in self.world.newest_first("refund") if r["charge"] == charge["id"] and r["status"] != "failed"
        ]
        session_id = self.world.private(charge["payment_intent"])["session"]
        items = self.world.private(session_id)["line_items"]
        return self._page("receipt.html", charge=charge, items=items, refunds=refunded)

    async def timeline(self, request: Request) -> Response:
        return self._page("timeline.html", **timeline.view(self.world, self.wire, self.deliveries))

    async def live(self, request: Request) -> Response:
        """The part of the timeline that changes; 304 while it does not."""
        page = self._page("events.html", **timeline.view(self.world, self.wire, self.deliveries))
        tag = f'"{hashlib.blake2b(page.body, digest_size=12).hexdigest()}"'
        if request.headers.get("if-none-match") == tag:
            return Response(status_code=304)
        page.headers["ETag"] = tag
        return page
