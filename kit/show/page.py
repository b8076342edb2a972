"""Write the structure of model files as one self-contained HTML page.

The page has a script of its own, for search and folding; its Content-Security-Policy allows that
one by its hash and nothing else, so that markup in a model file cannot run. Without the script
everything is still there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from kit import __version__
from kit.errors import OutputError
from kit.files import atomic
from kit.formats.structure import ModelStructure
from kit.report.text import format_megabytes, format_percent, format_significant
from kit.show.model_file import ModelFile
from kit.show.view import GraphView, make_graph_view
from kit.text import make_one_line

if TYPE_CHECKING:
    from markupsafe import Markup


def write(path: Path, title: str, shown: Sequence[ModelFile]) -> None:
    """Write the page atomically.

    Args:
        path: of the page.
        title: name of the bundle, or of the file.
        shown: model files.

    Raises:
        OutputError: the page cannot be written.
    """
    text = render(title, shown)
    try:
        atomic.write_file(path, text)
    except OSError as exc:
        raise OutputError.of(exc, path, "choose another place with --html") from exc


def render(title: str, shown: Sequence[ModelFile]) -> str:
    """Return the page. All names are escaped, as they may contain markup."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from kit.report import palette
    from kit.report.script import load_script
    from kit.report.svg import FONT

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("kit.show"), PackageLoader("kit.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: make_one_line(value) if type(value) is str else value,
    )
    script = load_script("kit.show", "show.js")
    return environment.get_template("show.html.j2").render(
        title=title,
        files=[(one, _view(one.structure, number, one)) for number, one in enumerate(shown)],
        facts=_list_facts,
        significant=format_significant,
        indented=_keep_indent,
        percent=format_percent,
        script=Markup(script.text),  # noqa: S704 - a file of this package
        script_source=script.source,
        colours=Markup(palette.format_css(":root")),  # noqa: S704 - constants of kit.report
        font=Markup(FONT),  # noqa: S704
        version=__version__,
    )


def _view(structure: ModelStructure | None, number: int, file: ModelFile) -> list[GraphView]:
    if structure is None:
        return []
    # Names may repeat, and delegates are looked up by theirs: the first of a name has the link.
    ids: dict[str, str] = {}
    views = []
    for at, graph in enumerate(structure.graphs):
        ids.setdefault(graph.name, f"f{number}-g{at}")
    for at, graph in enumerate(structure.graphs):
        own = {**ids, graph.name: f"f{number}-g{at}"}
        views.append(make_graph_view(graph, own, file.times))
    return views


def _list_facts(file: ModelFile) -> list[tuple[str, str]]:
    """Return what is known about a file, as pairs of name and value."""
    facts = [("Size", f"{format_megabytes(file.size)} MB")]
    if file.structure is not None:
        facts += list(file.structure.metadata.items())
        tensors = [t for g in file.structure.graphs for t in g.list_tensors().values()]
        encoded = sum(tensor.encoding is not None for tensor in tensors)
        facts.append(("Encoded tensors", f"{encoded} of {len(tensors)} that are known"))
    if file.delegates:
        share = file.delegates / (file.delegates + file.not_delegated)
        facts.append(("Delegated", f"{file.delegates} operators, {format_percent(share)} %"))
    if file.times is not None:
        facts.append(("Times", describe_times(file)))
    return facts


def _keep_indent(line: str) -> Markup:
    """Return an escaped line of code with its indentation."""
    from markupsafe import Markup, escape

    indent = len(line) - len(line.lstrip(" "))
    return Markup("&nbsp;") * indent + escape(make_one_line(line))


def describe_times(file: ModelFile) -> str:
    """Return where and when the operators of a file were timed; empty if they were not."""
    times = file.times
    if times is None:
        return ""
    threads = f"{times.threads} thread" if times.threads == 1 else f"{times.threads} threads"
    virtual = ", virtual: no phone is as slow in the same places" if times.virtual else ""
    return (
        f"{times.device}, {times.via} runner, {threads}, {times.created:%Y-%m-%d %H:%M}{virtual}; "
        f"{len(times.nodes)} of {len(times.operators)} operators name their node"
    )
