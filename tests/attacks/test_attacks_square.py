"""Square: its patterns and schedule by hand, its ball, its streams."""

import pytest
import torch

from robnas.attacks import PGD, Square, State
from robnas.attacks.bumps import bump, corner, pair, placed, tiled, window
from robnas.attacks.goal import Goal
from robnas.errors import UserError
from small_victims import Linear, convolutional, images, trained


def test_the_schedule_by_hand():
    attack = Square(n_queries=10_000)
    assert [attack.share(t) for t in (0, 10, 11, 50, 51, 201, 8001)] == [0.8, 0.8, 0.4, 0.4, 0.2, 0.1, 0.8 / 512]
    assert Square(n_queries=1000).share(21) == 0.1  # shares of N


def test_a_bump_by_hand():
    """h = w = 3: n = 1; the middle has 1/4 + 1, all around it 1/4."""
    eta = torch.full((3, 3), 0.25, dtype=torch.float64)
    eta[1, 1] = 1.25
    assert torch.allclose(bump(3, 3), eta / eta.norm())
    both = pair(3)
    assert torch.allclose(both[0], torch.cat([bump(1, 3), -bump(2, 3)]) / 2**0.5)
    assert torch.equal(both[1], both[0].T)
    for side in (1, 2, 5, 6):
        assert float(pair(side)[0].norm()) == pytest.approx(1)


def test_windows_by_hand():
    like = torch.zeros(2, 3, 4, 5)
    inside = window(torch.tensor([0, 2]), torch.tensor([3, 1]), 2, like)
    assert inside.sum().item() == 8
    assert inside[0, 0, :2, 3:].all()
    assert inside[1, 0, 2:, 1:3].all()
    patterns = torch.stack([torch.tensor([[1.0, 2], [3, 4]]), torch.tensor([[1.0, 3], [2, 4]])])
    out = placed(patterns, torch.tensor([0, 1]), torch.tensor([0, 2]), torch.tensor([3, 1]), like)
    assert torch.equal(out[0, 0, :2, 3:], patterns[0])
    assert torch.equal(out[1, 0, 2:, 1:3], patterns[1])
    assert out.sum().item() == 20
    grid = tiled(patterns, torch.tensor([[[0, 1]]]), torch.tensor([[[[1.0, -1, 1], [1, 1, 1]]]]), like[:1])
    assert torch.equal(grid[0, 1, 1:3, 0:4], torch.cat([-patterns[0], patterns[1]], 1))
    u = torch.tensor([0.0, 0.3, 0.99])
    assert corner(u, 2).tolist() == [0, 0, 2]
    assert corner(u, 0).tolist() == [0, 0, 0]


def state(n: int = 8) -> State:
    _, x, y = trained()
    return State(x[:n], Goal(y[:n]), torch.arange(n), 3)


def test_the_first_image_has_vertical_stripes_at_the_border_of_the_ball():
    s, attack = state(), Square(4 / 255, 100)
    delta = attack.start(s) - s.x
    assert torch.allclose(delta.abs(), torch.full_like(delta, 4 / 255))
    assert torch.equal(delta.sign(), delta[:, :, :1].sign().expand_as(delta))
    assert len(delta[:, :, 0].sign().unique(dim=0)) == 8  # each input its own
    assert all(len(own.unique(dim=0)) == 3 for own in delta[:, :, 0].sign())  # and each channel


def test_a_square_changes_one_square():
    s, attack = state(), Square(4 / 255, 10_000)
    s.x_best = s.x
    s.t = 60  # p = 0.2: a side of round(√12.8) = 4
    changed = (attack._squares(s) - s.x_best).abs() > 1e-12
    assert changed.any()
    for delta in changed.any(1):
        rows, columns = delta.any(1).nonzero(), delta.any(0).nonzero()
        if len(rows):
            assert int(rows.max() - rows.min()) == int(columns.max() - columns.min()) == 3
            assert delta.sum() == 16


@pytest.mark.parametrize("side", [4, 8, 13])
def test_in_l2_all_of_the_radius_is_used(side):
    x = images(6, side=side) * 0.2 + 0.4
    s, attack = State(x, Goal(torch.zeros(6, dtype=torch.int64)), torch.arange(6)), Square(0.3, 1000, norm="l2")
    s.x_best = attack.start(s)
    for s.t in range(0, 1000, 50):
        assert torch.allclose((s.x_best - x).flatten(1).norm(dim=1), torch.full((6,), 0.3, dtype=torch.float64))
        s.x_best = attack._moved_bump(s)


@pytest.mark.parametrize("first", [True, False])
def test_half_of_the_bumps_lie_on_their_side(first):
    """A bump above its negative has rows that do not cancel; of one on its side columns do not. Channels have signs of their own."""
    n, tile = 300, slice(0, 3) if first else slice(None)
    x = torch.full((n, 3, 15, 15), 0.5, dtype=torch.float64)
    s, attack = State(x, Goal(torch.zeros(n, dtype=torch.int64)), torch.arange(n)), Square(0.1, 1000, p_init=0.1, norm="l2")
    s.x_best = x
    nu = ((attack.start(s) if first else attack._moved_bump(s)) - x)[:, :, tile, tile]
    upright = nu.sum(3).abs().sum(2) > nu.sum(2).abs().sum(2)  # [n, 3]
    assert 0.4 < upright.double().mean() < 0.6
    assert torch.equal(upright.all(1), upright.any(1))
    other = (nu[:, 1] * nu[:, 0]).sum((1, 2)) < 0
    assert 0.4 < other.double().mean() < 0.6


