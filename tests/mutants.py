"""Mutants: the gateway without one of its guards. Tests that notice nothing prove nothing.

Each is a replacement in one file, made in a copy of the tree; the tests named beside it must then fail, by an assertion
or an error of theirs and not because nothing could be collected. Exit 1 if a mutant survives. A guard that was reworded
is reported as well: its line here must follow.
"""

import os
import queue
import shutil
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
COPIED = ("gateway", "stripe_stub", "tests", "benchmarks", "pyproject.toml")
WORKERS = 2
LONGEST = 180  # seconds
FAILED = 1  # pytest's exit code for tests that failed; 2 to 5 mean that they did not run

QUERIES = "gateway/store/queries.sql"
MORE = "gateway/store/schema/0002_whose_money.sql"
RULES = "gateway/store/schema/0003_cheaper_rules.sql"
REDEEM = "gateway/flows/redeem_and_run.py"
SETTLE = "gateway/flows/settle_purchase.py"
RECONCILE = "gateway/flows/reconcile.py"

STORE = "tests/unit/store"
GATEWAY = "tests/integration/gateway"


@dataclass(frozen=True)
class Mutant:
    """`guard` is what it lacks; `old` stands exactly once in `file`."""

    name: str
    guard: str
    file: str
    old: str
    new: str
    tests: str  # arguments of pytest


