"""Pricing: what one run of a model costs."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field

from gateway.domain.models import Model
from gateway.domain.money import Money, charge_fault


@dataclass(frozen=True, slots=True)
class Prices:
    """A default and the exceptions by fmu_id, all in one currency. 0 is a free model."""

    default: Money
    by_model: Mapping[str, Money] = field(default_factory=dict)

    def of(self, model: Model) -> Money:
        return self.by_model.get(model.fmu_id, self.default)

    def faults(self) -> list[str]:
        """The models at whose price Stripe would refuse every checkout, one sentence each."""
        found = {name: (price, charge_fault(price)) for name, price in self.by_model.items()}
        return [f"{name} is {price}: {fault}." for name, (price, fault) in found.items() if fault]


def read_prices(text: str, default: Money) -> Prices:
    """From TOML: `[prices]` with `"msl:VanDerPol" = "2.50"`. ValueError names the entry that is wrong."""
    try:
        table = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ValueError(f"not TOML: {error}") from None
    entries = table.pop("prices", {})
    if table or not isinstance(entries, dict):
        raise ValueError('only a table called [prices] is read, with lines like "msl:VanDerPol" = "2.50"')
    prices = {}
    for fmu_id, entry in entries.items():
        if not isinstance(entry, str | int) or isinstance(entry, bool):
            raise ValueError(f'{fmu_id}: write the price as text, "2.50", so that it stays exact')
        try:
            prices[fmu_id] = Money.parse(str(entry), default.currency)
            prices[fmu_id].minor  # noqa: B018 - Stripe cannot charge a fraction of the minor unit
        except ValueError as error:
            raise ValueError(f"{fmu_id}: {error}") from None
    return Prices(default, prices)
