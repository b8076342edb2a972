"""`kit list`: names of models, methods and formats."""

from __future__ import annotations

from collections.abc import Iterator

import click

from kit import terminal

KINDS = ("models", "sources", "tasks", "quantize", "precisions", "corrections", "formats")


@click.command("list")
@click.option(
    "--models",
    "word",
    metavar="[WORD]",
    is_flag=False,
    flag_value="",
    help="List models instead, those of other libraries too, whose names contain WORD.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of tables.")
def command(word: str | None, as_json: bool) -> None:
    """List the models, tasks, quantization methods, precisions and formats that can be named."""
    if word is not None:
        _list_models(word, as_json)
        return
    summaries = {kind: dict(_summaries(kind)) for kind in KINDS}
    if as_json:
        terminal.print_json(summaries, indent=1)
        return
    from rich.table import Table

    for kind, members in summaries.items():
        table = Table("name", "what it is", title=kind, title_justify="left")
        for name, summary in members.items():
            table.add_row(name, summary)
        terminal.print_table(table)


def _list_models(word: str, as_json: bool) -> None:
    """Print the names of models that contain a word, one in each line.

    Raises:
        UnknownName: there is none.
    """
    from kit.errors import UnknownName
    from kit.model_source import find_models, suggest_models

    matches = find_models(word)
    if not any(matches.values()):
        near = suggest_models(word)
        raise UnknownName(
            f"no model has {word!r} in its name",
            f"did you mean {' or '.join(near)}?" if near else "a shorter word finds more",
        )
    if as_json:
        terminal.print_json(matches, indent=1)
        return
    terminal.echo("\n".join(name for names in matches.values() for name in names))


def _summaries(kind: str) -> Iterator[tuple[str, str]]:
    from kit import algorithms, corrections, formats, models, precisions, tasks

    if kind == "models":
        yield from ((name, models.get_model(name).spec.summary) for name in models.list_models())
    elif kind == "sources":
        from kit.model_source import find_source, list_sources

        for name in list_sources():
            source = find_source(name)
            yield f"{name}:{source.takes}", source.summary
    elif kind == "tasks":
        yield from ((name, tasks.get_task(name).summary) for name in tasks.list_tasks())
    elif kind == "quantize":
        for name in algorithms.list_algorithms():
            yield name, algorithms.get_algorithm(name).summary
    elif kind == "precisions":
        for name in precisions.list_precisions():
            yield name, precisions.get_precision(name).summary
    elif kind == "corrections":
        for name in corrections.list_corrections():
            yield name, corrections.get_correction(name).summary
    else:
        for name in formats.list_formats():
            format_ = formats.get_format(name)
            yield name, format_.summary
            for backend in format_.backends:
                yield f"{name}/{backend.name}", backend.summary
