"""Stand-ins for objects that training scripts save beside weights, such as their arguments.

torch's restricted unpickler refuses a file for one type that it does not know. These are so common
and of so little use that each becomes an empty object; nothing of numpy or argparse is called.
"""

from __future__ import annotations

from contextlib import AbstractContextManager

_NUMBERS = ("Float16", "Float32", "Float64", "Int32", "Int64", "UInt8", "Bool", "Str")
_NAMES = (
    *("argparse.Namespace", "types.SimpleNamespace"),
    *("pathlib.Path", "pathlib.PosixPath", "pathlib.WindowsPath", "pathlib.PurePosixPath"),
    *("numpy.dtype", "numpy._core.multiarray.scalar", "numpy.core.multiarray.scalar"),
    *(f"numpy.dtypes.{name}DType" for name in _NUMBERS),
)


class Ignored:
    """An object of a file whose content does not matter."""

    def __new__(cls, *args: object) -> Ignored:
        """Take the arguments of any type."""
        return object.__new__(cls)

    def __init__(self, *args: object) -> None:
        pass

    def __setstate__(self, state: object) -> None:
        """Ignore the content."""


def ignore_types() -> AbstractContextManager[None]:
    """Return a context in which `torch.load` ignores objects of these types."""
    from torch.serialization import safe_globals

    # A class of its own for each: torch looks them up by name.
    allowed: list[object] = [(Ignored, name) for name in _NAMES]
    context: AbstractContextManager[None] = safe_globals(allowed)  # type: ignore[arg-type]
    return context
