"""`kit report`: convert result files to an HTML page and a Markdown page."""

from __future__ import annotations

from pathlib import Path

import click

from kit import terminal
from kit.commands.common.option_types import OUTPUT_PATH, PATH


@click.command("report")
@click.argument("results", nargs=-1, required=True, metavar="RESULT…", type=PATH)
@click.option(
    "-o",
    "--output",
    "folder",
    type=OUTPUT_PATH,
    default=Path("out/report"),
    help="Folder for report.html, report.md and plots/; created if needed. Default: out/report.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object instead of the paths.")
def command(results: tuple[Path, ...], folder: Path, as_json: bool) -> None:
    """Turn result files into Markdown and an HTML page.

    RESULT is a file that bench, eval or verify wrote with -o, or a folder of such files.
    Latency and accuracy, of any number of bundles and in any order, merge into one report:
    rows are joined by the bundle's hash and the format. Measurements of different settings
    stand apart.

    Prints the two paths to stdout, and the headline to stderr.
    """
    from kit.commands.common.output_checks import check_folder
    from kit.results.discover import read_named

    check_folder(folder)
    from kit.report.write import write  # draws plots, whose library takes seconds to import

    written = write(read_named(results), folder)
    if as_json:
        terminal.print_json(
            {
                "html": str(written.html),
                "markdown": str(written.markdown),
                "headline": written.sentence,
            }
        )
        return
    terminal.print_note(written.sentence)
    terminal.echo(str(written.html))
    terminal.echo(str(written.markdown))
