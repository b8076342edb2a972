"""Quantization analysis and repair of a small network with a known damaged layer."""

from __future__ import annotations

import dataclasses
import re
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from analysis_samples import case, damaged, net, pictures  # noqa: E402
from test_report_browser import BROWSER, probe  # noqa: E402

from kit.algorithms import get_algorithm  # noqa: E402
from kit.analysis import _plot, sensitivity  # noqa: E402
from kit.analysis.case import Simulated, sample_positions  # noqa: E402
from kit.analysis.points import list_points  # noqa: E402
from kit.analysis.repair import Choice, Search  # noqa: E402
from kit.analysis.score import Score, compute_score  # noqa: E402
from kit.analysis.target import RepairTarget, parse  # noqa: E402
from kit.corrections import get_correction  # noqa: E402
from kit.errors import UsageError  # noqa: E402
from kit.quantize.graph import fold  # noqa: E402
from kit.quantize.nodes import list_layer_names  # noqa: E402
from kit.quantize.simulation import Simulation  # noqa: E402

DAMAGED = "1.filter.0"


@pytest.fixture(scope="module")
def folded():
    return fold(net())


@pytest.fixture(scope="module")
def broken():
    model = damaged()
    return fold(model), case(model)


def test_points_have_their_producer_and_consumers(folded):
    actual = {point.name: point for point in list_points(folded)}
    stem = actual["0.2"]  # the output of the clip, computed by the convolution before it
    assert (stem.maker, stem.kind) == ("0.0", "")
    assert set(stem.readers) == {"1.expand.0", "add_"}
    assert actual["input_1"].kind == "input"
    assert actual["add_"].kind == "addition"
    assert actual["1.project"].readers == ("add_",)
    assert actual["3"].readers == ("5",)  # flatten has no point of its own
    assert actual["5"].readers == ()
    assert {p.maker for p in actual.values() if p.maker} == set(list_layer_names(folded))


def test_a_tensor_is_float_if_all_adjacent_layers_are(folded):
    model = Simulated.calibrated(folded, case(net()), "minmax")
    everything = {point.name for point in model.points}
    assert model.all_but(()).activations == everything
    assert model.all_but(["0.0"]).activations == everything - {"input_1"}
    assert model.all_but(["1.expand.0"]).activations == everything
    assert model.all_but(["1.expand.0", "1.filter.0"]).activations == everything - {"1.expand.1"}
    assert model.all_but(["5"]).activations == everything - {"5"}
    assert model.all_but(["5"]).weights == set(list_layer_names(folded)) - {"5"}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kept", "repairs"),
    [((), False), ((DAMAGED,), False), (("1.project",), False), ((DAMAGED, "1.project"), True)],
)
def test_simulated_float_layers_match_the_converted_graph(broken, kept, repairs):
    """Compare with torchao's converted graph, with the layers excluded from its quantizer.

    The tensor between the two layers stays int8 unless both are float.
    """
    from kit.quantize.options import Options

    model, inputs = broken
    simulated = Simulated.calibrated(model, inputs, "minmax").logits(inputs.pictures, kept)
    options = Options("per-tensor", inputs.output_margin, "minmax", kept)
    static = get_algorithm("static")
    graph = static.quantize(model, "pt2e-u8", inputs.calibration, options).graph
    with torch.no_grad():
        real = np.concatenate([graph(picture[None]).numpy() for picture in inputs.pictures])
    actual = [compute_score(inputs.reference, logits).sqnr_db for logits in (simulated, real)]
    assert actual[0] == pytest.approx(actual[1], abs=2.0)
    assert all((db > 30) is repairs for db in actual), actual


def test_replay_equals_a_complete_run(folded):
    """Only affected layers are recomputed, and in-place operations do not change other runs."""
    inputs = case(net())
    model = Simulated.calibrated(folded, inputs, "minmax")
    base = model.all_but(())
    choices = [("0.0",), ("1.filter.0",), ("2.project", "5"), ()]
    whole, others = model.replay(inputs.pictures).run(base, [model.all_but(k) for k in choices])
    plain = Simulation(folded, "per-tensor", "minmax")
    plain.calibrate(inputs.calibration, inputs.output_margin)
    np.testing.assert_array_equal(whole, plain.logits(inputs.pictures).numpy())
    for kept, logits in zip(choices, others, strict=True):
        again = Simulated.calibrated(folded, inputs, "minmax").logits(inputs.pictures, kept)
        np.testing.assert_array_equal(logits, again, err_msg=str(kept))
    assert not np.array_equal(whole, others[0])
    np.testing.assert_array_equal(whole, others[-1])


@pytest.mark.slow
def test_measure_returns_all_layers_in_order(folded):
    actual = sensitivity.measure(folded, pictures(16), "per-channel", "minmax")
    assert [record.name for record in actual] == list(list_layer_names(folded))
    assert all(5 < record.sqnr_db < 90 for record in actual)
    assert sum(record.share for record in actual) == pytest.approx(1)
    assert all(record.gain_db is None for record in actual)


