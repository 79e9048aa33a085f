"""Masking checks on rows made by hand: each contradiction is found, each thing that is none is left, and files are left as they were."""

import json
import os
import signal
import subprocess
import sys
import threading
from dataclasses import replace
from math import inf

import numpy as np
import pytest
from scipy.stats import binomtest

from robnas.attacks import masking_rows, masking_words
from robnas.attacks.masking import FLAGS, Trial, judge, mcnemar
from robnas.results import Row, Rows

N = 100
PGD = {"goal": "untargeted", "steps": 20, "n_restarts": 1, "step_size": 0.01, "max_inputs": N}


def trial(broken, plugin="pgd", access="white", norm="linf", distance=None, index=None, **params) -> Trial:
    """The first `broken` inputs broke, or those of a mask."""
    broken = np.arange(N) < broken if isinstance(broken, int) else broken
    index = np.arange(len(broken)) if index is None else index
    distance = np.full(len(broken), 0.01) if distance is None else distance
    params = {"eps": 0.1} | (PGD if plugin == "pgd" else {"goal": "untargeted"}) | params
    return Trial(Row("asr", float(broken.mean()), plugin=plugin, params=params, access=access, norm=norm), index, broken, distance)


def flags(*trials: Trial) -> list[list[str]]:
    """Of each."""
    found = judge(trials)
    return [[check for check, finding in found[t.row.key].items() if finding["flagged"]] for t in trials]


def made(*trials: Trial) -> list[set[str]]:
    found = judge(trials)
    return [set(found[t.row.key]) for t in trials]


@pytest.mark.parametrize(("worse", "better"), [(0, 0), (1, 0), (7, 0), (0, 7), (12, 5), (60, 40), (900, 1000)])
def test_the_test_is_mcnemars(worse, better):
    n = worse + better
    wanted = binomtest(worse, n, 0.5, alternative="greater").pvalue if n else 1.0
    assert mcnemar(worse, better) == pytest.approx(wanted, rel=1e-9)
    assert mcnemar(7, 0) == pytest.approx(1 / 128)


def test_success_that_falls_as_the_ball_grows():
    assert flags(trial(30, eps=0.1), trial(20, eps=0.2)) == [[], ["eps"]]
    assert flags(trial(20, eps=0.1), trial(30, eps=0.2)) == [[], []]
    assert made(trial(20, eps=0.1), trial(30, eps=0.2)) == [{"eps"}, {"eps"}]
    assert flags(trial(30, eps=0.1), trial(24, eps=0.2)) == [[], []]  # 6 inputs: p = 1/64
    assert flags(trial(30, eps=0.1), trial(23, eps=0.2)) == [[], ["eps"]]  # 7: p = 1/128
    other = np.arange(N) >= 70
    assert flags(trial(30, eps=0.1), trial(other, eps=0.2)) == [[], []]  # 30 each way


def test_what_is_not_the_same_attack_is_not_held_against_a_larger_ball():
    for more in ({"steps": 40}, {"goal": "most_likely"}, {"loss": "dlr"}, {"nested": True}, {"eot": 5}, {"step_size": 0.05}):
        assert "eps" not in made(trial(30, eps=0.1), trial(20, eps=0.2, **more))[1], more
    assert "eps" in made(trial(30, eps=0.1), trial(20, eps=0.2, step_size=0.02))[1]  # α grew as ε did
    assert "eps" in made(trial(30, eps=0.1), trial(20, eps=0.2, max_inputs=5, only_correct=False, control="twice_eps"))[1]
    assert "eps" not in made(trial(30, eps=0.1), trial(20, eps=0.2, norm="l2"))[1]


def test_more_of_anything_never_hurts():
    for more in ({"steps": 40}, {"n_restarts": 5}, {"steps": 21, "n_restarts": 2}):
        assert flags(trial(30), trial(20, **more)) == [[], ["steps"]], more
    assert made(trial(30), trial(20, steps=40, n_restarts=0)) == [set(), set()]  # more of one, less of the other
    few, many = (trial(k, "square", "score", n_queries=n, steps=n) for k, n in ((40, 100), (30, 200)))
    assert flags(few, many) == [[], ["steps"]]


