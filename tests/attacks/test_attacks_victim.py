"""The victim: the same function, faster; the caller's model as it was; queries counted; black boxes closed."""

import copy

import pytest
import torch
from torch import nn

from robnas.attacks import APGD, PGD, Evasion, State, Victim
from robnas.attacks.goal import Goal
from robnas.copies import digest, evaluation_copy
from robnas.errors import UserError
from robnas.fold import fold
from small_victims import Linear, convolutional, images


def state(n: int, classes: int = 10) -> State:
    return State(images(n), Goal(torch.arange(n) % classes), torch.arange(n))


def batch_norms(model: nn.Module) -> int:
    return sum(isinstance(m, nn.modules.batchnorm._BatchNorm) for m in model.modules())


class Branching(nn.Module):
    """Not traceable: which way it goes depends on pixels. Its parts are."""

    def __init__(self) -> None:
        super().__init__()
        self.body, self.parts = convolutional(), nn.ModuleList([nn.Sequential(nn.Linear(10, 10), nn.BatchNorm1d(10)).double()])

    def forward(self, x):
        z = self.body(x)
        return self.parts[0](z) if float(x.detach().mean()) > 0 else z


class Viewing(nn.Module):
    """Cannot do with channels_last: `view` needs one layout."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, padding=1).double(), nn.Linear(256, 10).double()

    def forward(self, x):
        return self.head(self.conv(x).view(len(x), -1))


class Centred(nn.BatchNorm2d):
    def forward(self, x):
        return super().forward(x - x.mean((2, 3), keepdim=True))


class Unfoldable(nn.Module):
    """A BatchNorm that serves two convolutions, a convolution that serves two BatchNorms, one that is also read raw, a stranger's own."""

    def __init__(self) -> None:
        super().__init__()
        self.convs = nn.ModuleList([nn.Conv2d(3, 3, 1) for _ in range(5)])
        self.bns = nn.ModuleList([nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3), nn.BatchNorm2d(3), Centred(3)])
        for bn in self.bns:
            bn.running_mean.uniform_(-0.5, 0.5, generator=torch.Generator().manual_seed(1))
            bn.running_var.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
        self.double()

    def forward(self, x):
        a, b, c, d, e = self.convs
        one, two, three, raw, own = self.bns
        shared, read = c(x), d(x)
        return (one(a(x)) + one(b(x)) + two(shared) + three(shared) + raw(read) * read + own(e(x))).mean((2, 3))


def test_folding_keeps_the_function_and_leaves_no_batch_norm():
    model, x = convolutional().eval(), images()
    folded, n, untraced = fold(copy.deepcopy(model))
    assert (n, untraced, batch_norms(folded)) == (2, [], 0)
    assert (folded(x) - model(x)).abs().max() < 1e-12


def test_what_is_not_traceable_is_folded_in_its_parts():
    model, x = Branching().eval(), images()
    folded, n, untraced = fold(copy.deepcopy(model))
    assert n == 3
    assert "Branching" in untraced
    assert batch_norms(folded) == 0
    assert (folded(x) - model(x)).abs().max() < 1e-12
    victim = Victim.prepare(model)
    assert PGD()(victim, x).eligible.all()
    assert victim.prepared == "3 BatchNorms folded, channels_last; not traceable: Branching, ModuleList"


def test_what_may_not_be_folded_is_left():
    model = Unfoldable().eval()
    folded, n, untraced = fold(copy.deepcopy(model))
    assert (n, untraced) == (0, [])
    assert (folded(images()) - model(images())).abs().max() == 0


def test_a_convolution_whose_weight_is_computed_is_not_folded():
    conv = nn.utils.parametrizations.weight_norm(nn.Conv2d(3, 10, 3).double())
    bn = nn.BatchNorm2d(10).double()
    bn.running_var.fill_(4.0)
    model = nn.Sequential(conv, bn, nn.AdaptiveAvgPool2d(1), nn.Flatten()).eval()
    folded, n, _ = fold(copy.deepcopy(model))
    assert n == 0
    assert (folded(images()) - model(images())).abs().max() == 0


def test_where_the_fast_copy_fails_the_original_answers():
    model = Viewing().eval()
    victim = Victim.prepare(model)
    r = PGD(n_restarts=1, goal="untargeted")(victim, images())
    assert victim.prepared.startswith("as given (the fast copy raises")
    assert torch.equal(r.success, PGD(n_restarts=1, goal="untargeted")(Victim.prepare(model, fast=False), images()).success)


