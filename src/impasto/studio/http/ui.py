"""The controls, drawn by Gradio from the declared options; they upload, compute and store nothing.

The controls are a page at ``/controls/``, shown in a frame of the studio's page. A small script reports changes to that
page, so Gradio's own queue and upload routes are never used; only the routes that draw the page are open.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from fastapi import FastAPI
from starlette.types import ASGIApp, Receive, Scope, Send

from impasto.options import recipes
from impasto.options.builtin_recipes import BUILT_IN
from impasto.options.declaration import Declared
from impasto.options.fields import GROUPS, declared

# The routes of Gradio that the controls need: no upload, no queue, no file, no proxy.
OPEN_ROUTES = re.compile(
    r"/?|/config|/theme\.css|/gradio_api/(info|heartbeat/\w+|startup-events|app_id)|/(assets|static|svelte)/[\w./@-]+"
    r"|/manifest\.json|/favicon\.ico"
)
# The theme's labels are orange on orange and its help is pale gray, too faint to read.
READABLE_COLORS = {
    "block_title_text_color": "#1c2333",
    "block_title_text_color_dark": "#eceef4",
    "block_title_background_fill": "transparent",
    "block_title_background_fill_dark": "transparent",
    "block_title_padding": "0",
    "block_info_text_color": "#5b6274",
    "block_info_text_color_dark": "#a5adbf",
}


def build() -> Any:
    """Draw the controls.

    Returns:
        Gradio Blocks; the ``elem_id`` of a control is ``option-`` plus the name of the option.
    """
    import gradio as gr

    shown = [option for option in declared() if not (option.facts.get("server") or option.facts.get("hidden"))]
    first = sorted((o for o in shown if "page_rank" in o.facts), key=lambda option: option.facts["page_rank"])
    with gr.Blocks(title="Impasto controls", analytics_enabled=False) as blocks:
        for option in first:
            _control(option)
        gr.Radio(
            [*BUILT_IN, *recipes.own()],
            value=recipes.DEFAULT,
            label="Recipe",
            info="A complete set of settings; your own changes override it.",
            elem_id="option-recipe",
            interactive=True,
        )
        for key, group in GROUPS.items():
            rest = [option for option in shown if option.group == key and option not in first]
            if not rest:
                continue
            with gr.Accordion(group.title, open=False):
                for option in rest:
                    _control(option)
    return blocks


def _control(option: Declared) -> Any:
    """Draw one option: a range as a slider, choices as buttons, anything else as a text field that may be empty."""
    import gradio as gr

    choices = option.closed_choices
    text = str(option.facts["help"]).replace("--", "")  # the help is written for the command line
    text = text[0].upper() + text[1:] + "."
    if option.facts.get("live"):
        text += " Live: can be changed during a run."
    common: dict[str, Any] = {
        "label": option.name.replace("_", " ").capitalize(),
        "info": text,
        "elem_id": f"option-{option.name}",
        "interactive": True,
    }
    low, high = option.facts.get("low"), option.facts.get("high")
    if choices:
        named = [(str(choice), str(choice)) for choice in choices]
        if option.default is None:
            return gr.Radio([("From the recipe", ""), *named], value="", **common)
        return gr.Radio(named, value=str(option.default), **common)
    if option.type is bool:
        return gr.Checkbox(value=option.default, **common)
    if option.type is float and option.default is not None and low is not None and high is not None and high <= 10:
        return gr.Slider(low, high, value=option.default, step=0.01, buttons=[], **common)
    shown = "" if option.default is None else str(option.default)
    return gr.Textbox(value=shown, placeholder="From the recipe", max_lines=1, **common)


def mount(app: FastAPI, path: str) -> None:
    """Build the controls and mount them on a running app."""
    os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"
    import gradio as gr
    from starlette.routing import Mount

    with _quiet():
        blocks = build()
        inner = FastAPI()
        system = ["system-ui", "sans-serif"]
        gr.mount_gradio_app(
            inner,
            blocks,
            path,
            theme=gr.themes.Soft(primary_hue="orange", font=system, font_mono=["ui-monospace", "monospace"]).set(
                **READABLE_COLORS
            ),
            css_paths=None,
            css="footer {display: none !important} .gradio-container, .gradio-container main {padding: 0 !important}",
            head='<script type="module" src="/static/controls.js"></script>',
            footer_links=[],
            ssr_mode=False,
            show_error=False,
            max_file_size=1,
        )
    app.router.routes.append(Mount(path, app=_OnlyOpenRoutes(inner, path)))


class _OnlyOpenRoutes:
    """Passes on only the requests that draw the controls."""

    def __init__(self, app: ASGIApp, prefix: str) -> None:
        self.app = app
        self.prefix = prefix

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        path = scope["path"].removeprefix(self.prefix)
        allowed = scope["type"] == "http" and scope["method"] in ("GET", "HEAD") and OPEN_ROUTES.fullmatch(path)
        if scope["type"] == "http" and not allowed:
            await send({"type": "http.response.start", "status": 404, "headers": [(b"content-type", b"text/plain")]})
            await send({"type": "http.response.body", "body": b"not found"})
            return
        # Gradio was mounted with the whole path, so it needs the whole path here.
        await self.app({**scope, "root_path": ""}, receive, send)


@contextmanager
def _quiet() -> Iterator[None]:
    """Hide Gradio's warnings about its own code."""
    import warnings

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield
