"""No code of the product can send an order: the package's trading functions are named nowhere, and not reachable."""

import ast
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ingest.sources.account import Expected
from ingest.sources.surface import READING, ReadingSurface

ROOT = Path(__file__).resolve().parents[2]
PACKAGES = ("tickhub", "ingest", "quality", "storage", "chains", "deploy")
FACTS: dict[str, Any] = json.loads((ROOT / "tests/golden/mt5_facts.json").read_text())  # Any: JSON
# Besides the functions of C: the package's own helpers that trade.
HELPERS = {"Buy", "Sell", "Close", "_RawOrder"}
TRADING = HELPERS | {
    name for name in FACTS["functions"] if name.startswith(("order", "positions_", "history_orders", "history_deals"))
}
# Ways from a function or a name to the module behind it.
BACK_DOORS = {"__self__", "__closure__", "__globals__", "__module__", "__builtins__", "modules"}
IMPORTERS = {"ingest/sources/mt5.py"}


def modules() -> Iterator[tuple[str, ast.Module]]:
    """Yield every module of the product, parsed."""
    paths = [ROOT / "manage.py", *(path for name in PACKAGES for path in sorted((ROOT / name).rglob("*.py")))]
    for path in paths:
        yield path.relative_to(ROOT).as_posix(), ast.parse(path.read_text())


def names(tree: ast.AST) -> Iterator[str]:
    """Yield every name, attribute, import and string of a module: what could lead to a function."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name):
            yield node.id
        elif isinstance(node, ast.Attribute):
            yield node.attr
        elif isinstance(node, ast.alias):
            yield from node.name.split(".")
        elif isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value


def calls(tree: ast.AST, function: str) -> Iterator[ast.Call]:
    """Yield the calls of a function or method by its name."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called == function:
                yield node


def test_trading_functions_are_those_of_the_package() -> None:
    assert {"order_send", "order_check", "order_calc_margin", "positions_get", "history_deals_get"} <= TRADING
    assert TRADING.isdisjoint(READING)


def test_no_module_of_the_product_names_a_trading_function() -> None:
    named = {(path, name) for path, tree in modules() for name in names(tree) if name in TRADING}

    assert named == set()


def test_one_module_imports_the_package_and_no_import_is_computed() -> None:
    importers = {path for path, tree in modules() if "MetaTrader5" in set(names(tree))}
    computed = [
        (path, ast.unparse(call))
        for path, tree in modules()
        for function in ("import_module", "__import__")
        for call in calls(tree, function)
        if not (call.args and isinstance(call.args[0], ast.Constant))
    ]

    assert importers == IMPORTERS
    assert computed == []


def test_the_importing_module_only_hands_the_package_to_the_reading_surface() -> None:
    tree = dict(modules())["ingest/sources/mt5.py"]
    uses = [
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Call) and "module" in argument_names(node)
    ]

    assert sorted(uses) == sorted(
        [
            "Mt5Source(module, spec=spec, description=description, host_now_msc=host_now_msc)",
            "ReadingSurface(module, label=spec.text, expected=expected)",
        ]
    )
    attributes = [
        ast.unparse(node) for node in ast.walk(tree) if isinstance(node, ast.Attribute) and is_module(node.value)
    ]
    assert attributes == []


def argument_names(call: ast.Call) -> set[str]:
    return {node.id for node in [*call.args, *(k.value for k in call.keywords)] if isinstance(node, ast.Name)}


def is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id == "module"


def test_no_module_goes_from_a_function_back_to_its_package() -> None:
    doors = {
        (path, node.attr)
        for path, tree in modules()
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute) and node.attr in BACK_DOORS
    }

    assert doors == set()


def test_code_is_never_made_of_text() -> None:
    made = [(path, name) for path, tree in modules() for name in ("eval", "exec", "compile") for _ in bare(tree, name)]

    assert made == []


def bare(tree: ast.AST, name: str) -> Iterator[ast.Call]:
    return (call for call in calls(tree, name) if isinstance(call.func, ast.Name))


class WholePackage:
    """A stand-in for the package in which every function exists and tells that it was called."""

    def __init__(self) -> None:
        self.called: list[str] = []

    def __getattr__(self, name: str) -> Any:  # Any: any function
        if name not in {*FACTS["functions"], *HELPERS}:
            raise AttributeError(name)
        return lambda *_, **__: self.called.append(name)


@pytest.mark.parametrize("name", sorted(TRADING))
def test_the_surface_reaches_no_trading_function(name: str) -> None:
    package = WholePackage()
    surface = ReadingSurface(package, label="x", expected=Expected())

    assert not hasattr(surface, name)
    assert not any(value is package for value in vars(surface).values())


def test_the_surface_calls_what_it_is_asked_for_and_nothing_else() -> None:
    package = WholePackage()
    surface = ReadingSurface(package, label="x", expected=Expected())
    arguments: dict[str, tuple[object, ...]] = {
        "login": (1,),
        "symbol_info": ("A",),
        "symbol_info_tick": ("A",),
        "symbol_select": ("A",),
        "copy_ticks_from": ("A", 1, 1, -1),
        "copy_ticks_range": ("A", 1, 2, -1),
    }

    for name in READING:
        getattr(surface, name)(*arguments.get(name, ()))

    assert package.called == list(READING)
