"""The HTML page as a browser shows it: rows, width of a phone, light and dark, sorting, print.

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
  all("details").forEach(e => e.open = true);
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
    cut: all("svg text").filter(e => {
      const text = e.getBoundingClientRect(), svg = e.closest("svg").getBoundingClientRect();
      return text.left < svg.left - 1 || text.right > svg.right + 1 || text.bottom > svg.bottom + 1;
    }).map(e => e.textContent),
    smallest: Math.min(...all("svg text").map(size)),
  });
}
</script><iframe style="border:0;width:WIDTHpx;height:900px" onload="probe(this)" srcdoc="PAGE">
</iframe>"""

# Clicks on headings of the first table, and lists the names in its rows.
SORT = """<!doctype html><script>
function probe(frame) {
  const page = frame.contentDocument, table = page.querySelector("table");
  const names = () => [...table.tBodies[0].rows].map(row => row.querySelector(".name").textContent);
  const heads = [...table.tHead.querySelectorAll("th")];
  const click = words => {
    const head = heads.find(one => one.textContent.endsWith(words));
    head.querySelector("button").click();
    return [head.ariaSort, ...names()];
  };
  document.title = JSON.stringify({
    folded: page.querySelectorAll("details:not([open])").length,
    start: names(),
    size: click("Size, MB"),
    again: click("Size, MB"),
    fp32: click("Against own fp32"),
    name: click("Format"),
    sorted: heads.filter(one => one.ariaSort).length,
  });
}
</script><iframe style="border:0;width:1120px;height:900px" onload="probe(this)" srcdoc="PAGE">
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


def probe(tmp_path: Path, page: Path, width: int, script: str = PROBE) -> dict[str, object]:
    """Return what a script reads from a page at a width: by default its layout."""
    frame = tmp_path / "frame.html"
    content = html.escape(page.read_text(encoding="utf-8"))
    frame.write_text(script.replace("WIDTH", str(width)).replace("PAGE", content), encoding="utf-8")
    for attempt in range(2):  # a busy browser may print the page before its frame is loaded
        words = ("--dump-dom", "--window-size=1400,1000", "--virtual-time-budget=10000")
        dom = browse(tmp_path / f"profile-{attempt}", frame, *words)
        if result := re.search(r"<title>(.*?)</title>", dom, re.DOTALL):
            return json.loads(html.unescape(result[1]))
    pytest.fail(f"the script set no title: {dom[:500]}")


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
    assert result["cut"] == []
    if width == 1120:
        assert result["scrolling"] == 0
    if width == 390:
        assert result["sticking"] == []
        assert result["smallest"] >= 9  # CSS pixels of the plots' text


def test_a_click_on_a_heading_sorts_the_table(tmp_path, pages) -> None:
    actual = probe(tmp_path, pages["usual"], 1120, SORT)
    eager, int8 = "eager PyTorch fp32", ["int8 .pte", "int8 .onnx", "int8 .ptl"]
    fp32 = ["fp32 .onnx", "fp32 .ptl", "fp32 .pte"]
    assert (
        actual
        == {
            "folded": 7,  # five tables, the conditions and the explanations
            "start": [*int8[:2], "fp32 .onnx", "fp32 .pte", "fp32 .ptl", eager, "int8 .ptl"],
            "size": ["ascending", "int8 .onnx", "int8 .pte", "int8 .ptl", *fp32, eager],
            "again": ["descending", *fp32[::-1], "int8 .ptl", "int8 .pte", "int8 .onnx", eager],
            # rows without a number stay last
            "fp32": ["ascending", "int8 .ptl", "int8 .onnx", "int8 .pte", *fp32[::-1], eager],
            "name": ["ascending", eager, *sorted(fp32), *sorted(int8)],
            "sorted": 1,
        }
    )


def test_paper_has_what_is_folded_and_no_page_of_a_footer(tmp_path, pages) -> None:
    def count_pages(page: Path) -> int:
        target = tmp_path / f"{page.stem}.pdf"
        browse(tmp_path / "profile", page, "--no-pdf-header-footer", f"--print-to-pdf={target}")
        return len(re.findall(rb"/Type\s*/Page\b", target.read_bytes()))

    usual = pages["usual"].read_text(encoding="utf-8")
    shut = tmp_path / "shut.html"
    shut.write_text(re.sub(r"<details.*?</details>", "", usual, flags=re.DOTALL), encoding="utf-8")
    unfooted = tmp_path / "unfooted.html"
    unfooted.write_text(re.sub(r"<footer>.*</footer>", "", usual), encoding="utf-8")
    whole = count_pages(pages["usual"])
    assert whole == count_pages(unfooted)
    assert whole >= count_pages(shut) + 3


def test_markup_in_names_is_escaped(tmp_path, pages) -> None:
    dom = browse(tmp_path / "profile", pages["hostile"], "--dump-dom")
    assert dom.count("<script") == 1  # the page's own
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
