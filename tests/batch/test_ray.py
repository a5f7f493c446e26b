"""Batches on Ray: lost actors and nodes, shared and separate folders, and what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

from impasto.batch import ray_cluster, shipping
from impasto.batch.executor import Task
from impasto.batch.ray_cluster import RayExecutor
from impasto.errors import MachineError

HERE = Path(__file__).parent


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """Return what happened to a batch on three nodes of this machine that lost an actor and a node."""
    pytest.importorskip("ray", reason="the extra `cluster` is not installed")
    folder = tmp_path_factory.mktemp("ray")
    source = HERE.parent.parent / "src"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(HERE.parent)])}
    done = subprocess.run(
        [sys.executable, str(HERE / "ray_scenario.py"), str(folder)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    assert lines, done.stderr[-3000:]
    found: dict[str, Any] = json.loads(lines[0].removeprefix("RESULT "))
    return found


@pytest.mark.slow
def test_a_batch_survives_a_killed_actor_and_a_removed_node(scenario: dict[str, Any]) -> None:
    assert scenario["size"] == 3
    assert scenario["retried"]
    assert scenario["shared"] == [12, 0, False]


@pytest.mark.slow
@pytest.mark.parametrize("files", ["shared", "shipped"])
def test_results_have_the_bytes_of_a_local_batch(scenario: dict[str, Any], files: str) -> None:
    assert scenario[files] == [12, 0, False]
    assert scenario[f"{files}_same"] == 12


def task_of(folder: Path) -> Task:
    for name in ("photo.png", "waves.png", "mask.png", "net.safetensors"):
        (folder / name).write_bytes(name.encode())
    styles = (f"{folder / 'waves.png'}#1,2,3,4@{folder / 'mask.png'},scale=0.5",)
    options = {"model": str(folder / "net.safetensors"), "strength": 0.5, "weights": None}
    return Task(3, f"{folder / 'photo.png'}#0,0,9,9", styles, str(folder / "out/a.png"), options, "faces")


def test_a_task_travels_with_its_files(tmp_path: Path) -> None:
    task = task_of(tmp_path)
    sent, files = shipping.pack(task)
    assert sent.content == f"{tmp_path / 'photo.png'}\n#0,0,9,9"
    store, contents = shipping.Store(), {mark: path.read_bytes() for mark, path in files.items()}
    for _ in range(2):
        with store.unpacked(sent, contents) as here:
            photo = Path(here.content.removesuffix("#0,0,9,9"))
            assert (photo.name, photo.read_bytes()) == ("photo.png", b"photo.png")
            style, _, rest = here.styles[0].partition("#1,2,3,4@")
            assert (Path(style).name, Path(style).read_bytes()) == ("waves.png", b"waves.png")
            mask, _, setting = rest.partition(",")
            assert (Path(mask).read_bytes(), setting) == (b"mask.png", "scale=0.5")
            assert Path(here.options["model"]).read_bytes() == b"net.safetensors"
            assert (here.protect, here.options["strength"], here.number) == ("faces", 0.5, 3)
            assert Path(here.output).name == "a.png"
            assert not {str(tmp_path / "waves.png"), str(tmp_path / "photo.png")} & {style, str(photo)}
            assert os.path.relpath(photo, here.output) == os.path.relpath(tmp_path / "photo.png", task.output)
            Path(here.output).parent.mkdir(parents=True, exist_ok=True)
            Path(here.output).write_bytes(b"result")
        assert not photo.exists()
        assert not Path(here.output).exists()


def test_ray_must_be_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MachineError, match=r"not installed: pip install 'impasto\[cluster\]'"):
        RayExecutor("local")


@pytest.fixture
def fake_ray(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """Install a module ``ray`` that cannot connect."""
    ray = ModuleType("ray")

    def init(**_: object) -> None:
        raise RuntimeError("Version mismatch: The cluster was started with:\n Ray: 2.1")

    ray.__version__, ray.init = "2.60.0", init  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "ray", ray)
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_USAGE_STATS_ENABLED", "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"):
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    return ray


def test_a_different_version_of_ray_is_refused(fake_ray: ModuleType) -> None:
    fake_ray.__version__ = "2.1.0"  # type: ignore[attr-defined]
    with pytest.raises(MachineError, match=r"works with Ray 2.60, and 2.1.0 is installed"):
        RayExecutor("local")


def test_a_cluster_of_a_different_version_is_refused(fake_ray: ModuleType) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
        with pytest.raises(MachineError, match=f"Ray at '{address}' does not answer or does not fit: Version mismatch"):
            RayExecutor(address)


def test_a_cluster_that_is_started_here_requires_a_token(fake_ray: ModuleType) -> None:
    with pytest.raises(MachineError):
        RayExecutor("local")
    assert os.environ["RAY_AUTH_MODE"] == "token"
    assert len(os.environ["RAY_AUTH_TOKEN"]) == 64


@pytest.mark.parametrize(
    ("address", "message"),
    [("127.0.0.1:1", "no Ray cluster answers at '127.0.0.1:1'"), ("somewhere", "--ray is 'somewhere'; it must be")],
)
def test_an_address_that_does_not_answer_is_refused(fake_ray: ModuleType, address: str, message: str) -> None:
    with pytest.raises(MachineError, match=message):
        RayExecutor(address)


def test_nodes_must_have_the_same_version_of_impasto() -> None:
    with pytest.raises(MachineError, match=r"the Ray node abc has impasto 0\.0\.9, and this machine"):
        ray_cluster._check_version("0.0.9", "abc")
