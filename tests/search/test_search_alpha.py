"""Where a search starts: noise that the seed decides."""

import pytest
import torch

from robnas.search.darts import DARTS
from robnas.space.search_space import Space


def start(seed, **arguments):
    searcher = DARTS(**arguments)
    searcher.build(Space(), seed)
    return {kind: alpha.detach() for kind, alpha in searcher.alpha.items()}


def test_the_seed_decides_where_alpha_starts():
    one, again, other = start(1), start(1), start(2)
    for kind in ("normal", "reduce"):
        assert torch.equal(one[kind], again[kind])
        assert (one[kind] != other[kind]).all()
    assert (one["normal"] != one["reduce"]).all()


@pytest.mark.parametrize("scale", [1e-3, 0.5])
def test_alpha_starts_as_small_as_it_is_told(scale):
    alpha = torch.cat(list(start(0, init_scale=scale).values()))
    assert alpha.std() == pytest.approx(scale, rel=0.2)  # of 280 numbers
    assert abs(alpha.mean()) < 0.2 * scale