def test_a_moved_bump_is_algorithm_3_written_out_plainly():
    """From images that were cut to [0, 1], so that a part of ε is unused and shared among the channels."""
    eps, side, x = 2.0, 5, images(8, side=9)
    s = State(x, Goal(torch.zeros(8, dtype=torch.int64)), torch.arange(8))
    attack = Square(eps, 1000, p_init=0.2, norm="l2")
    s.x_best = attack.start(s)
    drawn = s._draws
    out = attack._moved_bump(s)
    s._draws = drawn
    for i, u in enumerate(s.uniform(shape=(8,)).tolist()):
        top, left, top_2, left_2 = (int(v * (9 - side + 1)) for v in u[:4])
        one, two = ((slice(a, a + side), slice(b, b + side)) for a, b in ((top, left), (top_2, left_2)))
        nu = s.x_best[i] - x[i]
        unused, union, moved = eps**2 - float(nu.square().sum()), torch.zeros(9, 9, dtype=torch.bool), nu.clone()
        assert unused > 0.01
        union[one] = union[two] = True
        moved[:, *two] = 0
        for c in range(3):
            old = nu[c][one]
            new = pair(side)[int(u[4] < 0.5)] * (-1 if u[5 + c] < 0.5 else 1) + old / old.norm()
            moved[c][one] = new / new.norm() * (nu[c][union].square().sum() + unused / 3).sqrt()
        assert torch.allclose(out[i], (x[i] + eps * moved / moved.norm()).clamp(0, 1), atol=1e-12)


@pytest.mark.parametrize("norm", ["linf", "l2"])
def test_results_do_not_know_the_batch(norm):
    model, x, y = trained()
    x, y, index = x[:17], y[:17], torch.arange(17) * 5
    attack = Square({"linf": 24 / 255, "l2": 0.5}[norm], 25, n_restarts=2, norm=norm)
    whole = attack(model, x, y, index, batch_size=64)
    assert 0 < whole.success.sum() < whole.eligible.sum()
    for size in (1, 16):
        other = attack(model, x, y, index, batch_size=size)
        for name, value in whole.outcomes().items():
            assert torch.allclose(value, getattr(other, name), atol=1e-12, equal_nan=True), name
    assert torch.equal(attack(model, x, y, index).x_adv, whole.x_adv)
    assert not torch.equal(attack(model, x, y, index, seed=1).x_adv, whole.x_adv)
    assert float(attack.distance(whole.x_adv, x).max()) <= attack.eps + 1e-12
    assert (whole.gradients == 0).all()
    resisted = whole.eligible & ~whole.success
    assert (whole.queries[resisted] == 2 * 26).all()  # and one look of the referee's a run


def test_what_resists_keeps_the_best_image_tried():
    """More queries never lower the margin that is reached."""
    model, x, y = trained()

    def reached(n):
        r = Square(4 / 255, n)(model, x, y)
        z = model(r.x_adv)
        return (z.scatter(1, y[:, None], -torch.inf).amax(1) - z.gather(1, y[:, None]).squeeze(1))[r.eligible], r

    (few, _), (many, r) = reached(5), reached(200)
    stripes = model(r.x_adv)  # shapes only
    assert stripes.shape == (200, 10)
    assert many.mean() > few.mean()
    assert (many >= few - 1e-9).double().mean() > 0.95  # the schedule of squares is another one


def test_a_linear_model_breaks_where_the_margin_allows_it():
    """On one row of pixels stripes and squares of one pixel reach every corner: no more breaks than can, and nearly all of it."""
    g = torch.Generator().manual_seed(1)
    w = torch.randn(12, generator=g, dtype=torch.float64)
    x = images(60, side=2, seed=2) * 0.5 + 0.25
    model = Linear(w, b=-float(w.sum()) / 2)
    can = model(x).detach()[:, 0].abs() <= 0.05 * w.abs().sum()
    r = Square(0.05, 300)(model, x)
    assert not (r.success & ~can).any()
    assert 0 < can.sum() < 60
    assert r.success.sum() >= can.sum() - 2


def test_hidden_gradients_do_not_help():
    """A model that quantises what it sees has no gradient anywhere; Square breaks it as if it had not."""

    class Hidden(torch.nn.Module):
        def forward(self, x):
            return trained()[0]((x * 255).round() / 255 + 0 * x)

    model, x, y = trained()
    pgd, square = PGD(8 / 255, steps=10, n_restarts=1), Square(8 / 255, 100)
    (white, black), (white_hidden, black_hidden) = ([int(a(m, x, y).success.sum()) for a in (pgd, square)] for m in (model, Hidden()))
    assert white_hidden < 0.2 * white
    assert abs(black_hidden - black) <= 4
    assert black_hidden > 2 * white_hidden


@pytest.mark.parametrize("goal", ["most_likely", "least_likely"])
def test_targets(goal):
    model, x, y = trained()
    r = Square(24 / 255, 100, goal=goal)(model, x, y)
    assert r.success.any()
    assert torch.equal(model(r.x_adv).argmax(1)[r.success], r.target[r.success])


def test_two_classes_and_other_shapes():
    model, x = convolutional(classes=2, seed=3), images(20)[:, :, :5]
    model[-1].bias.data -= model.eval()(x).mean(0).detach()
    for norm, eps in (("linf", 0.05), ("l2", 0.3)):
        assert Square(eps, 50, norm=norm)(model, x).success.any()
        assert len(Square(eps, 50, norm=norm)(model, x[:0]).success) == 0


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Square(n_queries=0), "n_queries: 0"),
        (lambda: Square(p_init=0), "p_init: 0"),
        (lambda: Square(norm="l3"), "norm"),
        (lambda: Square()(torch.nn.Linear(4, 2), torch.rand(2, 4)), "needs images"),
    ],
)
def test_bad_arguments_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()
