"""The gateway, made to die at a named step: everything that money passes is wrapped from outside, then it serves.

    DIES_AT=hold.after:2 python benchmarks/dying_gateway.py serve --port 8402

It kills itself (SIGKILL, so nothing is tidied up) the n-th time it comes to that step, after a line on stderr that says
so. The gateway knows nothing of this: no hook for it stands in production code. Its pauses are shortened, so that what
takes an operator's month happens within seconds; UNSPENT_SECONDS says after how many an unspent token is refunded.
An operator's commands (`refund`, `reconcile`) are made to die the same way.
"""

import os
import signal
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))  # the tree this file stands in, not the installed one

VERBS = (
    "begin_purchase", "open_purchase", "move_purchase", "settle", "hold", "order_refund", "finish_refund",
    "refund_failed", "refuse_refund", "take_unmatched", "take_back", "take_back_unmatched", "dispute_won",
    "dispute_lost", "unmatched_won", "next_generation", "keep_pay_answer", "receive_event", "finish_event",
)  # fmt: skip
TOKEN_SECONDS = 3.0  # after which the string of a token is replaced by the next one
CALLS = ("open", "retrieve", "refund", "returns")
KINDS = ("pay", "hold", "capture", "release", "refund", "clawback", "loss", "restore")

# Before and after each verb of the store and each call of Stripe; inside a transaction, when a transfer of that kind is
# booked, or half booked, and not committed; after a commit that nobody was told of; around the writing of a result.
STEPS = (
    *(f"{verb}.{when}" for verb in (*VERBS, "capture", "release") for when in ("before", "after")),
    *(f"stripe.{call}.{when}" for call in CALLS for when in ("before", "after")),
    *(f"booked.{kind}" for kind in KINDS),
    "half_booked", "committed", "run.after", "result.before", "result.written", "result.renamed", "result.after",
)  # fmt: skip

# What an operator's command comes to; its own two verbs are no gateway's.
AT_ALL = ("half_booked", "committed")
REFUNDS = ("finish_refund.before", "finish_refund.after", "stripe.refund.after")
COMMAND_STEPS = {
    "refund": ("ask_refund.before", "ask_refund.after", *REFUNDS, *AT_ALL),
    "otherwise": ("give_back_otherwise.before", "give_back_otherwise.after", *AT_ALL),
    "reconcile": (*REFUNDS, *AT_ALL),
}

seen: Counter[str] = Counter()
wanted, _, nth = os.environ.get("DIES_AT", "").partition(":")


def come_to(step: str) -> None:
    seen[step] += 1
    if step == wanted and seen[step] == int(nth or 1):
        os.write(2, f"died at {step}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)


def surround(owner: Any, name: str, step: Callable[..., str], *, before: bool = True) -> None:
    """An async method comes to <step>.before and <step>.after. AttributeError if it is not there any more."""
    original = getattr(owner, name)

    async def surrounded(*args: Any, **kwargs: Any) -> Any:
        called = step(*args)
        if before:
            come_to(f"{called}.before")
        result = await original(*args, **kwargs)
        come_to(f"{called}.after")
        return result

    setattr(owner, name, surrounded)


def precede(owner: Any, name: str, step: Callable[..., str | None]) -> None:
    """A function comes to a step before it is called, where `step` names one."""
    original = getattr(owner, name)

    def preceded(*args: Any, **kwargs: Any) -> Any:
        if (coming := step(*args)) is not None:
            come_to(coming)
        return original(*args, **kwargs)

    setattr(owner, name, preceded)


def make_mortal() -> None:
    from gateway.flows import ask_refund
    from gateway.payments.checkout import Checkout
    from gateway.simulation.results import ResultFiles
    from gateway.simulation.runner import Runner
    from gateway.store import money, otherwise, returns
    from gateway.store.connection import Writer, queries
    from gateway.store.store import Store

    for verb in (*VERBS, "ask_refund"):
        surround(Store, verb, lambda *_, verb=verb: verb)
    surround(Store, "finish_run", lambda _, run, ending: "capture" if ending.result_sha256 else "release")
    surround(ask_refund, "give_back_otherwise", lambda *_: "give_back_otherwise")
    for call in CALLS:
        surround(Checkout, call, lambda *_, call=call: f"stripe.{call}")
    surround(Runner, "run", lambda *_: "run", before=False)

    book = money.book

    def booked(db: Any, transfer: Any, now: int) -> None:
        book(db, transfer, now)
        come_to(f"booked.{transfer.kind}")

    money.book = returns.book = otherwise.book = booked
    precede(queries, "credit", lambda *_: "half_booked")
    answer = Writer._answer

    def answered(*args: Any) -> None:
        come_to("committed")
        answer(*args)

    Writer._answer = staticmethod(answered)  # type: ignore[method-assign]

    precede(Path, "rename", lambda path, *_: "result.written" if path.suffix == ".part" else None)
    precede(ResultFiles, "_sync", lambda *_: "result.renamed")
    write = ResultFiles.write

    def written(*args: Any, **kwargs: Any) -> None:
        come_to("result.before")
        write(*args, **kwargs)
        come_to("result.after")

    ResultFiles.write = written  # type: ignore[method-assign]


def hurry() -> None:
    from gateway.flows import receive_webhook, reconcile, refund, settle_purchase
    from gateway.payments import checkout
    from gateway.settings import Settings

    shorter: tuple[tuple[Any, str, Any], ...] = (
        (reconcile, "EVERY_SECONDS", 0.4),
        (reconcile, "DAY", float(os.environ.get("UNSPENT_SECONDS", "86400"))),
        (reconcile, "OVERLAP_SECONDS", 20),
        (receive_webhook, "RETRY_SECONDS", (1,)),
        (receive_webhook, "DEAD_AFTER", 10_000),  # attempts, that now take a second each
        (refund, "RETRY_SECONDS", (1,)),
        (settle_purchase, "ASK_EVERY_SECONDS", 0.3),
        (checkout, "TIMEOUT_SECONDS", 1.0),
    )
    for module, name, value in shorter:
        getattr(module, name)  # AttributeError: it has moved, and this file must follow
        setattr(module, name, value)
    assert "checkout_token_ttl_minutes" in Settings.model_fields
    Settings.checkout_token_ttl_minutes = property(lambda _: TOKEN_SECONDS / 60)  # type: ignore[assignment]


def make_mortal_in_time() -> None:
    """A server's forkserver begins before anything that is changed here is imported, and that stays so: its start is
    measured."""
    from gateway.simulation.forkservers import Forkserver

    begin = Forkserver.begin

    def begun(forkserver: Forkserver) -> None:
        begin(forkserver)
        make_mortal()
        hurry()

    Forkserver.begin = begun  # type: ignore[method-assign]  # what serve does before it imports the app


if __name__ == "__main__":
    if sys.argv[1:2] == ["serve"]:
        make_mortal_in_time()
    else:
        make_mortal()
        hurry()
    from gateway.cli import main

    main()
