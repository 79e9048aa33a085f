"""γ, n_step, the orders, precisions and clipping for every relaxed searcher: each works, or is refused in one line."""

import pytest
import torch
from lightning.pytorch import Trainer

import every_searcher
from robnas.data.digits import Digits
from robnas.errors import UserError
from robnas.search.damping import DAMP
from robnas.search.darts import DARTS
from robnas.search.random_search import Random
from robnas.search.zero_cost import ZeroCost
from robnas.space.search_space import CELL_KINDS
from robnas.tasks.sampled_search import SampledSearch
from robnas.tasks.search import ORDERS, Search
from small_supernet import SmallSupernet

RELAXED = every_searcher.relaxed()
REFUSED = {("drnas", "alpha")}
"""γα is nearer to zero than α, which makes a concentration below one larger."""
QUIET = {"logger": False, "enable_checkpointing": False, "enable_progress_bar": False, "enable_model_summary": False}


@pytest.fixture(autouse=True)
def without_pictures(monkeypatch):
    monkeypatch.setattr("robnas.tasks.chronicle.draw_search", lambda *arguments: [])


@pytest.fixture
def small(monkeypatch):
    """A supernet of one convolution, which has nothing to be widened."""
    monkeypatch.setattr(Search, "build_supernet", lambda self, *shape: SmallSupernet(self.space, *shape))
    monkeypatch.setattr("robnas.space.widen.carry", lambda old, new: None)


def fit(folder, name, steps=2, precision="32-true", **arguments):
    """The task behind `steps` batches in each of its epochs."""
    task = every_searcher.task(name, **arguments)
    limits = {"max_epochs": every_searcher.EPOCHS, "limit_train_batches": steps, "limit_val_batches": 0, "num_sanity_val_steps": 0}
    t = Trainer(default_root_dir=str(folder), accelerator="cpu", precision=precision, **limits, **QUIET)
    t.fit(task, Digits(batch_size=16, seed=0))
    assert t.global_step == every_searcher.EPOCHS * steps
    assert all(p.isfinite().all() for p in task.parameters())
    return task


def alpha(task):
    return torch.cat([a.detach().flatten() for a in task.searcher.parameters()])


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RELAXED)
def test_every_order_moves_alpha_in_its_own_way(tmp_path, name):
    found = {order: alpha(fit(tmp_path, name, order=order, steps=1)) for order in ORDERS}
    assert len({tuple(a.tolist()) for a in found.values()}) == len(ORDERS)


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RELAXED)
@pytest.mark.parametrize("n_step", [2, 100])
def test_n_step_is_how_often_alpha_moves(tmp_path, name, n_step, monkeypatch):
    moves, real = [], Search._step_alpha
    monkeypatch.setattr(Search, "_step_alpha", lambda self, *step: (moves.append(self.searcher.step), real(self, *step)))
    fit(tmp_path, name, n_step=n_step, steps=3)
    assert moves == list(range(0, 3 * every_searcher.EPOCHS, n_step))


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RELAXED)
@pytest.mark.parametrize("damp", DAMP)
def test_gamma_holds_skip_connects_back_or_is_refused(tmp_path, name, damp):
    if (name, damp) in REFUSED:
        with pytest.raises(UserError, match=f"damp: {damp} is not defined") as error:
            every_searcher.task(name, searcher={"gamma": 0.1, "damp": damp})
        assert "\n" not in str(error.value)
        return
    damped = fit(tmp_path, name, searcher={"gamma": 0.1, "damp": damp, "init_scale": 0.0}, architecture_learning_rate=1e-9, steps=1)
    free = fit(tmp_path, name, searcher={"damp": damp, "init_scale": 0.0}, architecture_learning_rate=1e-9, steps=1)
    skip = damped.space.operations.index("skip_connect")
    for task in (damped, free):  # α near zero, where γα is α; here a skip connect is likely
        for a in task.searcher.alpha.values():
            a.data[:, skip] = 2.0
        task.searcher.train()
    with torch.no_grad():
        for kind in CELL_KINDS:
            alive = free.searcher.alive.get(kind, torch.ones(len(free.space.edges), len(free.space.operations), dtype=torch.bool))
            open_edges = alive[:, skip] & (alive.sum(-1) > 1)
            one, two = (task.mixture().weights[kind][open_edges, skip] for task in (damped, free))
            assert len(one) > 0
            assert (one < two).all()
            assert torch.equal(damped.searcher.weights()[kind], free.searcher.weights()[kind])  # undamped


@pytest.mark.usefixtures("small")
@pytest.mark.parametrize("name", RELAXED)
def test_clipping_holds_the_weights_back_and_not_alpha(tmp_path, name):
    arguments = {"weight_decay": 0.0, "momentum": 0.0, "architecture_warmup": 0}
    still = fit(tmp_path, name, gradient_clip=1e-9, **arguments)
    fresh = every_searcher.task(name)
    fresh._build(still.data, still.stage)
    assert all((a - b).abs().max() < 1e-8 for a, b in zip(still.network.parameters(), fresh.network.parameters(), strict=True))
    assert not torch.equal(alpha(still), alpha(fresh))


@pytest.mark.slow
@pytest.mark.parametrize("name", RELAXED)
@pytest.mark.parametrize(("precision", "order"), [("bf16-mixed", "first"), ("bf16-mixed", "second"), ("64-true", "exact")])
def test_precisions_on_the_supernet_itself(tmp_path, name, precision, order):
    task = fit(tmp_path, name, precision=precision, order=order)
    dtype = torch.float64 if precision == "64-true" else torch.float32
    assert {p.dtype for p in task.parameters()} == {dtype}


def test_a_task_names_the_one_that_runs_a_searcher_it_cannot_run():
    with pytest.raises(UserError, match=r"^searcher: Random is not run by Search; its task is SampledSearch; use --config random.yaml$"):
        Search(Random())
    with pytest.raises(UserError, match=r"^searcher: DARTS is not run by SampledSearch; its task is Search; use --config darts.yaml$"):
        SampledSearch(DARTS(), ZeroCost())
