"""The HTML page as a browser shows it: rows, width of a phone, light and dark, no script.

Needs Chromium (Debian package `chromium`); the page is opened from disk.
"""

from __future__ import annotations

import html
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image
from report_samples import PHONE, VIRTUAL, bundle, everything, latency, run

from kit.notices import read_text
from kit.report.palette import DARK, LIGHT
from kit.report.write import write

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
SCREENSHOT = Path(__file__).parent.parent / "scripts" / "screenshot"
QUIET = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
# A window cannot be narrower than 500 pixels, a frame in it can.
PROBE = """<!doctype html><script>
function probe(frame) {
  const page = frame.contentDocument, view = frame.contentWindow;
  const all = selector => [...page.querySelectorAll(selector)];
  const sticking = all("body *").filter(e =>
    view.getComputedStyle(e).position !== "absolute" && !e.closest("svg *") &&
    e.getBoundingClientRect().right > view.innerWidth + 0.5);
  const size = e => parseFloat(view.getComputedStyle(e).fontSize)
    * e.closest("svg").getBoundingClientRect().width / e.closest("svg").viewBox.baseVal.width;
  document.title = JSON.stringify({
    inner: view.innerWidth,
    scroll: page.documentElement.scrollWidth,
    scrolling: all(".scroll").filter(e => e.scrollWidth > e.clientWidth).length,
    sticking: sticking.map(e => e.tagName + "." + e.className),
    smallest: Math.min(...all("svg text").map(size)),
  });
}
</script><iframe style="border:0;width:WIDTHpx;height:900px" onload="probe(this)" srcdoc="PAGE">
</iframe>"""

pytestmark = [
    pytest.mark.skipif(BROWSER is None, reason="needs Chromium: install the package chromium"),
    pytest.mark.slow,
]


@pytest.fixture(scope="module")
def pages(tmp_path_factory) -> dict[str, Path]:
    """Return a usual page, and one with extreme content."""
    folder = tmp_path_factory.mktemp("pages")
    long = bundle(name="a_name_without_any_break_" * 8, hash="b" * 64, granularity="per-tensor")
    strained = [
        *everything(),
        latency(bundle=long, runs=(run("onnx", "static", 4.1, notices=(read_text("w" * 300),)),)),
        latency(runs=(run("executorch", "static", 9.1, device=PHONE),)),
        latency(runs=(run("executorch", "static", 410, device=VIRTUAL),)),
    ]
    hostile = bundle(name="<script>document.body.innerHTML = ''</script><img src=x>")
    return {
        "usual": write(everything(), folder / "usual").html,
        "strained": write(strained, folder / "strained").html,
        "hostile": write([latency(bundle=hostile)], folder / "hostile").html,
    }


def browse(profile: Path, page: Path, *options: str) -> str:
    command = [str(BROWSER), *QUIET, f"--user-data-dir={profile}", *options, page.as_uri()]
    return subprocess.run(command, check=True, capture_output=True, text=True, timeout=120).stdout


def probe(tmp_path: Path, page: Path, width: int) -> dict[str, object]:
    """Return the layout of a page at a width."""
    frame = tmp_path / "frame.html"
    content = html.escape(page.read_text(encoding="utf-8"))
    frame.write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", content), encoding="utf-8")
    dom = browse(tmp_path / "profile", frame, "--dump-dom", "--window-size=1400,1000")
    result = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert result is not None
    return json.loads(html.unescape(result[1]))


def test_the_tables_have_a_row_per_measurement(tmp_path, pages) -> None:
    dom = browse(tmp_path / "profile", pages["usual"], "--dump-dom")
    bodies = re.findall(r"<tbody.*?</tbody>", dom, re.DOTALL)
    # overview, latency, accuracy (2 × 4), parity (6 + 3 and 7 golden), files, measurements
    assert [body.count("<tr") for body in bodies] == [7, 7, 8, 16, 6, 2]


@pytest.mark.parametrize("page", ["usual", "strained"])
@pytest.mark.parametrize("width", [390, 800, 1120])
def test_no_content_overflows_at_any_width(tmp_path, pages, page: str, width: int) -> None:
    result = probe(tmp_path, pages[page], width)
    assert result["inner"] == width
    assert result["scroll"] <= width
    if width == 1120:
        assert result["scrolling"] == 0
    if width == 390:
        assert result["sticking"] == []
        assert result["smallest"] >= 9  # CSS pixels of the plots' text


def test_markup_in_names_is_escaped(tmp_path, pages) -> None:
    dom = browse(tmp_path / "profile", pages["hostile"], "--dump-dom")
    assert "<script" not in dom
    assert "<img" not in dom
    assert "&lt;script&gt;document.body" in dom
    assert dom.count("<table") == 5


@pytest.mark.parametrize(("options", "palette"), [([], LIGHT), (["--dark"], DARK)])
def test_the_page_follows_the_color_scheme(tmp_path, pages, options, palette) -> None:
    picture = tmp_path / "page.png"
    subprocess.run(
        [sys.executable, SCREENSHOT, pages["usual"], picture, "--width", "700", *options],
        check=True,
        timeout=240,
    )
    with Image.open(picture) as image:
        assert image.width == 700
        assert image.height > 2000
        shown = {
            f"#{r:02x}{g:02x}{b:02x}" for _, (r, g, b) in image.convert("RGB").getcolors(2**24)
        }
    for name in ("paper", "card", "ink", "int8", "eager", "fp32"):
        assert palette[name] in shown, name
    other = DARK if palette is LIGHT else LIGHT
    assert other["paper"] not in shown
