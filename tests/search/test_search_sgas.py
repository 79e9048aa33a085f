"""SGAS: the order of its decisions on a given history of α, computed by hand for both criteria; what it keeps, prunes and derives."""

import io

import pytest
import torch

from robnas.errors import UserError
from robnas.search.sgas import SGAS, score
from robnas.space.genotype import Edge
from robnas.space.mixture import Mixture
from robnas.space.search_space import Space
from robnas.space.supernet import Supernet

OPERATIONS = ("zero", "max_pool_3x3", "skip_connect", "sep_conv_3x3", "dil_conv_3x3")
SPACE = Space(OPERATIONS, nodes=2)  # edges: 0: 2←0, 1: 2←1, 2: 3←0, 3: 3←1, 4: 3←2
ALL, HALF = (0.25, 0.25, 0.25, 0.25), (0.0, 0.0, 0.5, 0.5)  # certainty 0 and ½: entropies log 4 and log 2, of log 4
SKIP, POOL, SEPARABLE = (0.0, 1.0, 0.0, 0.0), (1.0, 0.0, 0.0, 0.0), (0.0, 0.0, 1.0, 0.0)  # certainty 1

IMPORTANCE = (0.9, 0.5, 0.7, 0.1, 0.8)  # scaled: 1, ½, ¾, 0, ⅞
SHARES = (ALL, HALF, SKIP, SEPARABLE, HALF)  # certainty: 0, ½, 1, 1, ½


def table(importance, shares) -> torch.Tensor:
    """p [E, O] of edges that are so important, and whose operations but zero share it so."""
    return torch.tensor([[1 - i, *(i * s for s in share)] for i, share in zip(importance, shares, strict=True)], dtype=torch.float64)


NOW = table(IMPORTANCE, SHARES)
DISJOINT = table(IMPORTANCE, (ALL, HALF, POOL, SEPARABLE, SEPARABLE))  # Σ min with NOW: 1, 1, 0, 1, ½
OVERLAP = table(IMPORTANCE, (ALL, HALF, (0.5, 0.5, 0.0, 0.0), SEPARABLE, SEPARABLE))  # 1, 1, ½, 1, ½


def built(**arguments) -> SGAS:
    searcher = SGAS(**arguments)
    searcher.build(SPACE, 0)
    for alpha in searcher.alpha.values():
        alpha.data = alpha.data.double()
    return searcher


def run(searcher: SGAS, history: list[torch.Tensor]) -> SGAS:
    """Epochs that begin with these p."""
    for epoch, p in enumerate(history):
        for alpha in searcher.alpha.values():
            alpha.data = p.clamp_min(1e-30).log()
        searcher.epoch_start(epoch, len(history))
    return searcher


def test_criterion_1_is_importance_times_certainty():
    assert score(NOW, SPACE).tolist() == pytest.approx([0, 0.25, 0.75, 0, 0.4375])


def test_criterion_2_is_that_times_stability():
    # S_SS: 1, 1, (0 + ½)/2 = ¼, 1, ½ → scaled: 1, 1, 0, 1, ⅓
    assert score(NOW, SPACE, [DISJOINT, OVERLAP]).tolist() == pytest.approx([0, 0.25, 0, 0, 0.4375 / 3])


def test_a_term_that_is_the_same_for_all_edges_says_nothing():
    same = table((0.5,) * 5, SHARES)
    assert score(same, SPACE).tolist() == pytest.approx([0, 0.5, 1, 1, 0.5])
    assert score(NOW, SPACE, [NOW]).tolist() == pytest.approx(score(NOW, SPACE).tolist())


def test_a_space_without_zero_goes_by_certainty():
    space = Space(OPERATIONS[1:], nodes=2)
    assert score(torch.tensor(SHARES, dtype=torch.float64), space).tolist() == pytest.approx([0, 0.5, 1, 1, 0.5])


def test_the_order_of_decisions_by_criterion_1():
    searcher = run(built(warmup=1, every=2), [NOW] * 8)
    assert searcher.decided == {"normal": [2, 4, 1, 0], "reduce": [2, 4, 1, 0]}


