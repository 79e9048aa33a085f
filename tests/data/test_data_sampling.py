"""Order and shares: hand-counted, and independent of ranks, of worker processes and of what was fetched ahead."""

import pytest
import torch
from lightning.pytorch.utilities.combined_loader import _shutdown_workers_and_reset_iterator

from robnas.data.base import Images
from robnas.data.sampling import GlobalBatches, Loader, held_out, permutation
from robnas.errors import UserError


def shares(n: int, batch_size: int, world_size: int, *keys: int | str, epoch: int = 0) -> list[list[list[int]]]:
    """[rank][step] → indices."""
    out = []
    for rank in range(world_size):
        batches = GlobalBatches(torch.arange(100, 100 + n), batch_size, *keys, rank=rank, world_size=world_size)
        batches.set_epoch(epoch)
        assert len(list(batches)) == len(batches)
        out.append([share.tolist() for share in batches])
    return out


def flat(steps: list[list[int]]) -> list[int]:
    return [i for step in steps for i in step]


def together(by_rank: list[list[list[int]]]) -> list[list[int]]:
    return [[i for share in step for i in share] for step in zip(*by_rank, strict=True)]


def test_permutation_holds_every_number_once_and_follows_its_keys():
    assert permutation(50, 0, "order", 3).sort().values.tolist() == list(range(50))
    assert torch.equal(permutation(50, 0, "order", 3), permutation(50, 0, "order", 3))
    assert not torch.equal(permutation(50, 0, "order", 3), permutation(50, 0, "order", 4))


@pytest.mark.parametrize("world_size", [2, 4])
def test_training_steps_are_the_same_for_any_number_of_ranks(world_size):
    one, many = shares(30, 8, 1, 0, "train", epoch=2), shares(30, 8, world_size, 0, "train", epoch=2)
    assert together(many) == together(one)
    assert {len(share) for steps in many for share in steps} == {8 // world_size}
    assert len(one[0]) == 3  # 30 = 3 · 8 + 6: the last six are dropped


def test_training_order_is_new_in_every_epoch_and_no_input_comes_twice():
    first, second = (flat(shares(32, 8, 1, 0, "train", epoch=e)[0]) for e in (0, 1))
    assert first != second
    assert sorted(first) == sorted(second) == list(range(100, 132))


@pytest.mark.parametrize(("n", "steps"), [(16, 2), (17, 2), (18, 3), (23, 3), (5, 1)])
def test_evaluation_sees_every_input_once_in_order_and_no_rank_waits(n, steps):
    by_rank = shares(n, 8, 2)
    assert flat(together(by_rank)) == list(range(100, 100 + n))
    assert [len(rank) for rank in by_rank] == [steps, steps]
    assert all(share for rank in by_rank for share in rank)  # 17 = 8 + 9: one input alone joins the batch before it


def test_what_cannot_be_shared_is_refused_in_one_line():
    with pytest.raises(UserError, match="batch_size: 64 is larger than the 10 inputs"):
        GlobalBatches(torch.arange(10), 64, 0, "train")
    with pytest.raises(UserError, match="batch_size: 9 cannot be shared equally by 2 ranks"):
        GlobalBatches(torch.arange(10), 9, 0, "train", world_size=2)
    with pytest.raises(UserError, match="1 inputs cannot be shared by 2 ranks"):
        GlobalBatches(torch.arange(1), 9, world_size=2)


def test_held_out_takes_exactly_that_many_and_each_class_in_proportion():
    y = torch.tensor([0] * 70 + [1] * 20 + [2] * 10)[permutation(100, "mix")]
    mask = held_out(y, 30, 0, "validation")
    assert torch.bincount(y[mask]).tolist() == [21, 6, 3]
    assert torch.equal(mask, held_out(y, 30, 0, "validation"))
    assert not torch.equal(mask, held_out(y, 30, 1, "validation"))
    assert held_out(y, 7, 0).sum() == 7
    assert not held_out(y, 0, 0).any()


def images(n: int = 40) -> Images:
    return Images(torch.arange(n, dtype=torch.uint8)[:, None, None, None].expand(n, 3, 2, 2), torch.arange(n) % 5)


def loader(num_workers: int, epoch: int = 1) -> Loader:
    made = Loader(images(), GlobalBatches(torch.arange(40), 8, 0, "train"), num_workers)
    made.batch_sampler.set_epoch(epoch)
    return made


def test_a_batch_is_what_its_index_says():
    for batch in loader(0):
        assert torch.equal(batch.x[:, 0, 0, 0].long(), batch.index)
        assert torch.equal(batch.y, batch.index % 5)


@pytest.mark.parametrize("num_workers", [0, 2])
def test_position_is_what_was_handed_out_and_a_new_loader_goes_on_there(num_workers):
    whole = [batch.index.tolist() for batch in loader(0)]
    first = loader(num_workers)
    iterator = iter(first)
    seen = [next(iterator).index.tolist() for _ in range(2)]
    assert first.state_dict() == {"epoch": 1, "consumed": 2}  # though worker processes have fetched ahead
    state = torch.get_rng_state()
    second = loader(num_workers)
    second.load_state_dict(first.state_dict())
    assert second.state_dict() == first.state_dict()
    assert seen + [batch.index.tolist() for batch in second] == whole
    assert second.state_dict() == {"epoch": 1, "consumed": 5}
    assert [batch.index.tolist() for batch in second] == whole  # the next pass is a whole one
    assert torch.equal(torch.get_rng_state(), state)  # nothing was drawn from the global stream


def test_worker_processes_stay_for_the_next_pass_also_after_one_that_was_left_early():
    made = loader(2)
    whole = [batch.index.tolist() for batch in loader(0)]
    next(iter(made))
    processes = {worker.pid for worker in made._iterator._workers}
    assert [batch.index.tolist() for batch in made] == whole
    assert {worker.pid for worker in made._iterator._workers} == processes
    _shutdown_workers_and_reset_iterator(made)  # what Lightning does when a loop is torn down
    assert made._iterator is None
    assert [batch.index.tolist() for batch in made] == whole


def test_a_position_in_another_epoch_is_not_gone_on_from():
    later = loader(0, epoch=2)
    later.load_state_dict({"epoch": 1, "consumed": 5})
    assert len(list(later)) == 5


def test_iterators_made_ahead_of_the_epoch_follow_the_epoch():
    made = loader(0, epoch=0)
    iterator = iter(made)  # as Lightning does before it says which epoch it is
    made.batch_sampler.set_epoch(7)
    assert next(iterator).index.tolist() == next(iter(loader(0, epoch=7))).index.tolist()


class Broken(Images):
    def __getitems__(self, index):
        raise UserError("cat.png: not a readable image")


@pytest.mark.parametrize("num_workers", [0, 1])
def test_a_user_error_in_a_worker_process_stays_one_line(num_workers):
    broken = Loader(Broken(*vars(images()).values()), GlobalBatches(torch.arange(40), 8), num_workers)
    with pytest.raises(UserError) as caught:
        next(iter(broken))
    assert str(caught.value) == "cat.png: not a readable image"
