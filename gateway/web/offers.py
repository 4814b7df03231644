"""Offers: what a 402 says. It is printed once per model and price; a quote fills in what is its own.

Strangers ask for nothing as often as for a quote, so this answer is worth a form: docs/decisions/0011-fast-quotes.md.
"""

import time
from typing import Any, NamedTuple

import orjson

from gateway.domain.ids import RANDOM_BYTES, new_raw_id
from gateway.domain.models import Model
from gateway.domain.money import Money
from gateway.domain.quotes import Blank
from gateway.domain.statements import Kind
from gateway.errors import PaymentRequired
from gateway.flows.open_checkout import new_quote, quote_end
from gateway.flows.services import Services
from gateway.payments.challenge import Signed, iso, offer, sign
from gateway.web.problems import problem_body

MARKS = Signed("\1", "\2", "\3")  # JSON escapes these, and nothing else in a 402 contains them
SIGNED_AS = (Kind.CLAIM, Kind.OPEN)  # session id, checkout code


class Form(NamedTuple):
    """The 402 of one model at one price."""

    blank: Blank
    text: str  # its JSON, with %(field)s where a quote's own fields go


class Offers:
    """Makes the quotes of one gateway."""

    def __init__(self, services: Services):
        self._services = services
        self._forms: dict[tuple[str, int], Form] = {}

    def fields(self, model: Model, account_id: str | None) -> dict[str, Any]:
        """A fresh quote as the members of a problem."""
        services = self._services
        quote = new_quote(services, model, account_id)
        return offer(model.fmu_id, quote.price, sign(quote, services.statements), services.settings.base_url)

    def payment_required(self, model: Model, price: Money, account_id: str | None) -> bytes:
        """A fresh quote at a price above zero, as the JSON of the plain 402. Nothing is stored, nobody is called."""
        form = self._forms.get((model.fmu_id, price.micros))
        if form is None:
            form = self._forms[model.fmu_id, price.micros] = self._print(model, price)
        services = self._services
        now = services.now()
        end = quote_end(services, now)
        payload = form.blank.pack(new_raw_id(time.time(), services.random_bytes(RANDOM_BYTES)), account_id, end)
        session_id, checkout_code = services.statements.sign(payload, *SIGNED_AS)
        services.meter.quotes += 1
        own = {"session_id": session_id, "checkout_code": checkout_code, "expires_at": iso(end)}
        return (form.text % own).encode()

    def _print(self, model: Model, price: Money) -> Form:
        settings = self._services.settings
        problem = PaymentRequired(price_text(model, price), **offer(model.fmu_id, price, MARKS, settings.base_url))
        text = orjson.dumps(problem_body(problem, settings)).decode().replace("%", "%%")
        for mark, field in zip(MARKS, Signed._fields, strict=True):
            text = text.replace(orjson.dumps(mark).decode()[1:-1], f"%({field})s")
        return Form(Blank(model.sha256, price, livemode=settings.livemode), text)


def price_text(model: Model, price: Money) -> str:
    return f"One run of {model.fmu_id} costs {price}."
