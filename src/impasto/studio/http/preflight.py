"""Validation of a new job before it is queued, so that a job that can only fail is refused while the form is open.

The checks use the options and the headers of the images, and name the invalid field. The run itself checks everything
again, on the decoded images. Does not import torch.
"""

from __future__ import annotations

from typing import cast

from impasto.errors import OptionError
from impasto.options import recipes
from impasto.options.fields import Options
from impasto.options.layer_names import SMALLEST_SIDE, check_layers
from impasto.options.option_fields import OptionFields
from impasto.options.sizes import canvas_size
from impasto.options.validation import parse_weights
from impasto.studio.http.problems import ProblemError
from impasto.studio.http.views import NewJob
from impasto.studio.store.database import Store


def preflight(new_job: NewJob, given: dict[str, object], store: Store) -> None:
    """Refuse a job that could only fail.

    Args:
        new_job: the images and their roles.
        given: options by name, as they will be stored with the job.
        store: holds the images.

    Raises:
        OptionError: the size or a layer does not exist, or the result would be too large.
        NotFoundError: an image does not exist.
        ProblemError: 422; an image is too small.
    """
    chosen = recipes.resolve(**cast("OptionFields", given))
    _check_layers(chosen)
    by_field = {"content": new_job.content}
    by_field |= {f"styles.{index}.asset": style.asset for index, style in enumerate(new_job.styles)}
    by_field |= {f"regions.{index}.asset": region.asset for index, region in enumerate(new_job.regions)}
    assets = {field: store.asset(asset_id) for field, asset_id in by_field.items()}
    for field, asset in assets.items():
        if min(asset.width, asset.height) < SMALLEST_SIDE:
            raise ProblemError(
                422,
                f"the image is {asset.width}x{asset.height} px, too small for the layers of the network; "
                f"each side must be at least {SMALLEST_SIDE} px: choose a different image",
                field,
            )
    content = assets["content"]
    height, width = canvas_size((content.height, content.width), chosen.output.size, chosen.output.dpi)
    if height * width > chosen.output.max_pixels:
        raise OptionError(
            f"the image would be {width}x{height} px, more than the {chosen.output.max_pixels} pixels allowed: "
            "choose a smaller size",
            "size",
        )


def _check_layers(chosen: Options) -> None:
    for name in ("style_layers", "content_layers"):
        text = getattr(chosen.features, name)
        if text is not None:
            check_layers(parse_weights(text, name), chosen.features.network, name)