def test_where_the_fast_copy_says_something_else_the_original_answers():
    original = convolutional().eval()
    victim = Victim(original, convolutional(seed=1).eval(), "wrong")
    r = PGD(n_restarts=1)(victim, images())
    assert victim.prepared == "as given (the fast copy gives other logits)"
    assert torch.equal(r.success, PGD(n_restarts=1)(original, images()).success)


def test_success_is_what_the_original_says():
    """The fast copy stops agreeing after the comparison: what it calls a success is none."""
    original = Linear(torch.ones(192, dtype=torch.float64), b=1.0).eval()
    victim = Victim.prepare(original)
    victim.judge(images())
    victim._fast = Linear(-torch.ones(192, dtype=torch.float64), b=-1.0)
    r = PGD(n_restarts=2, goal="untargeted")(victim, images())
    assert not r.success.any()
    assert r.robust.all()
    assert r.distance.isinf().all()


class Raising(Evasion):
    def step(self, victim, s):
        victim.logits_and_gradient(s.x_t, s.goal)
        raise RuntimeError("an attack of somebody's")


def with_dropout() -> nn.Module:
    return nn.Sequential(*convolutional()[:-1], nn.Dropout(0.5), nn.Linear(16, 10).double())


@pytest.mark.parametrize("make", [convolutional, with_dropout, Branching, Viewing])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("attack", [PGD(steps=2), APGD(steps=2), Raising()], ids=["pgd", "apgd", "raising"])
def test_the_model_is_left_as_it_was(make, training, attack):
    model = make().train(training)
    model(images(4)).sum().backward()
    before = {k: v.clone() for k, v in model.state_dict().items()}
    grads = {k: p.grad.clone() for k, p in model.named_parameters() if p.grad is not None}
    assert grads
    modes, wants = [m.training for m in model.modules()], [p.requires_grad for p in model.parameters()]
    x, y = images(8), torch.arange(8)
    x_before = x.clone()
    if isinstance(attack, Raising):
        with pytest.raises(RuntimeError, match="somebody"):
            PGD.__call__(attack, model, x)
    else:
        attack(model, x, y)
    assert all(torch.equal(v, before[k]) for k, v in model.state_dict().items())
    assert all(torch.equal(p.grad, grads[k]) for k, p in model.named_parameters() if k in grads)
    assert modes == [m.training for m in model.modules()]
    assert wants == [p.requires_grad for p in model.parameters()]
    assert torch.equal(x, x_before)
    assert torch.equal(y, torch.arange(8))


def test_a_model_in_training_mode_is_attacked_in_evaluation_mode():
    model = with_dropout()
    r = PGD(goal="untargeted")(model, images())
    assert torch.equal(r.success, PGD(goal="untargeted")(copy.deepcopy(model).eval(), images()).success)


def test_what_a_training_pass_left_behind_can_be_copied():
    model = convolutional()
    model.last = model(images(4))
    assert not evaluation_copy(model).last.requires_grad


def test_a_model_that_draws_is_pointed_out():
    class Drawing(nn.Module):
        def forward(self, x):
            return nn.functional.dropout(x.flatten(1)[:, :10], 0.5)

    victim = Victim.prepare(Drawing())
    with pytest.warns(UserWarning, match="dropout left on"):
        PGD(n_restarts=1)(victim, images())
    assert victim.prepared.startswith("as given")


def test_a_first_layer_in_place_does_not_reach_the_images():
    model = nn.Sequential(nn.Hardtanh(0.4, 0.6, inplace=True), convolutional()).eval()
    x = images(4)
    r = PGD(n_restarts=1, goal="untargeted")(model, x)
    assert torch.equal(x, images(4))
    assert float((r.x_adv - x).abs().max()) <= 8 / 255 + 1e-12


class NotANumber(nn.Module):
    """NaN for dark inputs; for bright ones only once they are moved."""

    def __init__(self, at: float) -> None:
        super().__init__()
        self.at, self.body = at, convolutional()

    def forward(self, x):
        broken = torch.where(x.mean((1, 2, 3)) < self.at, torch.nan, 0.0)
        return self.body(x) + broken[:, None]


