"""Numbers of a search by hand."""

import math

import pytest
import torch

from robnas.search.derive import top_two_edges
from robnas.search.summary import describe, line, shape
from robnas.space.published import find
from robnas.space.search_space import Space

SPACE = Space(nodes=1, operations=("zero", "skip_connect", "sep_conv_3x3"))


def test_entropy_and_mean_weights_by_hand():
    weights = {"normal": torch.tensor([[0.5, 0.5, 0.0], [0.0, 0.0, 1.0]]), "reduce": torch.full((2, 3), 1 / 3)}
    found = describe(top_two_edges(SPACE, weights), weights, SPACE)
    assert found["normal/entropy"] == pytest.approx(math.log(2) / 2)
    assert found["reduce/entropy"] == pytest.approx(math.log(3))
    assert [found[f"normal/weight/{o}"] for o in SPACE.operations] == [0.25, 0.25, 0.5]


def test_a_damped_edge_has_the_entropy_of_its_shares_and_one_without_operations_none():
    weights = {"normal": torch.tensor([[0.2, 0.2, 0.0], [0.0, 0.0, 0.0]]), "reduce": torch.zeros(2, 3)}
    found = describe(find("darts"), weights, SPACE)
    assert found["normal/entropy"] == pytest.approx(math.log(2))
    assert found["reduce/entropy"] == 0
    assert all(math.isfinite(value) for value in found.values())


def test_shape_is_that_of_table_3_and_the_line_has_it():
    genotype = find("darts")
    cell = genotype.normal
    assert shape(genotype)["normal/skips"] == cell.skips == 2
    said = line(genotype, {"normal/entropy": 1.0, "reduce/entropy": 2.0, "normal/weight/zero": 0.3, "temperature": 0.25})
    assert said.startswith(f"normal: depth {cell.depth} width {cell.width} skips 2  reduce: depth")
    assert said.endswith("entropy 1.5  temperature 0.25")
