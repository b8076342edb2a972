"""Check that runtimes can read the bundles' files, before anything is pushed."""

from __future__ import annotations

from collections.abc import Sequence

from kit import formats
from kit.artifact_key import FLOAT_MODEL, ArtifactKey
from kit.bench.targets import select_keys
from kit.bundles.bundle import Bundle
from kit.errors import BundleError


def check(loaded: Sequence[Bundle], names: Sequence[str] | None, only_native: bool = False) -> None:
    """Compare the format version of each file to measure with those its runtime reads.

    Args:
        loaded: bundles to measure.
        names: see `kit.bench.targets.select_keys`.
        only_native: see there.

    Raises:
        BundleError: a runtime does not read its file's version.
    """
    for bundle in loaded:
        for key in select_keys(bundle, names, only_native):
            if key != FLOAT_MODEL:
                _check(bundle, key, bundle.manifest.artifact(key.name).format_version)


def _check(bundle: Bundle, key: ArtifactKey, version: str) -> None:
    reads = formats.get_format(key.format).reads
    if reads is not None and not reads.includes(version):
        raise BundleError(
            f"{key.name} in {bundle.path} is of the version {version}; its runtime reads "
            f"{reads.text}",
            "build the bundle with the versions that kit pins",
        )