def test_without_a_bound_nothing_may_stand():
    wide = trial(N - 1, eps=1.0, step_size=0.1)
    assert flags(wide, trial(30)) == [["unbounded"], ["unbounded"]]
    assert flags(trial(N, eps=1.0, step_size=0.1), trial(30)) == [[], []]
    assert "unbounded" in made(trial(N, eps=1.0, step_size=0.1), trial(30))[1]
    assert flags(wide, trial(30, steps=40)) == [["unbounded"], []]  # another effort
    assert "unbounded" not in made(trial(N - 1, "noise", "label", eps=1.0))[0]
    far = trial(N - 1, norm="l2", eps=inf)
    assert flags(far, trial(30, norm="l2")) == [["unbounded"], ["unbounded"]]


def test_a_black_box_may_not_break_more():
    black = trial(60, "square", "score")
    assert flags(trial(50), black) == [["black box"], []]
    assert flags(trial(60), black) == [[], []]
    assert made(trial(50, eps=0.2), black)[0] == set()
    assert made(trial(50, goal="most_likely"), black)[0] == set()
    assert made(trial(50, confidence=0.99), black)[0] == set()
    assert made(trial(50, norm="l2"), black)[0] == set()
    assert flags(trial(50), trial(60, "apgd", "white")) == [[], []]  # two white boxes: no order is known


def test_the_nearest_image_by_labels_is_held_against_every_radius():
    near = trial(N, "hopskipjump", "label", eps=inf, distance=np.linspace(0.01, 1, N))  # the first 30 within 0.3
    assert flags(trial(22, eps=0.3), near) == [["black box"], []]
    assert flags(trial(24, eps=0.3), near) == [[], []]
    assert flags(trial(0, eps=0.05), near) == [[], []]  # 5 inputs are too few
    found = judge([trial(22, eps=0.3), near])
    assert next(iter(found.values()))["black box"]["worse"] == 8


def test_noise_is_weaker_than_all():
    noise = trial(10, "noise", "label")
    assert flags(trial(9), noise) == [["noise"], []]
    assert flags(trial(10), noise) == [["noise"], []]
    assert flags(trial(16), noise) == [["noise"], []]  # 6 more
    assert flags(trial(17), noise) == [[], []]
    assert flags(trial(4), trial(4, "noise", "label")) == [[], []]  # too little to tell
    assert flags(trial(N), trial(95, "noise", "label")) == [[], []]  # nothing left to be better on
    assert flags(trial(60), trial(95, "noise", "label")) == [["noise"], []]
    assert flags(trial(12, "square", "score"), noise) == [[], []]  # a black box with few queries may be no better
    assert flags(trial(3, "square", "score"), noise) == [["noise"], []]
    near = trial(N, "hopskipjump", "label", eps=inf, distance=np.linspace(0.01, 1, N))
    assert flags(near, trial(20, "noise", "label", eps=0.1)) == [["noise"], []]  # 10 within 0.1, noise found 20
    assert flags(near, trial(20, "noise", "label", eps=0.2)) == [[], []]


def test_only_inputs_that_both_attacked_are_compared():
    few = trial(np.ones(20, dtype=bool), "square", "score", index=np.arange(60, 80))
    found = judge([trial(70), few])
    assert next(iter(found.values()))["black box"] == {
        "against": "square",
        "n": 20,
        "worse": 10,
        "better": 0,
        "p": 0.000977,
        "flagged": True,
    }
    assert made(trial(70), trial(np.ones(20, dtype=bool), "square", "score", index=np.arange(500, 520)))[0] == set()


