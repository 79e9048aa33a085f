"""APGD: its checkpoints by hand, and what makes it more than PGD."""

import torch

from robnas.attacks import APGD, PGD, State, Victim
from robnas.attacks.apgd import checkpoints
from robnas.attacks.goal import Goal
from small_victims import Linear, trained


def test_checkpoints_by_hand():
    """p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99 (§3.2 of Croce & Hein)."""
    assert checkpoints(100) == {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6, 105: 6}
    assert list(checkpoints(10))[:4] == [3, 5, 6, 7]


def test_the_step_size_is_halved_per_input_and_the_run_goes_on_from_the_best():
    """z = x₀ − ½ with label where z = 0 is best for the defender: |z| rises away from ½. Steps of 2ε jump to and fro between the walls."""

    class Valley(torch.nn.Module):
        def forward(self, x):
            z = x.flatten(1)[:, 0]
            return torch.stack([1 + 10 * (z - 0.6) ** 2, torch.zeros_like(z)], 1)

    x = torch.tensor([[[[0.5]]], [[[0.25]]]], dtype=torch.float64)
    attack = APGD(eps=0.25, steps=20)
    s = State(x, Goal(torch.tensor([0, 0])), torch.arange(2))
    victim = Victim.prepare(Valley()).white_box(s)
    s.x_t, etas, iterates = attack.start(s), [], []
    for s.t in range(20):
        iterates.append(s.x_t)
        s.x_t = attack.step(victim, s)
        etas.append(s.eta)
    etas, losses = torch.stack(etas), torch.stack([-(x_t.flatten() - 0.6).abs() for x_t in iterates])
    assert torch.equal(etas[0], torch.full((2,), 0.5, dtype=torch.float64))
    assert (etas[1:] <= etas[:-1]).all()
    assert (etas[-1, 0] < 0.5).all()  # the first is at the bottom of the valley and overshoots
    changes = (etas[1:] != etas[:-1]).any(1).nonzero().flatten() + 1
    assert set(changes.tolist()) <= set(checkpoints(20))
    assert torch.allclose((s.x_max.flatten() - 0.6).abs(), -losses.amax(0))


def test_on_a_linear_model_it_ends_in_the_corner():
    w = torch.randn(12, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    x = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    r = APGD(eps=0.1, steps=3)(Linear(w, b=100.0), x)
    assert torch.allclose(r.x_adv.flatten(), (x.flatten() - 0.1 * w.sign()), atol=1e-12)


def test_breaks_no_fewer_than_pgd_with_equal_steps():
    model, x, y = trained()
    apgd = APGD(5 / 255, steps=20)(model, x, y).success.sum()
    pgd = PGD(5 / 255, steps=20, n_restarts=1, goal="untargeted")(model, x, y).success.sum()
    assert 0 < pgd <= apgd < 200
