"""``impasto studio``: the page in the browser."""

from __future__ import annotations

from pathlib import Path

import typer

from impasto.errors import MachineError


def studio(
    host: str = typer.Option("127.0.0.1", "--host", help="Address to listen on; anything but loopback needs a token."),
    port: int = typer.Option(7860, "--port", min=0, max=65535, help="Port to listen on; 0 selects a free one."),
    data: Path | None = typer.Option(None, "--data", help="Folder for images and history."),
    token: str | None = typer.Option(
        None, "--token", envvar="IMPASTO_TOKEN", help="Access token; generated and printed if omitted."
    ),
    allow_host: list[str] = typer.Option([], "--allow-host", help="Host name to accept besides the default ones."),
    workers: int = typer.Option(1, "--workers", min=1, max=64, help="Number of worker processes."),
    browser: bool = typer.Option(True, "--browser/--no-browser", help="Open the page in a browser."),
) -> None:
    """Run the browser app, in which settings can be changed while it paints."""
    try:
        from impasto.studio.server import Settings, default_data, serve
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] == "impasto":
            raise
        message = f"the studio needs {error.name}, which is not installed: pip install 'impasto[studio]'"
        raise MachineError(message) from error
    names = tuple(name.lower() for name in allow_host)
    serve(
        Settings(
            data=data or default_data(),
            host=host,
            port=port,
            token=token,
            names=names,
            workers=workers,
            browser=browser,
        )
    )
