import torch
from robnas_fgsm import FGSM
from torch import nn

from robnas.testing import check_attack


def linear(w: torch.Tensor, bias: float) -> nn.Module:
    """Two classes; the logit of class 1 leads by w·x + bias."""
    layer = nn.Linear(w.numel(), 2)
    with torch.no_grad():
        layer.weight.copy_(torch.stack([torch.zeros_like(w), w]))
        layer.bias.copy_(torch.tensor([0.0, bias]))
    return nn.Sequential(nn.Flatten(), layer)


def test_a_linear_model_breaks_exactly_when_its_margin_is_at_most_eps_times_the_l1_norm():
    w = torch.tensor([1.0, -2.0, 3.0, -4.0])  # ‖w‖₁ = 10, so ε = 0.1 moves the margin by 1
    x = torch.full((2, 1, 2, 2), 0.5)  # w·x = -1
    x[1, 0, 0, 0] = 0.6  # margin 0.1 more
    model, y = linear(w, bias=1.95), torch.tensor([1, 1])  # margins 0.95 and 1.05
    result = FGSM(eps=0.1)(model, x, y)
    assert result.success.tolist() == [True, False]
    assert torch.allclose(result.x_adv[0], x[0] - 0.1 * w.view(1, 2, 2).sign())


def test_keeps_every_rule_of_an_attack():
    assert check_attack(FGSM) == {}


def test_one_gradient_an_input():
    x, y = torch.full((3, 1, 2, 2), 0.5), torch.tensor([1, 1, 1])
    result = FGSM(eps=0.0)(linear(torch.tensor([1.0, 1.0, 1.0, 1.0]), 0.0), x, y)
    assert result.gradients.tolist() == [1, 1, 1]