def test_inputs_that_were_wrong_before_are_not_compared():
    """With `only_correct: false` noise breaks them as well as anything."""
    every, wrong, right = np.ones(N, dtype=bool), np.arange(N) < 50, np.arange(N) >= 50
    outcomes = {"index": np.arange(N), "eligible": every, "errored": ~every, "correct": right, "label": np.zeros(N, dtype=int)}
    outcomes["distance"] = np.zeros(N)
    weak, noise = trial(0), trial(0, "noise", "label")
    found = judge(Trial.of(t.row, outcomes | {"success": wrong}) for t in (weak, noise))
    assert found[weak.row.key]["noise"] == {"against": "noise", "n": 50, "worse": 0, "better": 0, "p": 1.0, "flagged": False}
    errored = Trial.of(weak.row, outcomes | {"success": wrong, "errored": np.arange(N) < 60})
    assert errored.index.tolist() == list(range(60, N))


def test_other_images_under_the_same_numbers_are_not_compared():
    strong, weak = trial(50), trial(60, "square", "score")
    label = np.arange(N) % 10
    assert made(replace(strong, label=label), replace(weak, label=label)) == [{"black box"}, set()]
    assert made(replace(strong, label=label), replace(weak, label=label[::-1])) == [set(), set()]


def test_the_most_telling_of_several_is_kept():
    found = judge([trial(50), trial(60, "square", "score"), trial(70, "nes", "score"), trial(40, "hop", "score")])
    assert next(iter(found.values()))["black box"]["against"] == "nes"


# Rows on disk


def store(folder, *rows: tuple[Row, np.ndarray]) -> Rows:
    out = Rows(folder / "results.jsonl")
    for n, (row, broken) in enumerate(rows):
        eligible, none = np.ones(len(broken), dtype=bool), np.zeros(len(broken), dtype=bool)
        arrays = {"index": np.arange(len(broken)), "success": broken, "eligible": eligible, "errored": none, "correct": eligible}
        arrays["label"] = np.arange(len(broken)) % 10
        name = out.write_outcomes(f"{row.plugin}-{n}", arrays | {"distance": np.where(broken, 0.01, np.inf)})
        changed = [Row(**{**vars(row), "metric": m, "outcomes": name}) for m in ("asr", "robust_accuracy", "clean_accuracy")]
        out.write(changed)
    return out


def row(victim="a", plugin="pgd", access="white", flags=(), **params) -> Row:
    params = {"eps": 0.1} | (PGD if plugin == "pgd" else {"goal": "untargeted"}) | params
    common = {"job": "j", "victim": victim, "dataset": "digits", "attack_seed": 0, "norm": "linf"}
    return Row("asr", 0.5, plugin=plugin, access=access, params=params, flags=list(flags), **common)


def masked(folder, **kwargs) -> Rows:
    weak, strong = np.arange(N) < 50, np.arange(N) < 70
    return store(folder, (row(**kwargs), weak), (row(plugin="square", access="score"), strong), (row(victim="b"), weak))


def test_rows_of_the_victim_say_it_and_all_else_stays(tmp_path):
    rows = masked(tmp_path, flags=["random"])
    text = rows.path.read_text()
    theirs = '{"job": "other", "metric": "asr", "value": 0.25, "unknown": [1,  2]}'
    old = json.loads(text.splitlines()[0])
    old["params"]["goal"], old["newer"] = "most_likely", {"a": 1}
    del old["flags"], old["checks"]
    torn = '{"job": "j", "metr'
    rows.path.write_text(f"{theirs}\n{json.dumps(old)}\n{text}{torn}\n")
    before = rows.path.read_text().splitlines()
    with pytest.warns(UserWarning, match="cannot be read"):
        said = masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    after = rows.path.read_text().splitlines()
    changed = [i for i, (a, b) in enumerate(zip(before, after, strict=True)) if a != b]
    assert changed == [2, 3]  # asr and robust accuracy of pgd; not clean accuracy, square, the other victim, the old row
    for i in changed:
        now, then = json.loads(after[i]), json.loads(before[i])
        assert now["flags"] == ["random", "weaker than black box"]
        assert now["checks"]["black box"] == {"against": "square", "n": N, "worse": 20, "better": 0, "p": 9.54e-07, "flagged": True}
        assert {k: v for k, v in now.items() if k not in ("flags", "checks")} == {
            k: v for k, v in then.items() if k not in ("flags", "checks")
        }
    stamp = rows.path.stat()
    with pytest.warns(UserWarning, match="cannot be read"):
        assert masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)]) == said
    assert (rows.path.stat().st_mtime_ns, rows.path.stat().st_ino) == (stamp.st_mtime_ns, stamp.st_ino)  # nothing new: not written


