"""Merging by hand-computed cases: what a config over another makes, and what a flag over both."""

import pytest

from robnas.configuration.checking import check
from robnas.configuration.compose import compose, experiment
from robnas.configuration.flags import parse
from robnas.configuration.merging import merge
from robnas.configuration.naming import expand, group_at
from robnas.errors import UserError


class Base:
    def __init__(self, width: int = 1, rate: float = 0.1) -> None: ...


class Narrow(Base):
    scales = {"tiny": {"width": 2, "inner": {"depth": 3}, "trainer": {"max_epochs": 4}}}  # noqa: RUF012

    def __init__(self, inner=None, own: int = 0, **kwargs) -> None: ...


class Wide(Base):
    scales = {"tiny": {"width": 5}}  # noqa: RUF012


class FakeTrainer:
    def __init__(self, max_epochs: int = 1, limits: list[float] | None = None) -> None: ...


NARROW, WIDE = f"{__name__}.Narrow", f"{__name__}.Wide"
TOP = ("model", "data", "trainer", "attacks", "scale")


@pytest.fixture
def write(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)

    def write(name: str, text: str) -> str:
        (tmp_path / name).write_text(text.replace("Narrow", NARROW).replace("Wide", WIDE))
        return name

    return write


def test_mappings_merge_and_everything_else_is_replaced():
    base = {"a": {"x": 1, "y": [1, 2]}, "b": 1}
    over = {"a": {"y": [3], "z": {"k": 1}}, "b": {"now": "a mapping"}}
    assert merge(base, over) == {"a": {"x": 1, "y": [3], "z": {"k": 1}}, "b": {"now": "a mapping"}}
    assert base == {"a": {"x": 1, "y": [1, 2]}, "b": 1}


def test_another_class_drops_the_arguments_of_the_old_one_and_the_same_class_keeps_them():
    base = {"data": {"class_path": NARROW, "init_args": {"width": 1, "own": 2}}}
    assert merge(base, {"data": {"class_path": WIDE, "init_args": {"rate": 3}}}) == {"data": {"class_path": WIDE, "init_args": {"rate": 3}}}
    assert merge(base, {"data": {"class_path": NARROW, "init_args": {"own": 3}}})["data"]["init_args"] == {"width": 1, "own": 3}
    assert merge(base, {"data": {"init_args": {"own": 3}}})["data"] == {"class_path": NARROW, "init_args": {"width": 1, "own": 3}}


def test_a_plus_appends_and_null_takes_a_named_block_out():
    assert merge({"trainer": {"callbacks": [1]}}, {"trainer": {"callbacks+": [2, 3]}}) == {"trainer": {"callbacks": [1, 2, 3]}}
    assert merge({"trainer": {}}, {"trainer": {"callbacks+": 2}}) == {"trainer": {"callbacks": [2]}}
    assert merge({"attacks": {"a": {"k": 1}, "b": {"k": 2}}}, {"attacks": {"a": None}}) == {"attacks": {"b": {"k": 2}}}
    assert merge({"trainer": {"logger": 1}}, {"trainer": {"logger": None}}) == {"trainer": {"logger": None}}


def test_named_blocks_merge_by_name():
    base = {"attacks": {"a": {"class_path": NARROW, "init_args": {"own": 1}}}}
    over = {"attacks": {"a": {"init_args": {"width": 2}}, "b": {"class_path": WIDE}}}
    assert merge(base, over)["attacks"] == {
        "a": {"class_path": NARROW, "init_args": {"own": 1, "width": 2}},
        "b": {"class_path": WIDE},
    }


