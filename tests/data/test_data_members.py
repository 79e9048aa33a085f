"""Members: exactly a share of the training set, another one for every seed, written down and the same again."""

import numpy as np
import pytest
import torch
from PIL import Image
from test_data_base import Dots, running

import robnas
from robnas.data import Digits, ImageFolder, membership
from robnas.errors import UserError
from robnas.runtime.final_test import final_test
from small_classifier import classifier, digits, trainer

N = 1293  # digits less their validation part


def kept(**arguments):
    return set(Digits(validation=0.1, **arguments).parts()[0].tolist())


def test_all_are_members_unless_a_share_is_asked_for():
    pool = torch.tensor([4, 1, 7])
    assert membership.draw(pool, 1.0, 8, 0) is pool
    assert len(kept(seed=3)) == N


@pytest.mark.parametrize("share", [0.5, 0.25, 0.1, 0.9])
def test_exactly_the_share_and_never_of_the_validation_part(share):
    data = Digits(seed=2, members=share)
    members, validation = data.parts()
    assert len(members) == round(share * N)
    assert members.tolist() == sorted(set(members.tolist()))
    assert torch.equal(validation, Digits(seed=2).parts()[1])
    assert set(members.tolist()) < set(Digits(seed=2).parts()[0].tolist())
    trained = {i for _ in range(3) for batch in data.train_dataloader() for i in batch.index.tolist()}
    assert trained <= set(members.tolist())


def test_every_seed_has_another_half_and_every_input_is_in_half_of_them():
    """Overlaps of two random halves are hypergeometric: n/4 on average; how often an input is drawn is binomial."""
    halves = [kept(seed=0, members=0.5, members_seed=k) for k in range(64)]
    overlaps = np.array([len(a & b) for i, a in enumerate(halves) for b in halves[:i]])
    half = len(halves[0])
    deviation = (half**2 / N * (1 - half / N) ** 2 * N / (N - 1)) ** 0.5  # of a hypergeometric number, 9.0
    assert abs(overlaps.mean() - half**2 / N) < 4 * deviation / len(overlaps) ** 0.5
    assert overlaps.std() == pytest.approx(deviation, rel=0.1)
    population = sorted(kept(seed=0))
    counts = np.array([sum(i in h for h in halves) for i in population])
    chi_square = ((counts - 32) ** 2 / 16).sum()  # N − 1 degrees of freedom: 1292 ± 51
    assert abs(chi_square - N) < 4 * (2 * N) ** 0.5


def test_the_seed_is_the_run_s_own_unless_given():
    assert kept(seed=5, members=0.5) == kept(seed=5, members=0.5, members_seed=5) != kept(seed=5, members=0.5, members_seed=6)
    assert kept(seed=5, members=0.25) < kept(seed=5, members=0.5)


def test_a_search_halves_the_members():
    first, second = running(Dots(members=0.5), halves=True).halves()
    assert len(first) == len(second) == 10
    members = {*first.tolist(), *second.tolist()}
    assert len(members) == 20
    assert members == set(Dots(members=0.5, validation=0.0).parts()[0].tolist())
    found = running(Dots(members=0.5, batch_size=4), halves=True).membership()
    assert (found == membership.MEMBER).nonzero()[:, 0].tolist() == sorted(members)
    assert not (found == membership.VALIDATION).any()


def test_ranks_agree_and_share_the_members():
    shares = [[b.index.tolist() for b in running(Dots(batch_size=4, members=0.5), rank=r, ranks=2).train_dataloader()] for r in (0, 1)]
    whole = [b.index.tolist() for b in running(Dots(batch_size=4, members=0.5)).train_dataloader()]
    assert [a + b for a, b in zip(*shares, strict=True)] == whole


def test_images_in_folders_have_members_too(tmp_path):
    for i in range(40):
        place = tmp_path / "ab"[i % 2]
        place.mkdir(exist_ok=True)
        Image.new("RGB", (8, 8), (i, i, i)).save(place / f"{i}.png")
    data = ImageFolder(image_size=8, root=str(tmp_path), seed=1, members=0.5, memory=0.0)
    assert [len(part) for part in data.parts()] == [14, 3]  # of 32, of which 3 to validate
    assert torch.equal(data.parts()[0], ImageFolder(image_size=8, root=str(tmp_path), seed=1, members=0.5).parts()[0])


# In a run folder


