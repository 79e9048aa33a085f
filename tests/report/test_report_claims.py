"""The paper's claims as tests of made-up rows, whose truth is known."""

from dataclasses import replace

import numpy as np
import pytest

from made_rows import FAMILY, MANUAL, NAS, PGD, Made, everything
from robnas.comparison import detected, difference
from robnas.report.claims import catalogue, judge, settings, vulnerabilities
from robnas.report.claims_table import exhibits, untested
from robnas.report.collected import Collected
from robnas.report.finding import _claims as claims_said
from robnas.report.finding import sentences
from robnas.report.samples import Samples, less_columns
from robnas.report.verdicts import DOES_NOT, HOLDS, UNKNOWN, UNMET, Verdict, corrected


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
    assert all(v == pytest.approx(1.2) for values in other.values.values() for v in values)  # all replicas do alike


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
    assert glance.rows[0][2].startswith("✓ holds†: PGD, most likely +1")
    assert "; PGD, least likely +1" in glance.rows[0][2], "each number says what it is of"
    assert next(row for row in glance.rows if row[1] == "§3.2, Fig. 3")[2].startswith("✓ holds†: +"), "one number needs no name"
    made = [v for v in verdicts if v.value is not None]
    assert len(full.rows) + len(cells.rows) == len(made) < len(verdicts), "what came to no number is folded away"
    assert len(glance.rows) + len(cells.rows) + len(untested(verdicts)) == len(catalogue()[0])
    assert not any("published cells" in str(row[0]) for row in glance.rows), "they are no test of this study's rows"
    assert exhibits(verdicts, daggers=False)[0].table.rows[0][2].startswith("✓ holds: PGD, most likely +1")
    assert all(len(row) == len(full.columns) for row in full.rows)


def test_published_cells_are_in_no_count_of_a_study(study, verdicts):
    (cells,) = {v.tests for v in verdicts if v.of_data}
    assert cells == 3
    assert {v.tests for v in verdicts if not v.of_data} == {sum(v.p is not None and not v.saturated for v in verdicts if v.made)}
    (said,) = [text for text in sentences(study, verdicts) if text.startswith("Of the paper's claims")]
    made = [v for v in verdicts if v.made]
    assert f" {len(made)} tests could be made" in said
    assert said.endswith("cannot be told.")


def test_one_holds_and_two_hold():
    def told(verdict, n):
        return claims_said([Verdict(str(k), "w", ("d", "p"), value=0.1, decided=verdict) for k in range(n)])

    assert told(HOLDS, 1) == "Of the paper's claims 1 test could be made: 1 holds, 0 do not, and 0 cannot be told."
    assert told(HOLDS, 2) == "Of the paper's claims 2 tests could be made: 2 hold, 0 do not, and 0 cannot be told."
    assert "1 does not" in told(DOES_NOT, 1)


def test_without_nas_models_nothing_is_said_of_published_cells(tmp_path):
    assert not any(v.of_data for v in judge(everything(Made(tmp_path, ("resnet",))).collected()))


def judged(low, high, p, short, tests=1, matters=0.05, sign=1, **more):
    numbers = ((low + high) / 2, low, high)
    adjusted = {"adjusted": min(1.0, p * tests), "short_adjusted": min(1.0, short * tests)}
    v = Verdict("k", "w", ("d", "p"), sign, *numbers, "points", p, p_short=short, tests=tests, matters=matters, **adjusted, **more)
    return v.verdict, v.why


def test_verdicts_by_hand():
    assert judged(0.01, 0.20, 0.01, 0.5) == (HOLDS, "")
    assert judged(-0.20, -0.01, 0.01, 0.001) == (DOES_NOT, "it is the other way round")
    assert judged(-0.20, -0.01, 0.01, 0.5, sign=-1) == (HOLDS, "")
    assert judged(-0.02, 0.04, 0.6, 0.01) == (DOES_NOT, "too small to matter: +5.0 points would")
    assert judged(-0.04, 0.02, 0.6, 0.01, sign=-1) == (DOES_NOT, "too small to matter: −5.0 points would")
    assert judged(-0.02, 0.06, 0.3, 0.2) == (UNKNOWN, "neither shown nor ruled out: +5.0 points would matter")
    assert judged(0.01, 0.04, 0.01, 0.01) == (HOLDS, "")  # small, but shown
    assert judged(0.01, 0.20, 0.01, 0.5, saturated="all broken") == (UNKNOWN, "all broken")


