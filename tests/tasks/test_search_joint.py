"""A search on a single level: α and the weights descend one loss, on one batch, from one pass."""

import pytest
import torch
from lightning.pytorch import Trainer
from torch.nn.functional import cross_entropy

from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.search.darts import DARTS
from robnas.space.search_space import Space
from small_supernet import SmallSearch

SPACE = Space(operations=("zero", "skip_connect", "sep_conv_3x3"), nodes=2)
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


class Watched(SmallSearch):
    """Keeps every input, how many passes there were, α before each step and what autograd says of it there."""

    def build_supernet(self, num_classes, in_channels):
        network = super().build_supernet(num_classes, in_channels)
        network.drop.p = 0.0
        return network

    def training_step(self, batch, batch_idx):
        x, y, index = batch
        loss = cross_entropy(self.network(self.normalize(x), self.searcher.mixture()), y)
        parameters = [*self.searcher.parameters(), *self.network.parameters()]
        gradient = torch.autograd.grad(loss, parameters)
        now = {"index": index, "parameters": flat(parameters), "gradient": flat(gradient), "alpha": flat(self.searcher.parameters())}
        self.seen, self.passes = [*getattr(self, "seen", []), now], getattr(self, "passes", 0)
        return super().training_step(batch, batch_idx)

    def _logits(self, x, mixture):
        self.passes += self.training
        return super()._logits(x, mixture)


def flat(tensors):
    return torch.cat([t.detach().flatten() for t in tensors])


def search(searcher=None, **arguments):
    return Watched(searcher or DARTS(), **{"space": SPACE, "order": "joint", "architecture_learning_rate": 0.1, "seed": 3} | arguments)


def trainer(folder, **arguments):
    settings = {"max_epochs": 1, "num_sanity_val_steps": 0, "precision": "64-true"}
    return Trainer(default_root_dir=str(folder), accelerator="cpu", **settings | QUIET | arguments)


def digits():
    return Digits(batch_size=200, seed=0)


def test_both_descend_the_gradient_of_one_pass(tmp_path):
    task = search(weight_decay=0.0, gradient_clip=0.0, learning_rate=0.1, momentum=0.0, architecture_weight_decay=0.0)
    trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(task, digits())
    (seen,) = task.seen
    n = len(seen["alpha"])
    moved = flat([*task.searcher.parameters(), *task.network.parameters()]) - seen["parameters"]
    assert task.passes == 1
    assert (moved[n:] + 0.1 * seen["gradient"][n:]).abs().max() < 1e-12
    g = seen["gradient"][:n]
    assert (moved[:n] + 0.1 * g / (g.abs() + 1e-8)).abs().max() < 1e-9  # Adam's first step


def test_it_sees_the_whole_training_part_and_validates_on_the_rest(tmp_path):
    task, data = search(), digits()
    t = trainer(tmp_path, max_epochs=3)
    t.fit(task, data)
    kept, held = data.parts()
    seen = torch.cat([now["index"] for now in task.seen]).unique()
    assert set(seen.tolist()) <= set(kept.tolist())
    assert len(seen) > 0.9 * len(kept)
    assert len(data.val_dataloader().batch_sampler.indices) == len(held)
    assert task.passes == t.global_step  # the steps in which α moves have no pass of their own
    assert task.searches


@pytest.mark.parametrize(("n_step", "warmup", "moves"), [(1, 0, [0, 1, 2, 3, 4, 5]), (3, 0, [0, 3]), (2, 1, [6, 8, 10])])
def test_alpha_moves_at_every_n_step_th_step_once_it_is_warm(tmp_path, n_step, warmup, moves):
    task = search(n_step=n_step, architecture_warmup=warmup)
    trainer(tmp_path, max_epochs=1 + warmup, limit_train_batches=6, limit_val_batches=0).fit(task, digits())
    alphas = [now["alpha"] for now in task.seen] + [flat(task.searcher.parameters())]
    assert [step for step in range(len(task.seen)) if not torch.equal(alphas[step], alphas[step + 1])] == moves


def test_the_weights_gradient_is_clipped_and_that_of_alpha_is_not(tmp_path):
    found = {}
    for clip in (0.0, 1e-6):
        task = search(gradient_clip=clip, weight_decay=0.0)
        trainer(tmp_path, limit_train_batches=1, limit_val_batches=0).fit(task, digits())
        moved = flat([*task.searcher.parameters(), *task.network.parameters()]) - task.seen[0]["parameters"]
        found[clip] = moved.split([len(task.seen[0]["alpha"]), len(moved) - len(task.seen[0]["alpha"])])
    assert torch.equal(found[0.0][0], found[1e-6][0])
    assert found[1e-6][1].norm() == pytest.approx(0.025 * 1e-6, rel=1e-3)


def test_the_searchers_own_loss_is_that_of_both(tmp_path):
    class Pulled(DARTS):
        def loss(self, logits, x, y):
            return 0 * super().loss(logits, x, y) + sum(a.square().sum() for a in self.alpha.values())

    task = search(Pulled(init_scale=1.0), weight_decay=0.0, architecture_weight_decay=0.0)
    trainer(tmp_path, limit_train_batches=4, limit_val_batches=0).fit(task, digits())
    assert flat(task.searcher.parameters()).norm() < task.seen[0]["alpha"].norm()
    assert torch.equal(flat(task.network.parameters()), task.seen[0]["parameters"][len(task.seen[0]["alpha"]) :])


@pytest.mark.parametrize("precision", ["32-true", "bf16-mixed"])
def test_other_precisions(tmp_path, precision):
    task = SmallSearch(DARTS(), SPACE, order="joint", seed=3)
    trainer(tmp_path, precision=precision, limit_train_batches=2, limit_val_batches=0).fit(task, digits())
    assert task.searcher.alpha["normal"].dtype == torch.float32


def test_the_order_is_named_among_those_allowed():
    with pytest.raises(UserError, match=r"order .single.\. Known: exact, first, joint, second"):
        search(order="single")