def test_a_flag_goes_when_its_reason_does(tmp_path):
    rows = masked(tmp_path, flags=["random"])
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    rows.path.write_text("".join(f"{line}\n" for line in rows.path.read_text().splitlines() if "square" not in json.loads(line)["plugin"]))
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert [(r.flags, r.checks) for r in rows.read()] == [(["random"], {})] * 3 + [([], {})] * 3


def test_without_outcomes_no_check_is_made(tmp_path):
    rows = masked(tmp_path)
    for file in (tmp_path / "outcomes").glob("square*"):
        file.write_bytes(b"torn")
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert all(not r.flags and not r.checks for r in rows.read())


@pytest.mark.parametrize("part", [0.0, 0.01, 0.3, 0.6, 0.9, 0.99])
def test_a_file_that_is_cut_or_changed_is_as_if_gone(tmp_path, part):
    rows = masked(tmp_path)
    (file,) = (tmp_path / "outcomes").glob("square*")
    whole = file.read_bytes()
    n = int(part * len(whole))
    for content in (whole[:n], whole[:n] + bytes(64) + whole[n + 64 :]):
        file.write_bytes(content)
        masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
        assert all(not r.flags for r in rows.read() if r.plugin == "pgd") or content == whole


@pytest.mark.parametrize("odd", [{"eps": [0.1, 0.2]}, {"eps": "many"}, {"eps": None}, {"step_size": "inf"}, {"n_queries": "1,000"}])
def test_what_others_wrote_into_params_stops_nothing(tmp_path, odd):
    weak, strong = np.arange(N) < 50, np.arange(N) < 70
    rows = store(tmp_path, (row(), weak), (row(plugin="square", access="score"), strong), (row(**odd), weak), (row(**odd, more=1), weak))
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert rows.read()[0].flags == ["weaker than black box"]


def test_nobody_writes_between_judging_and_amending(tmp_path):
    """A command that ends while another's rows are judged waits, and then sees both."""
    rows = masked(tmp_path)
    other = threading.Thread(target=rows.write, args=([row(plugin="apgd")],))

    def judge_slowly():
        other.start()
        other.join(0.3)
        assert other.is_alive()
        return {r.key: {"flags": ["x"]} for r in rows.read()}

    rows.amend(judge_slowly)
    other.join()
    assert [r.flags for r in rows.read()] == [["x"]] * 9 + [[]]


def test_lines_that_are_no_text_stay_byte_for_byte(tmp_path):
    rows = masked(tmp_path)
    theirs = b'\xff\xfe caf\xe9 {"metric":\r\n'
    rows.path.write_bytes(theirs + rows.path.read_bytes())
    with pytest.warns(UserWarning, match="line 1 cannot be read"):
        masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert rows.path.read_bytes().startswith(theirs)
    rows.write([row(plugin="apgd")])
    assert rows.path.read_bytes().startswith(theirs)


def test_what_an_ensemble_left_is_not_compared(tmp_path):
    strong = np.ones(N, dtype=bool)
    rows = store(tmp_path, (row(), np.arange(N) < 50), (row(plugin="square", access="score", after=["apgd_ce"]), strong))
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert all(not r.checks for r in rows.read())


