"""Before the first job: flags that no class knows."""

import json
import subprocess
from pathlib import Path

import pytest
from test_study_file import study

from robnas.errors import UserError
from robnas.study import graph, keys, preflight


def planned(**changed):
    return graph.plan(study(**{"searches": {}, "probes": {}, "models": ["darts"]} | changed), "some.yaml", Path("runs/some"), "").jobs


ATTACKS = {
    "pgd": {"config": "pgd.yaml", "flags": {"attacks.pgd.max_inputs": 3}},
    "trojannn": {"config": "trojannn.yaml", "flags": {"init_from": "{run}"}},
    "steal": {"config": "knockoff.yaml", "flags": {"attacks.knockoff.victim": "{run}"}},
}


def test_what_a_study_can_say_is_known():
    jobs = {job.id: job for job in planned(attacks=ATTACKS)}
    for job in jobs.values():
        keys.check(job.argv, jobs[job.needs[0]].argv if job.needs else None)


@pytest.mark.parametrize(
    ("block", "flag", "said"),
    [
        ("pgd", "attacks.pgd.stepz", "unknown key of attacks.pgd (PGD) 'stepz'. Did you mean 'steps'"),
        ("trojannn", "model.lr", "unknown key of model (Classifier) 'lr'"),
        ("steal", "data.btch", "unknown key of data (Digits) 'btch'"),
        ("steal", "trainer.max_epoch", "unknown key of trainer (Trainer) 'max_epoch'. Did you mean 'max_epochs'"),
    ],
)
def test_a_misspelt_one_is_not(block, flag, said):
    flags = ATTACKS[block]["flags"] | {flag: 3}
    jobs = {job.id: job for job in planned(attacks={block: ATTACKS[block] | {"flags": flags}})}
    with pytest.raises(UserError) as error:
        keys.check(jobs[f"attack/darts/0/{block}"].argv, jobs["train/darts/0/clean"].argv)
    assert said in str(error.value)


def test_each_kind_of_command_is_looked_at_once_and_not_again(tmp_path, monkeypatch):
    asked, answer = [], {"id": "x", "said": "unknown key"}

    def process(*words, input, **kept):
        asked.append([job["id"] for job in json.loads(input)])
        return subprocess.CompletedProcess(words, 0, f"loading\n{json.dumps(answer)}\n")

    monkeypatch.setattr(preflight.subprocess, "run", process)
    jobs = planned(attacks=ATTACKS)
    with pytest.raises(UserError, match="x: unknown key"):
        preflight.check(jobs, tmp_path)
    answer = None
    preflight.remember(tmp_path, preflight.check(jobs, tmp_path))
    preflight.remember(tmp_path, preflight.check(jobs, tmp_path))
    preflight.check(planned(attacks=ATTACKS | {"pgd": {"config": "pgd.yaml", "flags": {"attacks.pgd.max_inputs": 5}}}), tmp_path)
    assert asked == 2 * [["train/darts/0/clean", "attack/darts/0/pgd", "attack/darts/0/trojannn", "attack/darts/0/steal"]]
    preflight.check(planned(attacks={"pgd": {"config": "pgd.yaml", "flags": {"attacks.pgd.steps": 5}}}), tmp_path)
    assert len(asked) == 3


@pytest.mark.slow
def test_another_process_looks(tmp_path):
    with pytest.raises(UserError, match=r"attack/darts/0/pgd: unknown key of attacks.pgd"):
        preflight.check(planned(attacks={"pgd": {"config": "pgd.yaml", "flags": {"attacks.pgd.stepz": 5}}}), tmp_path)
    assert preflight.check(planned(attacks=ATTACKS), tmp_path)
