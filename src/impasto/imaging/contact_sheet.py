"""A contact sheet: images in rows and columns with labels, as one image.

The images are ``[H, W, 3]``, float32 in [0, 1], all of about one size; the sheet is ``[H, W, 3]`` uint8.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from impasto.imaging.encode import quantize
from impasto.imaging.resample import resize

GAP, MARGIN = 8, 12
PAPER, INK, FAINT = (250, 248, 245), (29, 27, 25), (120, 112, 104)

Pixels = NDArray[np.float32]


def draw(
    rows: Sequence[Sequence[Pixels | None]],
    row_labels: Sequence[str],
    column_labels: Sequence[str],
    captions: Sequence[Sequence[str]] = (),
) -> NDArray[np.uint8]:
    """Return the sheet.

    Args:
        rows: images ``[H, W, 3]`` by row and column; None leaves a place empty.
        row_labels, column_labels: labels to the left of each row and above each column.
        captions: text below each image, if any; a caption can have several lines.
    """
    shapes = [picture.shape[:2] for row in rows for picture in row if picture is not None]
    height, width = max(shape[0] for shape in shapes), max(shape[1] for shape in shapes)
    font = ImageFont.load_default(size=max(12, round(width / 14)))
    line = round(font.size * 1.5)  # type: ignore[union-attr]
    labels = [_wrapped(label, font, max(width // 2, 8 * line)) for label in row_labels]
    heads = [_wrapped(label, font, width) for label in column_labels]
    left = MARGIN + max((round(font.getlength(text)) for lines in labels for text in lines), default=0) + GAP
    top = MARGIN + line * max((len(lines) for lines in heads), default=0) + GAP
    foot = line * max((text.count("\n") + 1 for row in captions for text in row), default=0)
    columns = max(len(row) for row in rows)
    size = left + columns * (width + GAP) + MARGIN - GAP, top + len(rows) * (height + foot + GAP) + MARGIN - GAP
    sheet = Image.new("RGB", size, PAPER)
    pen = ImageDraw.Draw(sheet)
    for column, lines in enumerate(heads):
        for index, text in enumerate(lines):
            x, y = left + column * (width + GAP) + width / 2, MARGIN + index * line
            pen.text((x, y), text, INK, font, anchor="ma")
    for row, pictures in enumerate(rows):
        y = top + row * (height + foot + GAP)
        for index, text in enumerate(labels[row]):
            shift = (index - len(labels[row]) / 2 + 0.5) * line
            pen.text((left - GAP, y + height / 2 + shift), text, INK, font, anchor="rm")
        for column, picture in enumerate(pictures):
            x = left + column * (width + GAP)
            if picture is not None:
                sheet.paste(_image(picture, height, width), (x, y))
            if captions:
                pen.text((x + width / 2, y + height + 2), captions[row][column], FAINT, font, anchor="ma")
    return np.asarray(sheet)


def _image(picture: Pixels, height: int, width: int) -> Image.Image:
    """Return an image, resized to fit its cell of the sheet without changing its aspect ratio."""
    factor = min(height / picture.shape[0], width / picture.shape[1])
    size = max(1, round(picture.shape[0] * factor)), max(1, round(picture.shape[1] * factor))
    return Image.fromarray(quantize(resize(picture, size)))


def _wrapped(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: float) -> list[str]:
    """Break a label at spaces and plus signs so that it fits."""
    lines: list[str] = []
    for word in text.replace("+", "+ ").split():
        glued = f"{lines[-1]}{'' if lines[-1].endswith('+') else ' '}{word}" if lines else word
        if lines and font.getlength(glued) <= width:
            lines[-1] = glued
        else:
            lines.append(word)
    return lines
