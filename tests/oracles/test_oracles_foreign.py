"""Attacks of foolbox, torchattacks and ART in the place of ours: what they find is what they find without us, and counted."""

import copy
import random
import warnings
from math import inf

import numpy as np
import pytest
import torch
from torch import nn

from robnas.attacks import PGD, EpsSweep
from robnas.attacks.foreign_libraries import ART, Foolbox, TorchAttacks
from robnas.errors import UserError
from robnas.testing import check_attack, left_out
from small_victims import trained

EPS, STEP, STEPS = 8 / 255, 2 / 255, 4
N = 24


@pytest.fixture(autouse=True)
def quiet():
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        yield


class Counted(nn.Module):
    """Counts the images that all copies of it were asked."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model, self.asked = model, [0]

    def forward(self, x):
        self.asked[0] += len(x)
        return self.model(x)

    def __deepcopy__(self, memo):
        twin = Counted(copy.deepcopy(self.model, memo))
        twin.asked = self.asked
        return twin


def victim(dtype=torch.float32):
    model, x, y = trained()
    return copy.deepcopy(model).to(dtype), x[:N].to(dtype), y[:N]


def direct_torchattacks(model, x, y, target):
    attack = pytest.importorskip("torchattacks").PGD(model, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    if target is not None:
        attack.set_mode_targeted_by_label(quiet=True)
    return attack(x, y if target is None else target)


def direct_foolbox(model, x, y, target):
    foolbox = pytest.importorskip("foolbox")
    attack = foolbox.attacks.LinfPGD(abs_stepsize=STEP, steps=STEPS, random_start=False)
    criterion = foolbox.criteria.Misclassification(y) if target is None else foolbox.criteria.TargetedMisclassification(target)
    return attack(foolbox.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, criterion, epsilons=EPS)[1]


def direct_art(model, x, y, target):
    pytest.importorskip("art")
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(model, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
    more = {"targeted": target is not None, "batch_size": len(x), "verbose": False}
    attack = ProjectedGradientDescent(wrapped, eps=EPS, eps_step=STEP, max_iter=STEPS, **more)
    return torch.from_numpy(attack.generate(x.numpy(), (y if target is None else target).numpy()))


PEERS = {
    "torchattacks": (TorchAttacks, "PGD", {"alpha": "2/255", "steps": STEPS, "random_start": False}, direct_torchattacks),
    "foolbox": (Foolbox, "LinfPGD", {"abs_stepsize": STEP, "steps": STEPS, "random_start": False}, direct_foolbox),
    "art": (ART, "ProjectedGradientDescent", {"eps_step": STEP, "max_iter": STEPS}, direct_art),
}


@pytest.mark.parametrize("goal", ["untargeted", "most_likely", "least_likely"])
@pytest.mark.parametrize("name", PEERS)
def test_images_are_bit_for_bit_those_of_the_library_alone_and_of_exact_pgd(name, goal):
    adapter, attack, options, direct = PEERS[name]
    pytest.importorskip(adapter.library)
    model, x, y = victim()
    ours = PGD(EPS, STEP, STEPS, n_restarts=1, random_start=False, goal=goal, exact=True, only_correct=False)(model, x, y)
    theirs = direct(model, x, y, None if goal == "untargeted" else ours.target)
    r = adapter(attack, options, eps=EPS, goal=goal, only_correct=False)(model, x, y)
    assert goal == "least_likely" or 0 < r.success.sum() < N
    assert torch.equal(r.x_adv, theirs)
    assert torch.equal(r.target, ours.target)
    if name != "art":  # whose clipping rounds otherwise than the others'
        assert torch.equal(r.x_adv, ours.x_adv)
    else:
        torch.testing.assert_close(r.x_adv, ours.x_adv, rtol=0, atol=1e-6)
    assert torch.equal(r.success, ours.success)
    assert (r.gradients == STEPS).all()


@pytest.mark.parametrize("name", PEERS)
def test_queries_are_those_that_a_counting_model_sees(name):
    adapter, attack, options, _ = PEERS[name]
    pytest.importorskip(adapter.library)
    model, x, y = victim()
    counted = Counted(model)
    with pytest.MonkeyPatch.context() as patch:
        from robnas.attacks import Victim

        patch.setattr(Victim, "judge", lambda self, x: self._original.model(x))  # the referee's questions are not queries
        r = adapter(attack, options, eps=EPS, only_correct=False)(counted, x, y)
    assert int(r.queries.sum()) == counted.asked[0] + len(x)  # and one each for the image that is judged
    assert len(r.queries.unique()) == 1


def test_queries_of_nobody_knows_whom_are_shared_out_and_flagged():
    pytest.importorskip("torchattacks")
    model, x, y = victim()
    prepared = TorchAttacks("PGD", {"steps": 1}).prepare(model)
    together = TorchAttacks("Square", {"n_queries": 20}, eps=EPS, access="score")(prepared, x, y)
    assert prepared.flags == {"depends on the batch", "queries shared out evenly"}
    queries = together.queries[together.eligible]
    assert queries.max() - queries.min() <= 1
    prepared = TorchAttacks("PGD", {"steps": 1}).prepare(model)
    alone = TorchAttacks("Square", {"n_queries": 20}, eps=EPS, access="score", alone=True)(prepared, x, y)
    assert prepared.flags == set()
    assert alone.queries[alone.eligible].max() - alone.queries[alone.eligible].min() > 1  # what breaks early costs less


@pytest.mark.parametrize(
    ("adapter", "attack", "options"),
    [
        (Foolbox, "DDNAttack", {"steps": 20}),
        (Foolbox, "L2CarliniWagnerAttack", {"steps": 10, "binary_search_steps": 2}),
        (TorchAttacks, "DeepFool", {"steps": 20}),
        (ART, "CarliniL2Method", {"max_iter": 5, "binary_search_steps": 2}),
    ],
)
def test_attacks_without_a_ball(adapter, attack, options):
    pytest.importorskip(adapter.library)
    model, x, y = victim()
    x, y = x[:8], y[:8]
    r = adapter(attack, options, eps=inf, norm="l2")(model, x, y)
    assert r.success.any()
    found = r.success
    torch.testing.assert_close(r.distance[found], (r.x_adv - x).flatten(1).norm(dim=1)[found])
    assert torch.equal(r.errored, r.eligible & ~r.success)  # an image always exists: none found is no robustness
    assert not (r.robust & r.errored).any()
    assert (model(r.x_adv[found]).argmax(1) != y[found]).all()
    near = r.distance[r.success & r.correct].median().item()
    number = adapter(attack, options, eps=inf, norm="l2").numbers({k: v.numpy() for k, v in r.outcomes().items()})["median_distance"]
    assert number.ci[0] <= near <= number.ci[1]


def test_labels_alone_are_given_to_a_label_attack():
    foolbox = pytest.importorskip("foolbox")
    model, x, y = victim()
    seen = []

    class Looks(foolbox.attacks.base.MinimizationAttack):
        distance = foolbox.distances.l2

        def run(self, model, inputs, criterion, *, early_stop=None, **kwargs):
            seen.append(model(inputs).raw)
            return inputs

    Foolbox(Looks(), eps=inf, norm="l2", access="label")(model, x, y)
    assert set(seen[-1].unique().tolist()) == {0.0, 1.0}
    Foolbox(Looks(), eps=inf, norm="l2", access="score")(model, x, y)
    torch.testing.assert_close(seen[-1].exp().sum(1), torch.ones(len(seen[-1])))
    assert not seen[-1].requires_grad


def test_objects_and_functions_stand_in_too_and_stay_as_they_were():
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = victim()
    other = copy.deepcopy(model)
    theirs = torchattacks.PGD(other, eps=EPS, alpha=STEP, steps=STEPS, random_start=False)
    named = TorchAttacks("PGD", {"alpha": STEP, "steps": STEPS, "random_start": False}, eps=EPS)(model, x, y)
    given = TorchAttacks(theirs, eps=EPS)
    built = TorchAttacks(lambda m: torchattacks.PGD(m, eps=EPS, alpha=STEP, steps=STEPS, random_start=False), eps=EPS)
    for r in (given(model, x, y), built(model, x, y)):
        assert torch.equal(r.x_adv, named.x_adv)
    assert theirs.model is other
    assert given.arguments()["method"]["class"] == "PGD"
    assert given.arguments()["method"]["steps"] == STEPS
    with pytest.raises(UserError, match=r"eps: 0\.1, but the PGD that was given has 0\.03"):
        TorchAttacks(theirs, eps=0.1)
    pytest.importorskip("art")
    from art.attacks.evasion import ProjectedGradientDescent
    from art.estimators.classification import PyTorchClassifier

    wrapped = PyTorchClassifier(other, nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
    art = ProjectedGradientDescent(wrapped, eps=EPS, eps_step=STEP, max_iter=STEPS, verbose=False)
    assert torch.equal(ART(art, eps=EPS)(model, x, y).success, named.success)
    assert art.estimator is wrapped


def test_a_seed_gives_the_same_images_and_leaves_global_generators_alone():
    pytest.importorskip("torchattacks")
    model, x, y = victim()
    attack = TorchAttacks("PGD", {"steps": 2}, eps=EPS)
    before = torch.get_rng_state(), np.random.get_state()[1].tolist(), random.getstate()  # noqa: NPY002
    first = attack(model, x, y, seed=1)
    assert torch.equal(torch.get_rng_state(), before[0])
    assert (np.random.get_state()[1].tolist(), random.getstate()) == before[1:]  # noqa: NPY002
    torch.rand(3)
    assert torch.equal(attack(model, x, y, seed=1).x_adv, first.x_adv)
    assert not torch.equal(attack(model, x, y, seed=2).x_adv, first.x_adv)


def test_an_image_outside_its_ball_is_errored_and_flagged_or_projected_if_asked():
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = victim()

    class Far(torchattacks.attack.Attack):
        def __init__(self, model, eps=0.1):
            super().__init__("Far", model)
            self.eps = eps

        def forward(self, images, labels):
            out = images.clone()
            out[0] = 1 - out[0]
            out[1] = torch.nan
            return out

    attack = TorchAttacks(Far, eps=0.1, only_correct=False)
    prepared = attack.prepare(model)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r = attack(prepared, x, y)
    assert r.errored.nonzero().flatten().tolist() == [0, 1]
    assert not (r.robust & r.errored).any()
    assert torch.equal(r.x_adv, x)
    assert "images left the ball" in prepared.flags
    r = TorchAttacks(Far, eps=0.1, only_correct=False, outside="project")(model, x, y)
    assert r.errored.nonzero().flatten().tolist() == [1]
    assert 0.09 < (r.x_adv[0] - x[0]).abs().max() <= 0.1 + 1e-6


def test_what_a_library_raises_on_one_input_is_that_input_s_error_when_alone():
    torchattacks = pytest.importorskip("torchattacks")
    model, x, y = victim()

    class Picky(torchattacks.attack.Attack):
        def __init__(self, model, eps=0.1):
            super().__init__("Picky", model)
            self.eps = eps

        def forward(self, images, labels):
            self.model(images)
            if torch.equal(images[0], x[3]):
                raise RuntimeError("cannot do this one")
            return images

    with pytest.warns(UserWarning, match="input 3: RuntimeError: cannot do this one"):
        r = TorchAttacks(Picky, eps=0.1, alone=True, only_correct=False)(model, x, y)
    assert r.errored.nonzero().flatten().tolist() == [3]
    assert (r.queries == 2).all()
    with pytest.raises(RuntimeError, match="cannot do this one"):
        TorchAttacks(Picky, eps=0.1, only_correct=False)(model, x[3:4], y[3:4])


@pytest.mark.parametrize(
    ("adapter", "arguments", "says"),
    [
        (TorchAttacks, {"method": "PDG"}, "unknown attack of torchattacks 'PDG'. Did you mean 'PGD'?"),
        (Foolbox, {"method": "LinfPDG"}, "Did you mean 'LinfPGD'?"),
        (ART, {"method": "Square"}, "Did you mean 'SquareAttack'?"),
        (TorchAttacks, {"method": "CW"}, "takes none; .inf is needed"),
        (TorchAttacks, {"method": "PGD", "eps": inf}, "eps: PGD of torchattacks needs a radius"),
        (Foolbox, {"method": "LinfPGD", "eps": inf}, "needs a radius"),
        (Foolbox, {"method": "L2PGD"}, "norm: linf, but L2ProjectedGradientDescentAttack measures in L2"),
        (TorchAttacks, {"method": "PGD", "options": {"eps": 0.1}}, "options: eps follows from ours"),
        (Foolbox, {"method": "LinfPGD", "options": {"stps": 3}}, "options: LinfProjectedGradientDescentAttack of foolbox says"),
        (TorchAttacks, {"method": 3}, "method: 3 is no name"),
        (TorchAttacks, {"method": "PGD", "outside": "cut"}, "unknown outside 'cut'"),
    ],
)
def test_what_is_wrong_is_one_line(adapter, arguments, says):
    pytest.importorskip(adapter.library)
    with pytest.raises(UserError) as raised:
        adapter(**arguments)
    assert says in str(raised.value)
    assert "\n" not in str(raised.value)


def test_goals_that_a_library_does_not_know():
    pytest.importorskip("torchattacks")
    model, x, y = victim()
    with pytest.raises(UserError, match=r"goal: most_likely: this attack of torchattacks takes no target"):
        TorchAttacks("GN", {"std": 0.01}, eps=inf, goal="most_likely")(model, x, y)


@pytest.mark.parametrize(
    ("adapter", "pip"), [(TorchAttacks, "torchattacks"), (Foolbox, "foolbox"), (ART, "adversarial-robustness-toolbox")]
)
def test_a_missing_library_is_one_line(adapter, pip, monkeypatch):
    monkeypatch.setitem(__import__("sys").modules, adapter.library, None)
    with pytest.raises(UserError, match=rf"^{adapter.library}: not installed here .*pip install .*{pip}$"):
        adapter("PGD")


def test_a_sweep_of_a_foreign_attack():
    pytest.importorskip("torchattacks")
    model, x, y = victim()
    curve = EpsSweep(TorchAttacks("PGD", {"steps": 2}), eps=[0.0, 2 / 255, 16 / 255], step_per_eps=None)(model, x, y)
    asr = list(curve.asr().values())
    assert asr[0] == 0 < asr[2]


@pytest.mark.parametrize("name", PEERS)
def test_the_rules_of_attacks_hold_but_for_what_is_named(name):
    adapter, attack, options, _ = PEERS[name]
    pytest.importorskip(adapter.library)
    assert set(check_attack(adapter, method=attack, options=options | {_steps(name): 2}, eps=EPS)) == {
        "does_not_depend_on_the_batch",
        "hardly_depends_on_the_batch_in_float32",
        "counts_errors_apart",
    }
    assert left_out(adapter, method=attack, options=options, eps=EPS, alone=True) == {}


@pytest.mark.slow
@pytest.mark.parametrize("name", PEERS)
def test_one_input_at_a_time_all_rules_hold(name):
    adapter, attack, options, _ = PEERS[name]
    pytest.importorskip(adapter.library)
    assert check_attack(adapter, method=attack, options=options | {_steps(name): 2}, eps=EPS, alone=True) == {}


def _steps(name):
    return "max_iter" if name == "art" else "steps"
