"""The paper's claims as tests of made-up rows, whose truth is known."""

import numpy as np
import pytest

from made_rows import FAMILY, MANUAL, NAS, PGD, Made, everything
from robnas.report.claims import catalogue, judge, settings, vulnerabilities
from robnas.report.claims_table import exhibits, untested
from robnas.report.collected import Collected
from robnas.report.finding import sentences
from robnas.report.samples import Samples
from robnas.report.verdicts import DOES_NOT, HOLDS, NOT_BROKEN, UNKNOWN, Verdict, corrected


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    return everything(Made(tmp_path_factory.mktemp("study"), NAS + MANUAL)).collected()


@pytest.fixture(scope="module")
def verdicts(study):
    return judge(study)


def of(verdicts, key):
    return [v.verdict for v in verdicts if v.key == key]


def test_every_claim_is_there(verdicts):
    assert list(dict.fromkeys(v.key for v in verdicts)) == [claim.key for claim in catalogue()[0]]
    assert {claim.remark for claim in catalogue()[0]} >= {"Remark 1", "Remark 2", "Remark 3", "Remark 4", "Theorem 1", "Mitigation"}


def test_what_was_put_in_is_found(verdicts):
    """made_rows: NAS models break 15 points more, are stolen better, lose less by flipped labels; members are farther from the boundary."""
    assert of(verdicts, "evasion") == [HOLDS, HOLDS]
    assert of(verdicts, "stealing") == of(verdicts, "backdoor") == of(verdicts, "membership") == of(verdicts, "connected") == [HOLDS]
    assert of(verdicts, "poisoning") == of(verdicts, "nearer") == [DOES_NOT]
    assert of(verdicts, "spread-evasion") == [UNKNOWN, UNKNOWN]
    assert of(verdicts, "convergence") == of(verdicts, "theorem-1") == [UNKNOWN]


def test_the_gap_is_the_difference_of_families_over_models(study, verdicts):
    rows = study.select(plugin="pgd", metric="asr", params={"goal": "least_likely", "eps": PGD["eps"]})
    by_model = {m: np.mean([f.value for f in rows if f.model == m]) for m in NAS + MANUAL}
    gap = np.mean([by_model[m] for m in NAS]) - np.mean([by_model[m] for m in MANUAL])
    found = next(v for v in verdicts if v.what == "PGD, least likely" and v.key == "evasion")
    assert found.value == pytest.approx(gap)
    assert (found.models, found.unit, found.reduced) == ("10 NAS, 7 manual", "points", "Digits")
    assert found.adjusted >= found.p


def test_a_sweep_is_a_mean_over_it_and_without_the_image_that_is_all_allowed(study):
    sample = Samples(study).of(catalogue()[1]["pgd_eps"])["digits", "paper"]
    rows = [f for f in study.select(plugin="pgd", metric="asr", params={"goal": "untargeted"}) if f.model == "vgg"]
    assert len(rows) == 6
    assert sample.values["VGG"][0] == pytest.approx(np.mean([f.value for f in rows if f.params["eps"] < 0.5]))


def test_a_theft_counts_for_its_victim(study):
    samples = Samples(study)
    same = samples.of(catalogue()[1]["knockoff"])["digits", "paper"]
    assert set(same.families.values()) == {"nas", "manual"}
    assert len(same.values) == 17
    other = samples.of(catalogue()[1]["knockoff_other"])["digits", "paper"]
    assert len(other.values) == 4
    assert all(v == pytest.approx(0) for values in other.values.values() for v in values)  # all replicas do alike


def test_ways_of_attack_count_alike(study):
    samples = Samples(study)
    assert settings(samples) == [("digits", "paper")]
    ways = [one.measure.of for one in vulnerabilities(samples, ("digits", "paper"))]
    assert ways == ["white box", "black box", "poisoning", "backdoor", "stealing", "membership"]


def test_the_finding_has_its_interval(study, verdicts):
    first, *rest = sentences(study, verdicts)
    assert first.startswith("NAS models are more vulnerable than manual ones: the NAS model is the more vulnerable one in ")
    assert "10 NAS and 7 manual architectures" in first
    assert any("At reduced size (Digits)" in sentence for sentence in rest)


def test_hardened_cells_are_no_sample_of_what_search_makes(tmp_path):
    made = Made(tmp_path, (*NAS[:4], "darts_iii", *MANUAL[:4]))
    for model, seed, dataset, share in made.each():
        made.add(model, seed, dataset, "asr", share, plugin="pgd", norm="linf", params=PGD)
    verdicts = judge(made.collected())
    assert [v.models for v in verdicts if v.key == "evasion"] == ["4 NAS, 4 manual"]
    mitigated = [v for v in verdicts if v.key == "mitigated"]
    assert mitigated[0].few.startswith("too few models: 1 DARTS-iii, 1 DARTS")


