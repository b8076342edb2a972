"""Read weights without running code, and check them."""

from __future__ import annotations

import pickle
import re
import zipfile
from collections.abc import Mapping
from dataclasses import replace
from io import BufferedReader
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from kit.documents import describe_read_failure
from kit.error_text import shorten_value
from kit.errors import WeightsError
from kit.files import untrusted
from kit.models._sources import Fetched, fetch_official
from kit.models.harmless_types import ignore_types
from kit.models.interface import HubFile, Published
from kit.models.nests import SAVE_HINT, Nest, choose_nest

if TYPE_CHECKING:
    from torch import Tensor

__all__ = ["Fetched", "fetch_official", "hash_source", "read_nest", "read_state", "split_key"]

IMAGENET, RANDOM = "imagenet", "random"
# Messages of torch's restricted unpickler about a name or call that is not on its safe list.
_WOULD_RUN = re.compile(
    r"\bGLOBAL (?P<name>\S+) w|call reduce|Can only create new object|Can only build"
)


def hash_source(option: str, weights: Published | None, seed: int) -> str:
    """Return a hash or key that identifies the weights of an option, without importing torch.

    Args:
        option: ``imagenet``, ``random`` or ``FILE``, also ``FILE:KEY``.
        weights: the model's published weights, if it has any.
        seed: of random weights.

    Raises:
        WeightsError: the file cannot be read, or the model has no published weights.
    """
    if option == RANDOM:
        return f"random:{seed}"
    if option == IMAGENET:
        if weights is None:
            raise WeightsError(
                "the model has no published weights", "use --weights random or --weights FILE"
            )
        if isinstance(weights, HubFile):
            return f"hub:{weights.repository}/{weights.file}"
        return weights.sha256
    path, key = split_key(option)
    try:
        digest = untrusted.measure_file(path)[1]
    except (OSError, ValueError) as exc:
        raise _unreadable(path, exc) from exc
    return f"{digest}:{key}" if key else digest


def split_key(option: str) -> tuple[Path, str]:
    """Return the file that ``FILE`` or ``FILE:KEY`` names, and the key; empty without one."""
    file, colon, key = option.rpartition(":")
    if colon and not _is_there(Path(option)) and _is_there(Path(file)):
        return Path(file), key
    return Path(option), ""


def _is_there(path: Path) -> bool:
    try:
        return path.exists()
    except (OSError, ValueError):  # the name is too long, or has a zero byte
        return False


def read_state(path: Path) -> dict[str, Tensor]:
    """Read a state dict, see `read_nest`."""
    return dict(read_nest(path).state)


def read_nest(path: Path, key: str = "") -> Nest:
    """Read the state dict of a file; one that would run code is rejected, not run.

    Files of training scripts are accepted too: a state dict inside a checkpoint, and names that
    begin with ``module.`` (from `DataParallel`).

    Args:
        path: ``.safetensors``, or anything that `torch.save` wrote.
        key: of the state dict in the file; empty to search.

    Raises:
        WeightsError: the file is missing, corrupt, unsafe, or has no such state dict.
    """
    if (other := _other_kind(path)) is not None:
        raise other
    # A safetensors file begins with the length of its JSON header, in eight bytes.
    is_safetensors = path.suffix.lower() == ".safetensors" or _head(path)[5:9] == b"\0\0\0{"
    nest = choose_nest(_safetensors(path) if is_safetensors else _torch(path), str(path), key)
    _check_tensors(nest.state, path)
    if all(name.startswith("module.") for name in nest.state):
        plain = {name.removeprefix("module."): value for name, value in nest.state.items()}
        return replace(nest, state=plain)
    return nest


def _head(path: Path) -> bytes:
    """Return the first 100 bytes of a file; empty if it cannot be read."""
    try:
        with untrusted.open_regular(path) as file:
            return file.read(100)
    except (OSError, ValueError):
        return b""


