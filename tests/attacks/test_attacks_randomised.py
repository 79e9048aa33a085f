"""Models that are random by themselves, or that answer with something else than logits: means over passes, flags."""

import pytest
import torch
from torch import Tensor, nn

from robnas.attacks import APGD, PGD, Square, State, Victim
from robnas.attacks.goal import Goal
from small_victims import convolutional, images, trained


class Counted(nn.Module):
    """Logits plus a number that goes up by one at each pass, on class 0; and a gradient that does so on the first pixel."""

    def __init__(self) -> None:
        super().__init__()
        self.passes, self.weight = 0, nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x: Tensor) -> Tensor:
        self.passes += 1
        z = x.flatten(1)
        return torch.stack([self.passes + self.passes * z[:, 0], z[:, 1]], 1)


class Jittering(nn.Module):
    """A trained model behind noise of its own (randomised smoothing's, say)."""

    def __init__(self, sigma: float) -> None:
        super().__init__()
        self.sigma, self.model = sigma, trained()[0]

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x + self.sigma * torch.randn_like(x))


def state(n: int = 3) -> State:
    return State(images(n), Goal(torch.zeros(n, dtype=torch.int64)), torch.arange(n))


def test_logits_and_gradients_are_means_and_every_pass_is_a_query():
    s, model = state(), Counted()
    victim = Victim(model, model, "as given").white_box(s, lambda goal, logits: logits[:, 0], eot=3)
    logits, gradient = victim.logits_and_gradient(s.x, s.goal)
    assert torch.allclose(logits[:, 0], 2 + 2 * s.x.flatten(1)[:, 0])  # the mean of 1, 2, 3
    assert torch.allclose(gradient.flatten(1)[:, 0], torch.full((3,), 2.0, dtype=torch.float64))
    assert torch.allclose(victim.logits(s.x)[:, 0], 5 + 5 * s.x.flatten(1)[:, 0])
    run = s.end()
    assert run.queries.tolist() == [3 + 3 + 1] * 3
    assert run.gradients.tolist() == [3] * 3


def test_scores_are_means_and_a_label_is_the_one_given_most_often():
    class Turning(nn.Module):
        """Classes 2, 1, 1, and so on; sure of 2, hardly of 1."""

        passes = 0

        def forward(self, x: Tensor) -> Tensor:
            self.passes += 1
            one = torch.tensor([0.0, 0.0, 9.0] if self.passes % 3 == 1 else [0.0, 0.5, 0.0], dtype=x.dtype)
            return one.expand(len(x), 3)

    s, model = state(), Turning()
    box = Victim(model, model, "as given").black_box(s, "score", eot=3)
    assert box.labels(s.x).tolist() == [1] * 3
    sure, hardly = (torch.tensor(z).double().softmax(0) for z in ([0.0, 0.0, 9.0], [0.0, 0.5, 0.0]))
    scores = box.scores(s.x)
    assert torch.allclose(scores[0], (sure + 2 * hardly) / 3)
    assert scores[0].argmax() == 2
    assert s.end().queries.tolist() == [7] * 3


@pytest.mark.parametrize("attack", [PGD(6 / 255, steps=3, n_restarts=2), APGD(6 / 255, 4), Square(6 / 255, 8)], ids=lambda a: a.name)
def test_a_model_that_is_not_random_gives_the_same_at_three_times_the_queries(attack):
    model, x, y = trained()
    one = attack(model, x[:60], y[:60])
    attack.eot = 3
    three = attack(model, x[:60], y[:60])
    attack.eot = 1
    assert torch.equal(one.success, three.success)
    assert torch.allclose(one.x_adv, three.x_adv, atol=1e-12)
    runs = getattr(attack, "n_restarts", 1)
    resisted = one.eligible & ~one.success
    assert resisted.any()
    assert torch.equal(three.queries[resisted], 3 * (one.queries[resisted] - runs) + runs)  # the referee looks once a run
    assert torch.equal(three.gradients[resisted], 3 * one.gradients[resisted])


def test_means_make_an_attack_on_a_random_model_stronger():
    _, x, y = trained()
    victim = Victim.prepare(model := Jittering(0.3))
    with pytest.warns(UserWarning, match="differently each time"):
        victim.judge(x)
    broken = []
    for eot in (1, 16):
        torch.manual_seed(0)
        r = PGD(12 / 255, 3 / 255, steps=8, n_restarts=1, random_start=False, only_correct=False, eot=eot)(victim, x, y)
        draws = torch.stack([model(r.x_adv).argmax(1) != y for _ in range(20)])
        broken.append(draws.double().mean().item())
    assert broken[1] > broken[0] + 0.02


def test_what_is_random_is_flagged_also_where_it_is_asked_as_given():
    for fast in (True, False):
        victim = Victim.prepare(Jittering(0.3), fast=fast)
        with pytest.warns(UserWarning, match="differently each time"):
            PGD(steps=1, n_restarts=1)(victim, trained()[1], trained()[2])
        assert victim.flags == {"random"}


@pytest.mark.parametrize("fast", [True, False])
def test_a_softmax_as_output_is_flagged(fast):
    model, x, y = trained()
    victim = Victim.prepare(nn.Sequential(model, nn.Softmax(1)), fast=fast)
    with pytest.warns(UserWarning, match="rows that sum to 1"):
        r = PGD(8 / 255, steps=4)(victim, x, y)
    assert victim.flags == {"probabilities"}
    assert (model(r.x_adv).argmax(1) != y)[r.success].all()  # what is said of an input is right all the same


def test_logits_are_not_flagged():
    for model in (convolutional(), trained()[0]):
        victim = Victim.prepare(model)
        victim.judge(images())
        assert victim.flags == set()
    one_hot = nn.Flatten()
    victim = Victim.prepare(one_hot)
    victim.judge(torch.eye(3).view(3, 3, 1, 1))
    assert victim.flags == set()


@pytest.mark.parametrize(
    "attack",
    [
        PGD(8 / 255, steps=5, norm="l2"),
        PGD(8 / 255, steps=5, exact=True),
        APGD(8 / 255, 5, loss="targeted_dlr", n_targets=2),
        APGD(0.2, 5, norm="l2"),
        Square(8 / 255, 10),
    ],
)
def test_an_input_without_an_answer_is_counted_apart(attack):
    class Dark(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return trained()[0](x) + torch.where(x.flatten(1)[:, 20:40].mean(1) > 0.5, torch.nan, 0.0)[:, None]

    model, x, y = trained()
    lost = x.flatten(1)[:, 20:40].mean(1) > 0.5
    r = attack(Dark(), x, y)
    assert r.errored[lost].all()
    assert not (r.errored & (r.success | r.robust)).any()
    fine = ~r.errored
    assert torch.equal(r.success[fine], attack(model, x, y).success[fine])


def test_a_class_that_is_never_predicted_is_no_obstacle():
    class Never(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            z = trained()[0](x)
            return torch.cat([z[:, :9], z[:, 9:] * 0 - torch.inf], 1)

    _, x, y = trained()
    keep = y != 9
    for attack in (PGD(6 / 255, steps=4), APGD(6 / 255, 6), APGD(6 / 255, 6, loss="dlr"), Square(6 / 255, 20)):
        r = attack(Never(), x[keep], y[keep])
        assert not r.errored.any()
        assert r.success.any()
    assert not PGD(1.0, 0.2, goal="least_likely")(Never(), x[keep][:20], y[keep][:20]).success.any()  # what cannot be reached is not
