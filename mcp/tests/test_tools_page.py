"""The page of all tools names for each one a test that exists and calls it."""

import ast
import re
from pathlib import Path

from skyflo_tools.tools import CHANGES, READS

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "tools.md"
ROW = re.compile(r"^\| `(\w+)` \| `([\w/.]+)::(\w+)` \| .+ \|$", re.MULTILINE)


def test_page_names_for_each_tool_a_test_that_calls_it() -> None:
    rows = {tool: (file, test) for tool, file, test in ROW.findall(PAGE.read_text())}
    assert set(rows) == {tool.info.name for tool in (*READS, *CHANGES)}, f"complete {PAGE.name}"
    for tool, (file, test) in rows.items():
        tree = ast.parse((ROOT / file).read_text())
        found = [node for node in tree.body if isinstance(node, ast.AsyncFunctionDef) and node.name == test]
        assert found, f"{PAGE.name}: {file} has no {test}"
        assert tool in _texts_of(found[0], tree), f"{PAGE.name}: {test} does not call {tool}"


def _texts_of(test: ast.AST, module: ast.Module) -> set[object]:
    """Return the constants of a test, and those of the tables and helpers of its module that it names."""
    names = {node.id for node in ast.walk(test) if isinstance(node, ast.Name)}
    used = [each for each in module.body if names & _names_defined_by(each)]
    return {node.value for part in (test, *used) for node in ast.walk(part) if isinstance(node, ast.Constant)}


def _names_defined_by(statement: ast.stmt) -> set[str]:
    if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef):
        return {statement.name}
    targets = statement.targets if isinstance(statement, ast.Assign) else []
    targets = [statement.target] if isinstance(statement, ast.AnnAssign) else targets
    return {target.id for target in targets if isinstance(target, ast.Name)}