def test_the_order_of_decisions_by_criterion_2():
    # ¼ for edge 1 at first; then the past is the present, and criterion 1 decides
    searcher = run(built(criterion=2, warmup=2, every=2, history=2), [DISJOINT, OVERLAP, NOW, NOW, NOW, NOW, NOW, NOW, NOW])
    assert searcher.decided["normal"] == [1, 2, 4, 0]


@pytest.mark.parametrize(("warmup", "first"), [(2, 1), (3, 2)])
def test_criterion_2_compares_with_the_last_epochs_but_not_with_this_one(warmup, first):
    # Two epochs back lies DISJOINT: S_SS 1, 1, ½, 1, ¾ → scaled 1, 1, 0, 1, ½, and ¼ of edge 1 is most. An epoch later it is forgotten;
    # all S_SS are equal, and criterion 1 decides. So it would, were the present a part of its own history.
    searcher = run(built(criterion=2, warmup=warmup, every=9, history=2), [DISJOINT, NOW, NOW, NOW][: warmup + 1])
    assert searcher.decided["normal"] == [first]


def test_decisions_wait_for_the_warm_up_and_come_every_so_many_epochs():
    searcher, when = built(warmup=3, every=2), []
    for epoch in range(12):
        before = len(searcher.decided["normal"])
        searcher.epoch_start(epoch, 12)
        when += [epoch] * (len(searcher.decided["normal"]) - before)
    assert when == [3, 5, 7, 9]


def test_with_the_paper_s_settings_the_last_of_eight_comes_after_45_epochs():
    searcher, when = SGAS(), []
    searcher.build(Space(), 0)
    for epoch in range(50):
        before = len(searcher.decided["reduce"])
        searcher.epoch_start(epoch, 50)
        when += [epoch] * (len(searcher.decided["reduce"]) - before)
    assert when == [10, 15, 20, 25, 30, 35, 40, 45]


def test_a_decided_edge_keeps_its_strongest_operation_but_zero_and_a_full_node_no_other_edge():
    one = run(built(warmup=1, every=1), [NOW] * 2).alive["normal"]
    assert one.sum(-1).tolist() == [5, 5, 1, 5, 5]
    assert bool(one[2, OPERATIONS.index("skip_connect")])
    searcher = run(built(warmup=1, every=1), [NOW] * 3)
    assert searcher.alive["normal"].sum(-1).tolist() == [5, 5, 1, 0, 1]  # node 3 has two
    weights = searcher.mixture().weights["normal"]
    assert weights[2].tolist() == [0, 0, 1, 0, 0]
    assert weights[3].tolist() == [0] * 5
    assert weights[0].tolist() == pytest.approx(NOW[0].tolist())


def test_what_is_decided_is_not_changed_by_what_alpha_says_later():
    searcher = run(built(warmup=1, every=1), [NOW] * 3)
    for alpha in searcher.alpha.values():
        alpha.data.normal_(generator=torch.Generator().manual_seed(0))
    assert searcher.weights()["normal"][2].tolist() == [0, 0, 1, 0, 0]
    assert set(searcher.derive().normal.nodes[1]) == {Edge("skip_connect", 0), Edge("sep_conv_3x3", 2)}
    searcher.mixture().weights["normal"].square().sum().backward()
    assert (searcher.alpha["normal"].grad.abs().sum(-1) > 0).tolist() == [True, True, False, False, False]


def test_all_is_decided_at_the_end_and_what_is_not_is_derived_as_in_darts():
    decided = run(built(warmup=1, every=1), [NOW] * 5).derive().normal
    assert decided.nodes == ((Edge("max_pool_3x3", 0), Edge("sep_conv_3x3", 1)), (Edge("skip_connect", 0), Edge("sep_conv_3x3", 2)))
    early = run(built(warmup=1, every=1), [NOW] * 2).derive().normal  # edge 2 is decided; of 3 and 4, ½ · 0.8 beats 0.1
    assert early.nodes[1] == (Edge("skip_connect", 0), Edge("sep_conv_3x3", 2))