def test_a_scale_acts_on_the_classes_of_both_configs_and_the_overlay_itself_wins(write):
    write("base.yaml", "model: {class_path: Narrow, init_args: {width: 9, own: 7}}\ntrainer: {max_epochs: 50}")
    write("small.yaml", "scale: tiny\nmodel: {init_args: {inner: {depth: 1}}}\ndata: {class_path: Wide}")
    assert compose(["base.yaml", "small.yaml"]) == {
        "model": {"class_path": NARROW, "init_args": {"width": 2, "own": 7, "inner": {"depth": 1}}},
        "data": {"class_path": WIDE, "init_args": {"width": 5}},
        "trainer": {"max_epochs": 4},
        "scale": "tiny",
    }


def test_a_scale_acts_where_it_stands_so_that_later_configs_win_over_it(write):
    write("small.yaml", "scale: tiny\nmodel: {class_path: Narrow}")
    write("later.yaml", "model: {init_args: {width: 8}}")
    assert compose(["small.yaml", "later.yaml"])["model"]["init_args"] == {"width": 8, "inner": {"depth": 3}}
    write("first.yaml", "model: {class_path: Narrow, init_args: {width: 8}}")
    assert compose(["first.yaml", "small.yaml"])["model"]["init_args"]["width"] == 2


def test_an_append_beside_a_scale_appends_once(write):
    write("base.yaml", "model: {class_path: Narrow}\ntrainer: {callbacks: [1]}")
    write("small.yaml", "scale: tiny\ntrainer: {callbacks+: [2]}")
    assert compose(["base.yaml", "small.yaml"])["trainer"] == {"callbacks": [1, 2], "max_epochs": 4}


def test_a_config_read_back_is_itself_whatever_its_scale_says(write):
    write("resolved.yaml", "scale: tiny\nmodel: {class_path: Narrow, init_args: {width: 3}}\ntrainer: {max_epochs: 9}")
    merged = compose(["resolved.yaml"])
    assert merged["model"]["init_args"]["width"] == 3
    assert merged["trainer"]["max_epochs"] == 9


def test_flags_win_over_configs_and_over_their_own_scale(write):
    write("base.yaml", "model: {class_path: Narrow, init_args: {width: 9}}")
    words = ["--model.width=7", "--config", "base.yaml", "--scale=tiny", "--model.init_args.own", "3", "--trainer.max_epochs=1"]
    given = parse(words)
    assert compose(given.configs, given.edits) == {
        "model": {"class_path": NARROW, "init_args": {"width": 7, "own": 3, "inner": {"depth": 3}}},
        "scale": "tiny",
        "trainer": {"max_epochs": 1},
    }


def test_a_flag_that_names_another_class_drops_the_old_arguments(write):
    write("base.yaml", "model: {class_path: Narrow, init_args: {own: 9}}")
    assert compose(["base.yaml"], [("model", WIDE), ("model.rate", 0.5)])["model"] == {"class_path": WIDE, "init_args": {"rate": 0.5}}


def test_an_unknown_scale_is_refused(write):
    write("base.yaml", "model: {class_path: Narrow}\nscale: tinny")
    with pytest.raises(UserError, match=r"unknown scale 'tinny'. Did you mean 'tiny'"):
        compose(["base.yaml"])


def test_what_is_fixed_is_neither_scaled_nor_merged(write):
    write("over.yaml", "scale: tiny\nmodel: {class_path: Wide}\ndata: {class_path: Wide}")
    base = {"model": {"class_path": NARROW, "init_args": {"width": 9}}}
    merged = compose(["over.yaml"], [("model.own", 1)], base, fixed=("model",))
    assert merged["model"] == {"class_path": NARROW, "init_args": {"width": 9, "own": 1}}
    assert merged["data"]["init_args"] == {"width": 5}


def test_fractions_become_numbers_where_a_number_is_meant():
    block = {"class_path": NARROW, "init_args": {"rate": "8/255", "inner": "1/2"}}
    checked = check({"attacks": {"a": block}, "trainer": {"limits": ["1/4", 1]}}, TOP, FakeTrainer)
    assert checked["attacks"]["a"]["init_args"] == {"rate": 8 / 255, "inner": "1/2"}  # inner takes no number
    assert checked["trainer"]["limits"] == [0.25, 1]


