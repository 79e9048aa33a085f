"""HopSkipJump against strangers at equal settings and from shared starts: distances are no longer, and every image is one."""

import copy

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from robnas.attacks import HopSkipJump
from small_victims import trained

STEPS, FIRST, MOST = 10, 25, 100


def starts(model: nn.Module, x: Tensor, y: Tensor) -> Tensor:
    found, todo, random = x.clone(), torch.arange(len(x)), torch.Generator().manual_seed(0)
    while len(todo):
        images = torch.rand(len(todo), *x.shape[1:], generator=random, dtype=x.dtype)
        yes = model(images).argmax(1) != y[todo]
        found[todo[yes]] = images[yes]
        todo = todo[~yes]
    return found


def projected(model: nn.Module, x: Tensor, images: Tensor, y: Tensor) -> Tensor:
    low, high = torch.zeros(len(x), dtype=x.dtype), torch.ones(len(x), dtype=x.dtype)
    for _ in range(20):
        middle = (low + high) / 2
        yes = model(torch.lerp(x, images, middle.view(-1, 1, 1, 1))).argmax(1) != y
        low, high = torch.where(yes, low, middle), torch.where(yes, middle, high)
    return torch.lerp(x, images, high.view(-1, 1, 1, 1))


class Single(nn.Module):
    """ART asks some images in float64."""

    def __init__(self, model: nn.Module) -> None:
        super().__init__()
        self.model = model

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x.float())


def art(model, x, y, given):
    pytest.importorskip("art")
    from art.attacks.evasion import HopSkipJump as ArtHopSkipJump
    from art.estimators.classification import PyTorchClassifier

    np.random.seed(0)  # noqa: NPY002  it draws from there
    wrapped = PyTorchClassifier(Single(model), nn.CrossEntropyLoss(), tuple(x.shape[1:]), 10, clip_values=(0, 1), device_type="cpu")
    numbers = {"max_iter": STEPS, "max_eval": MOST, "init_eval": FIRST, "norm": 2, "batch_size": 256, "verbose": False}
    return torch.from_numpy(ArtHopSkipJump(wrapped, **numbers).generate(x.numpy(), x_adv_init=given.numpy()))


def foolbox(model, x, y, given):
    box = pytest.importorskip("foolbox")
    torch.manual_seed(0)
    attack = box.attacks.HopSkipJumpAttack(steps=STEPS, initial_gradient_eval_steps=FIRST, max_gradient_eval_steps=MOST, constraint="l2")
    criterion = box.criteria.Misclassification(y)
    return attack(box.PyTorchModel(model, bounds=(0, 1), device="cpu"), x, criterion, epsilons=None, starting_points=given)[1]


@pytest.mark.slow
@pytest.mark.parametrize("stranger", [art, foolbox])
def test_distances_are_no_longer_than_a_strangers_after_a_projection(stranger):
    model, x, y = trained()
    right = model(x).argmax(1) == y
    x, y, model = x[right][:60].float(), y[right][:60], copy.deepcopy(model).float()
    with torch.no_grad():
        given = starts(model, x, y)
        r = HopSkipJump(STEPS, FIRST, MOST)(model, x, y, starts=given)
        assert r.success.all()
        theirs = (projected(model, x, stranger(model, x, y, given).float(), y) - x).flatten(1).norm(dim=1)
    spread = float((theirs - r.distance).std() / len(x) ** 0.5)
    assert float(r.distance.mean()) <= float(theirs.mean()) + 2 * spread  # equal but for the random directions
    assert float(r.distance.mean()) <= 1.03 * float(theirs.mean())
