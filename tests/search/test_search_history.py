"""Scores of a long search in bounded memory: nothing that the picture says is wrong."""

import math
import random
from itertools import accumulate

import torch

from robnas.search.history import History


def of(scores, bound, per_epoch=100):
    history = History(bound)
    for n, score in enumerate(scores):
        history.add(n // per_epoch, score)
    return history


def test_up_to_the_bound_every_score_is_there():
    scores = [0.3, 0.1, 0.2, 0.9]
    assert of(scores, 4).means == scores
    assert of([*scores, 0.5], 4).bins == [(2, 0.4, 0.1, 0.3), (2, 1.1, 0.2, 0.9), (1, 0.5, 0.5, 0.5)]


def test_beyond_it_bins_hold_every_score():
    draws = random.Random(0)
    scores = [draws.random() for _ in range(10_000)]
    history = of(scores, 16)
    assert len(history.bins) <= 16
    assert history.width == 1024
    assert len(history) == 10_000
    for k, b in enumerate(history.bins):
        part = scores[k * 1024 : (k + 1) * 1024]
        assert (b.n, b.worst, b.best) == (len(part), min(part), max(part))
        assert math.isclose(b.total, sum(part))
    ends = list(accumulate(b.n for b in history.bins))
    assert list(accumulate((b.best for b in history.bins), max)) == [max(scores[:end]) for end in ends]
    assert math.isclose(history.mean(7), sum(scores[700:800]) / 100)
    assert history.mean(100) is None


def test_what_a_checkpoint_holds_is_bounded_and_goes_on_bit_for_bit(tmp_path):
    draws = random.Random(1)
    scores = [draws.random() for _ in range(1000)]
    whole, half = of(scores, 8), of(scores[:437], 8)
    torch.save(half.state(), tmp_path / "state")
    again = History.of(torch.load(tmp_path / "state", weights_only=True))
    for n, score in enumerate(scores[437:], 437):
        again.add(n // 100, score)
    assert again == whole
    assert again != half
    assert whole.state()["bins"].shape == (8, 4)