def test_what_is_no_finding_after_holm_is_none_either_way_and_says_on_which_side_it_is():
    assert judged(0.01, 0.20, 0.01, 0.5, tests=10) == (UNKNOWN, "p = 0.01 by itself, 0.1 among 10 tests")
    said = (UNKNOWN, "the interval lies on the other side: p = 0.008 by itself, 0.08 among 10 tests")
    assert judged(-0.08, -0.01, 0.01, 0.008, tests=10) == said, "and not too small to matter"
    said = (UNKNOWN, "the interval has no room for +5.0 points: p = 0.01 by itself, 0.2 among 20 tests")
    assert judged(-0.02, 0.04, 0.6, 0.01, tests=20) == said


@pytest.mark.parametrize(("true", "wrong"), [(0.05, DOES_NOT), (0.0, HOLDS)])
def test_a_study_of_many_claims_is_rarely_wrong_in_any(true, wrong):
    """Ten claims whose gaps are just what matters, or nothing: of 100 studies about five at most say anything false."""
    rng, studies, bad = np.random.default_rng(5), 60, 0
    for _ in range(studies):
        made = []
        for k in range(10):
            values = {f"n{i}": [v] for i, v in enumerate(rng.normal(true, 0.02, 7))} | {
                f"m{i}": [v] for i, v in enumerate(rng.normal(0, 0.02, 6))
            }
            found = difference(values, {m: "nas" if m[0] == "n" else "manual" for m in values}, n_resamples=199, margin=0.05)
            numbers = (found.value, found.low, found.high, "points", found.p)
            made.append(Verdict(str(k), "w", ("d", "p"), 1, *numbers, p_short=found.p_margin, matters=0.05))
        bad += wrong in [v.verdict for v in corrected(made)]
    assert bad / studies <= 0.12


def test_what_so_few_models_cannot_show_is_said_once(tmp_path):
    collected = everything(Made(tmp_path, (*NAS[:5], *MANUAL[:4]))).collected()
    verdicts = judge(collected)
    own = [v for v in verdicts if v.made and v.models == "5 NAS, 4 manual"]
    assert own[0].tests > 6
    assert {v.verdict for v in own} == {UNKNOWN}
    assert all(v.impossible and v.detectable is None and v.possible > 1 / 126 for v in own)
    told = [text for text in sentences(collected, verdicts) if "is possible" in text]
    assert len(told) == 1
    assert told[0].startswith(f"With 5 NAS and 4 manual models no p below {own[0].possible:.2g} after correction over {own[0].tests} tests")
    column = next(e for e in exhibits(verdicts) if e.key == "claims-tests").table
    assert {row[8] for row in column.rows if row[9] == "5 NAS, 4 manual"} == {f"none: no p below {own[0].possible:.2g} is possible"}
    assert not any("four times in five" in text for text in sentences(collected, verdicts))


def test_the_gap_that_would_be_seen_is_of_the_level_at_which_verdicts_are_taken():
    one = Verdict("a", "", ("d", "p"), value=0.1, p=0.03, least=1e-4, error=0.02, freedom=10.0)
    alone, many = corrected([one])[0], corrected([replace(one, key=str(k), p=0.5) for k in range(20)])[0]
    assert alone.detectable == pytest.approx(detected(0.02, 10, 0.05))
    assert many.detectable == pytest.approx(detected(0.02, 10, 0.05 / 20))
    assert corrected([replace(one, least=0.01)] * 20)[0].detectable is None


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


