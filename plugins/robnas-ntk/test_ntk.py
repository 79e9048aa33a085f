import math

import pytest
import torch
from robnas_ntk import NTK, condition_number, kernel, number
from torch import nn

from robnas.copies import evaluation_copy
from robnas.errors import UserError


def network(seed: int = 0) -> nn.Module:
    torch.manual_seed(seed)
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 36, 3))
    return evaluation_copy(net.double())


def inputs(n: int) -> torch.Tensor:
    return torch.rand(n, 1, 8, 8, generator=torch.Generator().manual_seed(1), dtype=torch.float64)


def test_the_kernel_of_a_linear_model_by_hand():
    """f(x) = Σ_c (w_c·x + b_c) has ∂/∂w_c = x and ∂/∂b_c = 1, so Θ = C (x·x' + 1); here C = 3."""
    model = nn.Sequential(nn.Flatten(), nn.Linear(4, 3)).double()
    x = torch.tensor([[1.0, 0, 0, 0], [0, 2.0, 0, 0]], dtype=torch.float64).view(2, 1, 2, 2)
    theta = kernel(model, x)
    torch.testing.assert_close(theta, torch.tensor([[6.0, 3.0], [3.0, 15.0]], dtype=torch.float64))
    high, low = (21 + math.sqrt(9**2 + 4 * 9)) / 2, (21 - math.sqrt(9**2 + 4 * 9)) / 2  # of λ² − 21 λ + 81
    assert condition_number(theta) == pytest.approx(high / low)


def test_it_is_the_gram_matrix_of_the_jacobian():
    model, x = network(), inputs(5)
    weights = dict(model.named_parameters())
    jacobian = torch.func.jacrev(lambda w: torch.func.functional_call(model, w, x).sum(1))(weights)
    rows = torch.cat([part.flatten(1) for part in jacobian.values()], 1)
    torch.testing.assert_close(kernel(model, x), rows @ rows.T)


def test_an_input_twice_makes_it_singular():
    x = inputs(3)
    assert condition_number(kernel(network(), torch.cat([x, x[:1]]))) == math.inf


def test_the_value_is_the_geometric_mean_over_whole_batches():
    model, x = network(), inputs(11)
    found = NTK(n_samples=11, batch=4).measure(model, x, torch.zeros(11)).numbers["ntk_condition_number"]
    each = [condition_number(kernel(model, x[i : i + 4])) for i in (0, 4)]
    assert (found.value, found.n) == (pytest.approx(math.sqrt(each[0] * each[1])), 8)


def test_the_interval_by_hand():
    """Of logs 0 and 2 in units of log 10: mean 1, standard error 1, and t = 12.706 at one degree of freedom."""
    found = number([1.0, 100.0], 8)
    assert found.value == pytest.approx(10)
    assert found.ci == pytest.approx((10 ** (1 - 12.7062), 10 ** (1 + 12.7062)), rel=1e-3)
    assert number([7.0], 4).ci is None


def test_a_singular_kernel_is_a_flag_and_no_number():
    found = number([3.0, math.inf], 8)
    assert (found.value, found.flags) == (None, ("1 of 2 kernels are singular",))


def test_nothing_changes():
    model, x = network(), inputs(4)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    NTK(n_samples=4, batch=2).measure(model, x, torch.zeros(4))
    assert all(torch.equal(before[name], tensor) for name, tensor in model.state_dict().items())
    assert not any(p.requires_grad or p.grad is not None for p in model.parameters())


def test_a_batch_of_one_is_refused():
    with pytest.raises(UserError, match="batch: 1 is not from 2"):
        NTK(batch=1).check()
