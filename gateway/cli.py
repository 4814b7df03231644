"""The command line: the operator's commands, and the buyer's mounted beside them.

Only typer and gateway.client's own modules are imported here; everything else when its command is called, because
`--help` and `models` must answer within 250 ms.
"""

import gc
import os
import sys
from typing import Annotated, Any

import typer

from gateway import __version__, operate
from gateway.client import commands
from gateway.client.light import LightCommand, LightGroup

# httpx imports its own command line, with click, rich and pygments, if it can: 150 ms that nobody here asked for.
sys.modules.setdefault("httpx._main", None)  # type: ignore[arg-type]

NAME = "fmu-gateway"
BUY, SELL = "Buy", "Sell"
AFTER_COMMANDS = """\

Try:
  fmu-gateway demo                                    all of it here, no account
  fmu-gateway run msl:VanDerPol --csv out.csv         a free model just runs
  fmu-gateway run msl:BouncingBall --quote            the exact price, first
  fmu-gateway run msl:BouncingBall --set e=0.9 --pay  checkout, run, receipt

Environment:
  FMU_GATEWAY_URL        the gateway; http://127.0.0.1:8402 if not set
  FMU_GATEWAY_API_KEY    your account's key; without one you buy anonymously
  FMU_GATEWAY_MAX_PRICE  never pay more than this for a run

Exit codes:
  0 ok              4 key refused         7 invalid request
  1 unexpected      5 not found           8 run failed and was not charged
  2 usage           6 payment required    9 waited too long
  3 unreachable

Data go to stdout, messages to stderr; piped, data are JSON.
"""


class Help(LightGroup):
    """Typer's plain help with the commands in two groups; its rich help takes 250 ms to draw."""

    def format_options(self, ctx: Any, formatter: Any) -> None:
        commands: list[Any] = [self.get_command(ctx, name) for name in self.list_commands(ctx)]
        for panel in (BUY, SELL):
            shown = [each for each in commands if getattr(each, "rich_help_panel", None) == panel]
            with formatter.section(panel):
                formatter.write_dl([(_title(each), each.get_short_help_str(limit=70)) for each in shown])
        formatter.write(AFTER_COMMANDS)


def _title(command: Any) -> str:
    return " ".join([command.name, *getattr(command, "commands", ())])


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
    port: Annotated[int | None, typer.Option(metavar="P", min=1, max=65535, help="Port; 8402 if not set.")] = None,
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
def verify(run: Annotated[str, typer.Argument(metavar="RUN", help="run_… or its run_url.")]) -> None:
    """Run it again from its kept result; the same numbers, or 1."""
    from gateway import verify

    raise typer.Exit(verify.verify(run))


for operating in (operate.reconcile, operate.refund, operate.backup, operate.funnel):
    app.command(rich_help_panel=SELL, cls=LightCommand)(operating)


@app.command(rich_help_panel=SELL, cls=LightCommand)
def demo(
    port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="The gateway's port.")] = 8402,
    stub_port: Annotated[int, typer.Option(metavar="P", min=1, max=65535, help="The local Stripe's port.")] = 8403,
    once: Annotated[bool, typer.Option("--once", help="End after the loop; exit 0 if every step worked.")] = False,
) -> None:
    """The whole loop here, with a local Stripe of its own."""
    from gateway import demo

    raise typer.Exit(demo.demo(port, stub_port, once=once))


def main() -> None:
    """The console script."""
    gc.disable()  # a command ends before garbage matters; imports alone would set it off thirty times
    gc.freeze()
    for unused in ("rich", "requests"):  # imported by libraries of ours only because they are there: 80 ms and more
        sys.modules.setdefault(unused, None)  # type: ignore[arg-type]  # None there: not to be imported
    os.environ["OPENBLAS_NUM_THREADS"] = "1"  # numpy's; nothing here needs its threads, and to start them takes 70 ms
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="replace")  # type: ignore[union-attr]  # a terminal without UTF-8 still gets answers
    try:
        app(prog_name=NAME)
    finally:
        gc.freeze()  # nor is a last search for it worth 20 ms