def test_killed_while_it_writes_the_file_is_whole(tmp_path):
    rows = masked(tmp_path)
    before = rows.path.read_text()
    program = f"""
import os, signal, sys
from pathlib import Path
from robnas.attacks import masking_rows
from robnas.results import Rows
os.fsync = lambda handle: os.kill(os.getpid(), signal.SIGKILL)
masking_rows.bring_up_to_date(Rows({str(rows.path)!r}), [("j", "a", "digits", 0)])
"""
    ended = subprocess.run([sys.executable, "-c", program], env=os.environ, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert rows.path.read_text() == before
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    assert [r.flags for r in rows.read()][:2] == [["weaker than black box"]] * 2


# In words

MAKES = "masking.yaml makes them of the attack that it is given."


def test_what_is_found_and_what_was_not_looked_at_is_said(tmp_path):
    rows = masked(tmp_path, flags=["random"])
    masking_rows.bring_up_to_date(rows, [("j", "a", "digits", 0)])
    said = masking_words.said(rows.read()[:6])
    assert said == [
        "pgd: the model answers the same input differently each time (dropout left on?): numbers vary, and attacks need `eot`.",
        "pgd at ε = 25.5/255: weaker than black box (square) on 20 inputs, p = 9.5e-07; gradients may be masked.",
        "Masking checks not made of pgd: eps, unbounded, steps, noise; square: eps, steps, noise. " + MAKES,
    ]
    both = masking_words.said(Row(**(vars(r) | {"model": "net" + r.victim})) for r in rows.read())
    assert both[0].startswith("neta: pgd")
    assert both[-1] == f"netb: Masking checks not made of pgd: eps, unbounded, steps, black box, noise. {MAKES}"


def judged(plugin="pgd", outcomes="", flags=(), **params) -> Row:
    finding = {"against": "noise", "n": 9, "worse": 8, "better": 1, "p": 0.5, "flagged": True}
    made_row = row(plugin=plugin, flags=flags, **params)
    return Row(**(vars(made_row) | {"checks": {"noise": finding}, "outcomes": f"outcomes/{outcomes or plugin}-1.npz"}))


def test_controls_are_named_only_where_nothing_is_said_of_the_attack_itself():
    itself, twice = (judged(outcomes=f"masking.{k}", control=k) for k in ("itself", "twice_steps"))
    why = "no better than noise (noise): 1 inputs are broken by the attack alone, 8 by noise alone; gradients may be masked."
    for rows, who in (([judged(), itself, twice], "pgd"), ([itself, twice], "masking.itself"), ([twice], "masking.twice_steps")):
        assert masking_words.said(rows)[0] == f"{who} at ε = 25.5/255: {why}"
        assert sum("noise alone" in line for line in masking_words.said(rows)) == 1
    other = judged("square", control="twice_eps")
    assert sum("square at" in line for line in masking_words.said([judged(), other])) == 1  # of another attack
    two = [judged(outcomes="pgd"), judged(outcomes="mine", loss="dlr")]
    assert masking_words.said(two)[0] == f"pgd at ε = 25.5/255; mine at ε = 25.5/255: {why}"  # the same is said once
    flat = [judged(outcomes=f"masking.{k}", control=k, flags=["no gradient"]) for k in ("itself", "twice_steps")]
    assert masking_words.said([*flat, judged()])[0] == "masking: " + masking_words.SAYS["no gradient"] + "."


def test_what_is_there_for_others_misses_nothing():
    assert masking_words.said([row(eps=1.0), row(plugin="noise", access="label")]) == []
    assert masking_words.said([row(eps=0.5)]) != []


def test_every_flag_has_its_words():
    assert len(set(FLAGS.values())) == len(FLAGS) == 5
    for check, flag in FLAGS.items():
        finding = {"against": "x", "n": 9, "worse": 8, "better": 1, "p": 0.004, "standing": 3, "flagged": True}
        line = masking_words.said([Row(**(vars(row()) | {"checks": {check: finding}, "flags": [flag]}))])[0]
        assert line.startswith(f"pgd at ε = 25.5/255: {flag}"), line
        assert line.endswith("gradients may be masked."), line
