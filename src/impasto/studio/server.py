"""``impasto studio``: one process that answers, and a supervisor that paints.

In: where to listen, where to keep things. Out: a running server, an address on the terminal, a page in the browser.
This process never loads torch. Whatever is not loopback needs a token, asked for or made.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import secrets
import socket
import threading
import urllib.parse
import webbrowser
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import uvicorn
from fastapi import FastAPI

from impasto.errors import InputError
from impasto.files import why_not_writable
from impasto.studio.http import page
from impasto.studio.http.api import create_app
from impasto.studio.http.dependencies import Studio
from impasto.studio.http.guard import AccessRules
from impasto.studio.store.database import Store
from impasto.studio.worker.supervisor import RUNNER_MODULE, WorkerSupervisor

PORT = 7860


@dataclass(frozen=True)
class Settings:
    """How a studio is started.

    Args:
        data: the folder for everything that is kept.
        host: the address to listen on.
        port: 0 takes any that is free.
        token: what visitors must know; made if need be.
        names: DNS names that the server answers to, besides localhost and this machine's own.
        workers: how many jobs are painted at once.
        module: where the workers find ``run``, ``writers`` and ``exporters``.
        browser: whether to open it.
        controls: whether to load the controls, which takes some seconds.
    """

    data: Path
    host: str = "127.0.0.1"
    port: int = PORT
    token: str | None = None
    names: tuple[str, ...] = ()
    workers: int = 1
    module: str = RUNNER_MODULE
    browser: bool = True
    controls: bool = True


def default_data() -> Path:
    """Return where the studio keeps things unless told otherwise."""
    import platformdirs

    return Path(platformdirs.user_data_dir("impasto")) / "studio"


def is_loopback(host: str) -> bool:
    """Say whether nobody but this machine can reach an address."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def access_rules(settings: Settings) -> AccessRules:
    """Decide who may come in.

    Raises:
        InputError: the token could not be sent in a header.
    """
    token = settings.token
    if token is not None and (
        not token.isascii() or not token.isprintable() or set(token) & set(' ",;\\') or not token
    ):
        raise InputError(
            "the token may only have visible ASCII characters without quotes, commas, semicolons, backslashes"
        )
    if is_loopback(settings.host):
        return AccessRules(token=token, names=settings.names)
    names = (*settings.names, socket.gethostname().lower())
    return AccessRules(token=token or secrets.token_urlsafe(16), names=names, any_address=True)


def serve(settings: Settings, say: Callable[[str], None] = print) -> None:
    """Run the studio until it is interrupted.

    Args:
        settings: how.
        say: where the address goes.

    Raises:
        InputError: the port is taken, or another studio uses the data folder.
    """
    rules = access_rules(settings)
    if (reason := why_not_writable(settings.data)) is not None:
        raise InputError(f"--data {settings.data}: the folder {reason}; name another")
    with _alone(settings.data), _listening(settings) as listener:
        store = Store(settings.data)
        supervisor = WorkerSupervisor(store, settings.workers, settings.module)
        frame = page.Frame()
        health: Callable[[], dict[str, Any]] = lambda: {  # noqa: E731
            "workers": len(supervisor.living()),
            "restarts": supervisor.restarts,
            "page": frame.state,
        }
        app = create_app(Studio(store, rules, health=health, loose=(page.CONTROLS,)))
        page.install(app, frame)
        address = _address(settings, listener, rules)
        _on_start(app, lambda: _open(settings, supervisor, frame, app, address, say))
        config = uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2, server_header=False)
        try:
            with contextlib.suppress(KeyboardInterrupt):  # Ctrl-C is how a studio is meant to end
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            supervisor.stop()
            store.close()


def _open(
    settings: Settings,
    supervisor: WorkerSupervisor,
    frame: page.Frame,
    app: FastAPI,
    address: str,
    say: Callable[[str], None],
) -> None:
    """Do what can wait until the server answers."""
    say(f"the studio is at {address}")
    if settings.browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    supervisor.start()
    if settings.controls:
        threading.Thread(target=frame.load, args=(app,), name="controls", daemon=True).start()
    else:
        frame.state = "off"


def _on_start(app: FastAPI, act: Callable[[], None]) -> None:
    """Call something once the app has started."""
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            act()
            yield state

    app.router.lifespan_context = lifespan


@contextlib.contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Claim a data folder for one server; the system lets go of it however the server ends."""
    with (folder / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another studio uses {folder}; stop it, or give another --data folder") from error
        yield


@contextlib.contextmanager
def _listening(settings: Settings) -> Iterator[socket.socket]:
    """Take the port, so that a taken one is told in a sentence."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # Only where the protocol is named does asyncio send small answers at once instead of after 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; give another --port"
            ) from error
        listener.listen()  # from now on visitors wait instead of being turned away
        yield listener


def _address(settings: Settings, listener: socket.socket, rules: AccessRules) -> str:
    """Return the address to visit, with the token if one is needed."""
    host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104
    if ":" in host:
        host = f"[{host}]"
    token = f"?token={urllib.parse.quote(rules.token, safe='')}" if rules.token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{token}"
