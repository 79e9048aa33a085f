"""Models with unusual answers, in every attack: classes that are ruled out (−∞), 16 bits, no empty batches, odd images."""

import copy
import warnings

import pytest
import torch
from torch import nn

from every_evasion import SINGLE, named
from robnas.attacks import APGD, PGD, Ensemble, HopSkipJump, losses, norms
from robnas.attacks.goal import Goal
from small_victims import trained


class Rules(nn.Module):
    """A trained model that knows the first `m` classes alone: the others have −∞."""

    def __init__(self, m: int) -> None:
        super().__init__()
        self.model, self.m = trained()[0], m

    def forward(self, x):
        return self.model(x).masked_fill(torch.arange(10) >= self.m, -torch.inf)


@pytest.fixture
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "HopSkipJump: no image")
        yield


@pytest.mark.parametrize("m", [4, 3, 2])
@pytest.mark.parametrize("name", SINGLE)
def test_what_resists_a_model_with_classes_ruled_out_did_not_err(name, m):
    _, x, y = trained()
    known = (y < m).nonzero().squeeze(1)[:12]
    r = named(name)(Rules(m), x[known], y[known])
    assert not r.errored.any()
    assert r.eligible.any()
    assert torch.equal(r.robust, r.correct & ~r.success)


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", SINGLE)
def test_the_only_class_has_no_second(name):
    """c₂ of one class is another one, so it is never reached: success with the label unchanged would be a wrong number."""
    _, x, y = trained()
    zeros = (y == 0).nonzero().squeeze(1)[:5]
    r = named(name)(Rules(1), x[zeros], y[zeros])
    assert not r.success.any()
    assert r.errored.all() if "hopskipjump" in name else r.robust.all()


def test_targets_are_other_classes_also_where_all_others_are_ruled_out():
    logits = torch.tensor([[3.0, -torch.inf, -torch.inf], [-torch.inf, 2.0, 1.0]])
    for name, wanted in (("most_likely", [1, 2]), ("least_likely", [1, 0])):
        assert Goal.of(name, logits, logits.argmax(1)).target.tolist() == wanted


@pytest.mark.parametrize("name", SINGLE)
def test_no_class_at_all_is_no_answer(name):
    _, x, y = trained()
    r = named(name, only_correct=False)(Rules(0), x[:3], y[:3])
    assert r.errored.all()
    assert not (r.eligible | r.success | r.robust | r.correct).any()


def test_ratios_leave_out_what_is_ruled_out():
    inf = torch.inf
    logits = torch.tensor([[1.0, 3.0, 2.0, -inf, -inf], [1.0, 3.0, 2.0, 0.0, -inf], [1.0, 3.0, -inf, -inf, -inf]])
    label, aim = torch.tensor([1, 1, 1]), torch.tensor([2, 2, 0])
    assert losses.dlr(Goal(label), logits).tolist() == pytest.approx([-1 / 2, -1 / 2, -2])
    assert losses.targeted_dlr(logits, label, aim).tolist() == pytest.approx([-1 / 2, -1 / 2.5, -2])


@pytest.mark.parametrize("loss", [n for n in losses.NAMED if n != "cross_entropy"])
def test_a_target_that_is_ruled_out_has_a_gradient(loss):
    _, x, y = trained()
    three = (y < 3).nonzero().squeeze(1)[:8]
    r = PGD(6 / 255, steps=3, n_restarts=1, goal="least_likely", loss=loss)(Rules(3), x[three], y[three])
    assert not (r.errored | r.success).any()


