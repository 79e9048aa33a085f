"""Accuracy against robust accuracy: the plot shows its points, however long an interval is."""

import pytest

from made_rows import PGD, Made
from robnas.report.beyond import accuracy_robustness


def test_a_long_interval_leaves_no_empty_plot(tmp_path):
    made = Made(tmp_path)
    for model, accuracy, robust in (("darts", 0.96, 0.2), ("resnet", 0.98, 0.4)):
        made.add(model, 0, "Digits", "accuracy", accuracy, kind="train", plugin="accuracy", ci=(0.5, 1.0))
        params = {**PGD, "goal": "untargeted"}
        made.add(model, 0, "Digits", "robust_accuracy", robust, kind="attack", plugin="pgd", norm="linf", params=params)
    found = accuracy_robustness.exhibit(made.collected())
    assert found.figure.axes[0].get_xlim() == pytest.approx((0.957, 0.983))
    assert "beyond the plot is in the table" in found.caption
    assert (found.table.rows[0][1].low, found.table.rows[0][1].high) == pytest.approx((50, 100))
