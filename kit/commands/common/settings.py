"""Defaults of options: `kit.toml` in the current folder, or `tool.kit` in `pyproject.toml`.

    images = "pictures"            # of every command that has --images
    [build]
    format = ["onnx", "litert"]
    [app.build]
    runtime = "onnx"

The command line wins over a recipe file, that over these defaults, and they over kit's own.

The folder may be a stranger's, so the file cannot confirm anything, and names places to write to
inside its folder only.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

import click
from click.core import ParameterSource

from kit.commands.common.option_types import FilePath, Given
from kit.error_text import shorten_value
from kit.errors import UsageError

KIT_TOML, PYPROJECT = Path("kit.toml"), Path("pyproject.toml")
_CONFIRMATION = "yes"  # of what is removed: only the user gives it

_Leaf = tuple[tuple[str, ...], click.Command]


@dataclass(frozen=True)
class OptionDefault:
    """One default of a command.

    Attributes:
        command: its words, such as ``("app", "build")``.
        option: name without dashes, as the file has it.
        parameter: the command's name of it.
        value: as the option takes it.
    """

    command: tuple[str, ...]
    option: str
    parameter: str
    value: object


@dataclass(frozen=True)
class Settings:
    """The defaults in a file, the general ones before those of a command."""

    source: str
    settings: tuple[OptionDefault, ...]

    def map_defaults(self) -> dict[str, Given]:
        """Return them as click's ``default_map``: nested by command, keyed by parameter."""
        defaults: dict[str, Given] = {}
        for setting in self.settings:
            place = defaults
            for word in setting.command:
                place = place.setdefault(word, {})
            place[setting.parameter] = setting.value
        return defaults


def read_settings(main: click.Group) -> Settings | None:
    """Return the defaults for commands that run in the current folder; None without a file.

    Args:
        main: the group of all commands, which knows their options.

    Raises:
        UsageError: the file cannot be read, or a name or value in it does not fit.
    """
    for path in (KIT_TOML, PYPROJECT):
        table = _read_table(path)
        if table is not None:
            source = str(path) if path == KIT_TOML else f"{path} [tool.kit]"
            return Settings(source, tuple(_walk(source, table, (), main)))
    return None


def _read_table(path: Path) -> Mapping[str, object] | None:
    if not os.path.lexists(path):
        return None
    # Most projects have a pyproject.toml, and few name kit in it: spare them slow imports.
    if path == PYPROJECT and not (path.is_file() and b"tool.kit" in path.read_bytes()):
        return None
    from kit import documents
    from kit.files import untrusted

    try:
        document: object = documents.parse_toml(untrusted.read_file(path, documents.MAX_TOML_BYTES))
    except (OSError, ValueError) as exc:
        raise UsageError(
            f"cannot read {path}: {documents.describe_read_failure(exc)}",
            'it is TOML, such as: images = "pictures"',
        ) from exc
    if path == PYPROJECT:
        for name in ("tool", "kit"):
            document = document.get(name) if isinstance(document, Mapping) else None
    return document if isinstance(document, Mapping) else None


def _walk(
    source: str, table: Mapping[str, object], words: tuple[str, ...], group: click.Group
) -> Iterator[OptionDefault]:
    """Yield the settings of a group's table, and then those of the tables in it."""
    leaves = list(list_leaves(words, group))
    commands = group.list_commands(click.Context(group))
    for key, value in table.items():
        if not isinstance(value, Mapping):
            yield from _read_key(source, words, key, value, leaves)
    for key, value in table.items():
        if not isinstance(value, Mapping):
            continue
        command = group.get_command(click.Context(group), key) if key in commands else None
        if command is None:
            raise _unknown(source, "command", ".".join((*words, key)), key, commands)
        if isinstance(command, click.Group):
            yield from _walk(source, value, (*words, key), command)
            continue
        for name, one in value.items():
            yield from _read_key(source, (*words, key), name, one, [((*words, key), command)])