def test_gamma_damps_a_skip_connect_until_its_edge_is_decided():
    before = run(built(gamma=0.5, warmup=2), [NOW])
    assert before.mixture().weights["normal"][2, 2].item() == pytest.approx(0.35)
    assert before.weights()["normal"][2, 2].item() == pytest.approx(0.7)
    after = run(built(gamma=0.5, warmup=1), [NOW, NOW])
    assert after.mixture().weights["normal"][2, 2].item() == 1


def test_damped_weights_may_decide():
    shares = ((0.0, 0.6, 0.4, 0.0), ALL, *SHARES[2:])  # γ = ½ makes it 3 to 4
    history = [table((0.99, 0.3, 0.2, 0.1, 0.25), shares)] * 2
    choice = {d: run(built(gamma=0.5, derive_from=d, warmup=1), history) for d in ("undamped", "damped")}
    assert [searcher.decided["normal"] for searcher in choice.values()] == [[0], [0]]
    kept = {d: OPERATIONS[int(searcher.alive["normal"][0].nonzero())] for d, searcher in choice.items()}
    assert kept == {"undamped": "skip_connect", "damped": "sep_conv_3x3"}


@pytest.mark.parametrize("at", [1, 3, 5])
def test_goes_on_after_a_resume(at):
    history = [NOW, DISJOINT, OVERLAP, NOW, DISJOINT, OVERLAP, NOW]
    whole = run(built(criterion=2, warmup=2, every=1, history=2), history)
    first = run(built(criterion=2, warmup=2, every=1, history=2), history[:at])
    buffer = io.BytesIO()
    torch.save(first.state(), buffer)
    second = built(criterion=2, warmup=2, every=1, history=2)
    second.rebuild(torch.load(io.BytesIO(buffer.getvalue()), weights_only=True))
    assert second.decided == first.decided
    for epoch in range(at, len(history)):
        for alpha in second.alpha.values():
            alpha.data = history[epoch].clamp_min(1e-30).log()
        second.epoch_start(epoch, len(history))
    assert second.decided == whole.decided
    assert all(torch.equal(second.alive[kind], whole.alive[kind]) for kind in second.alive)
    assert all(torch.equal(a, b) for kind in second.past for a, b in zip(second.past[kind], whole.past[kind], strict=True))


def test_a_supernet_computes_what_is_decided_as_the_cell_alone():
    searcher = run(built(warmup=1, every=1), [NOW] * 5)
    torch.manual_seed(0)
    net = Supernet(SPACE, layers=3, init_channels=4).double()
    x = torch.randn(4, 3, 8, 8, dtype=torch.float64)
    alone = Mixture.of(searcher.derive(), SPACE, torch.float64)
    torch.testing.assert_close(net(x, searcher.mixture()), net(x, alone), rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"criterion": 3}, "criterion: 3 is not 1 or 2"),
        ({"warmup": 0}, "warmup: 0"),
        ({"every": 0}, "every: 0"),
        ({"history": 0}, "history: 0"),
    ],
)
def test_wrong_values_are_said_in_one_line(wrong, says):
    with pytest.raises(UserError, match=says) as error:
        SGAS(**wrong)
    assert "\n" not in str(error.value)


def test_a_warm_up_as_long_as_the_search_is_refused():
    with pytest.raises(
        UserError, match=r"^warmup: 50 of 50 epochs leave none for a decision; trainer.max_epochs of at least 51 is needed, or"
    ):
        SGAS(warmup=50).require_time(50)
    with pytest.raises(UserError, match=r"trainer.max_epochs of at least 3 is needed$"):  # no warm-up is shorter than an epoch
        SGAS(warmup=2).require_time(1)
    SGAS(warmup=49).require_time(50)


def test_one_operation_leaves_nothing_to_decide():
    with pytest.raises(UserError, match="at least two"):
        SGAS().build(Space(("zero", "skip_connect"), nodes=1), 0)
