"""The error tree, and the hints that name what would do."""

from __future__ import annotations

import subprocess
import sys

import pytest

import impasto
from impasto import errors
from impasto.errors import ImpastoError, InputError, MachineError, NumericalError, OptionError, suggest


@pytest.mark.parametrize("name", ["ImageError", "OptionError", "WeightsError", "RecordError"])
def test_what_the_user_gave_is_one_branch(name: str) -> None:
    kind = getattr(errors, name)
    assert issubclass(kind, InputError)
    assert issubclass(kind, ImpastoError)


@pytest.mark.parametrize("kind", [MachineError, NumericalError])
def test_the_other_branches_are_no_input(kind: type[Exception]) -> None:
    assert issubclass(kind, ImpastoError)
    assert not issubclass(kind, InputError)


def test_an_option_error_knows_its_field() -> None:
    error = OptionError("strength is 2; it must be between 0 and 1", "strength")
    assert error.option == "strength"
    assert str(error) == "strength is 2; it must be between 0 and 1"
    assert OptionError("x").option is None


def test_the_nearest_name_comes_first() -> None:
    hint = suggest("gatys", ["neural-style", "gatys2016"])
    assert hint == "did you mean 'gatys2016'? Choose from: gatys2016, neural-style"


def test_without_a_near_name_all_are_listed() -> None:
    assert suggest("zzz", ["b", "a"]) == "choose from: a, b"


@pytest.mark.slow
def test_errors_and_events_are_attributes_of_the_package() -> None:
    code = "import impasto, sys; impasto.errors.InputError, impasto.events.Stepped; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
    assert {"errors", "events"} <= set(impasto.__all__)
