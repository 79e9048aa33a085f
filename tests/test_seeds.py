"""Counter-based randomness: a stream depends on what it is for and on nothing else."""

import torch
from scipy import stats

from robnas import seeds

MASK = 2**64 - 1


def splitmix64(z: int) -> int:
    """The finaliser in Python's unbounded integers, for comparison."""
    z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9 & MASK
    z = (z ^ (z >> 27)) * 0x94D049BB133111EB & MASK
    return z ^ (z >> 31)


def test_bits_equal_splitmix64_in_plain_integers():
    golden, key = 0x9E3779B97F4A7C15, seeds.derive("noise", 3)
    for index in (0, 1, 1436):
        stream = splitmix64((index * golden + key) & MASK)
        want = [splitmix64((stream + draw * golden) & MASK) for draw in (1, 2, 3)]
        got = seeds.bits(torch.tensor([index]), 3, "noise", 3)[0].tolist()
        assert [g & MASK for g in got] == want


def test_an_inputs_stream_does_not_depend_on_its_batch():
    index = torch.tensor([7, 3, 9])
    together = seeds.uniform(index, (3, 4, 4), 0, "start")
    for i, row in zip(index, together, strict=True):
        assert torch.equal(seeds.uniform(i[None], (3, 4, 4), 0, "start")[0], row)


def test_other_keys_other_numbers():
    index = torch.arange(4)
    assert not torch.equal(seeds.uniform(index, (8,), 0, "start"), seeds.uniform(index, (8,), 1, "start"))
    assert seeds.derive(1, "2") != seeds.derive("1", 2) != seeds.derive(12)


def test_uniform_and_normal_pass_kolmogorov_and_smirnov():
    index = torch.arange(2000)
    u = seeds.uniform(index, (25,), "ks", dtype=torch.float64).flatten()
    n = seeds.normal(index, (25,), "ks", dtype=torch.float64).flatten()
    assert u.min() >= 0
    assert u.max() < 1
    assert stats.kstest(u, "uniform").pvalue > 1e-3
    assert stats.kstest(n, "norm").pvalue > 1e-3
    neighbours = torch.corrcoef(torch.stack([u.view(2000, 25)[:-1].flatten(), u.view(2000, 25)[1:].flatten()]))[0, 1]
    assert neighbours.abs() < 0.02  # 50,000 pairs: one standard error is 0.0045


def test_float32_never_reaches_one():
    u = seeds.uniform(torch.arange(5000), (100,), "edge")
    assert u.dtype == torch.float32
    assert u.max() < 1
