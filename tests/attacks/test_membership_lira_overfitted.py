"""On models that have learnt 300 digits by heart, what 32 shadows know beats what labels alone tell."""

import pytest
import torch
from sklearn.datasets import load_digits
from torch import nn
from torch.nn.functional import cross_entropy

from robnas import roc
from robnas.attacks.membership import HopSkipJumpDistance, LiRA, Loss, NoiseRobustness
from robnas.statistics import student

N, SHADOWS, VICTIMS = 600, 32, 5


def half(seed):
    """[N] bool: 300 members."""
    chosen = torch.randperm(N, generator=torch.Generator().manual_seed(seed))[: N // 2]
    return torch.zeros(N, dtype=torch.bool).index_fill(0, chosen, True)


def trained(x, y, member, seed, steps=100):
    """Two layers, without augmentation or decay, until nothing of the members is missed."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        model = nn.Sequential(nn.BatchNorm2d(1, affine=False, momentum=1.0), nn.Flatten(), nn.Linear(64, 64), nn.ReLU(), nn.Linear(64, 10))
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        cross_entropy(model(x[member]), y[member]).backward()
        optimizer.step()
    return model.eval()


def figures(victims=VICTIMS, **distance):
    """By attack, AUC and TPR at 10% FPR of each victim: {name: ([V], [V])}, and both accuracies [V, 2]."""
    digits, order = load_digits(), torch.randperm(1797, generator=torch.Generator().manual_seed(0))[:N]
    x = torch.from_numpy(digits.images / 16 * 0.5 + 0.25).float()[order, None]
    y = torch.from_numpy(digits.target).long()[order]
    members = torch.stack([half(1000 + k) for k in range(SHADOWS)])
    shadows = [trained(x, y, member, 1000 + k) for k, member in enumerate(members)]
    pool = {"shadows": shadows, "shadow_members": members}
    attacks = {
        "online": (LiRA(), pool),
        "offline": (LiRA(online=False), pool),
        "loss": (Loss(), {}),
        "noise": (NoiseRobustness(), {}),
        "distance": (HopSkipJumpDistance(**distance), {}),
    }
    found, accuracy = {name: ([], []) for name in attacks}, []
    for v in range(victims):
        member = half(v)
        model = trained(x, y, member, v)
        for name, (attack, more) in attacks.items():
            r = attack(model, x, y, member=member, **more)
            assert not r.errored.any()
            scores = r.score[member].double().numpy(), r.score[~member].double().numpy()
            found[name][0].append(roc.auc(*scores).value)
            found[name][1].append(roc.tpr_at(*scores, 0.1).value)
        accuracy.append([float(r.correct[member].double().mean()), float(r.correct[~member].double().mean())])
    return found, accuracy


@pytest.mark.slow
def test_lira_on_an_overfitted_pool_beats_the_label_only_attacks():
    found, accuracy = figures(steps=10, initial_evaluations=50, max_evaluations=200)
    assert all(inside == 1 and outside < 0.97 for inside, outside in accuracy)
    for lira in ("online", "offline"):
        for label_only in ("noise", "distance"):
            for measure, by in ((0, 0.03), (1, 0.03)):
                ahead = [a - b for a, b in zip(found[lira][measure], found[label_only][measure], strict=True)]
                assert min(ahead) > 0, (lira, label_only, measure, ahead)  # of every victim
                assert student(ahead)[0] > by, (lira, label_only, measure, ahead)
    assert sum(found["online"][0]) > sum(found["offline"][0])


if __name__ == "__main__":  # the figures, of more victims
    found, accuracy = figures(10, steps=10, initial_evaluations=50, max_evaluations=200)
    print("accuracy on members, non-members:", [round(sum(a) / len(a), 3) for a in zip(*accuracy, strict=True)])
    for name, measures in found.items():
        for measure, values in zip(("AUC", "TPR at 10% FPR"), measures, strict=True):
            low, high = student(values)
            print(f"{name:9s} {measure:15s} {sum(values) / len(values):.3f} [{low:.3f}, {high:.3f}]")
