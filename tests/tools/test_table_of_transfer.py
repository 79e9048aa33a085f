"""The table of transfer: means of blocks by hand, what it runs, which rows are its own, what it shows."""

import sys
from pathlib import Path

import numpy as np
import pytest

from robnas.common import align
from robnas.errors import UserError
from robnas.results import Row, Rows

sys.path.insert(0, str(Path(__file__).parents[2] / "tools"))
import table_of_transfer as tool

NAMES = {"darts": "nas", "enas": "nas", "vgg": "manual", "resnet": "manual"}


def outcomes(success, eligible=None):
    n = len(success)
    flags = {"success": success, "eligible": [1] * n if eligible is None else eligible, "errored": [0] * n, "source_success": [1] * n}
    return {"index": np.arange(n), **{k: np.array(v, dtype=bool) for k, v in flags.items()}}


def pair(source, target, success, eligible=None):
    row = Row("transfer", float(np.mean(success)), n=len(success), ci=(0.1, 0.9))
    families = (NAMES[source], NAMES[target])
    return {"source": source, "target": target, "families": families, "row": row, "outcomes": outcomes(success, eligible)}


PAIRS = [pair(a, b, [1, 0, 0, a == b]) for a in NAMES for b in NAMES]


def test_the_mean_of_a_block_leaves_out_the_diagonal():
    middle, low, high = tool.block_mean(PAIRS, ("nas", "nas"), draws=999)
    assert middle == 0.25
    assert 0 <= low < 0.25 < high <= 0.75
    some = [pair("darts", "vgg", [1, 0, 1, 1], [1, 1, 0, 0]), pair("enas", "vgg", [0, 0, 1, 0])]
    assert tool.block_mean(some, ("nas", "manual"), draws=9)[0] == pytest.approx((1 / 2 + 1 / 4) / 2)


def test_tables_and_pictures_of_it(tmp_path):
    rng = np.random.default_rng(0)
    common = align([outcomes(rng.random(40) < 0.4) for _ in NAMES], list(NAMES), list(NAMES.values()))
    pairs, commons = dict.fromkeys(tool.TRANSFER, PAIRS), dict.fromkeys(tool.COMMON, common)
    text = tool.tables(pairs, commons)
    for table in (part for part in text.split("\n\n") if part.startswith("|")):
        assert len({line.count("|") for line in table.splitlines()}) == 1, table
    assert "| NAS → manual | 25.0 [" in text
    assert text.count("| 2 NAS | 40 |") == 3
    tool.heat_map({k: pairs[k] for k in ("transfer", "transfer_least")}, tmp_path / "transfer.svg")
    tool.common_picture(common, tmp_path / "common.svg")
    assert (tmp_path / "transfer.svg").stat().st_size > 10_000


def test_only_rows_of_the_tables_own_attack_count(tmp_path):
    folders = {name: tmp_path / name for name in ("darts", "vgg")}
    own = {"class": "pgd", **tool.PGD(**tool.TRANSFER["transfer"]).arguments()}
    for name, folder in folders.items():
        store = Rows(folder / "results.jsonl")
        where = store.write_outcomes("x", outcomes([1, 0]))
        for job in folders:
            target = {"model": job, "family": NAMES[job], "job": job, "victim": job}
            for value, attack, more in ((0.5, own, {}), (0.9, own | {"eps": 0.1}, {}), (0.8, own, {"inputs": 64})):
                params = {"attack": attack, "target": target} | more
                store.write([Row("transfer", value, job=name, family=NAMES[name], plugin="transfer", params=params, outcomes=where)])
    found = tool.transferred(folders, tool.TRANSFER["transfer"])
    assert [(p["source"], p["target"], p["row"].value) for p in found] == [(a, b, 0.5) for a in folders for b in folders]
    assert found[1]["families"] == ("nas", "manual")


def test_the_command_names_targets_and_settings():
    words = tool.attack_command(Path("a"), [Path("a"), Path("b")])
    assert words[:3] == ["attack", "a", "--wandb=off"]
    assert "--attacks.transfer.targets=[a,b]" in words
    assert "--attacks.transfer_least.attack.exact=true" in words
    assert "--attacks.common.goal=untargeted" in words


@pytest.mark.parametrize("wrong", [["--seeds", "0", "1"], ["--models", "darts"], ["--models", "vgg", "vgg"], ["--models", "vgg", "dart"]])
def test_wrong_arguments_are_named(wrong):
    with pytest.raises(UserError):
        tool.main(wrong)