def test_two_models_are_too_few_and_nobody_says_otherwise(tmp_path):
    collected = everything(Made(tmp_path, ("darts", "resnet"))).collected()
    verdicts = judge(collected)
    assert {v.verdict for v in verdicts if v.key not in ("shallow", "wide", "skips")} == {UNKNOWN}
    assert "too few models: 1 NAS, 1 manual" in next(v.why for v in verdicts if v.key == "evasion")
    assert sentences(collected, verdicts)[0].startswith("Whether NAS made models easier to break cannot be said")


def test_no_rows_at_all(tmp_path):
    verdicts = judge(Collected.read(tmp_path))
    assert sentences(Collected.read(tmp_path), verdicts)[0].startswith("No attack has been made yet")
    assert exhibits(verdicts) == []
    assert len(untested(verdicts)) == len(catalogue()[0])


def test_tables_have_every_claim_and_every_test(verdicts):
    glance, full, cells = (exhibit.table for exhibit in exhibits(verdicts))
    assert glance.columns == ("claim", "where", "Digits, paper")
    assert glance.rows[0][2].startswith("✓ holds†: +1")
    made = [v for v in verdicts if v.value is not None]
    assert len(full.rows) + len(cells.rows) == len(made) < len(verdicts), "what came to no number is folded away"
    assert len(glance.rows) + len(cells.rows) + len(untested(verdicts)) == len(catalogue()[0])
    assert not any("published cells" in str(row[0]) for row in glance.rows), "they are no test of this study's rows"
    assert exhibits(verdicts, daggers=False)[0].table.rows[0][2].startswith("✓ holds: +1")
    assert all(len(row) == len(full.columns) for row in full.rows)


def test_published_cells_are_in_no_count_of_a_study(study, verdicts):
    (cells,) = {v.tests for v in verdicts if v.of_data}
    assert cells == 3
    assert {v.tests for v in verdicts if not v.of_data} == {sum(v.p is not None and not v.saturated for v in verdicts if v.made)}
    (said,) = [text for text in sentences(study, verdicts) if text.startswith("Of the paper's claims")]
    assert f" {sum(v.made for v in verdicts)} tests could be made" in said


def test_without_nas_models_nothing_is_said_of_published_cells(tmp_path):
    assert not any(v.of_data for v in judge(everything(Made(tmp_path, ("resnet",))).collected()))


def judged(low, high, p, tests=1, matters=0.05, sign=1, **more):
    v = Verdict(
        "k",
        "w",
        ("d", "p"),
        sign,
        (low + high) / 2,
        low,
        high,
        "points",
        p,
        adjusted=min(1.0, p * tests),
        tests=tests,
        matters=matters,
        **more,
    )
    return v.verdict


def test_verdicts_by_hand():
    assert judged(0.01, 0.20, 0.01) == HOLDS
    assert judged(-0.20, -0.01, 0.01) == DOES_NOT
    assert judged(-0.20, -0.01, 0.01, sign=-1) == HOLDS
    assert judged(-0.02, 0.04, 0.6) == DOES_NOT  # no room for 5 points
    assert judged(-0.02, 0.06, 0.3) == UNKNOWN
    assert judged(0.01, 0.20, 0.01, tests=10) == UNKNOWN  # after Holm it is no finding
    assert judged(0.01, 0.04, 0.01) == HOLDS  # small, but shown
    assert judged(0.01, 0.20, 0.01, saturated="all broken") == UNKNOWN


def test_holm_goes_over_all_tests_but_those_without_room():
    made = [
        Verdict("a", "", ("", ""), p=0.01),
        Verdict("b", "", ("", ""), p=0.02),
        Verdict("c", "", ("", ""), p=1.0, saturated="x"),
        Verdict("d", "", ("", "")),
    ]
    assert [v.adjusted for v in corrected(made)] == [0.02, 0.02, None, None]


def test_four_models_of_each_cannot_survive_many_tests_and_are_told_how_many_could():
    v = Verdict("k", "w", ("d", "p"), 1, 0.1, 0.01, 0.2, "points", 2 / 70, adjusted=0.6, tests=20, matters=0.05, smallest=4)
    assert (v.verdict, v.why) == (UNKNOWN, "p = 0.029 by itself, 0.6 among 20 tests; 6 models of each family could do")


def test_one_input_on_which_the_theorem_is_broken_is_enough(tmp_path):
    for broken, verdict in ((0.0, NOT_BROKEN), (0.25, DOES_NOT)):
        made = Made(tmp_path / str(broken), NAS[:4])
        for model in made.models:
            value = broken if model == "darts" else 0.0
            made.add(model, 0, "Digits", "theorem_1_broken", value, n=16, kind="probe", plugin="smoothness", params={"at": "test"})
        found = next(v for v in judge(made.collected()) if v.key == "theorem-1")
        assert (found.verdict, found.p, found.adjusted) == (verdict, None, None)
        assert f"broken on {round(16 * broken)} of 64 inputs" in found.note


