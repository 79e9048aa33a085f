"""Drawn cells: nothing overlaps, every operation is there, equal genotypes give equal files."""

from itertools import combinations, pairwise

import pytest
from matplotlib.patches import FancyBboxPatch

from robnas.errors import UserError
from robnas.space import published
from robnas.space.drawing import PAGE, draw, figure, figure_of
from robnas.space.layout import crossings, layout
from robnas.space.percentile import random_genotype
from robnas.space.search_space import Space

SOME = ["amoebanet", "darts", "darts_iii", "enas", "nasnet"]


def genotypes():
    return [published.find(name) for name in SOME] + [random_genotype(Space(nodes=7, sources=3), 0)]


@pytest.mark.parametrize("genotype", genotypes())
def test_no_box_nor_text_overlaps_another(genotype):
    picture = figure(genotype, "title")
    picture.draw_without_rendering()
    (axes,) = picture.axes
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    texts = [t.get_window_extent() for t in axes.texts]
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not [(a, b) for a, b in combinations(texts, 2) if a.overlaps(b)]
    whole = picture.bbox
    assert all(whole.x0 <= b.x0 and b.x1 <= whole.x1 and whole.y0 <= b.y0 and b.y1 <= whole.y1 for b in boxes + texts)


@pytest.mark.parametrize("genotype", genotypes())
def test_labels_fit_into_their_boxes(genotype):
    picture = figure(genotype)
    picture.draw_without_rendering()
    (axes,) = picture.axes
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    inside = [t.get_window_extent() for t in axes.texts[0:] if t.get_horizontalalignment() == "center"]
    assert len(inside) == len(boxes)
    assert all(any(b.x0 < t.x0 and t.x1 < b.x1 and b.y0 < t.y0 and t.y1 < b.y1 for b in boxes) for t in inside)


@pytest.mark.parametrize("genotype", genotypes())
def test_lines_pass_no_box_of_their_layer(genotype):
    for cell in genotype.cells.values():
        for layer in layout(cell).layers:
            for upper, lower in pairwise(layer):
                assert upper.y - upper.height / 2 - (lower.y + lower.height / 2) > 0.12  # inches


def test_every_operation_stands_on_an_edge():
    (axes,) = figure(published.find("darts")).axes
    words = [t.get_text() for t in axes.texts]
    assert [words.count(w) for w in ("sep conv 3×3", "skip connect", "dil conv 3×3", "max pool 3×3")] == [5, 5, 1, 5]
    assert [words.count(str(node)) for node in (2, 3, 4, 5)] == [2, 2, 2, 2]


def test_an_edge_twice_from_one_source_is_drawn_twice():
    chain = layout(published.find("darts_iii").normal)
    pair = [r for r in chain.routes if r.edge is not None and r.edge.source == 4]
    assert len(pair) == 2
    assert abs(pair[0].vertices[1].y - pair[1].vertices[1].y) > 0.3


def test_a_chain_is_drawn_without_crossings():
    layers = layout(published.find("darts_iii").normal).layers
    assert sum(crossings(a, b) for a, b in pairwise(layers)) == 0


def test_equal_genotypes_give_equal_files(tmp_path):
    for stem in ("a", "b"):
        for suffix in (".svg", ".png", ".pdf"):
            draw(published.find("pc_darts"), tmp_path / (stem + suffix))
    for suffix in (".svg", ".png", ".pdf"):
        assert (tmp_path / f"a{suffix}").read_bytes() == (tmp_path / f"b{suffix}").read_bytes()


def test_without_an_ending_both_are_written(tmp_path):
    assert draw(published.find("snas"), tmp_path / "figures" / "cells") == [tmp_path / "figures" / f"cells{s}" for s in (".svg", ".png")]
    assert (tmp_path / "figures" / "cells.svg").read_text().startswith("<?xml")


def test_another_ending_is_refused(tmp_path):
    with pytest.raises(UserError, match=r"'\.gif'; allowed: \.svg"):
        draw(published.find("snas"), tmp_path / "cells.gif")


def test_several_genotypes_overlap_nowhere_and_stand_in_rows_of_a_page():
    picture = figure_of({name: published.find(name) for name in [*SOME, "darts_i"]}, ("normal",))
    picture.draw_without_rendering()
    (axes,) = picture.axes
    assert picture.get_figwidth() <= PAGE
    assert picture.get_figheight() < sum(figure_of({name: published.find(name)}, ("normal",)).get_figheight() for name in SOME)
    boxes = [p.get_window_extent() for p in axes.patches if isinstance(p, FancyBboxPatch)]
    texts = [t.get_window_extent() for t in axes.texts]
    assert not [(a, b) for a, b in combinations(boxes, 2) if a.overlaps(b)]
    assert not [(a, b) for a, b in combinations(texts, 2) if a.overlaps(b)]
    assert all(picture.bbox.x0 <= b.x0 and b.x1 <= picture.bbox.x1 and picture.bbox.y0 <= b.y0 for b in boxes + texts)
    words = [t.get_text() for t in axes.texts]
    assert words.count("Normal cell") == 6
    assert words.count("Reduction cell") == 0
    assert [word for word in words if word in (*SOME, "darts_i")] == [*SOME, "darts_i"]
