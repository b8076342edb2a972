"""What the shell offers after Tab: names, bundles, devices and results.

click completes commands, options and files. Here parameters get values of their own, by the name
of the option or argument, so that a new command with `--format` or `BUNDLE` has them at once.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import click
from click.shell_completion import CompletionItem, get_completion_class

from kit.commands.common.option_types import Given
from kit.errors import KitError

VARIABLE = "_KIT_COMPLETE"  # set by the shell's script, to `bash_complete` and the like
SHELLS = ("bash", "zsh", "fish")
SECONDS = 0.7  # for devices, and for looking through folders
_DEPTH = 3  # folders below the one that was typed
_HEAD = 400  # bytes of a file that show whether it is a result

Find = Callable[[str], Iterable[str]]


class CompletedType(click.ParamType):  # type: ignore[type-arg]  # older click has no argument here
    """A parameter's type with values to offer."""

    def __init__(self, type: click.ParamType, find: Find, lists: bool) -> None:  # type: ignore[type-arg]
        self.type, self.find, self.lists, self.name = type, find, lists, type.name

    def convert(
        self, value: Given, param: click.Parameter | None, ctx: click.Context | None
    ) -> Given:
        """Return what the parameter's own type makes of a value."""
        return self.type.convert(value, param, ctx)

    def shell_complete(
        self, ctx: click.Context, param: click.Parameter, incomplete: str
    ) -> list[CompletionItem]:
        """Return the values that begin like the text; files if there are none."""
        before, comma, last = incomplete.rpartition(",") if self.lists else ("", "", incomplete)
        given = before.split(",")
        names: list[str] = []
        with suppress(KitError, OSError):  # nobody can read an error here
            names = [name for name in self.find(last) if name not in given]
        items = [CompletionItem(before + comma + name) for name in names if name.startswith(last)]
        return items or self.type.shell_complete(ctx, param, incomplete)


def make_source(shell: str) -> str:
    """Return click's script for a shell, which asks kit for values."""
    candidates = get_completion_class(shell)
    if candidates is None:
        raise KeyError(shell)
    # The version of bash is the user's concern: looking for it prints where it is missing.
    return str(candidates.source_template % candidates(_NOTHING, {}, "kit", VARIABLE).source_vars())


def complete(main: click.Group, instruction: str) -> str:
    """Return what the shell's script asks for, in the form that it reads.

    Args:
        main: the group of all commands.
        instruction: value of `VARIABLE`.
    """
    candidates = get_completion_class(instruction.removesuffix("_complete"))
    if candidates is None:
        return ""
    shell = candidates(main, {}, "kit", VARIABLE)
    words, incomplete = shell.get_completion_args()
    if words[:1] == ["help"]:
        words = words[1:]
    _attach(main, words)
    try:
        items = shell.get_completions(words, incomplete)
    except (KitError, click.ClickException, click.exceptions.Exit):
        return ""
    return "\n".join(shell.format_completion(item) for item in items)


def _attach(main: click.Group, words: list[str]) -> None:
    """Give the parameters of the command that the words name their values."""
    command: click.Command = main
    for word in words:
        if not isinstance(command, click.Group):
            break
        context = click.Context(command)
        command = command.get_command(context, word) or command
    for parameter in command.params:
        argument = isinstance(parameter, click.Argument)
        name = parameter.name or ""
        candidates = _ARGUMENTS.get(name) if argument else _find_for(parameter)
        if candidates is not None:
            lists = isinstance(parameter, click.Option) and parameter.multiple
            own = click.Path() if name in _OR_FILE else parameter.type
            parameter.type = CompletedType(own, candidates, lists)
        elif _takes_file(parameter):
            parameter.type = click.Path()


def _find_for(parameter: click.Parameter) -> Find | None:
    return next((_OPTIONS[name] for name in parameter.opts if name in _OPTIONS), None)


def _takes_file(parameter: click.Parameter) -> bool:
    metavar = parameter.metavar or ""
    return isinstance(parameter.type, click.types.StringParamType) and any(
        word in metavar for word in ("FILE", "DIR", "FOLDER")
    )


def _models(typed: str) -> Iterable[str]:
    from kit import models

    return models.list_models()


