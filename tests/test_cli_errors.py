"""Every wrong value ends in one line with status 2; a bug ends in a traceback."""

import pytest

from command_line import CLASSIFY, SEARCH, refused, robnas


@pytest.fixture(autouse=True)
def elsewhere(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


CASES = {
    # verbs, configs, runs
    "fot": "unknown verb 'fot'. Did you mean 'fit'?",
    "fit": "fit needs a config with a model",
    "fit --config pgd": "fit needs a config with a model",
    "fit --config": "--config needs the name of a config",
    "fit --config dart_iii.yaml": "unknown config 'dart_iii.yaml'. Did you mean 'darts_iii.yaml'? Known: ",
    "fit darts.yaml": "configs are given as --config darts.yaml",
    "fit -v": "'-v' is no flag",
    "attack": "attack needs a run folder",
    "attack runs/nothing --config pgd": "runs/nothing is no run folder",
    "attack --config classify --config digits": "attack needs attacks",
    "attack --config classify --config digits --config pgd": "this model is not trained",
    "attack --config classify --config digits --config pgd --ckpt_path=no.ckpt": "there is no checkpoint 'no.ckpt'",
    "probe --config classify --config digits": "probe needs probes",
    "test --config classify --config digits": "this model is not trained",
    # classes
    f"{CLASSIFY} --model=Clasifier": "unknown model 'Clasifier'. Did you mean 'Classifier'?",
    f"{CLASSIFY} --model=robnas.tasks.Classifyer": "unknown class in robnas.tasks 'Classifyer'. Did you mean 'Classifier'?",
    f"{CLASSIFY} --data=digit": "unknown data 'digit'. Did you mean 'digits'?",
    f"{CLASSIFY} --data=my_data.Mine": "there is no module 'my_data'",
    f"{CLASSIFY} --data=robnas.attacks.pgd.PGD": "data: robnas.attacks.pgd.PGD is no LightningDataModule",
    f"{CLASSIFY} --model.network=dartz": "unknown network 'dartz'. Did you mean 'darts'?",
    f"{SEARCH} --model.searcher=dart": "unknown searcher 'dart'. Did you mean 'darts'?",
    f"{SEARCH} --model.searcher=null": "searcher",
    f"{CLASSIFY} --attacks.a=pgdd": "unknown attack 'pgdd'. Did you mean 'pgd'?",
    f"{CLASSIFY} --attacks=3": "attacks: '3' is not a mapping",
    f"{CLASSIFY} --trainer.callbacks=Foo": "there is no class 'Foo'",
    # keys
    f"{CLASSIFY} --foo=1": "unknown key 'foo'",
    f"{CLASSIFY} --max_epochs=1": "Did you mean 'trainer.max_epochs'?",
    f"{CLASSIFY} --model.learning_rte=1": "Did you mean 'learning_rate'?",
    f"{CLASSIFY} --trainer.max_epoch=1": "Did you mean 'max_epochs'?",
    f"{SEARCH} --model.space.nodez=3": "nodez",
    f"{CLASSIFY} --attacks.a=pgd --attacks.a.epss=1": "unknown key of attacks.a (PGD) 'epss'. Did you mean 'eps'?",
    f"{CLASSIFY} --config pgd --attacks.pgd_mots.eps=1": "attacks.pgd_mots has arguments but no class; the blocks are pgd",
    f"{CLASSIFY} --trainer.default_root_dir=x": "--runs says which folder",
    f"{CLASSIFY} --scale=tinny": "unknown scale 'tinny'. Did you mean 'tiny'?",
    # types
    f"{CLASSIFY} --trainer.max_epochs=few": "trainer.max_epochs: 'few' is not a whole number",
    f"{CLASSIFY} --data.batch_size=big": "data.batch_size: 'big' is not a whole number",
    f"{SEARCH} --model.searcher.gamma=x": "model.searcher.gamma: 'x' is not a number",
    f"{CLASSIFY} --attacks.a=pgd --attacks.a.eps=8/0": "attacks.a.eps: '8/0' is not a number",
    f"{CLASSIFY} --wandb=no": "wandb: 'no' is not 'off' or 'offline' or 'online'",
    f"{CLASSIFY} --seed_everything=x": "seed_everything: 'x' is not true or false or a whole number",
    f"{CLASSIFY} --trainer.precision=17": "trainer.precision: '17' is not 64 or 32 or 16",
    # values
    f"{SEARCH} --model.searcher.gamma=0": "gamma: 0.0 is not in (0, 1]",
    f"{SEARCH} --model.n_step=0": "n_step: 0",
    f"{CLASSIFY} --model.learning_rate=-1": "learning_rate: -1.0",
    f"{CLASSIFY} --attacks.a=pgd --attacks.a.eps=-8/255": "eps: -0.03",
    f"{CLASSIFY} --trainer.devices=none": "trainer: ",
    f"{CLASSIFY} --trainer.strategy=dpp": "trainer: ",
    f"{SEARCH} --trainer.precision=16-mixed": "precision: 16-mixed",
    f"{CLASSIFY} --ckpt_path=no.ckpt": "there is no checkpoint no.ckpt",
    f"{CLASSIFY} --data.batch_size=100000": "batch_size: 100000",
    f"{CLASSIFY} --model.options.layerz=3": "Did you mean 'layers'?",
    # help for a class
    "fit --model.help=Serch": "unknown model 'Serch'. Did you mean 'Search'?",
    "attack --trainer.help=x": "no class stands at 'trainer'",
    # verbs without torch
    "list attack": "unknown kind of thing to list 'attack'. Did you mean 'attacks'?",
    "list --josn": "unrecognized arguments: --josn",
    "new attak x": "unknown kind of plug-in 'attak'. Did you mean 'attack'?",
    "new attack 3x": "'3x' is no name for a module",
    "new attack import": "'import' is no name for a module",
    "new attack mine --shape evasoin": "unknown shape 'evasoin'. Did you mean 'evasion'?",
    "new attack pgd": "the attack 'pgd' exists already",
    "new probe zero_cost": "the probe 'zero_cost' exists already",
    "new probe mine --shape backdoor": "--shape: 'backdoor' is of attacks; a probe has none",
    "cell dartz": "Did you mean 'darts'?",
}


@pytest.mark.parametrize("command", CASES)
def test_one_line_and_status_2(command, capsys):
    verb = "" if command.split()[0] in ("fot", "fit", "test", "attack", "probe", "list", "new", "cell") else "fit "
    assert CASES[command] in refused(verb + command, capsys)


@pytest.mark.parametrize("text", ["model: {class_path: Search\n", "model: 1\nmodel: 2\n"])
def test_broken_yaml_names_file_and_line(text, capsys, elsewhere):
    (elsewhere / "mine.yaml").write_text(text)
    assert "mine.yaml, line 2" in refused("fit --config mine.yaml", capsys)


def test_a_wrong_device_leaves_no_folder_behind(capsys, elsewhere):
    refused(f"fit {CLASSIFY} --trainer.devices=none", capsys)
    assert list(elsewhere.iterdir()) == []


def test_a_bug_is_raised_as_it_is(capsys, monkeypatch):
    from robnas.tasks.classifier import Classifier

    def broken(*args):
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Classifier, "configure_optimizers", broken)
    with pytest.raises(ZeroDivisionError, match="a bug"):
        robnas(f"fit {CLASSIFY}", capsys)


