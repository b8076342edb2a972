"""Sign and verify an APK with apksig, which also aligns stored files."""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path

from kit.app import tools
from kit.app.contract import MINIMUM_SDK
from kit.errors import BuildError, InputError, OutputError
from kit.files import temporary

PASSWORD = "KIT_KEYSTORE_PASSWORD"  # noqa: S105 - the name of a variable
PAGE = 16384  # largest page size of phones, in bytes
_DEBUG_PASSWORD = "android"  # noqa: S105 - like Android's own debug keys
_PROGRAM = Path(__file__).with_name("Sign.java")


@dataclass(frozen=True)
class Key:
    """A key in a keystore; an empty alias means its only one."""

    keystore: Path
    alias: str
    password: str


def load_debug_key() -> Key:
    """Return this user's own key for debug builds, and create it if missing.

    Raises:
        MissingTool: there is no JDK.
        OutputError: it cannot be written.
    """
    import platformdirs

    file = platformdirs.user_data_path("kit") / "debug.p12"
    if not file.is_file():
        _make(file)
    return Key(file, "", _DEBUG_PASSWORD)


def _make(file: Path) -> None:
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with temporary.make_folder_beside(file, private=True) as folder:
            new = folder / file.name
            words = [tools.find("keytool"), "-genkeypair", "-keystore", str(new)]
            words += ["-storetype", "PKCS12", "-storepass", _DEBUG_PASSWORD, "-alias", "kit"]
            # RSA signatures are deterministic, so equal APKs have equal bytes.
            words += ["-keyalg", "RSA", "-keysize", "2048", "-validity", "10000"]
            tools.run([*words, "-dname", "CN=Android Debug,O=Android,C=US"], "keytool")
            new.chmod(0o600)
            if not file.exists():  # another kit may have created it meanwhile
                new.rename(file)
    except OSError as exc:
        raise OutputError(
            f"cannot make the debug key {file}: {exc.strerror}",
            "point XDG_DATA_HOME to a folder that can be written to",
        ) from exc


def check(key: Key, apksig: Path) -> None:
    """Check that a keystore can be opened, before a build that takes minutes.

    Raises:
        InputError: it cannot be opened, or has no such key.
    """
    if not key.keystore.is_file():
        raise InputError(f"there is no keystore {key.keystore}", "`keytool -genkeypair` makes one")
    try:
        _run(key, apksig)
    except BuildError as exc:
        raise InputError(
            f"cannot use a key of {key.keystore}: {exc.message.rpartition('Exception: ')[2]}",
            f"its password is in the variable {PASSWORD}, and --key-alias chooses among keys",
        ) from exc


def sign(unsigned: Path, signed: Path, key: Key, apksig: Path) -> str:
    """Align and sign an APK, verify it, and return the SHA-256 of the certificate.

    Raises:
        BuildError: it cannot be signed, or the result does not verify.
    """
    output = _run(key, apksig, str(unsigned), str(signed), str(MINIMUM_SDK), str(PAGE))
    return output.rpartition("certificate ")[2].strip()


def _run(key: Key, apksig: Path, *words: str) -> str:
    path = os.pathsep.join((str(apksig), str(_compiled(apksig))))
    command = [tools.find("java"), *tools.JVM, "-cp", path, "Sign", str(key.keystore), key.alias]
    # Other users can read a process's command line, but not its environment.
    return tools.run([*command, *words], "signing", {PASSWORD: key.password})


def _compiled(apksig: Path) -> Path:
    """Compile our signing program once, and return the folder of its class."""
    text = _PROGRAM.read_bytes()
    key = hashlib.sha256(text + apksig.name.encode() + tools.read_java_version().encode())
    folder = tools.make_cache_folder() / f"sign-{key.hexdigest()[:12]}"
    if not (folder / "Sign.class").is_file():
        with temporary.make_folder_beside(folder) as part:
            words = [tools.find("javac"), "-cp", str(apksig), "-d", str(part), str(_PROGRAM)]
            tools.run(words, "javac")
            if not folder.is_dir():
                part.rename(folder)
    return folder
