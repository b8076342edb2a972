"""Model files of installed apps, from the names of the files in their APKs."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence

from kit.app import contract
from kit.app.device import find_apk
from kit.bundles.bundle import Bundle
from kit.devices.storage import ROOT
from kit.devices.transport import Transport, quote
from kit.files import temporary

# Enough for the central directory of about 2000 files, which is at the end of a zip.
MAX_TAIL_BYTES = 1 << 18


class Apps:
    """Installed apps and the model files in them.

    Args:
        models: by the app's id, ``BUNDLE/FILE`` of each file of a bundle that is in its APK.
    """

    def __init__(self, models: dict[str, frozenset[str]]) -> None:
        self._models = models

    @property
    def ids(self) -> list[str]:
        """Return the ids of the apps."""
        return list(self._models)

    def find(self, model: str) -> str:
        """Return the id of the app that has ``BUNDLE/FILE``.

        If no app lists it, that is the first app, as bundles can be pushed to an app's own files.
        """
        return next((id_ for id_, models in self._models.items() if model in models), self.ids[0])

    def missing(self, bundle: Bundle, name: str) -> list[str]:
        """Return the names of a bundle's files that no app has; `name` is its name in the apps.

        For a bundle that no app lists the result is empty, as it may have been pushed.
        """
        listed = frozenset().union(*self._models.values())
        absent = [
            artifact.name
            for artifact in bundle.manifest.artifacts
            if f"{name}/{artifact.file}" not in listed
        ]
        return [] if len(absent) == len(bundle.manifest.artifacts) else absent


def read_apps(transport: Transport, app_ids: Sequence[str]) -> Apps:
    """Read the lists of files in installed apps' APKs.

    Raises:
        DeviceError: the device cannot be reached.
    """
    return Apps({app_id: _list_models(transport, app_id) for app_id in app_ids})


def _list_models(transport: Transport, app_id: str) -> frozenset[str]:
    prefix = f"assets/{contract.ASSETS['bundles']}/"
    names = _list_files(transport, app_id)
    return frozenset(name.removeprefix(prefix) for name in names if name.startswith(prefix))


def _list_files(transport: Transport, app_id: str) -> list[str]:
    """Return the names of the files in an APK; none if the device denies reading it."""
    apk = find_apk(transport, app_id)
    if apk is None:
        return []
    remote = f"{ROOT}/{app_id}.tail"
    copied = transport.shell(
        f"{quote(['mkdir', '-p', ROOT])} && "
        f"tail -c {MAX_TAIL_BYTES} {quote([apk])} >{quote([remote])}"
    )
    try:
        if copied.code != 0:
            return []
        with temporary.make_folder() as folder:
            tail = folder / "tail"
            transport.pull(remote, tail, MAX_TAIL_BYTES)
            with zipfile.ZipFile(tail) as archive:
                return archive.namelist()
    except zipfile.BadZipFile:
        return []
    finally:
        transport.shell(quote(["rm", "-f", remote]))
