"""How figures are drawn: blocks, hatching, seeds, names that are not read as formulas."""

import numpy as np
import pytest

from robnas.report import curves, style
from robnas.report.curves import Line
from robnas.report.style import Mark


def markers(axes):
    return [line.get_marker() for line in axes.lines if line.get_marker() not in ("None", None, "")]


def test_families_are_blocks_with_a_gap():
    models = [("darts", "nas"), ("mine", "nas"), ("mine", "manual")]
    assert style.places(models) == dict(zip(models, (0, 1, 2.7), strict=True))


def test_a_forest_has_a_mark_a_model_a_small_one_a_seed_and_a_pale_one():
    _, axes = style.grid(1, 1, 3.0)
    marks = [
        Mark("darts", "nas", 0.5, 0.4, 0.6, (0.4, 0.6), published=0.9),
        Mark("resnet", "manual", 0.3, seeds=(0.3,)),
        Mark("vgg", "manual"),
    ]
    style.forest(axes[0, 0], marks, "ASR")
    assert sorted(markers(axes[0, 0])) == ["D", "o", "o", "s"]  # no second mark where there is one seed, none at all of VGG
    assert [label.get_text() for label in axes[0, 0].get_yticklabels()] == ["DARTS", "ResNet", "VGG"]
    assert len([patch for patch in axes[0, 0].patches if patch.get_hatch()]) == 1


def test_names_are_drawn_as_they_are():
    figure, axes = style.grid(1, 2, 3.0)
    strange = r"a$\frac{$<script>"
    style.forest(axes[0, 0], [Mark(strange, "custom", 0.5)], "ASR")
    style.title(axes[0, 0], strange)
    curves.draw(axes[0, 1], [Line(strange, "custom", (1, 2), (Mark(strange, "custom", 0.5), Mark(strange, "custom", 0.6)))], "x", "y")
    figure.draw_without_rendering()  # matplotlib would raise at half a formula


def test_curves_rank_models_where_they_are_farthest_apart():
    _, axes = style.grid(1, 1, 3.0)
    values = {"darts": (0.1, 0.9, 1.0), "enas": (0.2, 0.2, 1.0), "resnet": (0.1, None, 1.0)}
    lines = [Line(name, "nas", (1, 2, 3), tuple(Mark(name, "nas", v) for v in own)) for name, own in values.items()]
    curves.draw(axes[0, 0], lines, "x", "y", "{:.0%}".format)
    said = [text.get_text() for text in axes[0, 0].texts]
    assert said == ["at 1", "20%  ENAS", "10%  DARTS", "10%  ResNet"]  # 2 has more spread, but not all models


@pytest.mark.parametrize(("n", "intervals"), [(6, 6), (7, 0)])
def test_many_curves_have_the_mean_of_a_family_in_place_of_intervals(n, intervals):
    _, axes = style.grid(1, 1, 3.0)
    lines = [Line(str(k), "nas", (1.0,), (Mark(str(k), "nas", 0.5 + 0.1 * k, 0.4, 0.6),)) for k in range(n)]
    curves.draw(axes[0, 0], lines, "x", "y")
    bars = [line for line in axes[0, 0].lines if len(line.get_xdata()) == 2]
    assert len(bars) == intervals
    thick = [line for line in axes[0, 0].lines if line.get_linewidth() > 2]
    assert [float(line.get_ydata()[0]) for line in thick] == pytest.approx([0.8] if n > 6 else [])


def test_seeds_are_told_apart_evenly():
    assert style.jitter(1).tolist() == [0]
    np.testing.assert_allclose(style.jitter(3, 0.4), [-0.2, 0, 0.2])


def test_published_colours_are_paler():
    assert style.paler("#000000", 0.6) == "#999999"
    assert style.paler("#c2410c", 0.0) == "#c2410c"