def test_measure_quantizes_one_layer_at_a_time(folded):
    """Compare with a manual simulation of one layer's weights and output."""
    actual = {r.name: r for r in sensitivity.measure(folded, pictures(16), "per-tensor", "minmax")}
    plain = Simulation(folded, "per-tensor", "minmax")
    plain.calibrate(pictures(16), 1.25)
    plain.quantize(())
    exact = plain.logits(pictures(16)).numpy()
    plain.activations["1.filter.1"].mode = "quantize"
    plain.weights["1.filter.0"].enabled = True
    alone = compute_score(exact, plain.logits(pictures(16)).numpy()).sqnr_db
    assert actual["1.filter.0"].sqnr_db == pytest.approx(alone, abs=1e-3)
    assert actual["1.filter.0"].range == pytest.approx(
        (plain.activations["1.filter.1"].low, plain.activations["1.filter.1"].high)
    )


@pytest.mark.slow
def test_the_damaged_layer_ranks_worst_and_keeping_it_float_repairs_it(broken):
    model, inputs = broken
    actual = sensitivity.make_study(model, inputs, "minmax")
    worst = next(record.name for record in actual.worst() if record.layer)
    assert worst == DAMAGED
    sound = sensitivity.make_study(fold(net()), case(net()), "minmax")
    assert actual.whole.sqnr_db < sound.whole.sqnr_db - 5
    around = Simulated.calibrated(model, inputs, "minmax").logits(
        inputs.pictures, [DAMAGED, "1.project"]
    )
    repaired = compute_score(inputs.reference, around).sqnr_db
    assert repaired > actual.whole.sqnr_db + 5


@pytest.mark.slow
def test_study_reports_inputs_additions_and_saturation(folded):
    inputs = case(net())
    actual = {r.name: r for r in sensitivity.make_study(folded, inputs, "minmax").records}
    assert [r.kind for r in actual.values() if not r.layer] == [
        "input", "addition", "addition", "operation",
    ]  # fmt: skip
    assert actual["input_1"].gain_db is None
    assert actual["1.filter.0"].gain_db is not None
    # Pictures with twice the amplitude of the calibration pictures exceed the ranges.
    strong = dataclasses.replace(inputs, pictures=2 * inputs.pictures)
    outside = {r.name: r for r in sensitivity.make_study(folded, strong, "minmax").records}
    low, high = actual["input_1"].range
    values = strong.pictures.numpy()
    half = (high - low) / 510
    expected = np.mean((values < low - half) | (values > high + half))
    assert outside["input_1"].saturated == pytest.approx(expected)
    assert outside["input_1"].saturated > 10 * actual["input_1"].saturated


@pytest.mark.slow
def test_float_layers_are_included_in_the_baseline(folded):
    inputs = case(net())
    actual = sensitivity.make_study(folded, inputs, "minmax", kept=("5",))
    by_name = {record.name: record for record in actual.records}
    assert by_name["5"].kept
    assert by_name["5"].gain_db is None
    expected = Simulated.calibrated(folded, inputs, "minmax").logits(inputs.pictures, ["5"])
    assert actual.whole == compute_score(inputs.reference, expected)


@pytest.mark.slow
def test_progress_reaches_the_total(folded):
    reports: list[float] = []
    sensitivity.make_study(folded, case(net()), "minmax", step=reports.append)
    assert reports == sorted(reports)
    assert reports[-1] == 1.0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("22dB", RepairTarget("sqnr", 22)),
        ("18.5 DB", RepairTarget("sqnr", 18.5)),
        ("97%", RepairTarget("agreement", 97)),
        ("1.0", RepairTarget("drop", 1)),
        ("0", RepairTarget("drop", 0)),
    ],
)
def test_targets_are_parsed(text, expected):
    assert parse(text) == expected


@pytest.mark.parametrize("text", ["", "dB", "-1", "101%", "97 percent", "nan", "1e3dB", "200"])
def test_invalid_targets_are_refused(text):
    with pytest.raises(UsageError, match="target"):
        parse(text)


@pytest.mark.parametrize(
    ("text", "actual", "met"),
    [
        ("20dB", Score(10, 20.0, 0.5, None), True),
        ("20dB", Score(10, 19.9, 1.0, None), False),
        ("20dB", Score(10, None, 1.0, None), True),
        ("90%", Score(10, 1.0, 0.9, None), True),
        ("90%", Score(10, 99.0, 0.8, None), False),
        ("1.0", Score(10, 1.0, 0.5, 1.0), True),
        ("1.0", Score(10, 1.0, 0.5, -3.0), True),
        ("1.0", Score(10, 99.0, 1.0, 1.1), False),
    ],
)
def test_when_a_target_is_met(text, actual, met):
    assert parse(text).met(actual) is met


def search(model, inputs, target: str):
    """Return a search over the real corrections, and the list of its prepared models."""
    prepared: list[tuple[str, tuple[str, ...]]] = []

    def prepare(corrections, kept):
        prepared.append((corrections, kept))
        result = fold(model)
        from kit.corrections import plan

        for name in plan.resolve(corrections):
            step = get_correction(name)
            step.apply(result, inputs.calibration, inputs.granularity)
        return result

    costs = {
        r.name: r.latency for r in sensitivity.make_study(fold(model), inputs, "minmax").records
    }
    return Search(parse(target), inputs, prepare, costs), prepared


