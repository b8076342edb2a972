"""Comparisons of logits."""

import numpy as np
import pytest

from kit import comparison
from kit.tasks.image_classification import golden


def test_sqnr_by_hand():
    signal = np.array([[3.0, 4.0]], np.float32)
    assert comparison.compute_sqnr_db(signal, signal) is None
    assert comparison.compute_sqnr_db(signal, signal + np.float32(0.5)) == pytest.approx(
        10 * np.log10(25 / 0.5), abs=1e-6
    )


def test_agreement_and_thresholds():
    right = np.eye(4, dtype=np.float32)
    wrong = right.copy()
    wrong[0] = [0, 2, 0, 0]
    result = comparison.compare_logits("float reference", right, wrong, {"agreement": 0.75})
    assert (result.agreement, result.max_abs, result.passed) == (0.75, 2.0, True)
    assert not comparison.compare_logits(
        "float reference", right, wrong, {"agreement": 0.76}
    ).passed
    assert not comparison.compare_logits("float reference", right, wrong, {"max_abs": 1.9}).passed
    assert not comparison.compare_logits("float reference", right, wrong, {"sqnr_db": 10}).passed


@pytest.mark.parametrize("poison", [np.nan, np.inf])
def test_answers_that_are_not_numbers_never_pass(poison):
    right = np.eye(4, dtype=np.float32)
    bad = right.copy()
    bad[1, 1] = poison
    result = comparison.compare_logits("float reference", right, bad, {})
    assert not result.passed


def test_golden_pictures_are_the_most_confident_of_several_classes():
    logits = np.zeros((96, 10), np.float32)
    logits[np.arange(96), np.arange(96) % 3] = np.linspace(1, 2, 96)
    logits[5, 7] = 1.5
    chosen = golden.select_surest(logits)
    assert len(chosen) == golden.IMAGES == len(set(chosen))
    assert chosen == sorted(chosen)
    answers = logits[chosen].argmax(1)
    surest_of_each = [max(r for r in range(96) if logits[r].argmax() == a) for a in (0, 1, 2)]
    assert set(surest_of_each) <= set(chosen)
    assert 5 in chosen or 7 not in answers


def test_a_model_of_one_class_has_golden_pictures():
    logits = np.linspace(1, 2, golden.CANDIDATES, dtype=np.float32)[:, None]
    assert golden.select_surest(logits) == list(range(golden.IMAGES))


def test_golden_pictures_limit_each_class():
    """A model confident in one class on many crops would otherwise get only that class."""
    logits = np.zeros((golden.CANDIDATES, 8), np.float32)
    for row in range(golden.CANDIDATES):
        logits[row, 0 if row < 60 else 1 + row % 7] = 100 - row  # surest of the first answer
    answers = logits[golden.select_surest(logits)].argmax(1)
    assert len(answers) == golden.IMAGES
    assert np.bincount(answers).max() == 4
    alike = golden.select_surest(np.eye(1, 8, dtype=np.float32).repeat(golden.CANDIDATES, 0))
    assert alike == sorted(alike)
    assert len(alike) == golden.IMAGES, "a model with a single answer still gets golden pictures"
