"""Every transaction of the services has a case in which the process dies there, and every case a transaction."""

import ast
from collections.abc import Iterator

import pytest

from tests.support.crash_cases import OTHERS, TRANSACTIONS
from tests.support.services import PROJECT

API = PROJECT / "engine" / "src" / "api"


HANDED_ON = {"transaction": 0, "_take_up": 1}
"""Calls that take the body of a transaction, and as which argument."""


class _Sites(ast.NodeVisitor):
    """The names that the store gives to the failpoints of a module's transactions (`adapters/store/store.py`)."""

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
        """A body written in place is named after the function around it, a method by its own name."""
        if isinstance(body, ast.Lambda) or (isinstance(body, ast.Name) and body.id == "body"):
            yield self._scope[-1]
            return
        if isinstance(body, ast.Name) and body.id in self._parameters():
            return  # whoever calls this function with a body is the site
        methods = [each.attr for each in ast.walk(body) if isinstance(each, ast.Attribute)]
        if not methods:  # chosen between beforehand, as in `move = self._promote_one if ... else self._requeue_one`
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
    for path in sorted((API / "services").glob("*.py")):
        visitor = _Sites(path.stem)
        visitor.visit(ast.parse(path.read_text()))
        found |= visitor.names
    return found


@pytest.mark.promise("once", "recovery")
def test_every_transaction_of_the_services_has_its_crash() -> None:
    assert sites() == set(TRANSACTIONS)


def test_only_services_have_transactions() -> None:
    others = [path for part in ("agent", "endpoints", "middleware") for path in (API / part).glob("*.py")]
    assert [path.name for path in others if ".transaction(" in path.read_text()] == []


def test_every_other_failpoint_has_its_crash() -> None:
    passed: set[str] = set()
    for path in API.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "pass_":
                passed.update(arg.value for arg in node.args if isinstance(arg, ast.Constant))
    assert passed == set(OTHERS)
