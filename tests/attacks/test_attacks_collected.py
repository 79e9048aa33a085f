"""What is kept of every input."""

import numpy as np

from robnas.attacks.collected import Collected


def test_batches_of_any_size_stand_behind_one_another():
    rng, kept, parts = np.random.default_rng(0), Collected(), []
    for size in (3, 5000, 0, 1, 7000):
        parts.append({"index": rng.integers(0, 9, size), "success": rng.random(size) < 0.5, "score": rng.random((size, 2))})
        kept.add(parts[-1])
    for name, values in kept.arrays().items():
        expected = np.concatenate([part[name] for part in parts])
        assert values.dtype == expected.dtype
        np.testing.assert_array_equal(values, expected)


def test_a_later_batch_in_another_precision_widens_all():
    kept = Collected()
    kept.add({"x": np.array([1.5], np.float32)})
    kept.add({"x": np.array([1e-40, 2.0])})
    assert kept.arrays()["x"].tolist() == [1.5, 1e-40, 2.0]


def test_nothing_collected():
    assert Collected().arrays() == {}
