"""Check that every transaction of the services has a crash case, and every case a transaction."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.crash_cases import OTHERS, TRANSACTIONS
from tests.support.services import PROJECT

API = PROJECT / "engine" / "src" / "api"


HANDED_ON = {"transaction": 0, "_process": 1}
"""Calls that take the body of a transaction, and the position of that argument."""


class _Sites(ast.NodeVisitor):
    """Collect the names of the failpoints that the store adds to a module's transactions."""

    def __init__(self, module: str) -> None:
        self.names: set[str] = set()
        self._scope = [module]
        self._classes = [module]
        self._nodes: list[ast.AST] = []

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        self._classes.append(f"{self._scope[-1]}.{node.name}")
        self._inside(node)
        self._classes.pop()

    def visit_AsyncFunctionDef(self, node: ast.AsyncFunctionDef) -> None:
        self._inside(node)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._inside(node)

    def visit_Call(self, node: ast.Call) -> None:
        if isinstance(node.func, ast.Attribute) and node.func.attr in HANDED_ON:
            self.names.update(self._named(node.args[HANDED_ON[node.func.attr]]))
        self.generic_visit(node)

    def _inside(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> None:
        nested = len(self._scope) > len(self._classes)
        self._scope.append(self._scope[-1] if nested else f"{self._scope[-1]}.{node.name}")
        self._nodes.append(node)
        self.generic_visit(node)
        self._nodes.pop()
        self._scope.pop()

    def _named(self, body: ast.expr) -> Iterator[str]:
        """Yield the names of a body: an inline body is named after the enclosing function, a method after itself."""
        if isinstance(body, ast.Lambda) or (isinstance(body, ast.Name) and body.id == "body"):
            yield self._scope[-1]
            return
        if isinstance(body, ast.Name) and body.id in self._parameters():
            return  # the callers that pass a body to this function are the sites
        methods = [each.attr for each in ast.walk(body) if isinstance(each, ast.Attribute)]
        if not methods:  # assigned earlier, as in `move = self._promote_one if ... else self._requeue_one`
            choices = [node for node in ast.walk(self._nodes[-1]) if isinstance(node, ast.IfExp)]
            found = [each for choice in choices for each in (choice.body, choice.orelse)]
            methods = [each.attr for each in found if isinstance(each, ast.Attribute)]
        yield from (f"{self._classes[-1]}.{method}" for method in methods)

    def _parameters(self) -> set[str]:
        around = self._nodes[-1]
        if not isinstance(around, ast.FunctionDef | ast.AsyncFunctionDef):
            return set()
        return {each.arg for each in around.args.args}


def sites() -> set[str]:
    found: set[str] = set()
    for path in sorted((API / "services").rglob("*.py")):
        visitor = _Sites(".".join(path.relative_to(API / "services").with_suffix("").parts))
        visitor.visit(ast.parse(path.read_text()))
        found |= visitor.names
    return found


@pytest.mark.promise("once", "recovery")
def test_every_service_transaction_has_a_crash_case() -> None:
    assert sites() == set(TRANSACTIONS)


def test_only_services_open_transactions() -> None:
    others = [path for part in ("agent", "endpoints", "middleware") for path in (API / part).glob("*.py")]
    assert [path.name for path in others if ".transaction(" in path.read_text()] == []


def test_every_other_failpoint_has_a_crash_case() -> None:
    passed: set[str] = set()
    for path in API.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "pass_":
                passed.update(arg.value for arg in node.args if isinstance(arg, ast.Constant))
    assert passed == set(OTHERS)
