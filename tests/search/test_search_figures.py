"""The picture of a search: the same numbers give the same file, and what was derived is named in it."""

import pytest
import torch
from matplotlib.colors import to_hex

from robnas.search.derive import top_two_edges
from robnas.search.figures import COLOURS, GONE, draw_scores, draw_weights, save
from robnas.search.history import History
from robnas.space.drawing import words
from robnas.space.search_space import OPERATIONS, Space


def test_names_what_was_derived_and_is_reproducible(tmp_path):
    space = Space(nodes=2)
    weights = {k: torch.rand(3, 5, 10, generator=torch.Generator().manual_seed(i)) / 10 for i, k in enumerate(("normal", "reduce"))}
    genotype = top_two_edges(space, {k: w[-1] for k, w in weights.items()})
    svg, png = save(draw_weights([0, 1, 2], weights, space, genotype), tmp_path / "alpha")
    text = svg.read_text()
    assert png.stat().st_size > 10_000
    for node, edges in genotype.normal.numbered():
        for edge in edges:
            assert f"{edge.source} → {node}  {words(edge.operation)}" in text
    assert text.count("Bold frames: the edges that the cell keeps") == 2
    again, _ = save(draw_weights([0, 1, 2], weights, space, genotype), tmp_path / "again")
    assert again.read_bytes() == svg.read_bytes()


def test_legend_and_bands_are_in_the_order_of_the_space():
    space = Space(nodes=1, operations=("zero", "sep_conv_3x3"))
    weights = {k: torch.tensor([0.25, 0.75]).expand(2, 2, 2) for k in ("normal", "reduce")}
    figure = draw_weights([0, 1], weights, space, top_two_edges(space, {k: w[-1] for k, w in weights.items()}))
    part = figure.subfigs[0]
    assert [t.get_text() for t in part.legends[0].get_texts()] == ["zero", "sep conv 3×3"]
    bottom, top = part.axes[0].collections
    assert [to_hex(c.get_facecolor()[0]) for c in (top, bottom)] == [COLOURS["zero"], COLOURS["sep_conv_3x3"]]
    assert bottom.get_paths()[0].get_extents().y1 == 0.75


def test_a_panel_is_full_whatever_the_weight_of_its_edge_which_stands_above_it():
    space = Space(nodes=1, operations=("zero", "sep_conv_3x3"))
    weights = {k: torch.tensor([[0.02, 0.06], [0.0, 0.0]]).expand(2, 2, 2) for k in ("normal", "reduce")}
    genotype = top_two_edges(space, {k: w[-1] for k, w in weights.items()})
    edges = {"normal": torch.tensor([0.08, 0.92])}
    figure = draw_weights([0, 1], weights, space, genotype, edges=edges, name="pc_darts · run")
    normal, reduce = figure.subfigs
    (left, right), plain = normal.axes, reduce.axes[0]
    heights = [band.get_paths()[0].get_extents().y1 for band in left.collections]
    assert heights == pytest.approx([0.75, 1.0])
    assert left.get_title("right") == "edge 0.08"
    assert right.get_title("right") == plain.get_title("right") == ""  # nothing is left of it; edges count alike
    assert to_hex(right.get_facecolor()) == GONE
    assert "edge: its factor at the end" in normal._suptitle.get_text()
    assert "factor" not in reduce._suptitle.get_text()
    assert figure._suptitle.get_text() == "pc_darts · run"
    assert (normal._supxlabel, reduce._supxlabel.get_text()) == (None, "epoch")


def test_every_operation_has_a_colour_of_its_own():
    assert len({COLOURS[o] for o in OPERATIONS}) == len(OPERATIONS)


def test_what_is_pruned_has_no_band_any_more_and_a_stage_has_a_line():
    space = Space(nodes=1, operations=("zero", "skip_connect", "sep_conv_3x3"))
    whole, one, none = [0.2, 0.3, 0.5], [0.0, 0.4, 0.6], [0.0, 0.0, 0.0]
    weights = {k: torch.tensor([[whole, whole], [one, none], [one, none]]) for k in ("normal", "reduce")}  # [T, E, O]
    figure = draw_weights([0, 1, 2], weights, space, top_two_edges(space, {k: w[0] for k, w in weights.items()}), stages=[1])
    left, right = figure.subfigs[0].axes
    zero = left.collections[-1].get_paths()[0].vertices  # drawn last, it lies on top
    assert {round(y, 6) for x, y in zero if x > 0} == {1.0}  # upper edge = lower edge, and so from the time of the last record on
    assert {round(y, 6) for x, y in zero if x == 0} == {0.8, 1.0}
    assert to_hex(right.get_facecolor()) == GONE != to_hex(left.get_facecolor())
    assert [line.get_xdata()[0] for axes in (left, right) for line in axes.lines] == [1, 1]
    assert "dashed: a new stage" in figure.subfigs[0]._suptitle.get_text()


def told(scores, bound=2048):
    history = History(bound)
    for score in scores:
        history.add(0, score)
    return history


def test_scores_and_the_best_of_them_so_far():
    axes = draw_scores(told([0.2, 0.5, 0.1, 0.7])).axes[0]
    assert axes.collections[0].get_offsets().tolist() == [[1, 0.2], [2, 0.5], [3, 0.1], [4, 0.7]]
    assert list(axes.lines[0].get_ydata()) == [0.2, 0.5, 0.5, 0.7]
    assert "4 architectures, best 0.7" in axes.get_title()


def test_a_long_search_is_drawn_in_bins_of_which_none_hides_its_extremes():
    axes = draw_scores(told([0.2, 0.6, 0.1, 0.7, 0.5], bound=4)).axes[0]
    band, points = axes.collections
    assert points.get_offsets().tolist() == [[1.5, pytest.approx(0.4)], [3.5, pytest.approx(0.4)], [5, 0.5]]
    assert {(x, round(y, 6)) for x, y in band.get_paths()[0].vertices} == {(1.5, 0.2), (1.5, 0.6), (3.5, 0.1), (3.5, 0.7), (5, 0.5)}
    assert (list(axes.lines[0].get_xdata()), list(axes.lines[0].get_ydata())) == ([2, 4, 5], [0.6, 0.7, 0.7])
    assert "mean of 2 architectures" in [text.get_text() for text in axes.get_legend().get_texts()]
    assert "5 architectures, best 0.7" in axes.get_title()
