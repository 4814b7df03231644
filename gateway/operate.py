"""Operating: the commands that mind the books, beside the gateway that serves or without one.

Nothing heavy is imported until one of them is called: the command line mounts them all.
"""

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from gateway.client.screen import message, put, put_fields, put_json, put_table

if TYPE_CHECKING:
    from gateway.flows.compare_books import Books
    from gateway.flows.services import Services
    from gateway.settings import Settings

REASON_LENGTH = 200  # characters; Stripe keeps 500
DAYS = 14


def reconcile() -> None:
    """Pull what webhooks missed; 1 if Stripe's books and ours differ."""

    async def work(services: "Services") -> int:
        from gateway.flows.compare_books import compare_books
        from gateway.flows.receive_webhook import settle_payment
        from gateway.flows.reconcile import catch_up

        await services.store.revive_events(now=services.now())
        await catch_up(services)
        books = await compare_books(services)
        for difference in books.differences:  # it may have happened meanwhile, or no event told of it
            with contextlib.suppress(Exception):
                await settle_payment(services, difference.payment)
        if not books.equal:
            books = await compare_books(services)
        _show_books(books)
        return 0 if books.equal else 1

    _run(work)


def refund(
    session: Annotated[str, typer.Argument(metavar="SESSION", help="session_id, Stripe's cs_…, or the purchase.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be done.")] = False,
    reason: Annotated[str, typer.Option(metavar="TEXT", help="Why; kept, and told to Stripe.")] = "by the operator",
    otherwise: Annotated[
        bool, typer.Option("--otherwise", help="Stripe refused it and you paid the buyer another way: book that.")
    ] = False,
) -> None:
    """Give a payment back that no run was delivered for."""

    async def work(services: "Services") -> int:
        from gateway.client.exits import Exit
        from gateway.flows.ask_refund import ask_refund, find_purchase

        purchase = find_purchase(services, session)
        if otherwise:
            ref = purchase.id if purchase is not None else session
            return await _book_otherwise(services, ref, reason=reason[:REASON_LENGTH], dry_run=dry_run)
        if purchase is None:
            message("There is no such purchase here.")
            return Exit.NOT_FOUND
        patience = services.settings.simulation_timeout_seconds * 2  # a run, and one before it in the queue
        answer = await ask_refund(services, purchase, reason=reason[:REASON_LENGTH], dry_run=dry_run, patience=patience)
        said = {"purchase": answer.purchase.id, "state": str(answer.state), "given": answer.given, "said": answer.said}
        if _for_people():
            put_fields([("purchase", answer.purchase.id), ("state", answer.state)])
            put(answer.said)
        else:
            put_json({**said, "dry_run": dry_run})
        return Exit.OK if answer.given else Exit.UNEXPECTED

    _run(work)


async def _book_otherwise(services: "Services", ref: str, *, reason: str, dry_run: bool) -> int:
    from gateway.client.exits import Exit
    from gateway.flows.ask_refund import given_otherwise

    money = await given_otherwise(services, ref, reason=reason, dry_run=dry_run)
    said = "Nothing waits here that Stripe would not give back: try it without --otherwise."
    if money is not None:
        said = f"{money} {'would be' if dry_run else 'are'} booked as given back; what Stripe has of it is yours."
    if _for_people():
        put(said)
    else:
        put_json({"ref": ref, "given": money is not None, "said": said, "dry_run": dry_run})
    return Exit.OK if money is not None else Exit.UNEXPECTED


def backup(file: Annotated[Path, typer.Argument(metavar="FILE", help="What to write; never overwritten.")]) -> None:
    """Copy the database while the gateway serves, and check the copy."""
    import sqlite3

    from gateway.serving import read_settings
    from gateway.store.backup import back_up
    from gateway.store.store import violations

    settings = read_settings(stripe_enabled=False)  # Stripe's settings do not matter here
    if isinstance(settings, list):
        _refuse(settings)
    database = settings.database_path.absolute()
    try:
        if not database.exists():
            raise FileNotFoundError(f"There is no database at {database}.")
        back_up(database, file.absolute())
        broken = violations(file.absolute())
    except (OSError, sqlite3.Error) as error:
        message(str(error))
        raise typer.Exit(1) from None
    if broken:
        message(f"The copy was made, but its books do not balance: {broken[0]}")
        raise typer.Exit(1)
    message(f"{file}: {file.stat().st_size / 1e6:.1f} MB, and the books in it balance.")


