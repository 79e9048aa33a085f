"""Gradients of depthwise convolutions, composed of fast kernels, against torch's own."""

import pytest
import torch
from torch.nn.functional import conv2d

from robnas.space.depthwise import channels_last, depthwise, input_gradient, subgrids, weight_gradient


@pytest.mark.parametrize(("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-4)])
@pytest.mark.parametrize("size", [(8, 8), (7, 9), (14, 15), (4, 4), (2, 12), (1, 1)], ids=str)
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (5, 1), (7, 1), (3, 2), (5, 2)])
def test_equal_torchs(kernel, dilation, stride, size, dtype, tolerance):
    torch.manual_seed(0)
    x = channels_last(torch.randn(3, 6, *size, dtype=dtype)).requires_grad_()
    weight = torch.randn(6, 1, kernel, kernel, dtype=dtype, requires_grad=True)
    y = conv2d(x, weight, None, stride, kernel // 2 * dilation, dilation, 6)
    g = channels_last(torch.randn_like(y))
    expected_x, expected_weight = torch.autograd.grad(y, (x, weight), g)
    with torch.no_grad():
        torch.testing.assert_close(depthwise(x, weight, stride, dilation), y)
        close = lambda a, b: torch.testing.assert_close(a, b, rtol=tolerance, atol=tolerance)  # noqa: E731
        close(input_gradient(g, size, weight, stride, dilation), expected_x)
        close(weight_gradient(g, x, weight, stride, dilation), expected_weight)


def test_subgrids_are_even_and_odd_rows_and_columns():
    x = channels_last(torch.arange(2 * 3 * 4 * 6.0).view(2, 3, 4, 6))
    grids = [x[:, :, i::2, j::2] for i in (0, 1) for j in (0, 1)]
    assert torch.equal(subgrids(x), torch.cat(grids))
