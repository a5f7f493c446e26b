"""Sizes: parsing and the resulting canvas size."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from impasto.errors import OptionError
from impasto.options.sizes import Size, parse_size

sides = st.integers(1, 30_000)


@pytest.mark.parametrize(
    ("text", "dpi", "expected"),
    [
        (512, None, Size(512)),
        ("512", None, Size(512)),
        (" 512 px ", None, Size(512)),
        ("1.5mp", None, Size(area=1_500_000)),
        (".5MP", 72, Size(area=500_000, dpi=72)),
        ("36in", 300, Size(10_800, dpi=300)),
        ("90cm", 300, Size(10_630, dpi=300)),
        ("900mm", 300, Size(10_630, dpi=300)),
        (Size(7), None, Size(7)),
    ],
)
def test_valid_sizes(text, dpi, expected):
    assert parse_size(text, dpi) == expected


def test_no_size_keeps_the_size():
    assert parse_size(None) is None


@pytest.mark.parametrize(
    ("text", "dpi", "words"),
    [
        ("big", None, ["'big'", "1.5mp"]),
        ("", None, ["''"]),
        (True, None, ["True"]),
        ("-5", None, ["'-5'"]),
        ("nan", None, ["'nan'"]),
        ("1e3", None, ["'1e3'"]),
        ("12.5", None, ["'12.5'", "whole"]),
        (0, None, ["0", "outside 1 to"]),
        ("9" * 400, None, ["outside 1 to"]),
        ("0.0000001mp", None, ["outside 1 to"]),
        ("99999999999mp", None, ["outside 1 to"]),
        ("36in", None, ["'36in'", "--dpi 300"]),
        ("36in", 0, ["dpi is 0"]),
        ("36in", float("nan"), ["dpi is nan"]),
        (512, "x", ["dpi is 'x'"]),
    ],
)
def test_invalid_sizes(text, dpi, words):
    with pytest.raises(OptionError) as caught:
        parse_size(text, dpi)
    message = str(caught.value)
    assert "\n" not in message
    assert all(word in message for word in words)


@pytest.mark.parametrize("wish", [{}, {"long_side": 5, "area": 5}, {"long_side": 0}, {"area": 0}])
def test_a_size_is_exactly_one_of_three_and_in_range(wish):
    with pytest.raises(OptionError):
        Size(**wish)


@given(st.integers(1, 20_000), sides, sides)
def test_the_long_side_is_exact_and_proportions_are_kept(long_side, height, width):
    fitted = parse_size(str(long_side)).fit(height, width)
    assert max(fitted) == long_side
    assert min(fitted) >= 1
    shortest, longest = min(height, width), max(height, width)
    exact = max(shortest * long_side, longest)  # times the longest side, so that numbers stay whole; 1 px at the least
    assert 2 * abs(min(fitted) * longest - exact) <= longest


@given(st.floats(0.001, 500), st.integers(1, 3000), st.integers(1, 3000))
def test_an_area_keeps_the_proportions(megapixels, height, width):
    size = parse_size(f"{megapixels:.6f}mp")
    fitted = size.fit(height, width)
    factor = (size.area / (height * width)) ** 0.5
    assert abs(fitted[0] - max(1, height * factor)) <= 0.5 + 1e-9
    assert abs(fitted[1] - max(1, width * factor)) <= 0.5 + 1e-9


@given(sides, sides)
def test_the_same_long_side_changes_nothing(height, width):
    assert Size(max(height, width)).fit(height, width) == (height, width)


@given(st.text(max_size=12))
def test_any_text_is_a_size_or_an_option_error(text):
    try:
        size = parse_size(text, 300)
    except OptionError:
        return
    assert min(size.fit(300, 200)) >= 1


def test_full_keeps_the_size() -> None:
    assert parse_size("full").fit(37, 91) == (37, 91)
    assert parse_size(" Full ", 300).dpi == 300
    with pytest.raises(OptionError, match="exactly one of a long side, an area or full"):
        Size(long_side=3, full=True)