def _formats(typed: str) -> Iterator[str]:
    from kit import formats

    for name in formats.list_formats():
        yield name
        if typed.startswith(name):  # its backends are known when it is imported
            yield from (f"{name}/{one.name}" for one in formats.get_format(name).backends)


def _tasks(typed: str) -> Iterable[str]:
    from kit import tasks

    return tasks.list_tasks()


def _methods(typed: str) -> Iterable[str]:
    from kit import algorithms

    return algorithms.list_algorithms()


def _corrections(typed: str) -> Iterable[str]:
    from kit import corrections

    return "best", "none", *corrections.list_corrections()


def _precisions(typed: str) -> Iterable[str]:
    from kit import precisions

    return precisions.list_precisions()


def _abis(typed: str) -> Iterable[str]:
    from kit.runners import toolchain

    return toolchain.ABIS


def _processors(typed: str) -> Iterable[str]:
    from kit.runners import emulation

    return "host", "all", *emulation.PROCESSORS


def _kinds(typed: str) -> Iterable[str]:
    from kit.user_cache import KINDS

    return KINDS


def _devices(typed: str) -> Iterable[str]:
    """Return the serials of connected devices, none if they are not known soon."""
    from threading import Thread

    from kit.devices import selection

    candidates: list[str] = []

    def ask() -> None:
        with suppress(KitError, OSError):
            candidates.extend(device.serial for device in selection.list_devices())

    asking = Thread(target=ask, daemon=True)
    asking.start()
    asking.join(SECONDS)
    return [*candidates, "all"] if candidates else ()


def _bundles(typed: str) -> Iterator[str]:
    from kit.bundles.bundle import MANIFEST

    return _search(typed, lambda path: (path / MANIFEST).is_file())


def _bundles_or_models(typed: str) -> Iterator[str]:
    yield from _models(typed)
    yield from _bundles(typed)


def _results(typed: str) -> Iterator[str]:
    return _search(typed, _is_result)


def _is_result(path: Path) -> bool:
    from kit.files import untrusted

    if path.suffix != ".json" or not path.is_file():
        return False
    with untrusted.open_regular(path) as file:
        head = file.read(_HEAD)
    return b'"schema_version"' in head and b'"kind"' in head


def _search(typed: str, is_wanted: Callable[[Path], bool]) -> Iterator[str]:
    """Yield the paths of what is wanted in the folder that was typed and some below it.

    Hidden folders are left out, and those that were not reached in time.
    """
    ends = time.monotonic() + SECONDS
    parent, _, begin = typed.rpartition("/")
    root = Path(f"{parent}/" if parent or typed.startswith("/") else ".").expanduser()
    shown = typed[: len(typed) - len(begin)]

    def walk(folder: Path, name: str, depth: int) -> Iterator[str]:
        for entry in _list(folder):
            if time.monotonic() > ends:
                return
            if depth == 0 and not entry.name.startswith(begin):
                continue
            path = folder / entry.name
            with suppress(OSError):
                if is_wanted(path):
                    yield f"{name}{entry.name}"
                elif entry.is_dir(follow_symlinks=False) and depth < _DEPTH:
                    yield from walk(path, f"{name}{entry.name}/", depth + 1)

    return walk(root, shown, 0)


def _list(folder: Path) -> list[os.DirEntry[str]]:
    with suppress(OSError), os.scandir(folder) as entries:
        return sorted((e for e in entries if e.name[0] != "."), key=lambda entry: entry.name)
    return []


_NOTHING = click.Command("kit")
_OPTIONS: Mapping[str, Find] = {
    "--abi": _abis,
    "--corrections": _corrections,
    "--device": _devices,
    "--format": _formats,
    "--granularity": lambda typed: ("per-channel", "per-tensor"),
    "--precision": _precisions,
    "--processor": _processors,
    "--quantize": _methods,
    "--runtime": _formats,
    "--task": _tasks,
    "--weights": lambda typed: ("imagenet", "random"),
}
_OR_FILE = {"model", "weights", "what"}
_ARGUMENTS: Mapping[str, Find] = {
    "bundle": _bundles,
    "bundles": _bundles,
    "kinds": _kinds,
    "model": _models,
    "results": _results,
    "what": _bundles_or_models,
}
