"""``impasto studio``: the server process and its workers.

The server prints its address and opens the page in a browser. The server process never loads torch. Any address but a
loopback address needs a token, given or generated.
"""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import secrets
import signal
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
    """The settings of a studio.

    Args:
        data: the data folder.
        host: the address to listen on.
        port: 0 chooses a free port.
        token: required from visitors; generated if one is needed and this is None.
        names: DNS names that the server accepts, besides localhost and the host's own name.
        workers: number of jobs that run at the same time.
        module: name of the module with ``run``, ``writers`` and ``exporters``.
        browser: whether to open the page in a browser.
        controls: whether to load the controls, which takes a few seconds.
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
    """Return the default data folder."""
    import platformdirs

    return Path(platformdirs.user_data_dir("impasto")) / "studio"


def is_loopback(host: str) -> bool:
    """Return whether an address is reachable from this computer only."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def access_rules(settings: Settings) -> AccessRules:
    """Return the access rules for these settings.

    Raises:
        InputError: the token cannot be sent in a header.
    """
    token = settings.token
    if token is not None and (
        not token.isascii() or not token.isprintable() or set(token) & set(' ",;\\') or not token
    ):
        raise InputError(
            "the token may contain only visible ASCII characters, and no quotes, commas, semicolons or backslashes"
        )
    if is_loopback(settings.host):
        return AccessRules(token=token, names=settings.names)
    names = (*settings.names, socket.gethostname().lower())
    return AccessRules(token=token or secrets.token_urlsafe(16), names=names, any_address=True)


def serve(settings: Settings, say: Callable[[str], None] = print) -> None:
    """Run the studio until it is interrupted.

    Args:
        settings: of the studio.
        say: receives the line with the address.

    Raises:
        InputError: the port is in use, the data folder is not writable, or another studio uses it.
    """
    rules = access_rules(settings)
    if (reason := why_not_writable(settings.data)) is not None:
        raise InputError(f"--data {settings.data}: the folder {reason}; choose a different one")
    with _locked(settings.data), _bound_socket(settings) as listener:
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
            with contextlib.suppress(KeyboardInterrupt), _hangup_ends():  # Ctrl-C is the normal way to stop a studio
                uvicorn.Server(config).run(sockets=[listener])
        finally:
            supervisor.stop()
            store.close()


@contextlib.contextmanager
def _hangup_ends() -> Iterator[None]:
    """Let SIGHUP, which uvicorn does not handle, stop the server as SIGTERM does; under ``nohup`` it stays ignored."""
    before = signal.getsignal(signal.SIGHUP)
    if before is not signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: signal.raise_signal(signal.SIGTERM))
    try:
        yield
    finally:
        signal.signal(signal.SIGHUP, before)


def _open(
    settings: Settings,
    supervisor: WorkerSupervisor,
    frame: page.Frame,
    app: FastAPI,
    address: str,
    say: Callable[[str], None],
) -> None:
    """Start what can wait until the server is running: the workers, the browser, the controls."""
    say(f"Impasto studio is running at {address}")
    if settings.browser:
        threading.Thread(target=webbrowser.open, args=(address,), daemon=True).start()
    supervisor.start()
    if settings.controls:
        threading.Thread(target=frame.load, args=(app,), name="controls", daemon=True).start()
    else:
        frame.state = "off"


def _on_start(app: FastAPI, act: Callable[[], None]) -> None:
    """Call ``act`` once the app has started."""
    inner = app.router.lifespan_context

    @contextlib.asynccontextmanager
    async def lifespan(app: Any) -> AsyncIterator[Any]:
        async with inner(app) as state:
            act()
            yield state

    app.router.lifespan_context = lifespan


@contextlib.contextmanager
def _locked(folder: Path) -> Iterator[None]:
    """Lock a data folder for one server; the operating system releases the lock when the process ends."""
    with (folder / "server.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise InputError(f"another studio uses {folder}; stop it, or use a different --data folder") from error
        yield


@contextlib.contextmanager
def _bound_socket(settings: Settings) -> Iterator[socket.socket]:
    """Bind the port before the server starts, so that a port in use gives a one-line error."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    # asyncio sets TCP_NODELAY only if the protocol is named; without it small responses take 40 ms.
    with socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((settings.host, settings.port))
        except OSError as error:
            raise InputError(
                f"cannot listen on {settings.host} port {settings.port}: {error.strerror}; use a different --port"
            ) from error
        listener.listen()  # from here on connections wait instead of being refused
        yield listener


def _address(settings: Settings, listener: socket.socket, rules: AccessRules) -> str:
    """Return the address of the page, with the token if there is one."""
    host = settings.host if settings.host not in ("0.0.0.0", "::") else socket.gethostname()  # noqa: S104
    if ":" in host:
        host = f"[{host}]"
    token = f"?token={urllib.parse.quote(rules.token, safe='')}" if rules.token else ""
    return f"http://{host}:{listener.getsockname()[1]}/{token}"
