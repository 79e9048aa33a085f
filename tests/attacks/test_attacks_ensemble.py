"""Several attacks in a row: each on what still stands, a row for each and one for all."""

import pytest
import torch

from robnas.attacks import APGD, PGD, Ensemble, Square
from robnas.attacks.base import Evasion
from robnas.errors import UserError
from small_victims import trained

SMALL = {"steps": 6, "n_targets": 2, "n_queries": 30}


@pytest.mark.parametrize(("norm", "eps"), [("linf", 6 / 255), ("l2", 0.2)])
def test_the_next_member_takes_what_still_stands(norm, eps):
    model, x, y = trained()
    found = Ensemble(eps, norm, **SMALL).of_each(model, x, y)
    assert list(found) == ["apgd_ce", "apgd_t", "square", "ensemble"]
    *members, whole = found.values()
    alone = APGD(eps, 6, norm=norm)(model, x, y)
    for name, value in alone.outcomes().items():
        assert torch.allclose(getattr(members[0], name).double(), value.double(), equal_nan=True), name  # the first is that attack alone
    standing = whole.eligible.clone()
    for r in members:
        assert torch.equal(r.eligible, standing)
        assert (r.queries[~standing] == 0).all()
        standing &= ~r.success
        assert not (r.robust & ~standing).any()
    assert torch.equal(whole.success, whole.eligible & ~standing)
    assert torch.equal(whole.robust, members[-1].robust)
    assert torch.equal(whole.queries, sum(r.queries for r in members))
    assert torch.equal(whole.gradients, sum(r.gradients for r in members))
    assert (model(whole.x_adv).argmax(1) != y)[whole.success].all()
    assert (whole.distance[whole.success] <= eps + 1e-12).all()
    assert 0 < whole.success.sum() < whole.eligible.sum()
    assert torch.equal(Ensemble(eps, norm, **SMALL)(model, x, y, batch_size=17).success, whole.success)


def test_members_of_ones_own():
    model, x, y = trained()
    members = {"weak": PGD(6 / 255, steps=1, n_restarts=1), "strong": PGD(6 / 255, steps=10, n_restarts=2)}
    ensemble = Ensemble(6 / 255, members=members)
    found = ensemble.of_each(model, x, y)
    assert found["strong"].eligible.sum() == (found["weak"].eligible & ~found["weak"].success).sum()
    said = ensemble.arguments()["members"]
    assert said["weak"]["class"] == "pgd"
    assert said["strong"]["steps"] == 10


def test_an_input_that_errs_is_left_alone_by_the_next():
    class Dark(torch.nn.Module):
        def forward(self, x):
            return trained()[0](x) + torch.where(x.flatten(1)[:, 20:40].mean(1) > 0.5, torch.nan, 0.0)[:, None]

    _, x, y = trained()
    found = Ensemble(2 / 255, **SMALL).of_each(Dark(), x, y)
    whole = found["ensemble"]
    assert 0 < whole.errored.sum() < 200
    assert not (whole.errored & (whole.success | whole.robust)).any()
    assert whole.distance[whole.errored].isnan().all()
    assert torch.equal(found["square"].errored, whole.errored)


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda: Ensemble(members={"a": PGD(eps=0.1)}), "members: a has eps 0.1"),
        (lambda: Ensemble(members={"a": PGD(), "b": Square(goal="most_likely")}), "members: b has"),
        (lambda: Ensemble(steps=0), "steps: 0"),
        (lambda: Ensemble(n_targets=0), "n_targets: 0"),
        (lambda: Ensemble(n_queries=0), "n_queries: 0"),
        (lambda: Ensemble().run(None, None), "for evaluation"),
    ],
)
def test_bad_arguments_are_named(make, says):
    with pytest.raises(UserError, match=says):
        make()


def test_all_labels_wrong_and_nothing_to_attack():
    model, x, _ = trained()
    wrong = (model(x).argmax(1) + 1) % 10
    attacks: list[Evasion] = [Ensemble(**SMALL), APGD(steps=3, loss="targeted_dlr"), Square(n_queries=5), PGD(exact=True)]
    for attack in attacks:
        r = attack(model, x, wrong)
        assert not (r.eligible | r.success | r.robust | r.correct).any()
        assert (r.queries == 0).all()
        attack.only_correct = False
        r = attack(model, x[:30], wrong[:30])
        assert r.eligible.all()
        assert not r.robust.any()
        assert r.success.double().mean() > 0.8