@pytest.mark.slow
def test_repair_changes_nothing_if_the_target_is_met(folded):
    search_, _ = search(net(), case(net()), "1dB")
    actual = search_.run(Choice("none", "minmax"))
    assert actual.met
    assert [a.choice for a in actual.tried] == [Choice("none", "minmax")]


@pytest.mark.slow
def test_repair_prefers_a_correction_to_float_layers(broken):
    model, inputs = damaged(), broken[1]
    before = compute_score(
        inputs.reference,
        Simulated.calibrated(broken[0], inputs, "minmax").logits(inputs.pictures, ()),
    ).sqnr_db
    search_, _ = search(model, inputs, f"{before + 3:.1f}dB")
    actual = search_.run(Choice("none", "minmax"))
    assert actual.met
    assert actual.best.choice.kept == ()
    assert actual.best.latency == 0
    assert actual.best.score.sqnr_db >= before + 3


@pytest.mark.slow
def test_repair_adds_float_layers_if_corrections_do_not_suffice(broken):
    model, inputs = damaged(), broken[1]
    free, _ = search(model, inputs, "90dB")
    limits = [a for a in free.run(Choice("none", "minmax")).tried if not a.choice.kept]
    goal = max(a.score.sqnr_db for a in limits) + 3
    search_, prepared = search(model, inputs, f"{goal:.2f}dB")
    actual = search_.run(Choice("none", "minmax"))
    assert actual.met
    kept = actual.best.choice.kept
    assert kept
    assert (actual.best.choice.corrections, kept) in prepared  # measured as built
    assert actual.best.latency == pytest.approx(
        sum(r.latency for r in sensitivity.make_study(fold(model), inputs, "minmax").records
            if r.name in kept)
    )  # fmt: skip
    again = search(model, inputs, "1dB")[0].run(actual.best.choice)
    assert again.best.score == actual.best.score


@pytest.mark.slow
def test_repair_reports_an_unreachable_target(broken):
    search_, _ = search(damaged(), broken[1], "300dB")
    actual = search_.run(Choice("none", "minmax"))
    assert not actual.met
    assert actual.best.score.sqnr_db == max(a.score.sqnr_db for a in actual.tried)


@pytest.mark.slow
def test_repair_by_drop_needs_only_labels(broken):
    model = damaged()
    inputs = case(model, labelled=True)
    search_, _ = search(model, inputs, "0")
    actual = search_.run(Choice("none", "minmax"))
    assert actual.met
    assert actual.best.score.drop == 0
    assert actual.tried[0].score.drop > 0


def test_spread():
    assert sample_positions(3, 5) == [0, 1, 2]
    assert sample_positions(10, 5) == [0, 2, 4, 6, 8]


@pytest.mark.parametrize(("count", "marked"), [(2, 1), (6, 2), (8, 2), (60, 5)])
def test_the_plot_marks_the_worst_quarter_and_no_more_than_five(count, marked):
    records = [
        SimpleNamespace(name=f"layer{number}", sqnr_db=30.0 + number, kept=False)
        for number in range(count)
    ]
    drawing = _plot.draw_bars(SimpleNamespace(records=records, worst=lambda: records))
    worst = drawing.description.partition("the worst are ")[2]
    assert [word.split()[0] for word in worst.split(", ")] == [f"layer{i}" for i in range(marked)]


def test_the_bars_of_the_plot_are_as_long_as_their_sqnr():
    records = [
        SimpleNamespace(name=f"layer{number}", sqnr_db=db, kept=False)
        for number, db in enumerate([10.0, float("inf"), 20.0, 40.0])
    ]
    drawing = _plot.draw_bars(SimpleNamespace(records=records, worst=lambda: records))
    bars = re.findall(r'"M ([\d.]+) \S+ L ([\d.]+) [^>]*fill: var\(--(\w+)\)', drawing.inline)
    lengths = [float(end) - float(begin) for begin, end, _ in bars]
    assert [length / lengths[-1] for length in lengths] == pytest.approx([0.25, 1, 0.5, 1])
    assert [tone for *_, tone in bars] == ["bad", "int8", "int8", "int8"]


@pytest.mark.slow
@pytest.mark.skipif(BROWSER is None, reason="needs Chromium: install the package chromium")
def test_no_label_of_the_plot_is_cut(tmp_path):
    records = [
        SimpleNamespace(name=f"features.{number}.conv.block.depthwise", sqnr_db=db, kept=False)
        for number, db in enumerate([18.4, float("inf"), 120.3, 9.5])
    ]
    drawing = _plot.draw_bars(SimpleNamespace(records=records, worst=lambda: records))
    page = tmp_path / "page.html"
    page.write_text(f"<style>svg{{max-width:100%}}</style>{drawing.inline}", encoding="utf-8")
    assert probe(tmp_path, page, 700)["cut"] == []