def test_an_input_without_an_answer_is_counted_apart():
    x = images(16)
    x[:4] *= 0.2
    model = NotANumber(at=0.3)
    for attack in (PGD(goal="untargeted"), APGD(steps=5)):
        r = attack(model, x)
        assert r.errored.tolist() == [True] * 4 + [False] * 12
        assert not (r.errored & (r.robust | r.success | r.eligible)).any()
        assert r.distance[:4].isnan().all()
        assert (r.queries[:4] == 0).all()
        assert torch.equal(r.success[4:], attack(model.body, x).success[4:])  # the others do not notice


def test_an_input_that_errors_on_the_way_is_neither_broken_nor_robust():
    class Cliff(nn.Module):
        def forward(self, x):
            z = x.flatten(1).mean(1)
            return torch.stack([z + torch.where(z < 0.45, torch.nan, 0.0), z * 0 - 1], 1)

    x = torch.stack([torch.full((3, 2, 2), 0.5), torch.full((3, 2, 2), 0.9)]).double()
    r = PGD(eps=0.1, step_size=0.03, steps=4, n_restarts=2, random_start=False, goal="untargeted")(Cliff(), x)
    assert r.errored.tolist() == [True, False]
    assert r.robust.tolist() == [False, True]
    assert r.success.tolist() == [False, False]
    assert r.distance[0].isnan()
    assert r.distance[1].isinf()
    assert torch.equal(r.x_adv[0], x[0])


def test_an_input_that_errors_on_the_way_is_no_success_even_if_it_gets_through():
    """Between 0.42 and 0.46 the model has no numbers; below, another class."""

    class Gap(nn.Module):
        def forward(self, x):
            z = x.flatten(1).mean(1)
            return torch.stack([z - 0.42 + torch.where((z < 0.46) & (z > 0.42), torch.nan, 0.0), z * 0], 1)

    x = torch.full((1, 3, 2, 2), 0.5, dtype=torch.float64)
    attack = PGD(eps=0.2, step_size=0.05, steps=2, n_restarts=2, random_start=False, goal="untargeted")
    r = attack(Gap(), x)  # 0.5, 0.45, 0.4
    assert (r.errored.item(), r.success.item(), r.robust.item()) == (True, False, False)
    assert r.distance.isnan().all()
    assert r.queries.item() == 3  # and no second run
    jump = PGD(eps=0.2, step_size=0.1, steps=1, n_restarts=1, random_start=False, goal="untargeted")(Gap(), x)
    assert jump.success.item()


def test_a_gradient_without_numbers_is_an_error_too():
    class Root(nn.Module):
        def forward(self, x):
            return torch.stack([1 + (x.flatten(1).sum(1) * 0).sqrt(), x.flatten(1).sum(1) * 0], 1).nan_to_num()

    x = images(2)
    s = State(x, Goal(torch.tensor([0, 0])), torch.arange(2))
    _, gradient = Victim.prepare(Root()).white_box(s).logits_and_gradient(x, s.goal)
    assert gradient.isnan().all()
    assert not s.end().answered.any()


def test_an_error_is_noted_with_the_input_it_belongs_to():
    s = state(3)
    x = s.x.repeat_interleave(2, 0)
    x[3] *= 0.1  # the second image of the second input
    Victim.prepare(NotANumber(at=0.3)).white_box(s).logits(x)
    assert s.end().answered.tolist() == [True, False, True]


def test_a_gradient_does_not_depend_on_the_batch():
    model, s = convolutional(), state(8)
    _, together = Victim.prepare(model).white_box(s).logits_and_gradient(s.x, s.goal)
    one = State(s.x[3:4], s.goal.select(slice(3, 4)), torch.arange(1))
    _, alone = Victim.prepare(model).white_box(one).logits_and_gradient(one.x, one.goal)
    assert torch.allclose(together[3], alone[0], atol=1e-15)


def test_a_model_that_never_answers_has_no_robust_input():
    r = PGD()(NotANumber(at=2.0), images(8))
    assert r.errored.all()
    assert not r.robust.any()


def test_queries_are_counted_for_each_input():
    s = state(4)
    victim = Victim.prepare(convolutional())
    white = victim.white_box(s)
    white.logits_and_gradient(s.x, s.goal)
    white.logits(s.x.repeat_interleave(3, 0))
    white.logits(s.x[:2], rows=torch.tensor([3, 3]))
    s.leave(torch.tensor([True, False, False, False]))
    white.logits(s.x_t)
    run = s.end()
    assert run.queries.tolist() == [4, 4 + 1 + 1, 4 + 1 + 1, 4 + 2 + 1 + 1]
    assert run.gradients.tolist() == [1, 1, 1, 1]
    with pytest.raises(ValueError, match="say whose"):
        white.logits(images(4))


