"""Shared fixtures, and restrictions on tests: no network, no processes in quick tests, no access to user settings."""

from __future__ import annotations

import ipaddress
import os
import socket
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings

if TYPE_CHECKING:
    from collections.abc import Iterator

    import torch
    from numpy.typing import NDArray

# Some tests import the fixtures of others.
sys.path[:0] = [str(Path(__file__).parent / folder) for folder in ("", "imaging", "regions", "studio/http")]
THREADS_CHOSEN = "OMP_NUM_THREADS" in os.environ
os.environ.setdefault("MPLBACKEND", "agg")

settings.register_profile(
    "impasto",
    deadline=None,  # tests must not depend on the speed of the machine
    derandomize=True,
    database=None,
    max_examples=50,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.load_profile("impasto")


# Fixtures that start processes or paint for seconds; tests that use one are marked as slow.
SLOW_FIXTURES = {"crashed_workers", "browser", "crashed_runs", "scenario_results", "start_studio", "uninterrupted_job"}


@pytest.hookimpl(tryfirst=True)  # before ``-m`` selects
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark tests with a slow fixture as slow."""
    for item in items:
        if SLOW_FIXTURES.intersection(getattr(item, "fixturenames", ())):
            item.add_marker("slow")


def pytest_configure(config: pytest.Config) -> None:
    """Fix the number of threads, which sums depend on; parallel tests (``-n 2``) have one thread each."""
    if not THREADS_CHOSEN:
        os.environ["OMP_NUM_THREADS"] = "1" if getattr(config.option, "numprocesses", None) else "2"


class NetworkRefusedError(RuntimeError):
    """A test without the ``network`` mark tried to reach another machine."""


class ProcessRefusedError(RuntimeError):
    """A test without the ``slow`` mark tried to start a process."""


PROCESSES = ("subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "os.spawn", "os.system")
TOOLS = {"lscpu", "uname", "ldconfig", "fc-list"}  # fast programs that libraries run to identify the machine
running: list[pytest.Item] = []


def refuse_processes(
    event: str, args: tuple[Any, ...], processes: tuple[str, ...] = PROCESSES, running: list[pytest.Item] = running
) -> None:
    """Raise if a quick test starts a process, which is slow on a busy machine.

    The last two arguments are defaults because the hook outlives the module's globals at interpreter shutdown.
    """
    if event not in processes or not running or running[-1].get_closest_marker("slow"):
        return
    program = Path(os.fsdecode(args[0])).name if args and isinstance(args[0], str | bytes | os.PathLike) else ""
    if program not in TOOLS:
        raise ProcessRefusedError(f"{running[-1].nodeid} tried to start a process ({event} {program}); mark it `slow`")


sys.addaudithook(refuse_processes)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Record the running test, including its fixtures."""
    running.append(item)
    try:
        return (yield)
    finally:
        running.pop()


def is_local(address: Any) -> bool:
    """Return whether a socket address is on this machine; Unix sockets are."""
    if not isinstance(address, tuple):
        return True
    host = str(address[0])
    if host in {"", "localhost"}:
        return True
    try:
        return ipaddress.ip_address(host.split("%", maxsplit=1)[0]).is_loopback
    except ValueError:
        return False


@pytest.fixture(autouse=True)
def no_network(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Refuse connections to other machines unless the test is marked ``network``."""
    if request.node.get_closest_marker("network"):
        return
    connect, look_up = socket.socket.connect, socket.getaddrinfo

    def guarded_connect(self: socket.socket, address: Any) -> None:
        if not is_local(address):
            raise NetworkRefusedError(f"a test tried to reach {address}; mark it `network` if it must")
        connect(self, address)

    def guarded_look_up(host: Any, *args: Any, **kwargs: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and not is_local((name,)):
            raise NetworkRefusedError(f"a test tried to look up {name}; mark it `network` if it must")
        return look_up(host, *args, **kwargs)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_look_up)


@pytest.fixture(autouse=True)
def isolated_settings(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Use empty settings and data folders and no index; the cache of downloaded weights stays accessible."""
    home = tmp_path_factory.getbasetemp() / "home"
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "config"))
    monkeypatch.setenv("XDG_DATA_HOME", str(home / "data"))
    monkeypatch.setenv("IMPASTO_NO_INDEX", "1")


@pytest.fixture(autouse=True)
def bfloat16_is_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let ``--precision auto`` depend on the hardware's features, not on measured rates."""
    from impasto.runtime import device

    monkeypatch.setattr(device, "cpu_rates", lambda: device.Rates(fp32=100.0, bf16=400.0))


@pytest.fixture(autouse=True)
def isolated_torch() -> Iterator[None]:
    """Seed torch for every test, and restore the number of threads."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    torch.manual_seed(20160627)
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture
def two_threads() -> Iterator[None]:
    """Run torch with two threads, and restore the number of threads."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def rng() -> np.random.Generator:
    """Return a numpy generator with a fixed seed."""
    return np.random.default_rng(20160627)


@pytest.fixture
def generator() -> torch.Generator:
    """Return a torch generator with a fixed seed."""
    import torch

    return torch.Generator().manual_seed(20160627)


def _synthetic_photo(height: int, width: int) -> NDArray[np.uint8]:
    """Return a synthetic photograph ``[H, W, 3]`` uint8 with smooth areas and edges: a lit ball on a gradient."""
    rows, columns = np.mgrid[0:height, 0:width].astype(np.float64)
    x, y = columns / width, rows / height
    ground = np.stack([0.25 + 0.5 * x, 0.35 + 0.4 * y, 0.75 - 0.4 * x], axis=-1)
    away = np.hypot(x - 0.45, y - 0.55)
    ball = np.clip(1.1 - 3 * np.hypot(x - 0.38, y - 0.45), 0.1, 1)[..., None] * np.array([1.0, 0.6, 0.3])
    picture = np.where((away < 0.28)[..., None], ball, ground)
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


@pytest.fixture(scope="session")
def tiny_picture() -> NDArray[np.uint8]:
    """Return a content image, ``[48, 64, 3]`` uint8."""
    return _synthetic_photo(48, 64)


@pytest.fixture(scope="session")
def tiny_style() -> NDArray[np.uint8]:
    """Return a style image with coarse and fine texture, ``[56, 56, 3]`` uint8."""
    rows, columns = np.mgrid[0:56, 0:56].astype(np.float64)
    wave = 0.5 + 0.5 * np.sin(columns / 5 + 2 * np.sin(rows / 9))
    fine = 0.5 + 0.5 * np.sin((rows + columns) * 1.3)
    picture = np.stack([0.9 * wave, 0.2 + 0.5 * wave * fine, 0.3 + 0.6 * (1 - wave)], axis=-1)
    return np.asarray(np.rint(np.clip(picture, 0, 1) * 255), np.uint8)


@pytest.fixture
def tiny_files(tmp_path: Path, tiny_picture: NDArray[np.uint8], tiny_style: NDArray[np.uint8]) -> tuple[Path, Path]:
    """Write the tiny images as PNG and return the paths of content and style."""
    from PIL import Image

    content, style = tmp_path / "content.png", tmp_path / "style.png"
    Image.fromarray(tiny_picture).save(content)
    Image.fromarray(tiny_style).save(style)
    return content, style