@pytest.mark.parametrize(
    ("config", "line"),
    [
        ({"modle": {}}, "unknown key 'modle'. Did you mean 'model'?"),
        ({"config": ["x.yaml"]}, "unknown key 'config'"),
        ({"max_epochs": 3}, "Did you mean 'trainer.max_epochs'?"),
        ({"model": {"class_path": NARROW}, "own": 3}, "Did you mean 'model.own'?"),
        ({"trainer": {"max_epoch": 3}}, "unknown key of trainer (FakeTrainer) 'max_epoch'. Did you mean 'max_epochs'?"),
        ({"model": {"class_path": NARROW, "init_args": {"widht": 3}}}, "unknown key of model (Narrow) 'widht'. Did you mean 'width'?"),
        ({"model": {"class_path": WIDE, "init_args": {"own": 3}}}, "unknown key of model (Wide) 'own'"),
        ({"model": {"class_path": NARROW, "own": 3}}, "arguments stand under init_args"),
        ({"model": {"class_path": NARROW, "init_args": 3}}, "init_args is a mapping"),
        ({"attacks": {"a": {"class_path": WIDE}, "b": {"init_args": {"k": 1}}}}, "attacks.b has arguments but no class; the blocks are a"),
    ],
)
def test_keys_that_do_not_exist_are_refused(config, line):
    with pytest.raises(UserError) as said:
        check(config, TOP, FakeTrainer)
    assert line in str(said.value)


def test_short_names_are_understood_where_they_stand_and_nowhere_else():
    assert expand({"data": "digits"}) == {"data": {"class_path": "robnas.data.digits.Digits"}}
    assert expand({"data": {"class_path": "CIFAR10"}}) == {"data": {"class_path": "robnas.data.cifar.CIFAR10"}}
    assert expand({"experiment": "digits", "model": None}) == {"experiment": "digits", "model": None}
    assert (
        expand({"trainer": {"callbacks": [{"class_path": "ModelCheckpoint"}]}})["trainer"]["callbacks"][0]["class_path"]
        == "ModelCheckpoint"
    )
    searcher = expand({"model": {"class_path": WIDE, "init_args": {"searcher": "darts", "data": "digits"}}})["model"]["init_args"]
    assert searcher == {"searcher": {"class_path": "robnas.search.darts.DARTS"}, "data": "digits"}
    assert group_at(("attacks", "any name")) == "robnas.attacks"
    assert group_at(("attacks",)) is None


def test_one_class_has_one_name_however_it_is_imported():
    assert expand({"model": {"class_path": "robnas.tasks.Classifier"}}) == expand({"model": "classifier"})


@pytest.mark.parametrize(
    ("words", "edits", "runs"),
    [
        (["--a.b=1", "x", "y"], [("a.b", 1)], ["x", "y"]),
        (["--a", "-1", "--b", "--c", "-.5"], [("a", -1), ("b", True), ("c", -0.5)], []),
        (["--overwrite", "x"], [("overwrite", True)], ["x"]),
        (["--overwrite", "false", "x"], [("overwrite", False)], ["x"]),
        (
            ["--wandb=off", "--n=null", "--l=[1, 2]", "--e=8/255", "--r=1e-3"],
            [("wandb", "off"), ("n", None), ("l", [1, 2]), ("e", "8/255"), ("r", 1e-3)],
            [],
        ),
        (["--text=a: b: c"], [("text", "a: b: c")], []),
    ],
)
def test_words_of_the_command_line(words, edits, runs):
    given = parse(words)
    assert given.edits == edits
    assert given.runs == runs


def test_a_run_is_called_after_its_first_config(write):
    write("mine.yaml", "")
    assert experiment(["mine.yaml", "digits"], "x") == "mine"
    assert experiment(["darts_iii"], "x") == "darts_iii"
    assert experiment(["darts_iii/paper"], "x") == "darts_iii-paper"
    assert experiment([], "attack") == "attack"
