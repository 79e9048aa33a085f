"""A network of nobody's that knows digits: least squares on pixels, in closed form."""

from functools import cache

import torch
from torch import Tensor, nn

from robnas.data.base import Images
from robnas.data.digits import Digits

CODE = """
import torch
from torch import nn

class Net(nn.Module):
    def __init__(self, classes: int = 10):
        super().__init__()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(768, classes)

    def forward(self, x):
        return self.linear(self.flatten(x))

def broken(): raise ValueError("no luck")
def text(): return "a text"
number = 3
"""
"""What a user may have in net.py."""


class Net(nn.Module):
    def __init__(self, classes: int = 10) -> None:
        super().__init__()
        self.flatten, self.linear = nn.Flatten(), nn.Linear(768, classes)

    def forward(self, x: Tensor) -> Tensor:
        return self.linear(self.flatten(x))


class EvenOrOdd(Digits):
    """The same images in two classes."""

    name = "EvenOrOdd"
    num_classes = 2
    class_names = ("even", "odd")

    def load(self):
        return tuple(Images(part.x, part.y % 2) for part in super().load())


@cache
def _solved(classes: int) -> tuple[Tensor, Tensor]:
    train, _ = Digits(seed=0).sets()
    x = (train.x.double() / 255).flatten(1)
    x = torch.cat([x, torch.ones(len(x), 1, dtype=torch.float64)], 1)
    wanted = torch.eye(classes, dtype=torch.float64)[train.y % classes] * 20 - 10
    w = torch.linalg.solve(x.T @ x + 10 * torch.eye(769, dtype=torch.float64), x.T @ wanted).float()
    return w[:-1].T.contiguous(), w[-1].contiguous()


def trained(classes: int = 10) -> Net:
    """About nine of ten digits right; with two classes, even and odd."""
    net = Net(classes)
    weight, bias = _solved(classes)
    net.load_state_dict({"linear.weight": weight, "linear.bias": bias})
    return net.eval()


def one_logit() -> nn.Sequential:
    """z = logit of odd less logit of even."""
    two, one = trained(2).linear, nn.Linear(768, 1)
    one.load_state_dict({"weight": (two.weight[1:] - two.weight[:1]).detach(), "bias": (two.bias[1:] - two.bias[:1]).detach()})
    return nn.Sequential(nn.Flatten(), one).eval()