def test_the_run_folder_says_who_was_a_member(tmp_path):
    data = digits(members=0.5, seed=4)
    trainer(tmp_path).fit(classifier(), data)
    found = robnas.membership(tmp_path)
    assert len(found) == 1437
    assert found.member.nonzero()[0].tolist() == data.parts()[0].tolist()
    assert found.validation.nonzero()[0].tolist() == data.parts()[1].tolist()
    assert (found.member.astype(int) + found.non_member + found.validation == 1).all()
    with np.load(tmp_path / membership.FILE) as arrays:
        assert (float(arrays["members"]), int(arrays["members_seed"])) == (0.5, 4)


def test_the_row_of_the_final_test_says_the_share(tmp_path):
    for share, params in ((0.5, {"members": 0.5}), (1.0, {})):
        t, task, data = trainer(tmp_path), classifier(), digits(members=share)
        t.fit(task, data)
        assert final_test(t, task, data).params == params


def test_a_run_that_goes_on_keeps_its_members_and_refuses_others(tmp_path):
    t = trainer(tmp_path, enable_checkpointing=True)
    t.fit(classifier(), digits(members=0.5))
    before = (tmp_path / membership.FILE).stat().st_mtime_ns
    last = str(tmp_path / "checkpoints" / "last.ckpt")
    trainer(tmp_path, max_epochs=2, enable_checkpointing=True).fit(classifier(), digits(members=0.5), ckpt_path=last)
    assert (tmp_path / membership.FILE).stat().st_mtime_ns == before
    with pytest.raises(UserError, match="trained on other inputs"):
        trainer(tmp_path, max_epochs=2, enable_checkpointing=True).fit(classifier(), digits(members=0.4), ckpt_path=last)


@pytest.mark.parametrize(
    ("first", "then", "says"),
    [
        ({"members": 0.5, "members_seed": 1}, {"members": 0.5, "members_seed": 2}, r"data\.members_seed was 1, here it is 2$"),
        ({}, {"members": 0.5}, r"data\.members was 1\.0, here it is 0\.5$"),
        ({"validation": 0.1}, {"validation": 0.2}, r"data\.validation was 0\.1, here it is 0\.2$"),
        ({"members_seed": 1}, {"members_seed": 2}, None),  # everything is a member
        ({"members": 0.5}, {"members": 0.5, "batch_size": 16}, None),
    ],
)
def test_the_checkpoint_of_another_run_must_have_seen_the_same_members(tmp_path, first, then, says):
    trainer(tmp_path / "first", enable_checkpointing=True).fit(classifier(), digits(**first))
    last = str(tmp_path / "first" / "checkpoints" / "last.ckpt")
    go_on = trainer(tmp_path / "then", max_epochs=2, enable_checkpointing=True)
    if says is None:
        go_on.fit(classifier(), digits(**then), ckpt_path=last)
        assert (membership.read(tmp_path / "then").member == membership.read(tmp_path / "first").member).all()
        return
    with pytest.raises(UserError, match=says) as error:
        go_on.fit(classifier(), digits(**then), ckpt_path=last)
    assert "\n" not in str(error.value)
    assert not (tmp_path / "then" / membership.FILE).exists()


def test_a_checkpoint_that_does_not_say_its_members_is_gone_on_with(tmp_path):
    trainer(tmp_path / "first", enable_checkpointing=True).fit(classifier(), digits())
    kept = torch.load(tmp_path / "first" / "checkpoints" / "last.ckpt", weights_only=True)
    torch.save(kept | {"callbacks": {k: v for k, v in kept["callbacks"].items() if k != "KeepMembership"}}, tmp_path / "old.ckpt")
    t = trainer(tmp_path / "then", max_epochs=2, enable_checkpointing=True)
    t.fit(classifier(), digits(members=0.5), ckpt_path=str(tmp_path / "old.ckpt"))
    assert membership.read(tmp_path / "then").member.sum() == round(0.5 * N)


def test_a_try_leaves_no_file(tmp_path):
    trainer(tmp_path, fast_dev_run=True).fit(classifier(), digits(members=0.5))
    assert not (tmp_path / membership.FILE).exists()


@pytest.mark.parametrize("content", [None, b"", b"PK\x03\x04 cut off"])
def test_a_folder_without_one_or_with_a_broken_one_is_said_in_one_line(tmp_path, content):
    if content is not None:
        (tmp_path / membership.FILE).write_bytes(content)
    with pytest.raises(UserError, match=r"membership\.npz") as error:
        robnas.membership(tmp_path)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("share", [0, -0.5, 1.5])
def test_wrong_shares_are_refused(share):
    with pytest.raises(UserError, match=r"members: .* is not in \(0, 1\]"):
        Digits(members=share)
    with pytest.raises(UserError, match="larger than the 13 inputs"):
        Digits(members=0.01).train_dataloader()
