"""What can be told of a wish before it is queued: whether its run could only fail.

In: a wish, its options, its pictures' headers. Out: nothing, or a problem that names the field. The run checks all of
it again, with more to go by; here it is told while the person still looks at the form. No torch.
"""

from __future__ import annotations

from typing import Any

from impasto.errors import OptionError
from impasto.options import recipes
from impasto.options.fields import Options
from impasto.options.layer_names import SMALLEST_SIDE, check_layers
from impasto.options.sizes import canvas_size
from impasto.options.validation import parse_weights
from impasto.studio.http.problems import ProblemError
from impasto.studio.http.views import NewJob
from impasto.studio.store.database import Store


def check_wish(wish: NewJob, given: dict[str, Any], store: Store) -> None:
    """Refuse what could only fail once its turn comes.

    Args:
        wish: which picture plays which part.
        given: options by name, as the job is stored with.
        store: where the pictures are.

    Raises:
        OptionError: a size or a layer that there is not.
        NotFoundError: a picture that is not there.
        ProblemError: 422; a picture, or what is to be painted, is too small or too large.
    """
    chosen = recipes.resolve(**given)
    _check_layers(chosen)
    parts = {"content": wish.content}
    parts |= {f"styles.{place}.asset": style.asset for place, style in enumerate(wish.styles)}
    parts |= {f"regions.{place}.asset": region.asset for place, region in enumerate(wish.regions)}
    assets = {field: store.asset(asset_id) for field, asset_id in parts.items()}
    for field, asset in assets.items():
        if min(asset.width, asset.height) < SMALLEST_SIDE:
            raise ProblemError(
                422,
                f"the picture is {asset.width}x{asset.height} px, too small for the layers; "
                f"every side needs {SMALLEST_SIDE} px: give another picture",
                field,
            )
    content = assets["content"]
    height, width = canvas_size((content.height, content.width), chosen.output.size, chosen.output.dpi)
    if height * width > chosen.output.max_pixels:
        raise OptionError(
            f"the picture would be {width}x{height} px, more than the {chosen.output.max_pixels} pixels allowed: "
            "give a smaller size",
            "size",
        )


def _check_layers(chosen: Options) -> None:
    for name in ("style_layers", "content_layers"):
        text = getattr(chosen.features, name)
        if text is not None:
            check_layers(parse_weights(text, name), chosen.features.network, name)
