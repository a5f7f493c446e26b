"""Retired words do not come back: British spellings, invented vocabulary, and names that were replaced.

The patterns are searched in the source, the documentation, the scripts and the benchmarks, and so in the help texts and
error messages, which are part of the source.
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("src", "docs", "scripts", "benchmarks", "notebooks")
SUFFIXES = {".py", ".js", ".html", ".css", ".md", ".ipynb", ".sh", ".sql"}
FILES = sorted(
    path
    for path in [
        *(ROOT / name for name in ("README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "CHANGELOG.md")),
        *(ROOT / name for name in ("Makefile", "Dockerfile", "pyproject.toml")),
        *(path for folder in FOLDERS for path in (ROOT / folder).rglob("*") if path.suffix in SUFFIXES),
    ]
)

# Parts of words, in any case, also inside identifiers.
BRITISH = {
    "behaviour": "behavior",
    "cancelled": "canceled",
    "colour": "color",
    "grey": "gray",
    "initialis": "initializ",
    "licence": "license",
    "minimis": "minimiz",
    "neighbour": "neighbor",
    "normalis": "normaliz",
    "optimis": "optimiz",
    "quantis": "quantiz",
    "recognis": "recogniz",
    "serialis": "serializ",
    "summaris": "summariz",
}

# Whole words and phrases, as regular expressions.
PHRASES = {
    r"keepsakes?": "export",
    r"retell(s|ing)?": "events_from_log",
    r"mend(s|ed)?": "fix",
    r"leave \S+ away": "omit",
    r"it goes from": "must be between",
    r"all is well": "OK",
    r"anew": "again",
    r"foretells?": "predict",
    r"(go|goes|going|gone) on (from|with)": "continue",
    r"made again": "reproduce",
    r"wished": "requested",
    r"px a side": "px per side",
    r"is not understood": "is invalid",
    r"counter-clockwise": "counterclockwise",
    r"field of view": "receptive field",
    r"the way back": "backward pass",
    r"bytes a pixel": "bytes per pixel",
}

# Names that were replaced; whole words in this case.
NAMES = {
    "ApartLoss": "PerLayerNearestLoss",
    "Comparison": "StyleTarget",
    "Crew": "WorkerSupervisor",
    "Demand": "MemoryModel",
    "ENGINE_ALONE": "names_with",
    "GRAIN": "ROW_ALIGNMENT",
    "GaussianLoss": "GaussianMMDLoss",
    "JUDGED_SIDE": "COMPARISON_SIDE",
    "Judge": "Evaluator",
    "Keeper": "Checkpointer",
    "Knobs": "LiveWeights",
    "LAST_LOOK": "REPLAN_AFTER_STEPS",
    "Lean": "LowMemoryAdam",
    "MOST_FACTOR": "MAX_STEP_FACTOR",
    "Maker": "TargetProvider",
    "Pace": "TimeBudget",
    "PatchLoss": "MRFLoss",
    "Pens": "PictureWriters",
    "Place": "ComputeSettings",
    "Placed": "StyleSpec",
    "Placement": "RegionSpec",
    "PolynomialLoss": "PolynomialMMDLoss",
    "READ_AT": "STYLE_INPUT_SIDE",
    "Ranks": "ProcessGroup",
    "Reader": "StylePredictor",
    "Relay": "BroadcastMailbox",
    "Shared": "TargetCache",
    "StyleData": "StyleFeatures",
    "Teacher": "TrainingObjective",
    "Tradeoff": "LossWeights",
    "Viewed": "ViewedOptimizer",
    "Wishes": "Requests",
    "check_wish": "preflight",
    "fit_name": "sanitize_name",
    "freed_goes_back": "release_freed_memory",
    "freed_is_kept": "retain_freed_memory",
    "frugal": "release_eagerly",
    "is_shortage": "is_oom",
    "judged_size": "evaluation_size",
    "keep_chroma": "content_chroma_mask",
    "of_run": "oom_error_for_run",
    "of_work": "oom_error",
    "rounded_at_random": "stochastic_round",
    "save_atomically": "save_tensors",
    "stand_in": "style_thumbnail",
    "unwritable": "why_not_writable",
    "vitals": "health",
}

# Names of options in old records, a table of old data folders, and the list of what was renamed.
ALLOWED = {
    "CHANGELOG.md": {"recolour", "keepsakes", "cancelled"},
    "src/impasto/options/renamed.py": {"recolour"},
    "src/impasto/studio/store/schema.py": {"keepsakes", "keepsakes_by_state", "cancelled"},
}

WORD = r"[A-Za-z0-9_]"
PATTERN = re.compile(
    "|".join(
        [
            rf"(?i:{WORD}*(?:{'|'.join(BRITISH)}){WORD}*)",
            *(rf"(?<!{WORD})(?i:{phrase})(?:_{WORD}+)?(?!{WORD})" for phrase in PHRASES),
            rf"(?<!{WORD})(?:{'|'.join(NAMES)})(?!{WORD})",
        ]
    )
)


def retired_words(text: str, allowed: set[str]) -> list[str]:
    """Return the retired words of a text with their line numbers."""
    return [
        f"{number}: {match[0]}"
        for number, line in enumerate(text.splitlines(), start=1)
        for match in PATTERN.finditer(line)
        if match[0] not in allowed
    ]


@pytest.mark.parametrize("path", FILES, ids=[path.relative_to(ROOT).as_posix() for path in FILES])
def test_no_retired_words(path: Path) -> None:
    allowed = ALLOWED.get(path.relative_to(ROOT).as_posix(), set())
    assert retired_words(path.read_text(encoding="utf-8"), allowed) == []


@pytest.mark.parametrize(
    "text", ["the colour", "recolour_me", "Normalisation", "leave --tile away", "class Ranks:", "mended"]
)
def test_a_retired_word_is_found(text: str) -> None:
    assert len(retired_words(text, set())) == 1


@pytest.mark.parametrize("text", ["the color", "recommend", "StyleReader", "Comparisons", "Sharedness"])
def test_other_words_are_not_found(text: str) -> None:
    assert retired_words(text, set()) == []


def test_every_exception_is_needed() -> None:
    for name, words in ALLOWED.items():
        text = (ROOT / name).read_text(encoding="utf-8")
        assert [word for word in sorted(words) if not re.search(rf"(?<!{WORD}){word}(?!{WORD})", text)] == []
