"""W&B is never in the way: no account, no network, a server that never answers, or no W&B at all."""

import json
import socket
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from robnas.runtime import wandb_logger
from robnas.runtime.wandb_logger import GRACE, Wandb
from robnas.runtime.wandb_process import ended, follow


def log_a_run(folder, mode="offline"):
    """→ seconds for all of it; what any run would do."""
    start = time.monotonic()
    logger = Wandb(folder, mode, "label", {"model": {"layers": 5}})
    logger.log_hyperparams({})
    for step in range(50):
        logger.log_metrics({"loss": step / 50}, step)
    logger.log_table("rows", ["a", "b"], [[1, "x"], [2, "y"]])
    logger.finalize("success")
    return time.monotonic() - start


@pytest.fixture(autouse=True)
def nobody(tmp_path, monkeypatch):
    """No account, no settings of whoever runs the tests."""
    for name in ("WANDB_API_KEY", "WANDB_MODE", "WANDB_PROJECT", "WANDB_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.fixture
def silent_server():
    """Takes connections, and never says a word."""
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen(16)
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@pytest.fixture
def patient(monkeypatch):
    """A busy machine takes longer than a user should wait; what is said, and kept, is tested here, not how soon."""
    monkeypatch.setattr(wandb_logger, "GRACE", 120.0)


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_offline_keeps_a_run_on_the_disk_without_a_word(tmp_path, capfd):
    folder = tmp_path / "darts" / "0123456789ab"
    log_a_run(folder)
    assert capfd.readouterr() == ("", "")
    kept = list((folder / "wandb").glob("offline-run-*-0123456789ab/run-0123456789ab.wandb"))
    assert len(kept) == 1
    content = kept[0].read_bytes()
    assert all(word in content for word in (b"loss", b"label", b"darts", b"layers", b"rows"))


@pytest.mark.slow
@pytest.mark.usefixtures("patient")
def test_online_without_an_account_asks_nothing_and_is_kept_offline(tmp_path, capfd):
    log_a_run(tmp_path / "x" / "0123456789ab", "online")
    complaint = capfd.readouterr().err
    assert complaint.startswith("W&B: kept offline: ")
    assert complaint.count("\n") == 1
    assert list((tmp_path / "x" / "0123456789ab" / "wandb").glob("offline-run-*"))


@pytest.mark.slow
def test_a_server_that_never_answers_delays_a_run_by_no_more_than_the_grace(tmp_path, monkeypatch, capfd, silent_server):
    monkeypatch.setenv("WANDB_BASE_URL", silent_server)
    monkeypatch.setenv("WANDB_API_KEY", "a" * 40)
    assert log_a_run(tmp_path / "x" / "0123456789ab", "online") < GRACE + 1
    assert capfd.readouterr().err.count("\n") == 1


def test_logging_costs_no_time_while_the_run_goes(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_logger.subprocess, "Popen", lambda *a, **k: Never())
    logger = Wandb(tmp_path / "x" / "a")
    start = time.monotonic()
    for step in range(200):
        logger.log_metrics({"loss": 0.5}, step)
    assert time.monotonic() - start < 0.5  # 2.5 ms for a step that logs


def test_pictures_may_be_files_arrays_or_images(tmp_path, monkeypatch):
    monkeypatch.setattr(wandb_logger.subprocess, "Popen", lambda *a, **k: Never())
    logger = Wandb(tmp_path / "x" / "a")
    array = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    Image.fromarray(array).save(tmp_path / "there.png")
    logger.log_image("some", [array, Image.fromarray(array), tmp_path / "there.png"], caption=["a", "b", "c"])
    (events,) = (tmp_path / "x" / "a" / "wandb").glob("events-*.jsonl")
    event = json.loads(events.read_text().splitlines()[-1])
    assert (event["key"], event["captions"], len(set(event["paths"]))) == ("some", ["a", "b", "c"], 3)
    assert all(np.array_equal(np.asarray(Image.open(path)), array) for path in event["paths"])


def test_what_cannot_be_logged_is_one_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(wandb_logger.subprocess, "Popen", lambda *a, **k: Never())
    for n, bad in enumerate(
        [
            lambda logger: logger.log_image("x", [object()]),
            lambda logger: logger.log_metrics({"loss": "high"}),
            lambda logger: logger.log_table("x", ["a"], [None]),
        ]
    ):
        logger = Wandb(tmp_path / "x" / str(n))
        bad(logger)
        bad(logger)
        complaint = capsys.readouterr().err
        assert complaint.startswith("W&B: ")
        assert complaint.count("\n") == 1


class Never:
    def poll(self):
        return None


def test_a_folder_that_cannot_be_written_is_one_warning(tmp_path, capsys):
    (tmp_path / "x").write_text("a file where the folder should be")
    logger = Wandb(tmp_path / "x")
    for step in range(3):
        logger.log_metrics({"loss": 0.5}, step)
    logger.finalize("success")
    complaint = capsys.readouterr().err
    assert complaint.startswith("W&B: ")
    assert complaint.count("\n") == 1


def test_a_process_that_fails_is_one_warning(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(sys, "executable", "/bin/false")
    assert log_a_run(tmp_path / "x" / "a") < 1
    assert capsys.readouterr().err.startswith("W&B: its process ended with status 1, see ")


def test_events_are_followed_to_the_last_whole_line_of_a_process_that_is_gone(tmp_path):
    path = tmp_path / "events.jsonl"
    path.write_text('{"kind": "metrics"}\n{"kind": "images"}\n{"kind": "cut')
    assert [e["kind"] for e in follow(path, parent=-1, pause=0.0)] == ["metrics", "images"]
    assert not ended(path)
    path.write_text(json.dumps({"kind": "end", "code": 0}) + "\n")
    assert ended(path)
    assert ended(Path("nowhere"))