def test_a_black_box_gives_answers_and_nothing_else():
    model, s = convolutional().eval(), state(4)
    box = Victim.prepare(model).black_box(s, "score")
    scores = box.scores(s.x)
    assert torch.allclose(scores, model(s.x).softmax(1))
    assert not scores.requires_grad
    assert torch.equal(box.labels(s.x), scores.argmax(1))
    assert not any(isinstance(getattr(box, name), nn.Module | torch.Tensor) for name in dir(box))
    with pytest.raises(AttributeError):
        box.model = model
    closed = Victim.prepare(model).black_box(s, "label")
    assert torch.equal(closed.labels(s.x), scores.argmax(1))
    with pytest.raises(UserError, match="labels only"):
        closed.scores(s.x)
    assert s.end().queries.tolist() == [4] * 4


@pytest.mark.parametrize(
    ("model", "says"),
    [
        (nn.Conv2d(3, 4, 1).double(), r"answers shape \[2, 4, 8, 8\]"),
        (nn.Sequential(nn.Flatten(), nn.Linear(192, 1)).double(), "at least 2 classes"),
    ],
)
def test_a_model_that_gives_no_logits_is_refused(model, says):
    with pytest.raises(UserError, match=says):
        PGD()(model, images(2))


def test_a_model_without_gradient_is_refused_by_a_white_box():
    class Steps(nn.Module):
        def forward(self, x):
            return x.flatten(1)[:, :3].detach()

    with pytest.raises(UserError, match="no input gradient"):
        PGD()(Steps(), images(2))


def test_equal_weights_have_equal_digests():
    model = convolutional()
    assert digest(model) == digest(copy.deepcopy(model))
    with torch.no_grad():
        model[0].weight[0, 0, 0, 0] += 1e-12
    assert digest(model) != digest(convolutional())
    assert len(digest(model)) == 12


def test_works_inside_inference_mode_and_in_float32():
    model = convolutional().float().eval()
    with torch.inference_mode():
        inside = PGD(goal="untargeted")(model, images().float())
    assert torch.equal(inside.success, PGD(goal="untargeted")(model, images().float()).success)
    assert inside.x_adv.dtype == torch.float32


@pytest.mark.parametrize(
    ("original", "fast", "same"), [(1, 1, True), (1, -1, False), (0, 0, True), (1, 0, False), (None, 1, True), (1, None, False)]
)
def test_gradients_of_the_fast_copy_are_compared(original, fast, same):
    """Of the same function: as they are, reversed, zero; None: the backward pass raises."""

    class Scaled(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x, by):
            ctx.by = by
            return x.clone()

        @staticmethod
        def backward(ctx, gradient):
            return gradient * ctx.by, None  # None * raises TypeError

    class Model(nn.Module):
        def __init__(self, by):
            super().__init__()
            self.by, self.body = by, convolutional()

        def forward(self, x):
            return self.body(Scaled.apply(x, self.by))

    s = state(4)
    victim = Victim(Model(original).eval(), Model(fast).eval(), "fast")
    victim.judge(s.x)
    assert victim.prepared == ("fast" if same else "as given (the fast copy has other gradients)")
    assert victim.flags == set()


def test_a_backward_pass_of_the_users_own_is_kept():
    """Straight-through rounding: torch.fx would trace the rounding alone, whose gradient is zero."""

    class StraightThrough(torch.autograd.Function):
        @staticmethod
        def forward(ctx, x):
            return (x * 8).round() / 8

        @staticmethod
        def backward(ctx, gradient):
            return gradient

    class Rounding(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.body = convolutional()

        def forward(self, x):
            return self.body(StraightThrough.apply(x))

    model, s = Rounding().eval(), state(8)
    victim = Victim.prepare(model)
    victim.judge(s.x)
    assert victim.prepared == "as given (the fast copy has other gradients)"
    _, gradient = victim.white_box(s).logits_and_gradient(s.x, s.goal)
    assert (gradient.flatten(1).norm(dim=1) > 0).all()
