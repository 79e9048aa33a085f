"""What one step of a search does to α and to the weights, against the same step computed by hand."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn.functional import cross_entropy

from robnas.data.digits import Digits
from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from small_supernet import SmallSearch

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)
SETTINGS = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    """They take longer than everything else here."""
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


def steps(folder, task, count):
    """As many training steps, in float64."""
    t = Trainer(
        default_root_dir=str(folder),
        accelerator="cpu",
        max_epochs=1,
        limit_train_batches=count,
        limit_val_batches=0,
        num_sanity_val_steps=0,
        precision="64-true",
        **SETTINGS,
    )
    t.fit(task, Digits(batch_size=100, seed=0))


class Watched(SmallSearch):
    """Keeps, before every step, α and its gradient on the second half, as autograd alone would have them."""

    def build_supernet(self, num_classes, in_channels):
        network = super().build_supernet(num_classes, in_channels)
        network.drop.p = 0.0
        return network

    def training_step(self, batch, batch_idx):
        x, y, _ = batch["valid"]
        loss = cross_entropy(self.network(self.normalize(x.double()), self.searcher.mixture()), y)
        gradient = torch.autograd.grad(loss, list(self.searcher.parameters()))
        self.seen = [*getattr(self, "seen", []), (flat(self.searcher.parameters()), flat(gradient))]
        return super().training_step(batch, batch_idx)


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def adam(alpha, gradients, rate, decay):
    """Kingma and Ba (2015), Algorithm 1, with β = (0.5, 0.999) of Liu et al.; decay is part of the gradient. `alpha`: before each step."""
    m = v = torch.zeros_like(gradients[0])
    for t, (a, g) in enumerate(zip(alpha, gradients, strict=True), start=1):
        g = g + decay * a
        m, v = 0.5 * m + 0.5 * g, 0.999 * v + 0.001 * g**2
        a = a - rate * (m / (1 - 0.5**t)) / ((v / (1 - 0.999**t)).sqrt() + 1e-8)
    return a


@pytest.mark.parametrize("count", [1, 2])
def test_first_order_steps_alpha_by_adam_along_the_gradient_on_the_second_half(tmp_path, count):
    task = Watched(DARTS(), SPACE, architecture_learning_rate=0.1, architecture_weight_decay=0.01, seed=3)
    steps(tmp_path, task, count)
    before, gradients = zip(*task.seen, strict=True)
    expected = adam(before, gradients, 0.1, 0.01)
    assert len(gradients) == count
    assert (flat(task.searcher.parameters()) - expected).abs().max() < 1e-9


@pytest.mark.parametrize(("clip", "clipped"), [(5.0, True), (0.0, False)])
def test_a_huge_loss_moves_the_weights_no_further_than_the_clipped_gradient(tmp_path, clip, clipped):
    class Steep(SmallSearch):
        def training_step(self, batch, batch_idx):
            with torch.no_grad():
                self.network.head.weight.mul_(1e5)
            self.before = flat(self.network.parameters())
            return super().training_step(batch, batch_idx)

    task = Steep(DARTS(), SPACE, learning_rate=0.1, weight_decay=0.0, gradient_clip=clip, seed=3)
    steps(tmp_path, task, 1)
    moved = (flat(task.network.parameters()) - task.before).norm()
    assert moved == pytest.approx(0.1 * 5, rel=1e-3) if clipped else moved > 100 * 0.1 * 5
