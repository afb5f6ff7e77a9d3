"""
Which folders and files of the package import which, read from the code.

`python -m tests.architecture [PACKAGE_DIRECTORY]` prints the table of docs/architecture.md.
"""

import ast
import sys
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path


PACKAGE = Path(__file__).parents[1] / "optimum_dynexec"
# From top to bottom: each line may import what stands in the lines below it, and nothing of its own line.
ORDER = """
    commands
    serving
    optimize
    report
    tuning
    benchmark
    calibration
    quantization
    training
    torch_backend
    modeling
    exporters diffusion
    runtime
    directory
    heads
    graph data
    early_exit speculative
    precision native
    utils version
"""
LEVELS = {name: level for level, line in enumerate(reversed(ORDER.split("\n"))) for name in line.split()}

Imports = dict[str, set[str]]


def file_imports(package: Path = PACKAGE) -> Imports:
    """
    Which module imports which, within a package.

    Imports inside functions and the tables of `lazy_exports` count. `if TYPE_CHECKING` does not, nor do names that a
    package offers from where they stood earlier (`moved=`). A name that is imported from a folder counts as imported
    from the module that the folder's table says.

    Args:
        package (`Path`): directory of the package.

    Returns:
        `dict[str, set[str]]`: dotted names relative to the package; its own `__init__` is `""`.
    """
    trees = {_module(path.relative_to(package)): ast.parse(path.read_text()) for path in package.rglob("*.py")}
    folders = {_module(path.relative_to(package)) for path in package.rglob("__init__.py")}
    offers = {name: _offered(name, trees[name]) for name in folders}
    imports: Imports = {name: set() for name in trees}
    for name, tree in trees.items():
        for base, imported in _statements(tree, name if name in folders else _parent(name), package.name):
            target = f"{base}.{imported}".lstrip(".")
            if target not in trees:
                target = offers.get(base, {}).get(imported, base)
            if target in trees:
                imports[name].add(target)
        # A face hands names on without using them: as an arrow it counts where it leaves its folder.
        imports[name] |= {target for target in offers.get(name, {}).values() if folder_of(target) != folder_of(name)}
        imports[name].discard(name)
    return imports


def folder_imports(imports: Imports) -> Imports:
    """Which folder imports which. Files that stand in no folder count as folders; the package's own face does not."""
    folders: Imports = defaultdict(set)
    for name, targets in imports.items():
        if name:
            folders[folder_of(name)] |= {folder_of(target) for target in targets if target} - {folder_of(name)}
    return dict(folders)


def upward(folders: Imports) -> list[str]:
    """The imports that do not go down, as sentences."""
    return [
        f"{name} imports {target}, which is not below it"
        for name, targets in sorted(folders.items())
        for target in sorted(targets)
        if LEVELS[target] >= LEVELS[name]
    ]


def knots(imports: Imports) -> list[list[str]]:
    """Groups of modules or folders each of which reaches all others of its group (Tarjan's algorithm)."""
    index: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found = []

    def visit(name: str) -> None:
        index[name] = low[name] = len(index)
        stack.append(name)
        for target in imports.get(name, ()):
            if target not in index:
                visit(target)
                low[name] = min(low[name], low[target])
            elif target in stack:
                low[name] = min(low[name], index[target])
        if low[name] == index[name]:
            group = [stack.pop()]
            while group[-1] != name:
                group.append(stack.pop())
            if len(group) > 1:
                found.append(sorted(group))

    for name in list(imports):
        if name not in index:
            visit(name)
    return sorted(found)


def table(package: Path = PACKAGE) -> str:
    """The folders with what they import, as Markdown, from top to bottom."""
    imports = file_imports(package)
    folders = folder_imports(imports)
    knotted = [name for group in knots(folders) for name in group]
    order = sorted(folders, key=lambda name: (-LEVELS.get(name, 0), name))
    rows = ["| folder | imports |", "| --- | --- |"]
    rows += [f"| `{name}` | {', '.join(sorted(folders[name]))} |" for name in order]
    rows += ["", f"In a circle: {', '.join(knotted) if knotted else 'none'}."]
    return "\n".join(rows)


def folder_of(module: str) -> str:
    """The folder that a module stands in, or the module where that is the package itself."""
    return module.split(".")[0]


def _module(path: Path) -> str:
    parts = path.with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def _parent(module: str) -> str:
    return module.rpartition(".")[0]


def _statements(tree: ast.AST, package: str, root: str) -> Iterator[tuple[str, str]]:
    """`(module, name)` of everything that is imported from within the package."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test).endswith("TYPE_CHECKING"):
            for other in node.orelse:
                yield from _statements(other, package, root)
            continue
        if isinstance(node, ast.ImportFrom):
            module = node.module or ""
            if node.level:
                base = package.split(".") if package else []
                base = base[: len(base) + 1 - node.level]
                yield from ((".".join([*base, *filter(None, [module])]), alias.name) for alias in node.names)
            elif module == root or module.startswith(f"{root}."):
                yield from ((module[len(root) + 1 :], alias.name) for alias in node.names)
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names if alias.name.startswith(f"{root}.")]
            yield from ((_parent(name[len(root) + 1 :]), name.rpartition(".")[2]) for name in names)
        yield from _statements(node, package, root)


def _offered(package: str, tree: ast.AST) -> dict[str, str]:
    """By the table of `lazy_exports`, the module that each name of a folder comes from."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and ast.unparse(node.func) == "lazy_exports":
            modules = ast.literal_eval(node.args[1])
            return {name: _absolute(module, package) for module, names in modules.items() for name in names}
    return {}


def _absolute(module: str, package: str) -> str:
    if not module.startswith(".."):
        return f"{package}.{module}".lstrip(".")
    base = package.split(".")
    up = len(module) - len(module.lstrip(".")) - 1
    return ".".join([*base[: len(base) - up], module.lstrip(".")])


if __name__ == "__main__":
    print(table(Path(sys.argv[1]) if len(sys.argv) > 1 else PACKAGE))
