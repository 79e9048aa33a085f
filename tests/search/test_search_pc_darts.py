"""PC-DARTS: edge weights and what it derives, by hand; K of its supernet; a warm-up in which neither α nor β moves."""

from math import log

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.search.base import Stage
from robnas.search.pc_darts import PCDARTS
from robnas.space.genotype import Edge
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet
from robnas.tasks.search import Search

SPACE = Space(("zero", "skip_connect", "sep_conv_3x3"), nodes=2)  # edges: 2←0, 2←1, 3←0, 3←1, 3←2
BETA = [0.0, log(3), log(1), log(2), log(5)]  # into node 2: 1 to 3; into node 3: 1 to 2 to 5
NORMALIZED = [1 / 4, 3 / 4, 1 / 8, 2 / 8, 5 / 8]
WEIGHTS = [[0.1, 0.8, 0.1], [0.2, 0.4, 0.4], [0.0, 0.1, 0.9], [0.2, 0.5, 0.3], [0.6, 0.1, 0.3]]


def built(**arguments) -> PCDARTS:
    searcher = PCDARTS(**arguments)
    searcher.build(SPACE, 0)
    for kind in ("normal", "reduce"):
        searcher.alpha[kind].data = torch.tensor(WEIGHTS, dtype=torch.float64).clamp_min(1e-30).log()
        searcher.beta[kind].data = torch.tensor(BETA, dtype=torch.float64)
    return searcher


def test_edges_into_a_node_share_one():
    assert built().edges()["normal"].tolist() == pytest.approx(NORMALIZED)
    assert built().mixture().edges["reduce"].tolist() == pytest.approx(NORMALIZED)


def test_gradient_of_an_edge_s_weight_stays_within_its_node():
    searcher = built()
    searcher.edges()["normal"][1].backward()
    # db₁/dβ₁ = b₁(1 − b₁), db₁/dβ₀ = −b₁b₀
    assert searcher.beta["normal"].grad.tolist() == pytest.approx([-3 / 16, 3 / 16, 0, 0, 0])


def test_derives_from_alpha_times_beta():
    searcher = built()
    product = [b * w for b, row in zip(NORMALIZED, WEIGHTS, strict=True) for w in row]
    assert searcher.weights()["normal"].flatten().tolist() == pytest.approx(product)
    # node 2: 0.8 · ¼ < 0.4 · ¾; node 3: 0.9/8 and 0.5 · 2/8 < 0.3 · 5/8. α alone would keep 3←0 and 3←1.
    assert searcher.derive().normal.nodes == (
        (Edge("skip_connect", 1), Edge("skip_connect", 0)),
        (Edge("sep_conv_3x3", 2), Edge("skip_connect", 1)),
    )


def test_gamma_damps_operations_and_leaves_edges_alone():
    plain, damped = built().mixture(), built(gamma=0.5).mixture()
    assert torch.equal(plain.edges["normal"], damped.edges["normal"])
    assert (damped.weights["normal"] / plain.weights["normal"])[1].tolist() == pytest.approx([1, 0.5, 1])
    on_alpha = built(gamma=0.5, damp="alpha").mixture().weights["normal"][1]
    assert on_alpha.tolist() == pytest.approx([r / sum(rest) for rest in [(0.2, 0.4**0.5, 0.4)] for r in rest])


def test_one_stage_with_k_for_the_whole_search():
    assert [PCDARTS(partial=2).stage(epoch, 50) for epoch in (0, 20, 49)] == [Stage(epochs=50, partial=2)] * 3


def test_alpha_and_beta_are_functions_of_the_seed():
    one, two, other = PCDARTS(), PCDARTS(), PCDARTS()
    for searcher, seed in ((one, 1), (two, 1), (other, 2)):
        searcher.build(Space(), seed)
    assert all(torch.equal(a, b) for a, b in zip(one.parameters(), two.parameters(), strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))
    assert one.beta["normal"].shape == (14,)
    assert len(list(one.parameters())) == 4


def test_no_channels_at_all_is_refused():
    with pytest.raises(UserError, match="partial: 0 is below 1"):
        PCDARTS(partial=0)


def test_a_supernet_of_few_channels_is_differentiable_in_alpha_and_beta():
    searcher = built(partial=2)
    torch.manual_seed(0)
    net = Supernet(SPACE, layers=3, init_channels=4, partial=2).double()
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64)
    parameters = list(searcher.parameters())
    loss = lambda: net(x, searcher.mixture()).square().sum()  # noqa: E731
    gradient = torch.autograd.grad(loss(), parameters)
    step = 1e-6
    for p, g in zip(parameters, gradient, strict=True):
        at = g.abs().flatten().argmax()
        values = []
        for sign in (1, -1):
            p.data.view(-1)[at] += sign * step
            values.append(loss().item())
            p.data.view(-1)[at] -= sign * step
        assert g.flatten()[at].item() == pytest.approx((values[0] - values[1]) / (2 * step), rel=1e-4)


class Snapshots(Callback):
    def __init__(self) -> None:
        self.taken: list[list[torch.Tensor]] = []

    def on_train_epoch_end(self, trainer, pl_module) -> None:
        self.taken.append([p.detach().clone() for p in pl_module.searcher.parameters()])


def test_alpha_and_beta_rest_during_the_warm_up(tmp_path, monkeypatch):
    monkeypatch.setattr(Search, "configure_callbacks", lambda self: [])
    start, after = PCDARTS(), Snapshots()
    start.build(SPACE, 1)
    task = Search(PCDARTS(partial=2), SPACE, 3, 4, architecture_warmup=1, architecture_learning_rate=0.05, seed=1)
    quiet = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}
    limits = {"max_epochs": 2, "limit_train_batches": 2, "limit_val_batches": 0}
    Trainer(default_root_dir=tmp_path, accelerator="cpu", callbacks=[after], **limits, **quiet).fit(task, Digits(batch_size=16, seed=0))
    rested, moved = after.taken
    assert all(torch.equal(a, b) for a, b in zip(rested, start.parameters(), strict=True))
    assert all((a != b).all() for a, b in zip(moved, start.parameters(), strict=True))