def test_a_theorem_about_other_models_is_no_claim_that_fails(tmp_path):
    for broken in (0.0, 0.25):
        made = Made(tmp_path / str(broken), NAS[:4])
        for model in made.models:
            value = broken if model == "darts" else 0.0
            made.add(model, 0, "Digits", "theorem_1_broken", value, n=16, kind="probe", plugin="smoothness", params={"at": "test"})
        collected = made.collected()
        found = next(v for v in judge(collected) if v.key == "theorem-1")
        assert (found.verdict, found.p, found.adjusted) == (UNMET, None, None)
        assert f"broken on {round(16 * broken)} of 64 inputs" in found.note
        assert "○ premise not met" in exhibits([found])[0].table.rows[0][2]
        assert not any("do not" in text or "does not" in text for text in sentences(collected, [found]))


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


def test_models_that_break_on_the_same_inputs_are_compared_between_families(tmp_path):
    """Five NAS models break on nearly the same 20 inputs of 40, five manual ones each on 20 of its own."""
    made, rng = Made(tmp_path, (*NAS[:5], *MANUAL[:5], "darts_iii")), np.random.default_rng(0)
    for k, model in enumerate(made.models):
        same = np.roll(np.arange(40) < 20, k % 3)
        success = same if FAMILY[model] == "nas" and model != "darts_iii" else rng.permutation(same)
        outcomes = {"index": np.arange(40), "label": np.zeros(40, int), "eligible": np.ones(40, bool), "errored": np.zeros(40, bool)}
        params = {**PGD, "eps": 4 / 255}
        made.add(model, 0, "Digits", "asr", 0.5, plugin="pgd", norm="linf", params=params, outcomes={**outcomes, "success": success})
    found = next(v for v in judge(made.collected()) if v.key == "shared-inputs")
    assert found.models == "5 NAS, 5 manual", "cells that were made to be harder to break are none"
    assert found.p == pytest.approx(2 / 252)
    assert found.value > 0.5
    assert (found.unit, found.stand_in) == ("φ", False)


def test_of_more_models_no_more_inputs_are_shared(tmp_path):
    """Ten NAS and seven manual models that are all alike: half of ten breaks more often than half of seven, and is no finding."""
    made, rng = Made(tmp_path, NAS + MANUAL), np.random.default_rng(2)
    hard = rng.beta(2, 2, 200)
    for model in made.models:
        success = rng.random(200) < hard
        outcomes = {"index": np.arange(200), "label": np.zeros(200, int), "eligible": np.ones(200, bool), "errored": np.zeros(200, bool)}
        params = {**PGD, "eps": 4 / 255}
        made.add(model, 0, "Digits", "asr", 0.5, plugin="pgd", norm="linf", params=params, outcomes={**outcomes, "success": success})
    found = next(v for v in judge(made.collected()) if v.key == "shared-inputs")
    assert found.p > 0.05
    assert abs(found.value) < 0.1


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
    assert (found.models, found.what) == ("5 DARTS-iii, 6 manual", "DARTS-iii against manual: PGD, least likely")
    assert found.value == pytest.approx(0.72 - 0.535)
    assert found.verdict == HOLDS


def test_each_variant_is_tested_by_itself_as_the_paper_words_it(tmp_path):
    made = Made(tmp_path, ("darts", "darts_i", "darts_ii", "darts_iii"))
    share = {"darts": 0.8, "darts_i": 0.6, "darts_ii": 0.7, "darts_iii": 0.5}
    for model in made.models:
        for seed in range(6):
            more = {"search_seed": seed, "run": str(seed)}
            made.add(model, seed, "Digits", "asr", share[model] + 0.01 * seed, plugin="pgd", norm="linf", params=PGD, **more)
            flipped = {"treatment": " + label_flip", "experiment": "label_flip", "access": "training", **more, "run": f"flip{seed}"}
            made.add(
                model,
                seed,
                "Digits",
                "cad",
                1 - share[model] + 0.01 * seed,
                plugin="labelflip",
                params={"rate": 0.2, "clean": "x"},
                **flipped,
            )
    verdicts = judge(made.collected())
    found = {v.what.partition(":")[0]: v for v in verdicts if v.key == "mitigated"}
    assert {name: round(v.value, 3) for name, v in found.items()} == {"DARTS-i": -0.2, "DARTS-ii": -0.1, "DARTS-iii": -0.3}
    assert {v.what.partition(":")[0] for v in verdicts if v.key == "worse-poisoned" and v.value and v.value > 0} == set(found)


