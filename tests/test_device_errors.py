"""No error of a foreign library leaves the rooms of the devices."""

from __future__ import annotations

import inspect

import pytest

from kit.devices import foreign_errors
from kit.errors import DeviceError, DeviceLost, KitError, UsageError


def list_foreign_errors() -> list[type[Exception]]:
    import adb_shell.exceptions
    import adbutils.errors
    import usb1

    result = []
    for module in (adb_shell.exceptions, adbutils.errors, usb1):
        for _, one in inspect.getmembers(module, inspect.isclass):
            if issubclass(one, Exception) and one.__module__ not in ("builtins", "warnings"):
                result.append(one)
    return result


@pytest.mark.parametrize(
    "kind", list_foreign_errors(), ids=lambda k: f"{k.__module__}.{k.__name__}"
)
def test_every_foreign_error_becomes_ours(kind):
    arguments = {"DeviceAuthError": 1, "UsbReadFailedError": 2, "AdbInstallError": 1}
    exc = kind(*["said"] * arguments.get(kind.__name__, 0))
    with pytest.raises(DeviceError) as caught, foreign_errors.translate_errors("serial-7"):
        raise exc
    assert "serial-7" in caught.value.message
    assert caught.value.hint
    assert caught.value.__cause__ is exc


def test_the_walk_meets_the_errors_it_is_for():
    names = {kind.__name__ for kind in list_foreign_errors()}
    assert {"TcpTimeoutException", "AdbSyncError", "USBErrorBusy", "PushFailedError"} <= names
    assert len(names) >= 30


def test_errors_of_ours_and_bugs_pass():
    for exc in (UsageError("a", "b"), ZeroDivisionError("a bug")):
        with pytest.raises(type(exc)) as caught, foreign_errors.translate_errors("x"):
            raise exc
        assert caught.value is exc
    assert issubclass(DeviceLost, KitError)


@pytest.mark.parametrize(
    ("answer", "kind", "words"),
    [
        ("device 'x' not found", DeviceLost, "not found"),
        ("device offline", DeviceLost, "offline"),
        ("closed", DeviceLost, "closed"),
        (
            "device unauthorized.\nThis adb server has no key",
            DeviceError,
            "is un",
        ),
        ("device still authorizing", DeviceError, "is authorizing"),
        (
            "no permissions (are your udev rules wrong?)",
            DeviceError,
            "no per",
        ),
        ("unknown host service", DeviceError, "refused: unknown host service"),
    ],
)
def test_answers_of_a_server_are_distinguished(answer, kind, words):
    from adbutils.errors import AdbError

    error = foreign_errors.translate(AdbError(answer), "x")
    assert type(error) is kind
    assert words in error.message