def _other_kind(path: Path) -> WeightsError | None:
    """Return an error that names the type of a file that is not a state dict, if recognized."""
    head = _head(path)
    if head.startswith(b"version https://git-lfs"):
        return WeightsError(f"{path} is a pointer of Git LFS, not the weights", "git lfs pull")
    if head.lstrip().lower().startswith((b"<!doctype html", b"<html")):
        return WeightsError(
            f"{path} is a web page, not weights", "download the file itself, not its page"
        )
    kinds = {b"\x89HDF": "a Keras file (HDF5)", b"TFL3": "a LiteRT file", b"GGUF": "a GGUF file"}
    kind = kinds.get(head[:4]) or kinds.get(head[4:8])
    if kind is not None:
        return WeightsError(f"{path} is {kind}, not weights of a PyTorch model", SAVE_HINT)
    if not head.startswith(b"PK"):
        return None
    names = [PurePosixPath(name).name for name in _members(path)]
    if "constants.pkl" in names or "bytecode.pkl" in names:
        return WeightsError(
            f"{path} is TorchScript, not a state dict",
            "save what torch.jit.load(FILE).state_dict() gives with torch.save",
        )
    if "model.json" in names:
        return WeightsError(
            f"{path} is an exported program, not a state dict",
            "save what torch.export.load(FILE).state_dict gives with torch.save",
        )
    return None


def _members(path: Path) -> list[str]:
    try:
        with zipfile.ZipFile(path) as archive:
            return archive.namelist()
    except Exception:  # noqa: BLE001 - zipfile raises many types for broken files
        return []


def _torch(path: Path) -> object:
    import torch

    try:
        with untrusted.open_regular(path) as file, ignore_types():
            _check_size(file)
            return torch.load(file, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as exc:
        if code := _WOULD_RUN.search(str(exc)):
            name = code["name"] or "code"
            raise WeightsError(
                f"{path} would run {name} when it is loaded, so it was not loaded",
                f"a state dict is safe: {SAVE_HINT}",
            ) from exc
        # torch's message recommends `weights_only=False`, which would run the code.
        raise _corrupt(path, "torch.save did not write it") from exc
    except (LookupError, EOFError) as exc:  # whose text is a number or nothing
        raise _corrupt(path, "it is not a complete file of torch.save") from exc
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except Exception as exc:  # torch's reader raises many types for broken files
        raise _corrupt(path, str(exc) or type(exc).__name__) from exc


def _check_size(file: BufferedReader) -> None:
    """Raise ValueError if the members of a zip expand to more bytes than the file has.

    `torch.save` compresses nothing; members of a zip bomb are compressed or overlap.
    """
    size = file.seek(0, 2)
    if zipfile.is_zipfile(file):
        expanded = sum(member.file_size for member in zipfile.ZipFile(file).infolist())
        if expanded > size:
            raise ValueError(f"it has {size} bytes and would expand to {expanded}")
    file.seek(0)


def _safetensors(path: Path) -> object:
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        untrusted.open_regular(path).close()
        return load_file(path)
    except OSError as exc:
        raise _unreadable(path, exc) from exc
    except (SafetensorError, ValueError, RuntimeError) as exc:
        raise _corrupt(path, str(exc) or type(exc).__name__) from exc


def _check_tensors(state: Mapping[str, Tensor], path: Path) -> None:
    for name, value in state.items():
        if (odd := _odd_kind(value)) is not None:
            raise WeightsError(
                f"{path} holds the {odd} tensor {shorten_value(name)}, and layers have plain ones",
                "save the weights of the float network, on the CPU",
            )


def _odd_kind(value: Tensor) -> str | None:
    """Return the kind of a tensor that is not dense numbers in memory; None for dense ones."""
    import torch

    if value.is_nested:
        return "nested"
    if value.layout != torch.strided:
        return "sparse"
    if value.is_quantized:
        return "quantized"
    return "empty (meta)" if value.is_meta else None


def _unreadable(path: Path, exc: OSError | ValueError) -> WeightsError:
    return WeightsError(
        f"cannot read the weights {path}: {describe_read_failure(exc)}", "check the path"
    )


def _corrupt(path: Path, reason: str) -> WeightsError:
    return WeightsError(
        f"{path} is corrupt or not a weights file: {reason.splitlines()[0][:200]}",
        "copy or download it again",
    )
