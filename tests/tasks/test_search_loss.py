"""A searcher that adds to the architecture's loss: here a penalty on input gradients, which is differentiated once more for α."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn.functional import cross_entropy

from penalised import Smooth
from robnas.data.digits import Digits
from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet
from robnas.tasks.search import Search

SPACE = Space(operations=("zero", "max_pool_3x3", "avg_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3"), nodes=2)
WHOLE = Space(nodes=2)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


def fit(folder, searcher, precision="64-true", steps=1, **arguments):
    """→ α behind so many steps."""
    task = Search(searcher, SPACE, 2, 2, architecture_learning_rate=0.1, seed=3, **arguments)
    settings = {"max_epochs": 1, "limit_train_batches": steps, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    t = Trainer(default_root_dir=str(folder), accelerator="cpu", precision=precision, **settings, **QUIET)
    t.fit(task, Digits(batch_size=8, seed=0))
    alpha = torch.cat([a.detach().flatten() for a in task.searcher.parameters()])
    assert alpha.isfinite().all()
    return alpha


@pytest.mark.parametrize("order", ["first", "second", "exact", "joint"])
def test_every_order_descends_the_searchers_loss(tmp_path, order):
    plain = fit(tmp_path, DARTS(), order=order)
    assert torch.allclose(fit(tmp_path, Smooth(strength=0.0), order=order), plain, rtol=0, atol=1e-10)
    assert (fit(tmp_path, Smooth(strength=10.0), order=order) - plain).abs().max() > 1e-3


@pytest.mark.parametrize("order", ["first", "second", "joint"])
def test_under_bf16_too(tmp_path, order):
    assert fit(tmp_path, Smooth(), "bf16-mixed", steps=2, order=order).dtype == torch.float32


def test_the_penaltys_gradient_agrees_with_a_finite_difference():
    """In α, through all ten operations and both kinds of cell, twice through the supernet."""
    torch.manual_seed(0)
    net = Supernet(WHOLE, num_classes=4, layers=3, init_channels=4).double()
    searcher = Smooth(init_scale=0.1)
    searcher.build(WHOLE, 0)
    searcher.double()
    x, y = torch.rand(6, 3, 8, 8, dtype=torch.float64), torch.arange(6) % 4

    def loss():
        return searcher.loss(lambda x: net(x, searcher.mixture()), x, y)

    alpha = list(searcher.parameters())
    gradient = torch.autograd.grad(loss(), alpha)
    direction = [torch.randn_like(a) for a in alpha]
    h = 1e-5
    ends = []
    for sign in (1, -2):
        torch._foreach_add_([a.data for a in alpha], direction, alpha=sign * h)
        ends.append(loss().detach())
    slope = (ends[0] - ends[1]) / (2 * h)
    assert float(sum((g * d).sum() for g, d in zip(gradient, direction, strict=True))) == pytest.approx(float(slope), rel=1e-5)


def test_the_loss_sees_what_the_supernet_computes(tmp_path):
    """`logits` is the supernet as it is mixed now, and `x` is in [0, 1]."""
    seen = {}

    class Watching(DARTS):
        def loss(self, logits, x, y):
            seen["x"], seen["logits"] = x, logits(x).detach()
            seen["mine"] = task._logits(x, self.mixture()).detach()
            return cross_entropy(logits(x), y)

    task = Search(Watching(), SPACE, 2, 2, seed=3)
    settings = {"max_epochs": 1, "limit_train_batches": 1, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    Trainer(default_root_dir=str(tmp_path), accelerator="cpu", **settings, **QUIET).fit(task, Digits(batch_size=8, seed=0))
    assert 0 <= seen["x"].min() < seen["x"].max() <= 1
    assert torch.equal(seen["logits"], seen["mine"])