MUTANTS = (
    Mutant("held-again", "only a ready token is held", QUERIES,
           "WHERE id = :id AND state = 'ready' AND generation", "WHERE id = :id AND generation",
           f"{STORE}/test_money_moves.py"),
    Mutant("old-generation", "only the latest string of a token is held", QUERIES,
           "AND generation = :generation AND expires_at", "AND :generation > 0 AND expires_at",
           f"{STORE}/test_money_moves.py"),
    Mutant("past-expiry", "a token past its expiry is not held", QUERIES,
           "AND generation = :generation AND expires_at > :now\n", "AND generation = :generation AND :now > 0\n",
           f"{STORE}/test_money_moves.py"),
    Mutant("other-model", "a token is held only for the model it was bought for", QUERIES,
           "AND p.fmu_sha256 = :fmu_sha256 AND p", "AND :fmu_sha256 <> '' AND p",
           f"{STORE}/test_money_moves.py"),
    Mutant("other-price", "a token is held only for the price that was paid", QUERIES,
           "AND p.amount = :amount AND p.currency", "AND :amount > 0 AND p.currency",
           f"{STORE}/test_money_moves.py"),
    Mutant("test-buys-live", "a token is held only in the mode it was paid in", QUERIES,
           ":fmu_sha256 AND p.livemode = :livemode)", ":fmu_sha256 AND :livemode >= 0)",
           f"{STORE}/test_money_moves.py"),
    Mutant("paid-twice", "a purchase is paid once", QUERIES,
           "WHERE id = :id AND state <> 'paid' AND COALESCE", "WHERE id = :id AND COALESCE",
           f"{STORE}/test_money_moves.py"),
    Mutant("other-session-pays", "only the purchase's own session pays it", QUERIES,
           " AND COALESCE(stripe_session_id, :stripe_session_id) = :stripe_session_id RETURNING", " RETURNING",
           f"{STORE}/test_money_moves.py"),
    Mutant("expires-though-paid", "a purchase moves only as the table of legal moves says", QUERIES,
           "WHERE id = :id AND state IN (SELECT value FROM json_each(:from_states)) RETURNING *;",
           "WHERE id = :id AND :from_states IS NOT NULL RETURNING *;", f"{STORE}/test_money_moves.py"),
    Mutant("ends-twice", "a run ends once", QUERIES,
           "WHERE id = :id AND state = 'running';", "WHERE id = :id;",
           f"{STORE}/test_money_moves.py"),
    Mutant("two-runs", "one run per token, by constraint", RULES,
           "CREATE UNIQUE INDEX run_one_per_token", "CREATE INDEX run_one_per_token",
           f"{STORE}/test_constraints.py"),
    Mutant("resolved-twice", "a hold is captured or released once, by constraint", RULES,
           "CREATE UNIQUE INDEX transfer_resolves_once", "CREATE INDEX transfer_resolves_once",
           f"{STORE}/test_constraints.py"),
    Mutant("negative", "no balance of ours is negative, by constraint", RULES,
           "CHECK(amount>=0 OR acct GLOB 'stripe:*' OR acct GLOB 'loss:*')", "CHECK(amount IS NOT NULL)",
           f"{STORE}/test_constraints.py"),
    Mutant("changed-afterwards", "a transfer is never changed, by constraint", RULES,
           "RAISE(ABORT,'a transfer is never changed')", "1", f"{STORE}/test_constraints.py"),
    Mutant("any-way", "value moves from and to what its kind says, by constraint", RULES,
           "CHECK(CASE kind", "CHECK(1 OR CASE kind", f"{STORE}/test_constraints.py"),
    Mutant("other-terms-later", "what was paid for stands, by constraint", MORE,
           "RAISE(ABORT,'the terms of a paid purchase never change')", "1", f"{STORE}/test_constraints.py"),
    Mutant("key-used-twice", "one run per Idempotency-Key, by constraint", RULES,
           "CREATE UNIQUE INDEX run_idempotency", "CREATE INDEX run_idempotency", f"{STORE}/test_money_moves.py"),
    Mutant("booked-twice", "a transfer is booked once", "gateway/store/money.py",
           'raise Refused(f"{transfer.id} was booked before")', "pass", f"{STORE}/test_constraints.py"),
    Mutant("no-transaction", "nothing goes on when the transaction is gone", "gateway/store/connection.py",
           "        if not self._db.in_transaction:", "        if False:", f"{STORE}/test_writer.py"),
    Mutant("goes-on-after", "nothing is done again when the transaction is gone", "gateway/store/connection.py",
           "            if not db.in_transaction:\n                raise\n        db.execute(\"ROLLBACK\")",
           "            if False:\n                raise\n        db.execute(\"ROLLBACK\")", f"{STORE}/test_writer.py"),
    Mutant("half-undone", "an operation that failed leaves nothing behind", "gateway/store/connection.py",
           'db.execute("ROLLBACK TO operation")', "pass", f"{STORE}/test_writer.py"),
    Mutant("not-synced", "a commit that was answered is on disk", "gateway/store/connection.py",
           '"synchronous=FULL",', '"synchronous=OFF",', f"{STORE}/test_writer.py"),
    Mutant("refused-unclearly", "a volume that takes no writes is told, not an unknown outcome",
           "gateway/store/connection.py", "extended == sqlite3.SQLITE_IOERR_WRITE", "False", f"{STORE}/test_writer.py"),
    Mutant("unpacked-in-memory", "a model that passes for unpacked is on disk", "gateway/simulation/intake.py",
           "        _sync(temporary)\n", "", "tests/unit/simulation/test_intake.py"),
    Mutant("two-owners", "one process owns a database", "gateway/store/lock.py",
           "fcntl.flock(named, fcntl.LOCK_EX | fcntl.LOCK_NB)", "pass",
           f"{GATEWAY}/test_after_a_restart.py"),
    Mutant("two-names", "one process owns a database, whatever it is called", "gateway/store/lock.py",
           "fcntl.fcntl(itself, fcntl.F_OFD_SETLK, EXCLUSIVE)", "pass", f"{STORE}/test_lock.py"),
    Mutant("unsigned", "a webhook is believed only with Stripe's signature", "gateway/payments/webhook.py",
           "stripe.WebhookSignature.verify_header(text, signature, secret, tolerance=None)", "pass",
           f"{GATEWAY}/test_webhook_door.py"),
    Mutant("replayed-webhook", "an old webhook is refused", "gateway/payments/webhook.py",
           "if now - signed_at > TOLERANCE_SECONDS:", "if False:", f"{GATEWAY}/test_webhook_door.py"),
    Mutant("unpaid-settles", "only what Stripe says is paid is settled", SETTLE,
           'if session.payment_status == "paid":', 'if session.status == "complete":',
           f"{GATEWAY}/test_webhook_door.py"),
    Mutant("any-amount", "the amount paid is the amount agreed", SETTLE,
           '"amount": session.amount_total == purchase.price.minor,', "", f"{GATEWAY}/test_odd_money.py"),
    Mutant("any-link", "only a session that we made pays: its metadata are ours", SETTLE,
           '"metadata": session.metadata_purchase == purchase.id,', "", f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("second-session", "a second session for a purchase is other money", SETTLE,
           '"session": purchase.stripe_session_id in (None, session.id),', "", f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("paid-before-stored", "a result is stored before it is paid for", REDEEM,
           "    services.results.write(run_id, stored)\n", "",
           f"{GATEWAY}/test_failing_runs.py {GATEWAY}/test_whole_loop.py"),
    Mutant("rename-first", "a result is on disk before it has its name", "gateway/simulation/results.py",
           "                os.fsync(file.fileno())\n", "", "tests/unit/simulation/test_results_on_disk.py"),
    Mutant("folder-not-synced", "the name of a result is on disk before it is paid for",
           "gateway/simulation/results.py", "            self._sync()\n", "            pass\n",
           "tests/unit/simulation/test_results_on_disk.py"),
    Mutant("charged-for-failure", "a failed run gives the value back", REDEEM,
           'raise await _release(services, run, live, error) from None', "raise",
           f"{GATEWAY}/test_failing_runs.py"),
    Mutant("orphan-released", "an orphan with its result is captured", RECONCILE,
           "if stored is None\n        else Ending", "if True\n        else Ending",
           f"{GATEWAY}/test_after_a_restart.py"),
    Mutant("orphan-left", "an orphan without its result is released", "gateway/app.py",
           "        await recover(services)\n", "", f"{GATEWAY}/test_after_a_restart.py"),
    Mutant("takes-the-living", "a run of this process is no orphan", REDEEM,
           "        services.running[run.id] = live  # before", "        pass  # before",
           f"{GATEWAY}/test_runs_under_trouble.py"),
    Mutant("other-request", "an Idempotency-Key is of one request", REDEEM,
           "if run.digest != plan.digest:", "if False:",
           f"{GATEWAY}/test_repeating.py"),
    Mutant("malleable", "a signed text has one spelling", "gateway/domain/statements.py",
           "if hmac.compare_digest(_signed(signer, value), given):", "if signer.validate(given):",
           "tests/unit/domain/test_signed_statements.py"),
    Mutant("anybodys-token", "a purchase with a key is collected only with it", "gateway/web/payments.py",
           "    if quote.account_id is not None and quote.account_id != sender.account_id:\n", "    if False:\n",
           f"{GATEWAY}/test_tokens.py"),
    Mutant("dead-string-replays", "an earlier string of a token replays nothing", REDEEM,
           "if entitlement.latest and (replayed", "if (replayed", f"{GATEWAY}/test_tokens.py"),
    Mutant("runs-without-a-hold", "a run whose hold failed is killed", REDEEM,
           "        task.cancel()\n", "", f"{GATEWAY}/test_runs_under_trouble.py"),
    Mutant("new-key-each-time", "an order to refund is one order, however often it is sent",
           "gateway/payments/checkout.py", ', {"idempotency_key": order_id})', ")",
           f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("two-sessions", "a purchase has one Checkout Session, however often it is asked for",
           "gateway/payments/checkout.py", ', {"idempotency_key": purchase.id})', ")",
           f"{GATEWAY}/test_checkout_page.py"),
    Mutant("refused-for-ever", "what Stripe will not refund is spendable again", "gateway/payments/checkout.py",
           "if error.http_status == 400 and (error.code is None or error.code in FINAL_REFUSALS):", "if False:",
           f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("set-apart-for-ever", "what was set apart ends with its refund in the dashboard", "gateway/store/returns.py",
           "        found = min(amount, left + apart)\n", "        found = 0\n",
           f"{GATEWAY}/test_money_set_apart.py"),
    Mutant("paid-by-hand-and-spendable", "what a person gave back by hand buys nothing", "gateway/store/otherwise.py",
           "            move_token(db, ref, TokenState.REVOKED)\n", "            pass\n",
           f"{GATEWAY}/test_money_set_apart.py"),
    Mutant("answers-of-another-secret", "an answer of /pay is repeated as it was signed", "gateway/flows/pay_once.py",
           "services.statements.alone(key.digests.index(kept.digest))", "services.statements",
           f"{GATEWAY}/test_pay_idempotency.py"),
    Mutant("dead-string-told", "an earlier string of a token is told of no run", "gateway/flows/entitlements.py",
           "token if latest else replace(token, run_id=None), latest", "token, latest", f"{GATEWAY}/test_tokens.py"),
    Mutant("ready-and-leaving", "a token whose rest goes back is not spendable", "gateway/store/returns.py",
           "if rest_goes_back or not whole:", "if not whole:", f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("held-is-taken", "what goes back during a run waits for its end", "gateway/store/returns.py",
           "    if _state(db, purchase_id) is TokenState.HELD:\n", "    if False:\n",
           f"{GATEWAY}/test_refused_refunds.py"),
    Mutant("inquiry-takes", "a bank that only asks takes no money", "gateway/flows/settle_returns.py",
           'item.status.startswith("warning_")', "False", f"{GATEWAY}/test_endings.py"),
    Mutant("any-mode", "only a session for a payment pays", SETTLE,
           '"mode": session.mode == "payment",', "", "tests/unit/flows/test_settle_checks.py"),
    Mutant("committed-untold", "what was committed is told, whoever is cancelled", "gateway/flows/services.py",
           "    return whole\n", "    return flow\n", f"{GATEWAY}/test_told_once.py"),
    Mutant("told-by-another", "second money at the same moment is told as what it is", SETTLE,
           "        fault = _other_terms(services.store.purchase(purchase.id) or purchase, session)\n", "",
           f"{GATEWAY}/test_told_once.py"),
    Mutant("our-clock", "how far Stripe's list was read is said by Stripe's clock", RECONCILE,
           "set_progress(listed, newest)", "set_progress(listed, services.now())",
           f"{GATEWAY}/test_late_rounds.py"),
    Mutant("starved", "purchases that stay undecided do not hide the others", RECONCILE,
           "if len(found) == AT_ONCE else None", "if False else None", f"{GATEWAY}/test_late_rounds.py"),
    Mutant("opens-for-ever", "each try to make a Checkout Session counts", "gateway/flows/open_checkout.py",
           "(begun is None or begun.state is PurchaseState.NEW)", "begun is None",
           f"{GATEWAY}/test_limits_and_keys.py"),
)  # fmt: skip


def copy_tree(folder: Path) -> Path:
    for name in COPIED:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, folder / name, ignore=shutil.ignore_patterns("__pycache__", ".hypothesis"))
        else:
            shutil.copy(source, folder / name)
    return folder


def run_tests(tree: Path, tests: list[str], longest: float = LONGEST) -> tuple[int, str]:
    command = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *tests]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1", "PYTHONPATH": str(tree)}
    try:
        done = subprocess.run(
            command, cwd=tree, env=environment, capture_output=True, text=True, check=False, timeout=longest
        )
    except subprocess.TimeoutExpired:
        return FAILED, "FAILED: it did not end"
    return done.returncode, done.stdout + done.stderr


def try_mutant(mutant: Mutant, tree: Path) -> tuple[bool, str]:
    """Whether it was noticed, and by what."""
    file = tree / mutant.file
    text = file.read_text()
    if text.count(mutant.old) != 1:
        return False, f"stands {text.count(mutant.old)} times in {mutant.file}: the list must follow"
    missing = [name for name in mutant.tests.split() if not (tree / name).exists()]
    if missing:
        return False, f"no such tests: {', '.join(missing)}"
    file.write_text(text.replace(mutant.old, mutant.new))
    try:
        code, said = run_tests(tree, mutant.tests.split())
    finally:
        file.write_text(text)
    noticed = next((line for line in said.splitlines() if line.startswith(("FAILED", "ERROR"))), "")
    if code != FAILED:
        return False, f"pytest ended with {code}: {said.strip().splitlines()[-1] if said.strip() else ''}"
    return True, noticed.split(" - ")[0].removeprefix("FAILED ").split("::")[-1]


def main(names: list[str]) -> int:
    if unknown := set(names) - {mutant.name for mutant in MUTANTS}:
        print(f"no such mutant: {', '.join(sorted(unknown))}", file=sys.stderr)
        return 2
    chosen = [mutant for mutant in MUTANTS if not names or mutant.name in names]
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="mutants-") as folder:
        trees: queue.Queue[Path] = queue.Queue()
        for number in range(WORKERS):
            (tree := Path(folder) / str(number)).mkdir()
            trees.put(copy_tree(tree))
        code, said = run_tests(
            Path(folder) / "0", sorted({test for m in chosen for test in m.tests.split()}), 5 * LONGEST
        )
        if code:
            print(said, "The tests fail without any mutant.", sep="\n")
            return 1

        def attempt(mutant: Mutant) -> bool:
            tree = trees.get()
            try:
                noticed, how = try_mutant(mutant, tree)
            finally:
                trees.put(tree)
            print(f"{'noticed ' if noticed else 'SURVIVED'}  {mutant.name:22} {mutant.guard:66} {how}", flush=True)
            return noticed

        with ThreadPoolExecutor(WORKERS) as pool:
            noticed = list(pool.map(attempt, chosen))
    print(f"{sum(noticed)} of {len(chosen)} mutants noticed in {time.monotonic() - begun:.0f} s")
    return 0 if all(noticed) else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
