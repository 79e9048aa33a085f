"""The picture of a search: the same numbers give the same file, and what was derived is named in it."""

import torch

from robnas.search.derive import top_two_edges
from robnas.search.figures import COLOURS, draw_weights, save
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
            assert f"{edge.source} → {node}  {edge.operation}" in text
    again, _ = save(draw_weights([0, 1, 2], weights, space, genotype), tmp_path / "again")
    assert again.read_bytes() == svg.read_bytes()


def test_every_operation_has_a_colour_of_its_own():
    assert len({COLOURS[o] for o in OPERATIONS}) == len(OPERATIONS)
