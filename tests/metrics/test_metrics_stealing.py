"""ACE, divergence and agreement: by hand, against torch, and on ranks."""

import pytest
import torch
from torch.nn.functional import cross_entropy, kl_div

from ranks import run_on_ranks
from robnas.metrics import Agreement, AverageCrossEntropy, Divergence

V, R = (torch.randn(64, 7, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * 3 for seed in (0, 1))


def of(metric, v=V, r=R, batch=10):
    for some, other in zip(v.split(batch), r.split(batch), strict=True):
        metric.update(some, other)
    return float(metric.compute())


def test_ace_is_torchs_soft_cross_entropy():
    assert of(AverageCrossEntropy()) == pytest.approx(float(cross_entropy(R, V.softmax(1))), abs=1e-12)
    assert of(Divergence()) == pytest.approx(
        float(kl_div(R.log_softmax(1), V.log_softmax(1), log_target=True, reduction="batchmean")), abs=1e-12
    )
    entropy = float(torch.distributions.Categorical(logits=V).entropy().mean())
    assert of(AverageCrossEntropy()) - of(Divergence()) == pytest.approx(entropy, abs=1e-12)


def test_by_hand():
    v, r = torch.tensor([[3.0, 1.0]]).log(), torch.tensor([[1.0, 1.0]]).log()
    assert of(AverageCrossEntropy(), v, r) == pytest.approx(0.6931472)
    assert of(Divergence(), v, r) == pytest.approx(0.75 * 0.4054651 + 0.25 * -0.6931472, abs=1e-6)
    assert of(Agreement(), torch.eye(3), torch.eye(3)[[0, 1, 1]]) == pytest.approx(2 / 3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_copy_does_not_diverge(dtype):
    v = V.to(dtype) * 30  # sure of most
    assert of(Divergence(), v, v.clone()) == pytest.approx(0, abs=1e-12)
    assert of(Divergence(), v, v + 5) == pytest.approx(0, abs=1e-6)  # a softmax knows no offset
    assert of(Agreement(), v, v.clone()) == 1


def test_classes_that_are_ruled_out():
    v, r = torch.tensor([[0.0, 0.0, -torch.inf]]), torch.tensor([[0.0, 0.0, 0.0]])
    assert of(AverageCrossEntropy(), v, v) == pytest.approx(0.6931472)
    assert of(Divergence(), v, v) == 0
    assert of(AverageCrossEntropy(), r, v) == torch.inf


def on_a_rank(rank: int):
    metric = AverageCrossEntropy()
    metric.update(V[rank::2], R[rank::2])
    return float(metric.compute())


@pytest.mark.slow
def test_on_two_ranks():
    assert run_on_ranks(on_a_rank, 2) == pytest.approx([of(AverageCrossEntropy())] * 2, abs=1e-12)
