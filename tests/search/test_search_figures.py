"""The picture of a search: the same numbers give the same file, and what was derived is named in it."""

import torch
from matplotlib.colors import to_hex

from robnas.search.derive import top_two_edges
from robnas.search.figures import COLOURS, draw_weights, save
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


def test_every_operation_has_a_colour_of_its_own():
    assert len({COLOURS[o] for o in OPERATIONS}) == len(OPERATIONS)
