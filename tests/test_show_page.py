"""The page of `kit show --html`: its drawing, and its behaviour in a browser."""

from __future__ import annotations

import html
import json
import re
from pathlib import Path

import pytest
from test_report_browser import BROWSER, browse

from kit import cli
from kit.formats.structure import (
    GraphEntry,
    ModelStructure,
    NodeEntry,
    TensorEncoding,
    TensorEntry,
)
from kit.show.lanes import MAX_LANES, lay_out
from kit.show.model_file import ModelFile
from kit.show.page import render

BIG = 3000

PROBE = """<!doctype html><script>
function probe(frame) {
  const page = frame.contentDocument, errors = [];
  frame.contentWindow.addEventListener("error", event => errors.push(event.message));
  const shown = () => [...page.querySelectorAll(".node")].filter(e => !e.hidden).length;
  const type = text => {
    const search = page.getElementById("search");
    search.value = text;
    search.dispatchEvent(new Event("input"));
    return shown();
  };
  const state = {scripted: page.body.classList.contains("scripted"), all: shown()};
  state.conv = type("conv");
  state.encoded = type("scale 0.5");
  state.nothing = type("no such thing");
  state.again = type("");
  const chip = page.querySelector(".chip[data-op=Conv]");
  chip.click();
  state.without = shown();
  chip.click();
  page.querySelector("[data-fold=open]").click();
  state.open = page.querySelectorAll(".node > details[open]").length;
  page.querySelector("[data-fold=shut]").click();
  state.shut = page.querySelectorAll(".node > details[open]").length;
  const link = page.querySelector(".inside a");
  link.click();
  state.here = page.querySelector(".here").id === link.getAttribute("href").slice(1);
  const box = page.querySelector(".constants");
  box.click();
  state.constants = shown();
  state.errors = errors;
  state.sticking = page.documentElement.scrollWidth > frame.contentWindow.innerWidth;
  state.injected = Boolean(page.querySelector("#injected"));
  document.title = JSON.stringify(state);
}
</script><iframe style="border:0;width:WIDTHpx;height:900px" onload="probe(this)" srcdoc="PAGE">
</iframe>"""


def graph(count: int = 6) -> GraphEntry:
    """A chain of convolutions with weights from constant nodes, and a branch around all."""
    nodes = [NodeEntry("Dequantize", f"dq{n}", (f"w{n}",), (f"d{n}",)) for n in range(count)]
    nodes += [NodeEntry("Conv", f"c{n}", (f"x{n}", f"d{n}"), (f"x{n + 1}",)) for n in range(count)]
    nodes.append(NodeEntry("Add", "<img id=injected>", ("x1", f"x{count}"), ("y",)))
    encoding = TensorEncoding("int8", (0.5,), (3,), "layer")
    return GraphEntry(
        "main",
        inputs=(TensorEntry("x0", "float32 [1]"),),
        outputs=(TensorEntry("y"),),
        nodes=tuple(nodes),
        weights=count,
        tensors=(TensorEntry("x2", "int8 [1]", encoding),),
    )


def page_of(graph: GraphEntry) -> str:
    structure = ModelStructure(
        {"made by": "</script><script id=injected>"}, (graph,), "def f():\n  x"
    )
    return render("model", [ModelFile("onnx", "model.onnx", 10, structure)])


def test_rows_are_in_execution_order_with_constants_before_their_reader():
    shown = graph()
    rows = lay_out(shown)
    assert sorted(row.node for row in rows) == list(range(len(shown.nodes)))
    known = {"x0", *(f"w{n}" for n in range(6))}
    for row in rows:
        node = shown.nodes[row.node]
        assert known.issuperset(node.inputs)
        known.update(node.outputs)
    assert [row.constant for row in rows] == [True, False] * 6 + [False]


def test_lanes_connect_a_tensor_with_its_readers():
    rows = lay_out(graph())
    (add,) = rows[-1:]
    assert len(add.reads) == 2
    assert set(add.reads) <= set(add.above)
    # x1 lives from the first convolution to the sum, beside the chain.
    assert all(add.reads[0] in row.above and add.reads[0] in row.below for row in rows[2:-1])
    assert max(max(row.above, default=0) for row in rows) == 1


def test_tensors_beyond_the_number_of_lanes_are_not_drawn():
    fan = [NodeEntry("Split", "", ("x",), (f"t{n}",)) for n in range(2 * MAX_LANES)]
    join = NodeEntry("Join", "", tuple(f"t{n}" for n in range(2 * MAX_LANES)), ("y",))
    rows = lay_out(GraphEntry("wide", (TensorEntry("x"),), (TensorEntry("y"),), (*fan, join)))
    assert max(max(row.above) for row in rows) < MAX_LANES
    assert len(rows) == 2 * MAX_LANES + 1


def test_the_page_has_each_node_and_its_encoding_and_no_markup_of_the_file():
    text = page_of(graph())
    assert len(re.findall(r'class="node"', text)) == 13
    assert "int8, 8 bits, scale 0.5, zero point 3 (layer)" in text
    assert "<img" not in text
    assert text.count("<script") == 1
    assert "http" not in text.replace("http-equiv", "")
    assert "def f():\n&nbsp;&nbsp;x" in text


def test_a_graph_of_thousands_of_nodes_stays_small():
    text = page_of(graph(BIG))
    assert len(text) / (2 * BIG + 1) < 2500


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: install the package chromium")
@pytest.mark.parametrize("width", [390, 1120])
def test_search_folding_and_links_work_in_a_browser(tmp_path: Path, width: int) -> None:
    frame = tmp_path / "frame.html"
    content = html.escape(page_of(graph()))
    frame.write_text(PROBE.replace("WIDTH", str(width)).replace("PAGE", content), encoding="utf-8")
    dom = browse(tmp_path / "profile", frame, "--dump-dom", "--window-size=1400,1000")
    match = re.search(r"<title>(.*?)</title>", dom, re.DOTALL)
    assert match is not None
    assert json.loads(html.unescape(match[1])) == {
        "scripted": True,
        "all": 7,
        "conv": 6,
        "encoded": 1,
        "nothing": 0,
        "again": 7,
        "without": 1,
        "open": 7,
        "shut": 0,
        "here": True,
        "constants": 13,
        "errors": [],
        "sticking": False,
        "injected": False,
    }


def test_the_command_writes_the_page_of_a_bundle(tiny_bundle, tmp_path, capsys):
    page = tmp_path / "page.html"
    assert cli.run(["show", str(tiny_bundle.path), "--html", str(page)]) == 0
    assert capsys.readouterr().out == f"{page}\n"
    text = page.read_text()
    assert "onnx-fp32: model-fp32.onnx" in text
    assert "lite-fp32: model-fp32.ptl" in text
    assert text.count('class="graph"') >= 2


def test_a_page_that_cannot_be_written_is_one_sentence(tiny_bundle, tmp_path, capsys):
    page = tmp_path / "missing" / "sub"
    page.parent.write_text("")
    assert cli.run(["show", str(tiny_bundle.path), "--html", str(page)]) == 7
    assert str(page) in capsys.readouterr().err
