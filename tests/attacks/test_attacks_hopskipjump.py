"""HopSkipJump: margins of a linear model, batches, queries, and every way in which it cannot answer."""

import sys
import warnings

import numpy as np
import pytest
import torch
from lightning.pytorch import LightningModule
from torch import nn

from robnas.attacks import HopSkipJump, State, Victim, boundary, starts
from robnas.attacks.boundary import Decisions
from robnas.attacks.goal import Goal
from robnas.attacks.hopskipjump import boundary_distance
from robnas.data import Digits
from robnas.errors import UserError
from robnas.runtime.trainer import Trainer
from small_victims import Linear, images, trained

QUICK = {"steps": 4, "initial_evaluations": 20, "max_evaluations": 50}


def linear(n=6):
    """Boundaries near enough that [0, 1] never cuts: distances are |z| / ‖w‖ → model, inputs, |z|, w."""
    w = torch.randn(48, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x = images(n, side=4) * 0.4 + 0.3
    model = Linear(w, b=-float((x.flatten(1) @ w).mean()))
    return model, x, model(x)[:, 0].abs(), w


@pytest.mark.parametrize(("norm", "dual"), [("l2", lambda w: w.norm()), ("linf", lambda w: w.abs().sum())])
def test_on_a_linear_model_it_tends_to_the_margin_over_the_dual_norm(norm, dual):
    model, x, z, w = linear()
    few, many = (HopSkipJump(steps=n, norm=norm)(model, x) for n in (3, 25))
    true = z / dual(w)
    assert many.success.all()
    assert (many.distance >= true).all()
    assert (many.distance <= 1.03 * true).all()
    assert (few.distance >= many.distance).all()
    assert torch.allclose(many.distance, HopSkipJump(norm=norm).distance(many.x_adv, x))


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_an_input_has_the_same_result_alone_and_in_any_batch(norm):
    model, x, y = trained()
    attack = HopSkipJump(norm=norm, **QUICK)
    whole = attack(model, x[:64], y[:64])
    assert whole.success.sum() > 50
    for size in (1, 16):
        other = attack(model, x[:64], y[:64], batch_size=size)
        assert torch.equal(whole.queries, other.queries)
        assert torch.allclose(whole.distance, other.distance, rtol=0, atol=1e-9, equal_nan=True)
        assert torch.allclose(whole.x_adv, other.x_adv, rtol=0, atol=1e-9)
    order = torch.arange(63, -1, -1)
    other = attack(model, x[order], y[order], index=order)
    assert torch.allclose(whole.distance, other.distance[order], rtol=0, atol=1e-9, equal_nan=True)
    assert not torch.allclose(whole.distance, attack(model, x[:64], y[:64], seed=1).distance, atol=1e-3, equal_nan=True)


class Counting(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.seen, self.low, self.high = model, 0, 1.0, 0.0

    def forward(self, x):
        self.seen, self.low, self.high = self.seen + len(x), min(self.low, float(x.min())), max(self.high, float(x.max()))
        return self.model(x)


@pytest.mark.parametrize("norm", ["l2", "linf"])
def test_counts_what_it_asks_within_its_budget_and_never_leaves_the_pixels(norm):
    model, x, y = trained()
    counting = Counting(model)
    victim = Victim(counting, counting, "counting")
    victim.judge(x[:40])  # what the referee asks once
    counting.seen = 0
    attack = HopSkipJump(norm=norm, **QUICK)
    r = attack(victim, x[:40], y[:40])
    assert counting.seen == 40 + int(r.queries.sum())  # the clean images are the referee's
    assert counting.low == 0
    assert counting.high <= 1
    assert 0 <= r.x_adv.min() <= r.x_adv.max() <= 1
    assert (r.queries[r.success] <= attack.budget(192)).all()
    assert (r.queries[r.success].double().mean() - attack.expected(192)).abs() < 0.1 * attack.expected(192)
    assert (r.gradients == 0).all()


def test_the_budget_by_hand():
    """d = 192: θ = 192^−1.5, 12 bisections; B_t = 20, 28, 34, 40; a blend of 10; 25 halvings; 100 starts; x, settling, the referee."""
    attack = HopSkipJump(**QUICK)
    assert [attack.evaluations(t) for t in range(4)] == [20, 28, 34, 40]
    assert attack.theta(192) == pytest.approx(192**-1.5)
    assert attack.delta(192) == pytest.approx(1 / 192)
    assert attack.expected(192) == 1 + 1 + 10 + 122 + 5 * 12 + 4 * 2 + 2
    assert attack.budget(192) == attack.expected(192) + 100 + 4 * 23
    assert HopSkipJump(norm="linf").theta(192) == pytest.approx(1 / 192**2)


def test_a_target_needs_a_start_and_is_reached_from_it():
    model, x, y = trained()
    x, y = x[:20], y[:20]
    attack = HopSkipJump(goal="least_likely", n_starts=4, **QUICK)
    target = model(x).argmin(1)
    pool = trained()[1]
    given = torch.stack([pool[(model(pool).argmax(1) == t).nonzero()[0, 0]] for t in target])
    r = attack(model, x, y, starts=given)
    assert r.success[r.eligible].all()
    assert torch.equal(r.prediction[r.eligible], target[r.eligible])
    assert (r.distance[r.eligible] < (given - x).flatten(1).norm(dim=1)[r.eligible]).all()
    other = attack(model, x, y, starts=given, batch_size=3)
    assert torch.allclose(r.distance, other.distance, atol=1e-9, equal_nan=True)
    with pytest.raises(UserError, match="starts: shape"):
        attack(model, x, y, starts=given[:3])


def test_what_is_wrong_from_the_start_has_distance_0_only_if_asked():
    model, x, y = trained()
    wrong = model(x).argmax(1) != y
    assert wrong.any()
    r = boundary_distance(model, x, y, **QUICK)
    assert torch.equal(r.distance == 0, wrong)
    assert torch.equal(~r.correct, wrong)
    r = HopSkipJump(**QUICK)(model, x[wrong], y[wrong])
    assert r.distance.isnan().all()
    assert not (r.eligible | r.success).any()


class OneClass(nn.Module):
    def forward(self, x):
        return torch.stack([x.flatten(1).sum(1) * 0 + 1, x.flatten(1).sum(1) * 0], 1)


def test_no_image_of_another_class_is_an_error_and_named():
    with pytest.warns(UserWarning, match=r"no image that reaches the goal, in 9 of noise, for inputs 7, 8: errored"):
        r = HopSkipJump(n_starts=9, **QUICK)(OneClass(), images(2), index=torch.tensor([7, 8]))
    assert r.errored.all()
    assert not (r.success | r.robust).any()
    assert r.distance.isnan().all()
    assert (r.queries == 1 + 9 + 0).all()


class Dark(nn.Module):
    """No numbers near one image, but on it itself."""

    def __init__(self, model, x, reach):
        super().__init__()
        self.model, self.x, self.reach = model, x, reach

    def forward(self, x):
        far = (x - self.x).flatten(1).norm(dim=1)
        return self.model(x) + torch.where((far > 1e-6) & (far < self.reach), torch.nan, 0.0)[:, None]


def test_no_numbers_is_an_error_of_that_input_alone():
    model, x, y = trained()
    x, y = x[:6], y[:6]
    dark = Dark(model, x[3], 2.0)
    plain = HopSkipJump(**QUICK)(Victim(model, model, "as given"), x, y)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        r = HopSkipJump(**QUICK)(Victim(dark, dark, "as given"), x, y)
    assert r.errored.tolist() == [i == 3 for i in range(6)]
    assert r.distance[3].isnan()
    assert torch.allclose(r.distance[r.success], plain.distance[r.success])


def test_noise_of_the_inputs_own_class_is_blended():
    """Class 0 wherever the mean is above 0.4 or below 0.15: noise itself is, what lies between it and a dark image is not."""

    class Band(nn.Module):
        def forward(self, x):
            mean = x.flatten(1).mean(1)
            return torch.stack([((mean > 0.4) | (mean < 0.15)).to(x), torch.full_like(mean, 0.5)], 1)

    r = HopSkipJump(n_starts=40, **QUICK)(Band(), images(8) * 0.2)
    assert r.success.all()
    assert (r.queries >= 21).all()


def test_in_float32_the_original_says_so_too():
    """θ is finer than float32 distinguishes two ways to compute a model: found images must not turn out to be none."""
    import copy

    model, x, y = trained()
    model = copy.deepcopy(model).float()
    r = HopSkipJump(steps=6, initial_evaluations=25)(model, x.float(), y)
    assert torch.equal(r.success, r.eligible)


def test_the_estimate_is_equation_16_written_out_plainly():
    model, x, y = trained()
    x, y = x[:3], y[:3]
    s = State(x, Goal(y), torch.arange(3))
    phi = Decisions(Victim.prepare(model).black_box(s, "label"), s)
    starts.find(phi, s, {}, 100)
    s.x_t = boundary.search(phi, s, 1e-6, "l2")
    drawn = s._draws
    v = boundary.normal(phi, s, torch.full((3,), 0.02, dtype=x.dtype), 100)
    s._draws = drawn
    names = s.streams(100)
    for i in range(3):
        u = boundary.directions.gaussian(names[i], x)
        u = (s.x_t[i] + 0.02 * u / u.flatten(1).norm(dim=1)[:, None, None, None]).clamp(0, 1).sub(s.x_t[i]) / 0.02
        sign = torch.where(model(s.x_t[i] + 0.02 * u).argmax(1) != y[i], 1.0, -1.0)
        assert sign.unique().numel() == 2
        plain = ((sign - sign.mean())[:, None, None, None] * u).sum(0)
        assert torch.allclose(v[i], plain / plain.norm(), atol=1e-9)


def on_digits() -> nn.Module:
    """The trained network, on images of twice its size."""
    return nn.Sequential(nn.AvgPool2d(2), trained()[0])


class Task(LightningModule):
    def __init__(self) -> None:
        super().__init__()
        self.model = on_digits()

    def forward(self, x):
        return self.model(x)

    def test_step(self, batch, batch_idx):
        pass


@pytest.mark.filterwarnings("ignore:.*inference")
def test_with_a_target_it_starts_from_an_image_of_the_test_set_that_the_model_takes_for_it(tmp_path):
    found = []
    for size in (8, 24):
        attack = HopSkipJump(steps=1, initial_evaluations=5, max_evaluations=5, n_starts=1, goal="most_likely", max_inputs=24)
        quiet = {"logger": False, "enable_progress_bar": False, "accelerator": "cpu", "precision": "64-true"}
        trainer = Trainer(default_root_dir=tmp_path / str(size), callbacks=[attack], limit_test_batches=24 // size, **quiet)
        trainer.attack(Task().double(), datamodule=Digits(batch_size=size))
        found.append(trainer.rows.read_outcomes(trainer.rows.read()[0]))
        assert not attack._of_class  # let go
    a, b = found
    assert a["eligible"].sum() > 15
    assert (a["success"] == a["eligible"]).all()
    assert not a["errored"].any()
    for name in a:
        assert np.allclose(a[name], b[name], rtol=0, atol=1e-12, equal_nan=True), name


def test_an_image_of_each_class_is_the_first_that_the_model_takes_for_it():
    victim = Victim.prepare(on_digits())
    data = Digits()
    images_of = starts.of_classes(data, victim)
    x = data.sets()[1].x.double() / 255
    answers = on_digits()(x).argmax(1)
    assert sorted(images_of) == answers.unique().tolist()
    for c, image in images_of.items():
        assert torch.equal(image, x[(answers == c).nonzero()[0, 0]])


def test_silent_where_nobody_watches(capfd):
    HopSkipJump(**QUICK)(*linear(2)[:2])
    assert capfd.readouterr() == ("", "")


def test_a_bar_where_somebody_watches(monkeypatch):
    import io

    import rich
    from rich.console import Console

    out = io.StringIO()
    monkeypatch.setattr(rich, "_console", Console(file=out, force_terminal=True, width=100))
    HopSkipJump(**QUICK)(*linear(2)[:2])
    assert "HopSkipJump" in out.getvalue()
    assert "queries" in out.getvalue()
    assert "robnas.attacks.hopskipjump" in sys.modules


@pytest.mark.parametrize(
    ("bad", "said"),
    [
        ({"initial_evaluations": 0}, "initial_evaluations: 0"),
        ({"initial_evaluations": 30, "max_evaluations": 20}, "initial_evaluations: 30 is more than"),
        ({"gamma": 0}, "gamma: 0"),
        ({"n_starts": 0}, "n_starts: 0"),
        ({"norm": "l1"}, "unknown norm 'l1'"),
    ],
)
def test_bad_arguments_are_named(bad, said):
    with pytest.raises(UserError, match=said):
        HopSkipJump(**bad)
