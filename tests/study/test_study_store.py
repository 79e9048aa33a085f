"""Run folders that come and go through a store: whole or not at all, and nobody's rows are lost."""

import json
import re
import uuid

import pytest

from robnas.errors import UserError
from robnas.results import Row, Rows
from robnas.study.replica import Replica
from robnas.study.store import LostError, Store

NAME = "classify/0123456789ab"


@pytest.fixture(params=["file", "memory"])
def store(request, tmp_path):
    return Store(str(tmp_path / "store") if request.param == "file" else f"memory://{uuid.uuid4().hex}")


@pytest.fixture
def nodes(store, tmp_path):
    return Replica(store, tmp_path / "a"), Replica(store, tmp_path / "b")


def fill(replica, **files):
    note = {} if (replica.root / NAME / "job.json").exists() else {"job.json": '{"identity": "0123456789ab", "state": "unfinished"}'}
    for path, content in (note | files).items():
        target = replica.root / NAME / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(content)


def content(replica):
    folder = replica.root / NAME
    return {p.relative_to(folder).as_posix(): p.read_text() for p in folder.rglob("*") if p.is_file() and p.name != "job.json"}


def rows(replica):
    return Rows(replica.root / NAME / "results.jsonl")


def values(replica):
    return {row.metric: row.value for row in rows(replica).read()}


def test_what_one_pushes_another_fetches(nodes):
    a, b = nodes
    assert not b.fetch(NAME)
    fill(a, **{"config.yaml": "x: 1\n", "checkpoints/last.ckpt": "weights"})
    (a.root / NAME / ".lock").touch()
    (a.root / NAME / "link").symlink_to("config.yaml")
    assert a.push(NAME)
    assert not a.push(NAME)  # nothing new
    assert b.fetch(NAME)
    assert content(b) == {"config.yaml": "x: 1\n", "checkpoints/last.ckpt": "weights"}
    assert b.names() == [NAME]
    b.begin()
    assert not b.push(NAME)


def test_a_fetched_folder_is_what_the_store_has(nodes):
    a, b = nodes
    fill(a, old="1", same="2")
    a.push(NAME)
    b.fetch(NAME)
    b.begin()
    (b.root / NAME / "old").unlink()
    fill(b, new="3")
    b.push(NAME)
    fill(a, stale="of an attempt that came to nothing")
    a.fetch(NAME)
    assert content(a) == {"same": "2", "new": "3"}


def test_unchanged_files_are_neither_pushed_nor_fetched_again(nodes, monkeypatch):
    a, b = nodes
    fill(a, big="x" * 1000)
    a.push(NAME)
    b.fetch(NAME)
    b.begin()
    fill(b, small="y")
    sent, got = [], []
    upload, get = Store.upload, Store.get
    monkeypatch.setattr(Store, "upload", lambda self, path, source: (sent.append(source.name), upload(self, path, source)))
    monkeypatch.setattr(Store, "get", lambda self, name, what, target: (got.append(target.name), get(self, name, what, target)))
    b.push(NAME)
    a.fetch(NAME)
    assert sent == got == ["small"]


def test_rows_of_two_jobs_at_a_time_on_one_run_are_all_kept(nodes, store, tmp_path):
    a, b = nodes
    fill(a)
    rows(a).write([Row("accuracy", 0.9), Row("amended", 0.0)])
    a.push(NAME)
    a.begin()
    b.fetch(NAME)
    b.begin()
    rows(a).write([Row("asr", 0.5)])
    rows(b).write([Row("auc", 0.6), Row("amended", 1.0)])
    fill(a, **{"outcomes/asr.npz": "1"})
    fill(b, **{"outcomes/auc.npz": "2"})
    a.push(NAME)
    b.push(NAME)
    for replica in (a, b, Replica(store, tmp_path / "c")):
        replica.fetch(NAME)
        assert values(replica) == {"accuracy": 0.9, "asr": 0.5, "auc": 0.6, "amended": 1.0}
        assert content(replica).keys() == {"results.jsonl", "outcomes/asr.npz", "outcomes/auc.npz"}


def test_a_run_begun_anew_has_none_of_its_old_rows(nodes):
    a, b = nodes
    fill(a)
    rows(a).write([Row("asr", 0.5), Row("accuracy", 0.9)])
    a.push(NAME)
    b.fetch(NAME)
    b.begin()
    rows(b).path.unlink()
    rows(b).write([Row("accuracy", 0.8)])
    b.push(NAME)
    a.fetch(NAME)
    assert values(a) == {"accuracy": 0.8}


def test_lines_that_are_no_rows_stay(nodes):
    a, b = nodes
    fill(a, **{"results.jsonl": '{"metric": "asr", "value": 1.0}\n{"metric": "cut o\n'})
    a.push(NAME)
    b.fetch(NAME)
    assert content(b) == content(a)


class Killed(BaseException):
    pass


