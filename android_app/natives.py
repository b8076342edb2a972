"""Make a native library of an Android archive loadable by the Java of this machine.

The app's tests run the runtime's own Java classes and native code, of the archive that the APK
gets. The library is linked against Android's C library, of which glibc has nearly all functions
by the same names and types, but not by the version LIBC that the library asks for. So this
writes a libc.so with that version, whose functions jump to glibc's, and with the few that differ
(`src/test/native/android_libc.c`); libm.so, libdl.so and liblog.so only have to exist. The
library's bytes are not changed.

It fits libraries that use no Android service. For the processor of this machine there must be a
build in the archive: x86_64 or arm64-v8a.
"""

from __future__ import annotations

import platform
import re
import subprocess
import zipfile
from pathlib import Path

from elftools.elf.elffile import ELFFile

SOURCE = Path(__file__).parent / "src/test/native/android_libc.c"
# ABI of the archive, and what jumps to a function, by the machine's name.
MACHINES = {"x86_64": ("x86_64", "jmp {}@PLT"), "aarch64": ("arm64-v8a", "b {}")}
EMPTY = ("libm.so", "libdl.so", "liblog.so")


def write(archive: Path, out: Path, compiler: str) -> list[Path]:
    """Write an archive's libraries into a folder, with what they need.

    Returns:
        The files in the order in which Java has to load them.

    Raises:
        KeyError: the archive has no library for this machine.
        subprocess.CalledProcessError: the compiler failed.
    """
    out.mkdir(parents=True, exist_ok=True)
    abi, jump = MACHINES[platform.machine()]
    libraries = []
    with zipfile.ZipFile(archive) as opened:
        for name in sorted(opened.namelist()):
            if re.fullmatch(rf"jni/{abi}/[^/]+\.so", name):
                libraries.append(out / Path(name).name)
                libraries[-1].write_bytes(opened.read(name))
    if not libraries:
        raise KeyError(abi)
    needed = sorted({name for library in libraries for name in list_imports(library)})
    files = [_build_libc(needed, jump, out, compiler)]
    for name in EMPTY:
        (out / "empty.c").write_text("")
        files.append(_link(out / name, [out / "empty.c"], compiler))
    return [*files, *libraries]


def list_imports(library: Path) -> list[str]:
    """Return the functions and variables that a library needs of Android's C library."""
    with library.open("rb") as file:
        table = ELFFile(file).get_section_by_name(".dynsym")
        return [
            symbol.name
            for symbol in table.iter_symbols()
            if symbol["st_shndx"] == "SHN_UNDEF" and symbol["st_info"]["bind"] == "STB_GLOBAL"
        ]


def _build_libc(needed: list[str], jump: str, out: Path, compiler: str) -> Path:
    text = SOURCE.read_text(encoding="utf-8")
    own = set(re.findall(r"^EXPORT\((\w+)\)", text, re.M)) | {"__android_log_vprint"}
    lines = ['.section .note.GNU-stack, "", %progbits', ".text"]
    for name in needed:
        if name not in own:
            lines += [f".globl android_{name}", f".type android_{name}, %function"]
            lines += [f".symver android_{name}, {name}@LIBC"]
            lines += [f"android_{name}: {jump.format(name)}"]
    (out / "jumps.s").write_text("\n".join([*lines, ""]))
    return _link(out / "libc.so", [SOURCE, out / "jumps.s"], compiler)


def _link(target: Path, sources: list[Path], compiler: str) -> Path:
    """Link a library whose symbols have the version LIBC, under its own name."""
    script = target.with_suffix(".map")
    script.write_text("LIBC { global: *; };\n")
    words = [compiler, "-O1", "-shared", "-fPIC", "-o", str(target), *map(str, sources)]
    words += [f"-Wl,-soname,{target.name}", f"-Wl,--version-script={script}", "-lm"]
    subprocess.run(words, check=True, capture_output=True)
    return target