def test_apgd_t_goes_through_the_classes_that_there_are():
    """By way of a class that is ruled out no input can be broken: the runs left over start anew towards the first."""
    clean = torch.tensor([[3.0, 1.0, 2.0, -torch.inf], [3.0, -torch.inf, -torch.inf, -torch.inf]])
    attack, goal = APGD(loss="targeted_dlr", n_restarts=2), Goal(torch.zeros(2, dtype=torch.int64))
    assert [attack.aim(goal, clean, run).aim.tolist()[0] for run in range(attack.runs(4))] == [2, 2, 1, 1, 2, 2]
    assert all(attack.aim(goal, clean, run).aim[1] != 0 for run in range(attack.runs(4)))


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", SINGLE)
def test_a_model_in_16_bits_has_its_pixels_in_32(name, dtype):
    model, x, y = trained()
    model = copy.deepcopy(model).to(dtype)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "HopSkipJump: no image")  # of the boundary it knows a few bits only
        r = named(name)(model, x[:40].to(dtype), y[:40])
    assert r.x_adv.dtype == torch.float32
    assert (r.distance[r.success] <= named(name).eps + 1e-6).all()
    assert not torch.equal(r.x_adv, r.x_adv.to(dtype).float())
    assert torch.equal(model(r.x_adv.to(dtype)).argmax(1)[~r.errored], r.prediction[~r.errored])
    other = named(name)(trained()[0], x[:40], y[:40])
    if "hopskipjump" not in name:
        assert not r.errored.any()
        assert abs(int(r.success.sum()) - int(other.success.sum())) <= 2


class Viewing(nn.Module):
    """`x.view(len(x), -1)`, as so many models have it: no batch may be empty, and channels_last is refused."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(192, 10).double()

    def forward(self, x):
        return self.linear(x.view(x.size(0), -1))


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("name", SINGLE)
def test_no_model_is_asked_about_nothing(name, capfd):
    model, (_, x, _) = Viewing(), trained()
    y = model(x[:6]).argmax(1)
    assert len(named(name)(model, x[:0], y[:0]).success) == 0
    assert not named(name)(model, x[:6], (y + 1) % 10).eligible.any()
    assert named(name)(model, x[:6], y).eligible.all()
    assert "Traceback" not in capfd.readouterr().err  # of torch.fx, when the fast copy was tried


@pytest.mark.usefixtures("quiet")
def test_hopskipjump_ends_where_no_input_has_a_start():
    class One(Viewing):
        def forward(self, x):
            return super().forward(x) * 0 + torch.arange(10)

    _, x, _ = trained()
    r = HopSkipJump(2, 10, 20, n_starts=2)(One(), x[:3])
    assert r.errored.all()
    assert (r.queries <= 1 + 2 + 1).all()


@pytest.mark.usefixtures("quiet")
@pytest.mark.parametrize("shape", [(1, 8, 8), (3, 5, 11), (2, 11, 4), (1, 1, 9), (1, 1, 1)])
@pytest.mark.parametrize("name", SINGLE)
def test_any_channels_height_and_width(name, shape):
    d = shape[0] * shape[1] * shape[2]
    w = torch.randn(d, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    model = nn.Sequential(nn.Flatten(), nn.Linear(d, 4).double())
    model[1].weight.data, model[1].bias.data = w.T.contiguous(), -w.sum(0) / 2
    x = torch.rand(6, *shape, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    r = named(name)(model, x, model(x).argmax(1))
    assert r.x_adv.shape == x.shape
    assert (norms.distance(r.x_adv, x, named(name).norm) <= named(name).eps + 1e-9).all()
    assert ((r.x_adv >= 0) & (r.x_adv <= 1)).all()
    assert (model(r.x_adv).argmax(1) != model(x).argmax(1))[r.success].all()


def test_a_small_gradient_has_a_direction_in_l2():
    """In float32 the squares of 1e-25 are zero; the sign knows them, so must the length."""
    g = torch.tensor([[[[3e-25, 4e-25]]], [[[0.0, 0.0]]], [[[3e30, -4e30]]]])
    assert norms.steepest(g, "l2").flatten(1).tolist() == [pytest.approx([0.6, 0.8]), [0, 0], pytest.approx([0.6, -0.8])]


def test_members_of_an_ensemble_start_at_points_of_their_own(monkeypatch):
    model, x, y = trained()
    starts = []
    monkeypatch.setattr(APGD, "start", lambda self, s, start=APGD.start: starts.append(start(self, s)) or starts[-1])
    Ensemble(1e-4, steps=2, n_targets=2, n_queries=2)(model, x[:1], y[:1])
    assert len(starts) == 3  # APGD-CE, and APGD-T by way of two classes
    assert all(not torch.equal(a, b) for i, a in enumerate(starts) for b in starts[:i])
