"""No query is lost, and none is asked twice unless a kill came between question and answer, which is then counted."""

import itertools

import numpy as np
import pytest
import torch
from test_stealing_oracle import Counting
from torch import nn

from robnas.attacks.stealing import Knockoff, Oracle, Pool
from robnas.attacks.stealing.ledger import FILE, PART, Ledger
from robnas.data.base import Images
from robnas.errors import UserError
from small_victims import convolutional

BUDGET, AT_ONCE = 22, 5  # handfuls of 5, 5, 5, 5, 2: ten records after the first


class Stop(BaseException):
    """Stands for a kill."""


@pytest.fixture(scope="module")
def pool():
    x = torch.randint(0, 256, (60, 3, 8, 8), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return Pool(Images(x, torch.arange(60) % 4), torch.arange(60), 0)


def steal(folder, pool, theft="it"):
    """One process's life → the table; the images that the victim saw are counted by it."""
    thief = Knockoff(victim="v", strategy="adaptive", rewards="all", at_once=AT_ONCE, budget=BUDGET)
    ledger = Ledger(folder, theft)
    if (table := ledger.table()) is not None:
        return table
    victim = Counting()
    return thief.ask(Oracle(victim.float()), pool, convolutional(seed=1).float(), 10, ledger)


@pytest.fixture
def killed(monkeypatch):
    """Patches a method so that call number n raises, before or after it has done its work."""

    def at(owner, name, n, after):
        calls, whole = itertools.count(), getattr(owner, name)

        def method(self, *arguments, **more):
            if next(calls) == n:
                if after:
                    whole(self, *arguments, **more)
                raise Stop
            return whole(self, *arguments, **more)

        monkeypatch.setattr(owner, name, method)

    return at


def equal(a, b):
    return np.array_equal(a.index, b.index) and np.array_equal(a.answers, b.answers) and a.more.keys() == b.more.keys()


@pytest.mark.parametrize("after", [False, True])
def test_killed_at_every_write_and_gone_on_with(tmp_path, pool, killed, monkeypatch, after):
    Counting.seen = 0
    whole = steal(tmp_path / "whole", pool)
    assert whole.asked == Counting.seen == BUDGET == len(set(whole.index.tolist()))
    assert not (tmp_path / "whole" / PART).exists()
    for n in range(11):
        folder = tmp_path / f"{n}"
        Counting.seen = 0
        with monkeypatch.context():
            killed(Ledger, "_write", n, after)
            with pytest.raises(Stop):
                steal(folder, pool)
            monkeypatch.undo()
        table = steal(folder, pool)
        assert equal(table, whole), n
        lost = n > 0 and n % 2 == (1 if after else 0)  # between the note and the answer, or before the answer was written
        handful = BUDGET % AT_ONCE if n >= 9 else AT_ONCE
        assert table.asked == BUDGET + lost * handful, n
        # a kill right after the note came before the question: the count may be more than the truth, never less
        assert Counting.seen == table.asked - (lost and after) * handful, n


def test_killed_again_and_again(tmp_path, pool, killed, monkeypatch):
    whole = steal(tmp_path / "whole", pool)
    Counting.seen = 0
    for _ in range(40):
        with monkeypatch.context():
            killed(Ledger, "was_answered", 1, False)  # each life keeps one answer, and loses the next
            try:
                table = steal(tmp_path / "killed", pool)
            except Stop:
                continue
            finally:
                monkeypatch.undo()
        break
    assert equal(table, whole)
    assert table.asked == Counting.seen == BUDGET + 3 * AT_ONCE + 2


def test_a_torn_record_is_cut_off_and_a_finished_table_is_read(tmp_path, pool, killed, monkeypatch):
    whole = steal(tmp_path / "whole", pool)
    with monkeypatch.context():
        killed(Ledger, "finish", 0, False)
        with pytest.raises(Stop):
            steal(tmp_path / "torn", pool)
        monkeypatch.undo()
    part = tmp_path / "torn" / PART
    content = part.read_bytes()
    for length in range(len(content) - 150, len(content), 13):
        part.write_bytes(content[:length])
        (tmp_path / "torn" / FILE).unlink(missing_ok=True)
        table = steal(tmp_path / "torn", pool)
        assert equal(table, whole)
        assert table.asked == BUDGET + 2  # the last handful's answer was torn
    Counting.seen = 0
    assert equal(steal(tmp_path / "torn", pool), whole)
    assert Counting.seen == 0


def test_another_theft_in_the_same_folder_begins_anew(tmp_path, pool):
    steal(tmp_path, pool)
    Counting.seen = 0
    steal(tmp_path, pool, "another")
    assert Counting.seen == BUDGET


def test_other_queries_than_were_asked_are_refused(tmp_path, pool, killed, monkeypatch):
    with monkeypatch.context():
        killed(Ledger, "finish", 0, False)
        with pytest.raises(Stop):
            steal(tmp_path, pool)
        monkeypatch.undo()
    with pytest.raises(UserError, match="of other queries than would be asked"):
        steal(tmp_path, Pool(pool.images, pool.index, 1))
    (tmp_path / FILE).write_bytes(b"no table")
    with pytest.raises(UserError, match="cannot be read"):
        steal(tmp_path, pool)


def twice(pool):
    while True:
        yield pool.index[:4]


def doubled(pool):
    yield pool.index[[0, 1, 1]]


def outside(pool):
    yield torch.tensor([3, 59])  # 59 is not in the pool


def beyond(pool):
    yield torch.tensor([3, 60])


def nothing(pool):
    while True:
        yield pool.index[:0]


@pytest.mark.parametrize("wrong", [twice, doubled, outside, beyond, nothing])
def test_an_author_who_asks_twice_or_outside_of_the_pool_is_told_before_the_victim_hears_of_it(tmp_path, pool, wrong):
    class Wrong(Knockoff):
        def queries(self, pool, replica, classes):
            return wrong(pool)

    part = Pool(pool.images, pool.index[:50], 0)
    for _ in range(2):  # no table is left that a second try would take for a good one
        Counting.seen = 0
        with pytest.raises(ValueError, match="at least one at a time and none of them twice"):
            Wrong(victim="v", budget=8).ask(Oracle(Counting().float()), part, nn.Identity(), 10, Ledger(tmp_path, "it"))
        assert Counting.seen == (4 if wrong is twice else 0)
        assert not (tmp_path / FILE).exists()
        (tmp_path / PART).unlink(missing_ok=True)


def test_an_author_who_ends_early_is_told_and_leaves_no_table(tmp_path, pool):
    class Short(Knockoff):
        def queries(self, pool, replica, classes):
            yield pool.index[:4]

    for _ in range(2):
        ledger = Ledger(tmp_path, "it")
        assert ledger.table() is None
        with pytest.raises(ValueError, match=r"Short.queries: ended 4 before the budget of 8"):
            Short(victim="v", budget=8).ask(Oracle(convolutional().float()), pool, nn.Identity(), 10, ledger)
