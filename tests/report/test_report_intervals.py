"""Intervals over seeds, by hand."""

import math

import pytest

from made_rows import Made
from robnas.report.intervals import BOUNDS, of_seeds, within
from robnas.report.matrix import cell
from robnas.report.paper.over_seeds import over_seeds
from robnas.statistics import student, wilson


def test_seeds_that_differ_more_than_images_have_students_interval():
    assert of_seeds([0.1, 0.5, 0.9], [(0.05, 0.15), (0.45, 0.55), (0.85, 0.95)]) == student([0.1, 0.5, 0.9])


def test_two_seeds_at_0_of_19_images_are_as_sure_as_one():
    _, high = wilson(0, 19)
    assert of_seeds([0.0, 0.0], [(0.0, high), (0.0, high)]) == (0.0, pytest.approx(high))


def test_a_row_without_an_interval_is_passed_over():
    assert of_seeds([0.5, 0.5], [(None, None), (0.4, 0.7)]) == (0.4, 0.7)
    assert of_seeds([0.5, 0.5], [(None, None)] * 2) == (0.5, 0.5)


def test_an_interval_ends_where_its_values_must():
    assert within(-0.3, 1.66, BOUNDS["auc"]) == (0.0, 1.0)
    assert within(-4.5, 9.4, BOUNDS["ace"]) == (0.0, 9.4)
    assert within(-1.5, 0.2, BOUNDS["cad"]) == (-1.0, 0.2)
    assert within(-math.inf, math.inf, BOUNDS["ace"]) == (0.0, None)
    assert within(None, 2.0, None) == (None, 2.0)


def test_figures_and_the_matrix_use_them(tmp_path):
    made = Made(tmp_path, models=("darts",), seeds=2)
    for seed, value in enumerate((0.2, 0.9)):
        made.add("darts", seed, "Digits", "auc", value, plugin="membershiploss", kind="attack")
    rows = made.collected().select(metric="auc")
    (worth,) = over_seeds(rows).values()
    assert (worth.low, worth.high) == (0.0, 1.0)
    shown = cell(rows, "auc")
    assert (shown.low, shown.high) == (0.0, 1.0)


def test_two_seeds_alike_have_the_interval_of_their_images(tmp_path):
    made = Made(tmp_path, models=("darts",), seeds=2)
    for seed in range(2):
        made.add("darts", seed, "Digits", "asr", 0.5, plugin="pgd", kind="attack", ci=(0.4, 0.7))
    rows = made.collected().select(metric="asr")
    (worth,) = over_seeds(rows).values()
    assert (worth.low, worth.high) == pytest.approx((0.4, 0.7))
    shown = cell(rows, "asr")
    assert (shown.low, shown.high) == pytest.approx((40, 70))