def funnel(
    days: Annotated[int, typer.Option(metavar="N", min=1, max=3660, help="How many days, with this one.")] = DAYS,
) -> None:
    """From quotes to runs, by day (UTC). A serving gateway adds its quotes once an hour."""

    async def work(services: "Services") -> int:
        from dataclasses import asdict

        from gateway.domain.funnel import DAY
        from gateway.store.reports import read_funnel

        since = services.now() - (days - 1) * DAY
        found = await read_funnel(services.store, since, livemode=services.settings.livemode)
        if _for_people():
            head = ("day", "keys", "quotes", "checkouts", "payments", "runs", "with free runs", "payments per quote")
            rows = [
                (d.date, d.keys, d.quotes, d.checkouts, d.payments, d.runs, d.all_runs,
                 "-" if d.conversion is None else f"{d.conversion:.1%}")
                for d in found
            ]  # fmt: skip
            put_table(rows, head)
        else:
            put_json([{**asdict(d), "day": d.date, "conversion": d.conversion} for d in found])
        return 0

    _run(work, without_stripe=True)


def _show_books(books: "Books") -> None:
    from dataclasses import asdict

    if not _for_people():
        shown = {**asdict(books), "net": books.net, "equal": books.equal, "unit": "micros"}
        put_json(shown)
        return
    rows: list[tuple[str, ...]] = []
    for currency in books.currencies:
        ours, net = books.ours.get(currency, 0), books.net.get(currency, 0)
        rows += [(name, currency, _amount(of.get(currency, 0), currency), "", "") for name, of in books.stripe.items()]
        rows.append(("all of it", currency, *(_amount(each, currency) for each in (net, ours, net - ours))))
    put_table(rows, ("", "currency", "Stripe", "ours", "difference"))
    for name, amounts in (("fees, Stripe's own", books.fees), ("not this gateway's", books.others)):
        for currency, micros in amounts.items():
            put(f"{name}: {_amount(micros, currency)} {currency}")
    for each in books.differences:
        what = each.ref or "which is in no book of ours"
        stripe, booked = _amount(each.stripe, each.currency), _amount(each.ours, each.currency)
        put(f"{each.payment} ({what}): {stripe} {each.currency} at Stripe, {booked} here")
    put("The books are equal." if books.equal else "The books differ.")


def _amount(micros: int, currency: str) -> str:
    from gateway.domain.money import Money

    return ("-" if micros < 0 else "") + Money(abs(micros), currency).amount


def _for_people() -> bool:
    import sys

    return sys.stdout.isatty()


def _refuse(faults: list[str]) -> NoReturn:
    for fault in faults:
        message(fault)
    raise typer.Exit(2)


def _run(work: Any, *, without_stripe: bool = False) -> None:
    """`work(services)` with the settings of the environment; its exit code."""
    import asyncio
    import sqlite3

    from gateway.errors import GatewayError
    from gateway.serving import read_settings

    settings = read_settings(**({"stripe_enabled": False} if without_stripe else {}))
    if isinstance(settings, list):
        _refuse(settings)

    async def all_of_it() -> int:
        async with _services_beside(settings) as services:
            code: int = await work(services)
            return code

    try:
        code = asyncio.run(all_of_it())
    except (OSError, RuntimeError, sqlite3.Error) as error:
        message(str(error))
        code = 1
    except GatewayError as error:
        message(f"{error.detail} {error.next_step}")
        code = 1
    raise typer.Exit(code)


@contextlib.asynccontextmanager
async def _services_beside(settings: "Settings") -> AsyncIterator["Services"]:
    """What flows need of the books and of Stripe, without the lock. No model can be sold or run with it."""
    import secrets
    import time

    from gateway.app import configure_logging, drain, read_secrets
    from gateway.domain.pricing import Prices
    from gateway.domain.statements import Statements
    from gateway.flows.services import Services
    from gateway.payments.checkout import Checkout
    from gateway.simulation.library import Library
    from gateway.simulation.results import ResultFiles
    from gateway.simulation.runner import Runner
    from gateway.simulation.uploads import Uploads
    from gateway.store.store import Store

    configure_logging()
    path = settings.database_path.absolute()
    async with contextlib.AsyncExitStack() as stack:
        store = await Store.beside(path).open()
        stack.push_async_callback(store.close)
        checkout = None
        if settings.stripe_enabled:
            checkout = Checkout(settings.stripe_secret_key, settings.stripe_api_base)
            stack.push_async_callback(checkout.close)
        services = Services(
            settings=settings,
            statements=Statements(read_secrets(settings)),
            prices=Prices(settings.default_price),
            store=store,
            checkout=checkout,
            library=Library(path.parent, {}, {}),
            uploads=Uploads(path.parent, settings.run_memory_mb),
            runner=Runner(parallel=1, queued=1, timeout_seconds=1, memory_mb=settings.run_memory_mb),
            results=ResultFiles(settings.results_path),
            now=lambda: int(time.time()),
            random_bytes=secrets.token_bytes,
        )
        stack.push_async_callback(drain, services)  # whatever was interrupted: what is committed is told
        yield services
