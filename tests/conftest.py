"""Fixtures that several test files share."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest
import rewritten_asserts
import warm_processes
from device_samples import adb_keys, direct  # noqa: F401
from shared_builds import (  # noqa: F401
    FAST,
    default_bundle,
    evaluated_here,
    lite_bundle,
    litert_int8,
    lowered_here,
    measured,
    native_model,
    official_int8,
    once,
    predicted_here,
    quantized,
    random_int8,
    rewrite,
    small_int8,
    tensors_bundle,
    tiny_bundle,
)
from transport_samples import adb_server, no_settings, reach, transport  # noqa: F401
from virtual_device.fixtures import (  # noqa: F401
    adb,
    arm64_device,
    clean_device,
    new_device,
    renew_x86_64,
    shared_arm64,
    shared_x86_64,
    x86_64_device,
)

# Set before anything imports torch: two cores, and other programs beside the tests.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# What libraries print in commands that tests run; not among the user's own logs.
os.environ["XDG_STATE_HOME"] = str(Path(tempfile.gettempdir()) / f"kit-tests-{os.getuid()}")


warm_processes.install()


def pytest_sessionstart(session: pytest.Session) -> None:
    """Do once what several workers would do, each for itself: rewrite asserts, import torch."""
    if getattr(session.config.option, "numprocesses", None):
        warm_processes.enable(not session.config.option.cov_source)
        rewritten_asserts.rewrite_all(
            session.config, sorted(Path(__file__).parent.glob("test_*.py"))
        )


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Start kit's processes warm, except in tests whose subject is their start."""
    warm_processes.enable(item.get_closest_marker("cold_start") is None)
    return (yield)


# The last two are what files call a device of their own.
_DEVICES = {"x86_64_device", "arm64_device", "clean_device", "new_device"}
_DEVICES |= {"shared_device", "device"}
# Files are shared out whole: a long one that comes last would leave the other worker idle.
_LONGEST = (
    "test_native_runner.py",
    "test_app_tests.py",
    "test_device_faults.py",
    "test_xnnpack_lowering.py",
    "test_app_build.py",
    "test_device_bench.py",
    "test_app_executorch.py",
    "test_user_models.py",
    "test_build.py",
    "test_transport_faults.py",
    "test_kills.py",
    "test_qat.py",
    "test_docs_commands.py",
    "test_logs.py",
    "test_own_code.py",
    "test_family_builds.py",
    "test_accuracy.py",
    "test_methods.py",
    "test_analysis.py",
    "test_payloads.py",
    "test_artifact_keys.py",
    "test_device_clock.py",
    "test_device_settings.py",
    "test_portability.py",
    "test_litert_bundle.py",
    "test_coreml.py",
    "test_model_sources.py",
    "test_packaging.py",
    "test_segmentation.py",
    "test_text.py",
    "test_front_door_device.py",
    "test_run_command.py",
    "test_partial.py",
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the longest files; tests that start a device are slow, not for scripts/check."""
    order = {name: at for at, name in enumerate(_LONGEST)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))
    for item in items:
        if _DEVICES & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
