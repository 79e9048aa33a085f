"""On a table in place of an accuracy, of which the best genotype is known, learning beats drawing at equal budget."""

import pytest
from scipy.stats import wilcoxon

from robnas.search import ENAS, AmoebaNet, NASNet, Random
from robnas.space.search_space import Space
from small_sampled import Accuracy, search

BUDGET, BATCH, SEEDS = 200, 20, range(20)
# The papers' learning rates are for 20,000 children and more; 200 need larger ones, and a small LSTM learns as fast.
METHODS = {
    "amoebanet": lambda: AmoebaNet(population=30, tournament=10),
    "enas": lambda: ENAS(learning_rate=0.05, hidden=16),
    "nasnet": lambda: NASNet(learning_rate=0.01, hidden=16),
}


def regret(searcher, seed: int) -> float:
    """How much worse what is found is than the best of the whole space of ten operations and four nodes."""
    space = Space()
    accuracy = Accuracy(space, seed)
    found = accuracy.best() - accuracy(search(searcher, accuracy, space, seed, BUDGET, BATCH))
    assert found >= -1e-12
    return found


@pytest.mark.parametrize("method", [pytest.param(name, marks=[pytest.mark.slow] if name != "amoebanet" else []) for name in METHODS])
def test_beats_random_at_equal_budget(method):
    pairs = [(regret(METHODS[method](), seed), regret(Random(), seed)) for seed in SEEDS]
    ours, theirs = zip(*pairs, strict=True)
    assert wilcoxon(ours, theirs, alternative="less").pvalue < 0.01
