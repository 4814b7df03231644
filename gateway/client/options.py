"""The options that the buyer's commands share, and where their data go."""

import sys
from collections.abc import Callable
from dataclasses import dataclass
from os import W_OK, access
from pathlib import Path
from typing import Annotated, TypeVar

import typer

from gateway.client.typed import TypedWrong

Model = Annotated[str, typer.Argument(metavar="MODEL", help="For example msl:BouncingBall.")]
Start = Annotated[float | None, typer.Option("--start-time", metavar="S", help="Begin, in seconds.")]
Stop = Annotated[float | None, typer.Option("--stop-time", metavar="S", help="End, in seconds.")]
Step = Annotated[float | None, typer.Option("--step", metavar="S", help="Seconds between the result's rows.")]
Set = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="NAME=VALUE", help="A start value, as 3000 or '3000 rpm'; repeatable."),
]
Input = Annotated[
    Path | None, typer.Option("--input", metavar="F.csv", help="Inputs over time; header time,u,… or time;u [rpm];…")
]
Outputs = Annotated[list[str] | None, typer.Option("--output", metavar="A,B", help="The columns of the result.")]
Kpis = Annotated[
    list[str] | None,
    typer.Option("--kpi", metavar="H:MAX,…", help="Of min, max, mean, rms, final, integral, time_of_max."),
]
FmiType = Annotated[
    str | None, typer.Option("--fmi-type", metavar="T", help="co_simulation or model_exchange, of a model with both.")
]
Solver = Annotated[str | None, typer.Option("--solver", metavar="S", help="CVode or Euler, for model exchange.")]
Tolerance = Annotated[float | None, typer.Option("--tolerance", metavar="R", help="Of the solver, relative, as 1e-6.")]
Quote = Annotated[bool, typer.Option("--quote", help="Print the offer and stop; nothing is created.")]
Pay = Annotated[bool, typer.Option("--pay", help="Open the checkout, wait for the payment, then run.")]
MaxPrice = Annotated[
    str | None,
    typer.Option("--max-price", metavar="2", envvar="FMU_GATEWAY_MAX_PRICE", help="Refuse to pay more than this."),
]
Token = Annotated[str | None, typer.Option("--payment-token", metavar="T", help="Pays for the run.")]
ReadToken = Annotated[
    str | None, typer.Option("--payment-token", metavar="T", help="The token that paid, or a free run's run_token.")
]
Wait = Annotated[str, typer.Option("--wait", metavar="10m", help="How long to wait for the payment.")]
Json = Annotated[bool, typer.Option("--json", help="JSON on a terminal too; piped it always is.")]
Csv = Annotated[Path | None, typer.Option("--csv", metavar="F", help="Write the result to a CSV file; - is stdout.")]
Png = Annotated[Path | None, typer.Option("--png", metavar="F", help="Write a picture of the result, a PNG file.")]
Plot = Annotated[bool | None, typer.Option("--plot/--no-plot", help="Draw the result here.")]

T = TypeVar("T")


@dataclass(frozen=True)
class Output:
    """For a person on a terminal; JSON when piped, unless a plot was asked for; and files where named."""

    json: bool = False
    plot: bool | None = None
    csv: Path | None = None
    png: Path | None = None

    def __post_init__(self) -> None:
        # Found out before any money moves.
        for option, path in (("--csv", None if self.csv_to_stdout else self.csv), ("--png", self.png)):
            if path and not _writable(path):
                raise typer.BadParameter(f"no file can be written at {path}", param_hint=option)

    @property
    def csv_to_stdout(self) -> bool:
        return str(self.csv) == "-"

    @property
    def as_json(self) -> bool:
        return self.json or not (sys.stdout.isatty() or self.plot)


def _writable(path: Path) -> bool:
    if path.exists():
        return not path.is_dir() and access(path, W_OK)
    return path.name != "-" and path.absolute().parent.is_dir() and access(path.absolute().parent, W_OK)


def checked(convert: Callable[..., T], text: object, option: str) -> T:
    """What the person typed after `option`, or a usage error that names it."""
    try:
        return convert(text)
    except TypedWrong as error:
        raise typer.BadParameter(str(error), param_hint=option) from None
