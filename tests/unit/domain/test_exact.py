"""No amount of money goes through a float, and one function alone writes transfers, built by domain/ledger."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

GATEWAY = Path(__file__).resolve().parents[3] / "gateway"
MONEY = re.compile(r"(?:^|_)(?:money|micros|minor|amounts?|prices?|cents|fees?)(?:_|$)", re.IGNORECASE)
# Where both are named and never meet. In what GET /metrics shows, money_at_risk_micros is a float as well: that is the
# format of Prometheus, nothing computes with it here, and it is exact up to nine thousand million of a currency.
APART = {
    ("client/commands.py", "_buy"): "the seconds to wait for the payment",
    ("demo.py", "_quote"): "the times in the request",
}


def inexact(tree: ast.AST, also: frozenset[str] = frozenset()) -> Iterator[str]:
    """Where something computes, or may, with floats; `also` names such constants. Paths are joined with / as well."""
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        if isinstance(node, ast.BinOp | ast.AugAssign) and isinstance(node.op, ast.Div):
            sides = (node.left, node.right) if isinstance(node, ast.BinOp) else (node.value,)
            if not any(
                isinstance(getattr(side, "value", None), str) or isinstance(side, ast.JoinedStr) for side in sides
            ):
                yield f"{line}: /"
        if isinstance(node, ast.Constant) and isinstance(node.value, float):
            yield f"{line}: {node.value}"
        if isinstance(node, ast.Name) and node.id in {"float", "round", *also}:
            yield f"{line}: {node.id}"


def names(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        yield from (text for of in ("id", "attr", "arg", "name") if isinstance(text := getattr(node, of, None), str))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and node.value.isidentifier():
            yield node.value  # as a key


def pieces(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Every function, and every statement that stands outside of one."""
    for statement in body:
        yield from pieces(statement.body) if isinstance(statement, ast.ClassDef) else [statement]


def meetings(text: str) -> list[str]:
    """Where something that names money computes with floats."""
    tree = ast.parse(text)
    assigned = [each for each in tree.body if isinstance(each, ast.Assign) and list(inexact(each.value))]
    constants = frozenset(name for each in assigned for target in each.targets for name in names(target))
    of_money = [piece for piece in pieces(tree.body) if any(MONEY.search(name) for name in names(piece))]
    return [f"{getattr(piece, 'name', '')} {where}" for piece in of_money for where in inexact(piece, constants)]


@pytest.mark.parametrize("file", sorted(str(file.relative_to(GATEWAY)) for file in GATEWAY.rglob("*.py")))
def test_nothing_that_handles_money_computes_with_floats(file: str) -> None:
    found = meetings((GATEWAY / file).read_text())
    assert [where for where in found if (file, where.split()[0]) not in APART] == []


@pytest.mark.parametrize("text", ["a / b", "a /= b", "a * 0.01", "float(a)", "round(a)"])
def test_what_would_be_inexact_is_found(text: str) -> None:
    assert list(inexact(ast.parse(text)))
    assert meetings(f"def f(a, price):\n    {text}")
    assert not meetings(f"def f(a, seconds):\n    {text}")
    assert list(inexact(ast.parse("a // b * 100 % 7, folder / 'file'"))) == []


def test_a_constant_that_is_inexact_is_found_where_money_meets_it() -> None:
    assert meetings("SHARE = 0.01\nclass A:\n    def f(self, purchase): return purchase.amount * SHARE")
    assert not meetings("SHARE = 0.01\nclass A:\n    def f(self, run): return run.seconds * SHARE")


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
