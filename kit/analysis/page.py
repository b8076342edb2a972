"""Write an analysis as one self-contained HTML page in the style of `kit report`."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from kit import __version__
from kit.analysis._plot import draw_bars
from kit.analysis.repair import Repair
from kit.analysis.score import Score
from kit.analysis.sensitivity import Study
from kit.errors import OutputError
from kit.files import atomic
from kit.report.text import NBSP
from kit.text import make_one_line


def write(
    path: Path, study: Study, about: Mapping[str, object], repair: Repair | None, line: str
) -> None:
    """Write the page atomically.

    Args:
        path: of the file.
        study: results per place.
        about: model, recipe and pictures, as in the JSON.
        repair: result of the search, if there was one.
        line: the `kit build` command of the repair.

    Raises:
        OutputError: the file cannot be written.
    """
    text = render(study, about, repair, line)
    try:
        atomic.write_file(path, text)
    except OSError as exc:
        raise OutputError(
            f"cannot write {path}: {exc.strerror or exc}",
            "choose a file with -o that is writable and has space",
        ) from exc


def render(study: Study, about: Mapping[str, object], repair: Repair | None, line: str) -> str:
    """Return the page. All names are escaped, as they may contain markup."""
    from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from kit.report import palette
    from kit.report.script import load_script
    from kit.report.svg import FONT

    environment = Environment(
        loader=ChoiceLoader([PackageLoader("kit.analysis"), PackageLoader("kit.report")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: make_one_line(value) if type(value) is str else value,
    )
    plot, script = draw_bars(study), load_script()
    return environment.get_template("analysis.html.j2").render(
        study=study,
        about=about,
        repair=repair,
        line=line,
        headline=_headline(study, about),
        plot=plot,
        inline=Markup(plot.inline),  # noqa: S704 - serialized by ElementTree, which escapes
        sentence=_sentence,
        decibels=_decibels,
        script=Markup(script.text),  # noqa: S704 - a file of this package
        script_source=script.source,
        colours=Markup(palette.format_css(":root")),  # noqa: S704 - constants of kit.report
        font=Markup(FONT),  # noqa: S704
        version=__version__,
    )


def _headline(study: Study, about: Mapping[str, object]) -> str:
    worst = study.worst()[0]
    return (
        f"{about['model']} in int8: {_decibels(study.whole.sqnr_db)} of SQNR; "
        f"'{worst.name}' alone costs the most"
    )


def _sentence(score: Score) -> str:
    drop = "" if score.drop is None else f", {score.drop:.2f} points of top-1 lost"
    agreement = f"{100 * score.agreement:.1f} % of first answers kept"
    return f"SQNR {_decibels(score.sqnr_db)}, {agreement}{drop} ({score.images} pictures)"


def _decibels(value: float | None) -> str:
    return "equal" if value is None or value == float("inf") else f"{value:.1f}{NBSP}dB"
