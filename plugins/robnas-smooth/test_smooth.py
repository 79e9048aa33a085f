import pytest
import torch
from robnas_smooth import Smooth
from torch.nn.functional import cross_entropy

from robnas.errors import UserError


def linear(x: torch.Tensor) -> torch.Tensor:
    """Two classes; the logit of class 1 leads by 3 x₀ + 4 x₁."""
    lead = x.flatten(1)[:, :2] @ torch.tensor([3.0, 4.0], dtype=x.dtype)
    return torch.stack([torch.zeros_like(lead), lead], 1)


def test_the_penalty_of_a_linear_model_by_hand():
    x = torch.zeros(2, 1, 1, 2, dtype=torch.float64)
    x[1, 0, 0, 0] = 1.0  # leads 0 and 3
    y = torch.tensor([1, 1])
    wrong = torch.sigmoid(-torch.tensor([0.0, 3.0], dtype=torch.float64))  # ∇ₓ L = −wrong · (3, 4)
    expected = cross_entropy(linear(x), y) + 0.5 * (25 * wrong.square()).mean()
    torch.testing.assert_close(Smooth(penalty=0.5).loss(linear, x, y), expected)


def test_every_input_counts_by_itself_however_the_batch_is_cut():
    g = torch.Generator().manual_seed(0)
    x, y = torch.rand(8, 1, 1, 2, generator=g, dtype=torch.float64), torch.randint(0, 2, (8,), generator=g)
    smooth = Smooth(penalty=2.0)
    halves = [smooth.loss(linear, x[part], y[part]) for part in (slice(4), slice(4, 8))]
    torch.testing.assert_close(smooth.loss(linear, x, y), (halves[0] + halves[1]) / 2)


def test_without_penalty_it_is_darts_and_the_caller_s_images_stay_as_they_are():
    x, y = torch.rand(4, 1, 1, 2), torch.tensor([0, 1, 1, 0])
    torch.testing.assert_close(Smooth(penalty=0).loss(linear, x, y), cross_entropy(linear(x), y))
    assert not x.requires_grad


def test_a_negative_penalty_is_refused():
    with pytest.raises(UserError, match="penalty: -1"):
        Smooth(penalty=-1)