def test_skip_connects_of_variants_are_against_what_they_replace(tmp_path):
    made = Made(tmp_path, ("darts",))
    for seed in range(5):
        for n_step, gamma, skips in ((1, 1.0, 4.0), (1, 0.5, 1.0), (5, 1.0, 3.0), (5, 0.5, 2.0)):
            more = {"kind": "search", "plugin": "darts", "search_seed": seed, "run": f"s{n_step}{gamma}{seed}", "experiment": "search"}
            made.add("darts", seed, "Digits", "normal/skips", skips + seed % 2, params={"n_step": n_step, "gamma": gamma}, ci=None, **more)
    found = {v.models: v.value for v in judge(made.collected()) if v.key == "fewer-skips"}
    assert found == {"5 DARTS-ii, 5 DARTS": pytest.approx(-3), "5 DARTS-iii, 5 DARTS-i": pytest.approx(-1)}


def test_how_gaps_change_and_who_is_excepted(study, verdicts):
    slope = Samples(study).of(catalogue()[1]["trojannn_slope"])["digits", "paper"]
    rows = [f for f in study.select(plugin="trojannn", metric="asr", model="nasnet") if f.params["n_neurons"] <= 4]
    x, y = [f.params["n_neurons"] for f in rows], [f.value for f in rows]
    assert len(rows) == 3
    assert slope.values["NASNet"][0] == pytest.approx(np.polyfit(x, y, 1)[0])
    assert next(v for v in verdicts if v.key == "spread-membership").models == "9 NAS, 7 manual"
    assert next(v for v in verdicts if v.key == "evasion-eps-gap").value < 0


def test_gradients_that_vary_more_after_training_than_before(tmp_path):
    made = Made(tmp_path, NAS[:7])
    for k, model in enumerate(made.models):
        for value, params in ((1.0 + k, {"at": "fit_start", "initialisation": "kaiming"}), (10.0 + 11 * k, {"at": "fit_end"})):
            made.add(model, 0, "Digits", "gradient_variance", value, kind="probe", plugin="gradientvariance", params=params)
    found = next(v for v in judge(made.collected()) if v.key == "variance-grows")
    assert found.value == pytest.approx(np.mean([np.log10((10 + 11 * k) / (1 + k)) for k in range(7)]))
    assert (found.verdict, found.models) == (HOLDS, "7 NAS")


def test_a_theft_is_less_what_its_replica_adds_whoever_it_stole_from():
    """Table 2: two and two models, none steals from itself. Victims differ by 0.3, replicas by much more; one replica has one victim."""
    victim, replica = {"a": 0.0, "b": 0.0, "c": 0.3, "d": 0.3}, {"a": 5.0, "b": 1.0, "c": 2.0, "d": 9.0, "e": 3.0}
    pairs = [(v, r) for v in victim for r in replica if v != r and (r != "e" or v == "a")]
    rest = less_columns(*zip(*pairs, strict=True), [victim[v] + replica[r] for v, r in pairs])
    of = {v: [x for (w, _), x in zip(pairs, rest, strict=True) if w == v] for v in victim}
    assert np.mean(of["c"]) - np.mean(of["a"]) == pytest.approx(0.3)
    assert np.ptp(of["a"]) == pytest.approx(0)
    apart = less_columns([*"aabbx"], [*"pqpqz"], [1.0, 2.0, 3.0, 4.0, 9.0])
    assert apart[:4] == pytest.approx([1.5, 1.5, 3.5, 3.5])
    assert np.isnan(apart[4]), "nothing ties it to the others"
