"""Offers: what a 402 says. It is printed once per model and price; a quote fills in what is its own.

Strangers ask for nothing as often as for a quote, so this answer is worth a form: docs/decisions/0011-fast-quotes.md.
"""

from typing import Any

import orjson

from gateway.domain.models import Model
from gateway.domain.money import Money
from gateway.errors import PaymentRequired
from gateway.flows.open_checkout import new_quote
from gateway.flows.services import Services
from gateway.payments.challenge import Signed, offer, sign
from gateway.web.problems import problem_body

FIELDS = tuple(name.encode() for name in Signed._fields)
MARKS = Signed("\1", "\2", "\3")  # JSON escapes these, and nothing else in a 402 contains them


class Offers:
    """Makes the quotes of one gateway."""

    def __init__(self, services: Services):
        self._services = services
        self._forms: dict[tuple[str, int], bytes] = {}

    def fields(self, model: Model, account_id: str | None) -> dict[str, Any]:
        """A fresh quote as the members of a problem."""
        services = self._services
        quote = new_quote(services, model, account_id)
        return offer(model.fmu_id, quote.price, sign(quote, services.statements), services.settings.base_url)

    def payment_required(self, model: Model, price: Money, account_id: str | None) -> bytes:
        """A fresh quote as the JSON of the plain 402. Nothing is stored and nobody is called for it."""
        form = self._forms.get((model.fmu_id, price.micros))
        if form is None:
            form = self._forms[model.fmu_id, price.micros] = self._print(model, price)
        signed = sign(new_quote(self._services, model, account_id), self._services.statements)
        return form % dict(zip(FIELDS, map(str.encode, signed), strict=True))

    def _print(self, model: Model, price: Money) -> bytes:
        """The JSON with %(field)b where a quote's own fields go."""
        settings = self._services.settings
        problem = PaymentRequired(price_text(model, price), **offer(model.fmu_id, price, MARKS, settings.base_url))
        form = orjson.dumps(problem_body(problem, settings)).replace(b"%", b"%%")
        for mark, field in zip(MARKS, FIELDS, strict=True):
            form = form.replace(orjson.dumps(mark)[1:-1], b"%%(%b)b" % field)
        return form


def price_text(model: Model, price: Money) -> str:
    return f"One run of {model.fmu_id} costs {price}."