def test_each_search_is_one_model_of_its_variant(tmp_path):
    made = Made(tmp_path, ("darts",))
    for seed in range(5):
        for n_step, depth in ((1, 2.0 + seed % 2), (5, 4.0 + seed % 2)):
            params = {"n_step": n_step, "gamma": 1.0}
            more = {"kind": "search", "plugin": "darts", "search_seed": seed, "run": f"s{n_step}{seed}", "experiment": "search"}
            made.add("darts", seed, "Digits", "normal/depth", depth, params=params, ci=None, **more)
    found = next(v for v in judge(made.collected()) if v.key == "deeper")
    assert (found.value, found.models, found.p) == (pytest.approx(2), "5 DARTS-i, 5 DARTS", pytest.approx(2 / 252))
    assert found.verdict == HOLDS


def test_two_orders_of_magnitude_are_asked_of_the_interval(tmp_path):
    for factor, verdict in ((1000, HOLDS), (10, DOES_NOT)):
        made = Made(tmp_path / str(factor), (*NAS[:5], *MANUAL[:5]))
        for k, model in enumerate(made.models):
            value = (1 + k % 5 / 10) * (1 if FAMILY[model] == "nas" else factor)
            params = {"at": "fit_start", "initialisation": "kaiming"}
            made.add(model, 0, "Digits", "gradient_variance", value, kind="probe", plugin="gradientvariance", params=params)
        found = next(v for v in judge(made.collected()) if v.key == "variance-before")
        assert found.verdict == verdict
        assert 10**-found.value == pytest.approx(factor)


def test_inputs_that_break_half_of_a_family_are_compared_on_the_same_inputs(tmp_path):
    """Of 40 inputs 30 break half of the NAS models or more and 10 of the manual ones, all of them among the 30: McNemar's p is 2 / 2²⁰."""
    made = Made(tmp_path, (*NAS[:3], *MANUAL[:2]))
    for model in made.models:
        success = np.arange(40) < (10 if FAMILY[model] == "manual" else 0 if model == NAS[0] else 30)
        outcomes = {"index": np.arange(40), "label": np.zeros(40, int), "eligible": np.ones(40, bool), "errored": np.zeros(40, bool)}
        params = {**PGD, "eps": 4 / 255}
        made.add(model, 0, "Digits", "asr", 0.5, plugin="pgd", norm="linf", params=params, outcomes={**outcomes, "success": success})
    found = next(v for v in judge(made.collected()) if v.key == "shared-inputs")
    assert (found.value, found.p) == (pytest.approx(0.5), pytest.approx(2 / 2**20))
    assert (found.models, found.stand_in, found.verdict) == ("3 NAS, 2 manual", False, HOLDS)


def test_what_adversarial_training_costs_and_leaves_is_compared_between_families(tmp_path):
    made = Made(tmp_path, (*NAS[:6], *MANUAL[:6]))
    for k, model in enumerate(made.models):
        worse, at = (0.2 if FAMILY[model] == "nas" else 0.0) + 0.01 * (k % 6), {"run": "hard", "experiment": "adversarial"}
        made.add(model, 0, "Digits", "accuracy", 0.95, kind="train", plugin="accuracy", params={"members": 1.0})
        made.add(model, 0, "Digits", "accuracy", 0.9 - worse, kind="train", plugin="accuracy", params={"method": "pgd"}, **at)
        made.add(
            model, 0, "Digits", "asr", 0.2 + worse, plugin="pgd", norm="linf", params={**PGD, "goal": "untargeted"}, kind="attack", **at
        )
    drop, asr = (v for v in judge(made.collected()) if v.key == "hardened")
    assert (drop.value, asr.value) == (pytest.approx(0.2), pytest.approx(0.2))
    assert (drop.verdict, asr.verdict, drop.models) == (HOLDS, HOLDS, "6 NAS, 6 manual")


def test_what_is_left_after_mitigation_is_against_manual_models(tmp_path):
    made = Made(tmp_path, ("darts_iii", *MANUAL[:6]))
    for k, model in enumerate(made.models):
        for seed in range(5 if model == "darts_iii" else 1):
            share = 0.7 + 0.01 * seed if model == "darts_iii" else 0.5 + 0.01 * k
            more = {"search_seed": seed, "run": str(seed)} if model == "darts_iii" else {}
            made.add(model, seed, "Digits", "asr", share, plugin="pgd", norm="linf", params=PGD, **more)
    found = next(v for v in judge(made.collected()) if v.key == "partially")
    assert found.models == "5 DARTS-iii, 6 manual"
    assert found.value == pytest.approx(0.72 - 0.535)
    assert found.verdict == HOLDS
