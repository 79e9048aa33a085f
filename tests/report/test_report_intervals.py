"""Intervals over seeds, by hand."""

import pytest

from robnas.report.intervals import of_seeds
from robnas.statistics import student, wilson


def test_seeds_that_differ_more_than_images_have_students_interval():
    assert of_seeds([0.1, 0.5, 0.9], [(0.05, 0.15), (0.45, 0.55), (0.85, 0.95)]) == student([0.1, 0.5, 0.9])


def test_two_seeds_at_0_of_19_images_are_as_sure_as_one():
    _, high = wilson(0, 19)
    assert of_seeds([0.0, 0.0], [(0.0, high), (0.0, high)]) == (0.0, pytest.approx(high))


def test_a_row_without_an_interval_is_passed_over():
    assert of_seeds([0.5, 0.5], [(None, None), (0.4, 0.7)]) == (0.4, 0.7)
    assert of_seeds([0.5, 0.5], [(None, None)] * 2) == (0.5, 0.5)
