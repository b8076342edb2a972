"""Tasks, one file or folder each; see `kit.tasks.interface`.

Other packages add tasks with entry points in the group ``kit.tasks``.
"""

from __future__ import annotations

from kit.registry import TASK_NAMES, Registry
from kit.tasks.interface import Task

_REGISTRY = Registry(
    TASK_NAMES,
    Task,  # type: ignore[type-abstract]  # for isinstance only, never called
)


def list_tasks() -> tuple[str, ...]:
    """Return the sorted names of the tasks.

    Raises:
        PluginError: a plug-in uses a name that is taken.
    """
    return TASK_NAMES.list_all()


def get_task(name: str) -> Task:
    """Return a task.

    Raises:
        UnknownName: there is no such task.
        PluginError: the plug-in that provides it is broken.
    """
    return _REGISTRY.get(name)