def list_leaves(words: tuple[str, ...], group: click.Group) -> Iterator[_Leaf]:
    """Yield the words and the command of each command of a group, and of the groups in it."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        if isinstance(command, click.Group):
            yield from list_leaves((*words, name), command)
        elif command is not None:
            yield (*words, name), command


def _read_key(
    source: str, words: tuple[str, ...], key: str, value: object, leaves: Iterable[_Leaf]
) -> Iterator[OptionDefault]:
    """Yield the setting of each command that has the option."""
    options = {path: (command, list_options(command)) for path, command in leaves}
    name = key.replace("_", "-")
    if not any(name in known for _, known in options.values()):
        names = {name for _, known in options.values() for name in known}
        raise _unknown(source, "option", ".".join((*words, key)), name, names)
    for path, (command, known) in options.items():
        if name in known:
            where = f"{source}: {'.'.join((*words, key))}"
            fitted = _fit(where, command, known[name], value)
            _check_safe(where, known[name], fitted)
            yield OptionDefault(path, name, known[name].name or "", fitted)


def list_options(command: click.Command) -> dict[str, click.Option]:
    """Return a command's options by their long names without dashes, but for ``--help``."""
    return {
        word.removeprefix("--"): parameter
        for parameter in command.params
        if isinstance(parameter, click.Option)
        for word in parameter.opts
        if word.startswith("--")
    }


def _fit(where: str, command: click.Command, option: click.Option, value: object) -> object:
    """Return a value as the option takes it.

    Raises:
        UsageError: it does not.
    """
    if isinstance(value, bool) != option.is_flag:
        wanted = "true or false" if option.is_flag else "a text, a number or a list"
        raise UsageError(
            f"{where} = {shorten_value(value)} is not {wanted}", f"see {option.opts[-1]}"
        )
    if isinstance(value, list):
        value = tuple(map(str, value)) if option.multiple else ",".join(map(str, value))
    elif option.multiple:
        value = (str(value),)
    try:
        option.type_cast_value(click.Context(command), value)
    except click.UsageError as exc:
        raise UsageError(
            f"{where} = {shorten_value(value)}: {exc.format_message()}", f"see {option.opts[-1]}"
        ) from exc
    except UsageError as exc:
        raise UsageError(f"{where}: {exc.message}", exc.hint) from exc
    return value


def _check_safe(where: str, option: click.Option, value: object) -> None:
    """Check that a value confirms nothing, and that no place outside this folder is written to.

    Raises:
        UsageError: it does.
    """
    word = option.opts[-1]
    if option.name == _CONFIRMATION:
        raise UsageError(
            f"{where} = {shorten_value(value)} is not possible: "
            f"{word} is for the command line only",
            "remove it from the file",
        )
    if isinstance(option.type, FilePath) and option.type.written and not _is_inside(str(value)):
        raise UsageError(
            f"{where} = {shorten_value(value)} leads out of the folder of this file",
            f"name a relative path in this folder, or give {word} on the command line",
        )


def _is_inside(name: str) -> bool:
    """Return whether a relative path stays in the current folder, through symbolic links too."""
    path = Path(name)
    if path.is_absolute() or ".." in path.parts or "\0" in name:
        return False
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath("."))


def _unknown(source: str, kind: str, where: str, name: str, choices: Iterable[str]) -> UsageError:
    near = get_close_matches(name, sorted(choices), n=3, cutoff=0.6)
    hint = (
        f"did you mean {' or '.join(near)}?" if near else "`kit COMMAND --help` lists the options"
    )
    return UsageError(f"{source}: there is no {kind} for {shorten_value(where)}", hint)


def split_defaults(
    options: Mapping[str, Given],
) -> tuple[dict[str, Given], dict[str, Given]]:
    """Split the options of the current command, without those that are None.

    Returns:
        Those of the settings file, and those of the command line.
    """
    context = click.get_current_context(silent=True)
    filled = {name: value for name, value in options.items() if value is not None}
    if context is None:
        return {}, filled
    from_file = {
        name for name in filled if context.get_parameter_source(name) is ParameterSource.DEFAULT_MAP
    }
    return (
        {name: value for name, value in filled.items() if name in from_file},
        {name: value for name, value in filled.items() if name not in from_file},
    )
