"""The command line: the operator's commands, and the buyer's mounted beside them.

Only typer and gateway.client's own modules are imported here; everything else when its command is called, because
`--help` and `models` must answer within 250 ms.
"""

import gc
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from gateway import __version__
from gateway.client import commands
from gateway.client.light import LightCommand, LightGroup

# httpx imports its own command line, with click, rich and pygments, if it can: 150 ms that nobody here asked for.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

NAME = "fmu-gateway"
BUY, SELL = "Buy", "Sell"
AFTER_COMMANDS = [
    (
        "Try",
        [
            (f"{NAME} demo", "the whole loop on this machine, no account needed"),
            (f"{NAME} run msl:BouncingBall --stop-time 3 --quote", "the exact price, before anything else"),
            (f"{NAME} run msl:BouncingBall --set e=0.9 --pay", "checkout, payment, run, plot, receipt"),
            (f"{NAME} run msl:VanDerPol --csv out.csv", "a free model needs no payment"),
        ],
    ),
    (
        "Environment",
        [
            ("FMU_GATEWAY_URL", "the gateway, http://127.0.0.1:8402 if not set"),
            ("FMU_GATEWAY_API_KEY", "your account's key; without one you buy anonymously"),
            ("FMU_GATEWAY_MAX_PRICE", "never pay more than this for a run"),
        ],
    ),
]
EXIT_CODES = (
    "0 ok, 1 unexpected, 2 usage, 3 unreachable, 4 key refused, 5 not found, 6 payment required, "
    "7 invalid request, 8 run failed and was not charged, 9 waited too long"
)


class Help(LightGroup):
    """Typer's plain help with the commands in two groups; its rich help takes 250 ms to draw."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        commands = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        for panel in (BUY, SELL):
            lines = [
                (
                    f"{command.name} {' '.join(command.commands)}" if isinstance(command, TyperGroup) else command.name,
                    command.get_short_help_str(limit=70),
                )
                for command in commands
                if command is not None and getattr(command, "rich_help_panel", None) == panel
            ]
            with formatter.section(panel):
                formatter.write_dl(lines)
        for title, rows in AFTER_COMMANDS:
            with formatter.section(title):
                formatter.write_dl(rows, col_max=60)
        with formatter.section("Exit codes"):
            formatter.write_text(EXIT_CODES)
        with formatter.section("Options"):
            formatter.write_dl([row for row in (param.get_help_record(ctx) for param in self.get_params(ctx)) if row])


app = typer.Typer(
    name=NAME,
    cls=Help,
    help="Sell simulations one call at a time: HTTP 402, pay, one run of one model.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
)
keys = typer.Typer(cls=LightGroup, help="Your account's keys.", rich_markup_mode=None, no_args_is_help=True)

app.command("models", rich_help_panel=BUY, cls=LightCommand)(commands.models)
app.command("model", rich_help_panel=BUY, cls=LightCommand)(commands.model)
app.command("run", rich_help_panel=BUY, cls=LightCommand)(commands.run)
app.command("result", rich_help_panel=BUY, cls=LightCommand)(commands.result)
app.command("status", rich_help_panel=BUY, cls=LightCommand)(commands.status)
keys.command("create", cls=LightCommand)(commands.keys_create)
app.add_typer(keys, name="keys", rich_help_panel=BUY)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"{NAME} {__version__}")
        raise typer.Exit


@app.callback()
def root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Sell simulations one call at a time: HTTP 402, pay, one run of one model."""


@app.command(rich_help_panel=SELL, cls=LightCommand)
def serve(
    host: Annotated[str | None, typer.Option(metavar="H", help="Address to listen on; 127.0.0.1 if not set.")] = None,
    port: Annotated[int | None, typer.Option(metavar="P", min=0, max=65535, help="Port; 8402 if not set.")] = None,
) -> None:
    """Start the gateway with the settings of the environment."""
    from gateway import serving

    raise typer.Exit(serving.serve(host, port))


@app.command(rich_help_panel=SELL, cls=LightCommand)
def doctor() -> None:
    """Check everything serve would need; one line each, with the fix."""
    from gateway import doctor

    raise typer.Exit(doctor.examine())


@app.command(rich_help_panel=SELL, cls=LightCommand)
def demo(
    port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="The gateway's port.")] = 8402,
    stub_port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="The local Stripe's port.")] = 8403,
    once: Annotated[bool, typer.Option("--once", help="End after the loop; exit 0 if every step worked.")] = False,
) -> None:
    """The whole loop on this machine, with a local Stripe: quote, pay, token, run."""
    from gateway import demo

    raise typer.Exit(demo.demo(port, stub_port, once=once))


def main() -> None:
    """The console script."""
    gc.disable()  # a command ends before garbage matters; imports alone would set it off thirty times
    gc.freeze()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without UTF-8 still gets answers
    try:
        app(prog_name=NAME)
    finally:
        gc.freeze()  # nor is a last search for it worth 20 ms
