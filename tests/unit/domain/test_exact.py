"""No amount of money goes through a float, and one function alone writes transfers, built by domain/ledger."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).resolve().parents[3] / "gateway"
OF_MONEY = [
    "domain/money.py", "domain/ledger.py", "domain/pricing.py", "domain/purchases.py", "domain/quotes.py",
    "store/money.py", "store/returns.py", "store/otherwise.py", "payments/checkout.py", "payments/challenge.py",
    "flows/settle_returns.py", "flows/refund.py", "flows/compare_books.py",
]  # fmt: skip


def inexact(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            yield f"{line}: /"
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{line}: {node.value}"
        if isinstance(node, ast.Name) and node.id in ("float", "round"):
            yield f"{line}: {node.id}"


@pytest.mark.parametrize("file", OF_MONEY)
def test_nothing_that_handles_money_computes_with_floats(file: str) -> None:
    assert list(inexact(ast.parse((GATEWAY / file).read_text()))) == []


@pytest.mark.parametrize("text", ["a / b", "a /= b", "a * 0.01", "float(a)", "round(a)"])
def test_what_would_be_inexact_is_found(text: str) -> None:
    assert list(inexact(ast.parse(text)))
    assert list(inexact(ast.parse("a // b * 100 % 7"))) == []


def calls(name: str) -> list[str]:
    """Where a function, or a statement of queries.sql, is called."""
    return sorted(
        str(file.relative_to(GATEWAY))
        for file in GATEWAY.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text()))
        if isinstance(node, ast.Call) and (getattr(node.func, "attr", None) or getattr(node.func, "id", None)) == name
    )


def test_one_function_writes_transfers_and_one_module_builds_them() -> None:
    statements = "\n".join(file.read_text() for file in (GATEWAY / "store").glob("*.sql"))
    assert statements.count("INSERT INTO transfer") == 1
    assert "UPDATE transfer" not in statements
    assert "DELETE FROM transfer" not in statements
    assert calls("append_transfer") == ["store/money.py"]
    assert set(calls("Transfer")) == {"domain/ledger.py"}
    assert set(calls("debit")) == set(calls("credit")) == {"store/money.py"}
