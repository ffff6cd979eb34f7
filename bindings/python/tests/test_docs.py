"""Examples and stubs say what is there."""

from __future__ import annotations

import ast
import doctest
import inspect
import os
from pathlib import Path

import pytest

import xsfm
import xsfm._builder
import xsfm._packing
import xsfm._xsfm

from conftest import FIXTURES, ROOT

PACKAGE = Path(xsfm.__file__).parent


def test_examples_of_the_package_run() -> None:
    done = doctest.testmod(xsfm, extraglobs={"FIXTURES": str(FIXTURES)})
    assert done.attempted > 8 and done.failed == 0
    done = doctest.testmod(xsfm._builder)
    assert done.attempted > 5 and done.failed == 0


def test_examples_of_the_page_run(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    pytest.importorskip("pandas")
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    os.symlink(FIXTURES, tmp_path / "fixtures")
    done = doctest.testfile(str(ROOT / "docs" / "python.md"), module_relative=False, encoding="utf-8")
    assert done.attempted > 15 and done.failed == 0


def names(node: ast.FunctionDef) -> list[str]:
    """The parameters that a caller may name."""
    arguments = node.args
    return [a.arg for a in [*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs] if a.arg != "self"]


def test_stubs_are_what_is_there() -> None:
    tree = ast.parse((PACKAGE / "_xsfm.pyi").read_text(encoding="utf-8"))
    stubs = {node.name: node for node in tree.body if isinstance(node, (ast.ClassDef, ast.FunctionDef))}
    public = {name for name in stubs if not name.startswith("_")}
    there = {name for name in dir(xsfm._xsfm) if not name.startswith("_")}
    assert public == there
    for name in sorted(public):
        stub, found = stubs[name], getattr(xsfm._xsfm, name)
        assert inspect.getdoc(found), name
        if isinstance(stub, ast.FunctionDef):
            assert names(stub) == list(inspect.signature(found).parameters), name
            continue
        assert ast.get_docstring(stub), name
        members = {node.name: node for node in stub.body if isinstance(node, ast.FunctionDef)}
        if issubclass(found, Exception):
            continue
        own = {member for member in vars(found) if not member.startswith("_")}
        assert {member for member in members if not member.startswith("_")} == own, name
        for member, node in members.items():
            assert ast.get_docstring(node) or member.startswith("_"), f"{name}.{member}"
            is_property = any(isinstance(d, ast.Name) and d.id == "property" for d in node.decorator_list)
            if not is_property and not member.startswith("_"):
                signature = inspect.signature(getattr(found, member)).parameters
                assert names(node) == [p for p in signature if p != "self"], f"{name}.{member}"


def test_the_package_says_what_it_has() -> None:
    assert set(xsfm.__all__) == {name for name in dir(xsfm) if not name.startswith("_") or name == "__version__"} - {
        "annotations",
        "plot",
        "sklearn",
        "spark",
    }
    assert (PACKAGE / "py.typed").exists()
