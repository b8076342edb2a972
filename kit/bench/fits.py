"""Whether a runtime can read a file, checked before anything is pushed."""

from __future__ import annotations

from collections.abc import Sequence

from kit import formats
from kit.bench.targets import names_of
from kit.bundle import REFERENCE, Bundle
from kit.errors import BundleError


def check(loaded: Sequence[Bundle], names: Sequence[str] | None) -> None:
    """Compare the version of each file that is to be measured with what its runtime reads.

    Raises:
        BundleError: a file is of a version that its runtime does not read.
    """
    for bundle in loaded:
        for name in names_of(bundle, names):
            if name != REFERENCE:
                _check(bundle, name, bundle.manifest.artifact(name).format_version)


def _check(bundle: Bundle, name: str, version: str) -> None:
    reads = formats.get_format(name).reads
    if reads is not None and not reads.includes(version):
        raise BundleError(
            f"{name} in {bundle.path} is of the version {version}; its runtime reads {reads.text}",
            "build the bundle with the versions that kit pins",
        )
