"""How a supernet behaves around its mathematics: precision, statistics, state, wrong arguments."""

import copy

import pytest
import torch
from torch.utils._python_dispatch import TorchDispatchMode

from robnas.errors import UserError
from robnas.space import fused
from robnas.space.mixture import Mixture
from robnas.space.search_space import CELL_KINDS, Space
from robnas.space.supernet import Supernet


def build(nodes: int = 2, **arguments):
    torch.manual_seed(0)
    space = Space(nodes=nodes)
    net = Supernet(space, layers=3, init_channels=4, num_classes=3, **arguments)
    alpha = {kind: torch.randn(len(space.edges), len(space.operations)).softmax(-1).requires_grad_() for kind in CELL_KINDS}
    return net, alpha, torch.randn(4, 3, 16, 16)


def gradients(net, alpha, x, dropout=0.0):
    torch.manual_seed(1)
    logits = net(x, Mixture(alpha, dropout=dropout))
    return logits, torch.cat(
        [g.flatten() for g in torch.autograd.grad(logits.float().square().sum(), [*alpha.values(), *net.parameters()])]
    )


def test_float32_takes_the_fast_kernels_and_agrees_with_torchs(monkeypatch):
    net, alpha, x = build()
    x = x.repeat(4, 1, 1, 1)[:, :, :12, :12].clone()
    (ours, ours_g) = gradients(net, alpha, x)
    monkeypatch.setattr(fused, "suits", lambda x: False)
    (theirs, theirs_g) = gradients(net.double(), {k: a.detach().double().requires_grad_() for k, a in alpha.items()}, x.double())
    torch.testing.assert_close(ours.double(), theirs, rtol=1e-3, atol=1e-3)
    assert (ours_g.double() - theirs_g).norm() < 1e-2 * theirs_g.norm()


@pytest.mark.parametrize(("partial", "dropout"), [(1, 0.0), (2, 0.3)])
def test_bfloat16_autocast_gives_nearly_the_same_logits_and_gradients(partial, dropout):
    net, alpha, x = build(partial=partial)
    full, full_g = gradients(net, alpha, x, dropout)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        half, half_g = gradients(net, alpha, x, dropout)
    assert half.dtype == torch.bfloat16
    assert not torch.equal(half.float(), full)
    torch.testing.assert_close(half.float(), full, rtol=0.1, atol=0.1)
    assert torch.cosine_similarity(half_g, full_g, dim=0) > 0.9


def test_training_moves_running_statistics_and_frozen_passes_and_evaluation_leave_them_alone():
    net, alpha, x = build()
    still = lambda before: [torch.equal(b, before[k]) for k, b in net.named_buffers() if not k.endswith("tracked")]  # noqa: E731
    before = {k: b.clone() for k, b in net.named_buffers()}
    with net.frozen_statistics():
        inside = net(x, Mixture(alpha))
    assert all(still(before))
    torch.testing.assert_close(net(x, Mixture(alpha)), inside)  # and it was the training pass all the same
    assert not any(still(before))
    before = {k: b.clone() for k, b in net.named_buffers()}
    net.eval()(x, Mixture(alpha))
    assert all(still(before))


def test_frozen_statistics_end_where_a_pass_fails():
    net, alpha, _ = build()
    with pytest.raises(RuntimeError), net.frozen_statistics():
        net(torch.randn(1, 5, 8, 8), Mixture(alpha))
    assert not net.statistics.frozen


def test_state_does_not_depend_on_what_was_alive():
    net, alpha, x = build()
    keys = {k: v.shape for k, v in net.state_dict().items()}
    alive = {kind: torch.zeros(5, 10, dtype=torch.bool) for kind in CELL_KINDS}
    for mask in alive.values():
        mask[:, 4] = True
    net(x, Mixture(alpha, alive=alive))
    assert {k: v.shape for k, v in net.state_dict().items()} == keys
    other = build()[0]
    other.load_state_dict(net.state_dict())
    assert torch.equal(other.eval()(x, Mixture(alpha)), net.eval()(x, Mixture(alpha)))


def test_a_copy_has_statistics_of_its_own():
    net, *_ = build()
    twin = copy.deepcopy(net)
    with twin.frozen_statistics():
        assert not net.statistics.frozen
        assert all(m.statistics is twin.statistics for m in twin.modules() if hasattr(m, "statistics"))


class Waits(TorchDispatchMode):
    """Notes operations for which a device has to be waited for."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        if func.name().split("::")[1] in ("_local_scalar_dense", "nonzero", "equal", "is_nonzero", "_to_copy"):
            self.found.append(func.name())
        return func(*args, **(kwargs or {}))


@pytest.mark.parametrize("partial", [1, 2])
def test_nothing_waits_for_the_device(partial):
    net, alpha, x = build(partial=partial)
    masks = {kind: torch.rand(5, 10) < 0.5 for kind in CELL_KINDS}
    edges, outputs = {kind: torch.rand(5) for kind in CELL_KINDS}, {"normal": (2,)}
    for mixture in (Mixture(alpha), Mixture(alpha, edges=edges, alive=masks, outputs=outputs, dropout=0.5)):
        net(x, mixture)  # the first pass makes the plan
        with Waits() as waits:
            net(x, mixture).sum().backward()
        assert waits.found == []


def test_a_batch_of_none_passes_in_evaluation():
    net, alpha, x = build()
    assert net.eval()(x[:0], Mixture(alpha)).shape == (0, 3)


@pytest.mark.parametrize(
    ("mixture", "message"),
    [
        (lambda a: Mixture({"normal": a["normal"]}), "no weights for reduce cells"),
        (lambda a: Mixture({k: v[:3] for k, v in a.items()}), r"weights of normal cells are \[3, 10\]; the space has \[5, 10\]"),
        (lambda a: Mixture(a, edges={"reduce": torch.ones(4)}), r"edges of reduce cells are \[4\]; the space has \[5\]"),
        (lambda a: Mixture(a, alive={"normal": torch.ones(5, 10)}), "alive of normal cells is not bool on the CPU"),
    ],
)
def test_a_mixture_of_another_space_is_refused(mixture, message):
    net, alpha, x = build()
    with pytest.raises(UserError, match=message):
        net(x, mixture(alpha))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layers": 0}, "layers: 0 is below 1"),
        ({"init_channels": 0}, "init_channels: 0 is below 1"),
        ({"concat": {"normal": (2, 6)}}, r"concat of normal: \[2, 6\] are not all among nodes \[2, 3, 4, 5\]"),
    ],
)
def test_a_supernet_that_cannot_be_is_refused(arguments, message):
    with pytest.raises(UserError, match=message):
        Supernet(**arguments)