def test_a_bug_in_a_constructor_is_not_taken_for_a_wrong_value(capsys, elsewhere):
    """jsonargparse would call it a value that no allowed type takes."""
    (elsewhere / "own_model_with_a_bug.py").write_text(
        "from lightning.pytorch import LightningModule\n"
        "class Mine(LightningModule):\n    def __init__(self):\n        super().__init__()\n        [][1]\n"
    )
    with pytest.raises(IndexError):
        robnas("fit --model=own_model_with_a_bug.Mine --config digits", capsys)


def test_a_file_of_the_users_own_that_cannot_be_imported_is_one_line(capsys, elsewhere):
    (elsewhere / "own_broken_model.py").write_text("import nothing_of_that_name\n")
    assert "No module named 'nothing_of_that_name' (own_broken_model.py, line 1)" in refused("fit --model=own_broken_model.Mine", capsys)
    (elsewhere / "own_unfinished_model.py").write_text("class Mine(\n")
    assert "SyntaxError" in refused("fit --model=own_unfinished_model.Mine", capsys)


def test_rank_1_leaves_the_word_to_rank_0(capsys, monkeypatch):
    """It waits, because Lightning kills rank 0 as soon as it sees rank 1 ended; it speaks if rank 0 never ends."""
    from robnas import __main__

    naps = []
    monkeypatch.setenv("LOCAL_RANK", "1")
    monkeypatch.setattr(__main__.time, "sleep", naps.append)
    assert refused("fot", capsys)
    assert sum(naps) == pytest.approx(3)
    parents = iter([1, 1, 7])
    monkeypatch.setattr(__main__.os, "getppid", lambda: next(parents))
    said = robnas("fot", capsys)
    assert (said.status, said.err) == (2, "")