def test_a_push_killed_at_any_moment_is_there_wholly_or_not_at_all(nodes, store, tmp_path, monkeypatch):
    a, _ = nodes
    fill(a, **{"config.yaml": "old", "checkpoints/last.ckpt": "old"})
    rows(a).write([Row("accuracy", 0.1)])
    a.push(NAME)
    a.begin()
    fill(a, **{"config.yaml": "new", "checkpoints/last.ckpt": "new", "job.json": "{}"})
    rows(a).write([Row("accuracy", 0.2)])
    pipe, put = store.fs.pipe_file, store.fs.put_file
    before = ("old", "old", {"accuracy": 0.1})
    for moment in range(20):
        left = [moment]

        def write(kept, target, source, half, left=left):
            if left[0] == 0:
                half(target)  # a kill leaves the first half of it
                raise Killed
            left[0] -= 1
            kept(target, source) if kept == pipe else kept(source, target)

        monkeypatch.setattr(store.fs, "pipe_file", lambda t, c, w=write: w(pipe, t, c, lambda at: pipe(at, c[: len(c) // 2])))
        monkeypatch.setattr(store.fs, "put_file", lambda s, t, w=write: w(put, t, s, lambda at: pipe(at, b"n")))
        again = Replica(store, a.root)
        again._base = a._base
        try:
            again.push(NAME)
        except Killed:
            monkeypatch.undo()
            fresh = Replica(store, tmp_path / f"at{moment}")
            fresh.fetch(NAME)
            there = content(fresh)
            assert (there["config.yaml"], there["checkpoints/last.ckpt"], values(fresh)) == before
        else:
            break
    assert moment >= 4  # two files, the note, the rows, and the push that names them
    monkeypatch.undo()
    fresh = Replica(store, tmp_path / "end")
    fresh.fetch(NAME)
    assert (content(fresh)["config.yaml"], values(fresh)) == ("new", {"accuracy": 0.2})


def test_pushes_of_a_running_job_leave_the_last_one_alone(nodes, store):
    a, b = nodes
    for epoch in range(5):
        fill(a, **{"checkpoints/last.ckpt": f"epoch {epoch}"})
        a.push(NAME)
    assert len(store.fs.ls(f"{store.root}/{NAME}/pushes", detail=False)) == 1
    assert len(store.fs.ls(f"{store.root}/{NAME}/files", detail=False)) == 2
    b.fetch(NAME)
    assert content(b) == {"checkpoints/last.ckpt": "epoch 4"}


def test_a_later_attempt_counts_whoever_pushes_last(nodes):
    a, b = nodes
    fill(a, state="of the node that was thought lost")
    fill(b, state="of the second attempt")
    b.push(NAME, attempt=2)
    a.push(NAME, attempt=1)
    a.fetch(NAME)
    assert content(a) == {"state": "of the second attempt"}


def test_content_that_is_not_what_was_pushed_is_an_error(nodes, store):
    a, b = nodes
    fill(a, model="weights")
    a.push(NAME)
    (file,) = (f for f in store.fs.ls(f"{store.root}/{NAME}/files", detail=False) if store.fs.cat_file(f) == b"weights")
    store.fs.pipe_file(file, b"WEIGHTS")
    with pytest.raises(LostError, match="not what was pushed"):
        b.fetch(NAME)
    assert not (b.root / NAME / "model").exists()
    store.fs.rm_file(file)
    with pytest.raises(LostError, match="gone"):
        b.fetch(NAME)


def test_no_path_leads_out_of_a_run_folder(nodes, store):
    a, b = nodes
    fill(a, x="1")
    a.push(NAME)
    (push,) = store.fs.ls(f"{store.root}/{NAME}/pushes", detail=False)
    from robnas.study.store import checked, sealed

    inner = checked(store.fs.cat_file(push))
    inner["files"]["../../../out"] = inner["files"].pop("x")
    store.fs.pipe_file(push, sealed(inner))
    assert not b.fetch(NAME)
    assert not (b.root.parent / "out").exists()


def test_what_a_command_made_is_known_to_the_next_who_runs_it(store):
    assert store.known("abc") == []
    store.remember("abc", ["b/2", "a/1"])
    store.remember("abc", ["b/2", "a/1", "c/3"])
    assert store.known("abc") == ["a/1", "b/2", "c/3"]
    store.fs.pipe_file(f"{store.root}/.jobs/abc.json", b'{"content": "{}", "dig')
    assert store.known("abc") == []


FINISHED = json.dumps({"identity": "0123456789ab", "state": "finished"})


@pytest.mark.parametrize(("here", "there", "kept"), [(True, False, "here"), (False, True, "there"), (False, False, "there")])
def test_the_users_folder_and_the_store_share_what_is_finished(store, tmp_path, here, there, kept):
    user, node = Replica(store, tmp_path / "user", own=False), Replica(store, tmp_path / "node")
    for replica, finished, text in ((user, here, "here"), (node, there, "there")):
        fill(replica, model=text, **({"job.json": FINISHED} if finished else {}))
    rows(user).write([Row("asr", 0.1)])
    fill(user, mine="notes")
    node.push(NAME)
    node.begin()
    user.share(NAME)
    node.fetch(NAME)
    assert content(user)["model"] == content(node)["model"] == kept
    assert values(node) == values(user) == {"asr": 0.1}
    assert content(node)["mine"] == "notes"


def test_rows_of_the_users_own_stay_where_a_folder_comes_back(store, tmp_path):
    user, node = Replica(store, tmp_path / "user", own=False), Replica(store, tmp_path / "node")
    fill(node)
    rows(node).write([Row("accuracy", 0.9)])
    node.push(NAME)
    fill(user, mine="notes")
    rows(user).write([Row("asr", 0.1), Row("accuracy", 0.1)])
    user.fetch(NAME)
    assert values(user) == {"accuracy": 0.9, "asr": 0.1}
    assert content(user)["mine"] == "notes"


def test_a_store_that_is_none_is_said_in_one_line():
    with pytest.raises(UserError, match=re.compile(r"^--store s4://bucket: .*s4")):
        Store("s4://bucket")
