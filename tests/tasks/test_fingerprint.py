"""Equal things have one fingerprint, others others."""

import math

import torch

from robnas.tasks.fingerprint import fingerprint


def test_one_bit_makes_another():
    x = torch.tensor([1.0, -0.5], dtype=torch.float64)
    state = {"a": x, "b": [("c", 1.5)], "n": None}
    assert fingerprint(state) == fingerprint({"a": x.clone(), "b": [("c", 1.5)], "n": None})
    near = torch.tensor([1.0, math.nextafter(-0.5, 0)], dtype=torch.float64)
    others = [state | {"a": near}, state | {"a": x.float()}, state | {"a": x[None]}, state | {"b": [("c", 1.5), ()]}, state | {"n": 0}]
    assert len({fingerprint(other) for other in [state, *others]}) == 6
    assert fingerprint([1], [2]) != fingerprint([1, 2])
    assert all(-(2**63) <= fingerprint(n) < 2**63 for n in range(100))
    assert fingerprint(torch.tensor(3), torch.zeros(0), x.bfloat16()) == fingerprint(torch.tensor(3), torch.zeros(0), x.bfloat16())
