"""APGD: its checkpoints by hand, and what makes it more than PGD."""

import pytest
import torch
from torch import Tensor
from torch.nn.functional import cross_entropy

from robnas.attacks import APGD, PGD, State, Victim
from robnas.attacks.apgd import checkpoints
from robnas.attacks.goal import Goal
from small_victims import Linear, trained


def test_checkpoints_by_hand():
    """p = 0, 0.22, 0.41, 0.57, 0.70, 0.80, 0.87, 0.93, 0.99 (§3.2 of Croce & Hein)."""
    assert checkpoints(100) == {22: 22, 41: 19, 57: 16, 70: 13, 80: 10, 87: 7, 93: 6, 99: 6, 105: 6}
    assert list(checkpoints(10))[:4] == [3, 5, 6, 7]


def plainly(
    model: torch.nn.Module, x: Tensor, label: int, x_0: Tensor, eps: float, steps: int, rho: float
) -> tuple[list[Tensor], list[float]]:
    """Algorithm 1 for one input, as it is printed but with a checkpoint's choice made once f(x_{w_j}) is known → iterates, step sizes."""

    def project(z: Tensor) -> Tensor:
        return (x + (z - x).clamp(-eps, eps)).clamp(0, 1)

    w = [0, *checkpoints(steps)]
    xs, etas, fs, best, best_g, eta = [x_0], [2 * eps], [], None, None, 2 * eps
    eta_at, best_at, x_before = {0: 2 * eps}, {}, x_0
    for k in range(steps):
        leaf = xs[k].clone().requires_grad_(True)
        loss = cross_entropy(model(leaf[None]), torch.tensor([label]))
        (g,) = torch.autograd.grad(loss, leaf)
        fs.append(loss.item())
        if best is None or fs[k] > best[0]:
            best, best_g = (fs[k], xs[k]), g
        best_at[k] = best[0]
        x_k = xs[k]
        if k in w[1:]:
            before = w[w.index(k) - 1]
            eta_at[k] = eta  # with which step k was reached
            rises = sum(fs[i + 1] > fs[i] for i in range(before, k))
            if rises < rho * (k - before) or (eta_at[before] == eta and best_at[before] == best[0]):
                eta, x_k, g = eta / 2, best[1], best_g
        z = project(x_k + eta * g.sign())
        xs.append(z if k == 0 else project(x_k + 0.75 * (z - x_k) + 0.25 * (x_k - x_before)))
        x_before = x_k
        etas.append(eta)
    still = [k for k in range(1, steps) if abs(fs[k] - fs[k - 1]) < 1e-12]  # from here on rounding decides what rises
    until = still[0] if still else steps
    return xs[: until + 1], etas[: until + 1]


@pytest.mark.parametrize("rho", [0.75, 0.1])  # with the second, it is condition 2 that decides
def test_equals_algorithm_1_written_out_plainly_for_one_input(rho):
    """Loss, momentum, checkpoints, halving and going back, over a batch of which each input has its own course."""
    model, x, y = trained()
    right = (model(x).argmax(1) == y).nonzero().flatten()[:24]
    x, y, eps, steps = x[right], y[right], 12 / 255, 30
    attack = APGD(eps, steps, rho=rho)
    s = State(x, NeverReached(y), torch.arange(24))
    victim = Victim.prepare(model).white_box(s)
    s.x_t = x_0 = attack.start(s)
    iterates, etas = [x_0], [s.eta]
    for s.t in range(steps):
        s.x_t = attack.step(victim, s)
        iterates.append(s.x_t)
        etas.append(s.eta)
    courses, lengths = set(), []
    for n in range(24):
        xs, sizes = plainly(model, x[n], int(y[n]), x_0[n], eps, steps, rho)
        assert [float(e[n]) for e in etas[: len(sizes)]] == pytest.approx(sizes)
        assert max(float((a[n] - b).abs().max()) for a, b in zip(iterates, xs, strict=False)) < 1e-12
        lengths.append(len(xs))
        courses.add(tuple(sizes))
    assert len(courses) > 2
    assert sum(lengths) > 24 * steps * 0.7


class NeverReached(Goal):
    """So that no input leaves."""

    def reached(self, logits: Tensor) -> Tensor:
        return torch.zeros(len(logits), dtype=torch.bool)


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
