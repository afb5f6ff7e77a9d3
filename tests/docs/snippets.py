"""Python on a page: it compiles, and what it takes from the package is there."""

import ast
import inspect
from importlib import import_module
from typing import Any

from tests.docs.pages import Page


PACKAGE = "optimum_dynexec"


def problems(page: Page) -> list[str]:
    """What would not run. Names go on from block to block."""
    names: dict[str, Any] = {}
    found = []
    for line, block in page.blocks("python", "py"):
        try:
            tree = ast.parse(block)
        except SyntaxError as error:
            found.append(f"{page.path.name}, line {line}: {error}")
            continue
        checker = Checker(names)
        checker.visit(tree)
        found += [f"{page.path.name}, line {line}: {problem}" for problem in checker.problems]
    return found


class Checker(ast.NodeVisitor):
    """
    Looks up what a block takes from the package: names, attributes of models, and the names of arguments.

    Args:
        names (`dict[str, Any]`): what the page's names are, as far as that is known: objects of the package, or, for
            variables, the class of their value in a [`Value`].
    """

    def __init__(self, names: dict[str, Any]):
        self.names = names
        self.problems: list[str] = []

    def visit_ImportFrom(self, node: ast.ImportFrom) -> None:
        if node.module is None or node.module.split(".")[0] != PACKAGE:
            for alias in node.names:
                self.names[alias.asname or alias.name] = None
            return
        for alias in node.names:
            try:
                self.names[alias.asname or alias.name] = getattr(import_module(node.module), alias.name)
            except (ImportError, AttributeError) as error:
                self.problems.append(f"`from {node.module} import {alias.name}`: {error}")

    def visit_Import(self, node: ast.Import) -> None:
        for alias in node.names:
            if alias.name.split(".")[0] == PACKAGE:
                try:
                    import_module(alias.name)
                except ImportError as error:
                    self.problems.append(f"`import {alias.name}`: {error}")

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            if isinstance(target, ast.Name):
                self.names[target.id] = self._value(node.value)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        owner = self._resolve(node.value)
        if isinstance(owner, Value):
            fields = getattr(owner.kind, "__dataclass_fields__", {})
            if not hasattr(owner.kind, node.attr) and node.attr not in fields and node.attr not in owner.others():
                self.problems.append(f"{owner.kind.__name__} has no `{node.attr}`")
        elif inspect.isclass(owner) and not hasattr(owner, node.attr):
            self.problems.append(f"{owner.__name__} has no `{node.attr}`")

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        function = self._resolve(node.func)
        given = [keyword.arg for keyword in node.keywords if keyword.arg is not None]
        if not callable(function) or not given:
            return
        if isinstance(function, Value):
            function = type.__getattribute__(function.kind, "__call__")
        try:
            parameters = inspect.signature(function).parameters
        except (TypeError, ValueError):
            return
        name = getattr(function, "__qualname__", str(function))
        others = generation_arguments() if name.endswith(".generate") else None
        open_ended = any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters.values())
        for keyword in given:
            known = keyword in parameters or (keyword in others if others is not None else open_ended)
            if not known:
                self.problems.append(f"{name} has no argument `{keyword}`")

    def _resolve(self, node: ast.expr) -> Any:
        if isinstance(node, ast.Name):
            if node.id not in self.names and node.id in import_module(PACKAGE).__all__:
                return getattr(import_module(PACKAGE), node.id)
            return self.names.get(node.id)
        if isinstance(node, ast.Attribute):
            owner = self._resolve(node.value)
            owner = owner.kind if isinstance(owner, Value) else owner
            return getattr(owner, node.attr, None) if inspect.isclass(owner) else None
        return None

    def _value(self, node: ast.expr) -> Any:
        """What a variable is, of which only the class matters: made by its constructor, or by `from_pretrained`."""
        if not isinstance(node, ast.Call):
            return None
        function = self._resolve(node.func)
        if inspect.isclass(function):
            return Value(function)
        if isinstance(node.func, ast.Attribute) and node.func.attr == "from_pretrained":
            owner = self._resolve(node.func.value)
            return Value(owner) if inspect.isclass(owner) else None
        return None


class Value:
    """An object of a class of the package."""

    def __init__(self, kind: type):
        self.kind = kind

    def __call__(self) -> None:
        """Models can be called; what with, `forward` says."""

    def others(self) -> set[str]:
        """Attributes that objects get when they are made."""
        return {"config", "model", "device", "generation_config", "heads"}


def generation_arguments() -> set[str]:
    """What `generate` takes beside its own parameters: transformers' options, and the model's inputs."""
    from transformers import GenerationConfig

    return {*GenerationConfig().to_dict(), "tokenizer", "assistant_tokenizer", "input_ids", "attention_mask"}
