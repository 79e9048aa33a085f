"""Networks that were searched for have their searcher's name, as studies really write their rows."""

from made_rows import Made
from robnas.report import names
from robnas.report.exhibit import Cell
from robnas.report.paper import table_04
from robnas.report.searched import variant

PLAIN, HARD = {"n_step": 1, "gamma": 1.0}, {"n_step": 5, "gamma": 0.5}


def searched(made, name, mark, params, seed=0, accuracy=0.9):
    """A search, and the training of its cell, as a study writes them."""
    made.add(name, seed, "digits", "normal/depth", 3.0, experiment=name, kind="search", run=mark, search_seed=seed, params=params)
    (place,) = [place for place in made.rows if place.startswith(f"{name}/") and place.endswith(mark)]
    identity = made.identities[place] = mark.ljust(40, "0")
    made.add(
        name, 0, "digits", "accuracy", accuracy, treatment=f"-{identity[:6]}", kind="train", plugin="accuracy", run=mark, search_seed=seed
    )


def models(made):
    return {found.model for found in made.collected().select(metric="accuracy")}


def test_searches_of_one_setting_are_the_seeds_of_one_model(tmp_path):
    made = Made(tmp_path)
    for seed, mark in enumerate(("aaaaaa", "bbbbbb")):
        searched(made, "darts_iii", mark, HARD, seed)
    assert models(made) == {"darts_iii"}


def test_a_variant_is_what_its_search_did_and_not_what_it_is_called(tmp_path):
    made = Made(tmp_path)
    searched(made, "darts", "aaaaaa", HARD)
    assert models(made) == {"darts_iii"}
    assert variant("darts", {"n_step": 5}) == "darts_i"
    assert variant("pc_darts", HARD) == "pc_darts"


def test_a_search_of_another_setting_keeps_a_name_of_its_own(tmp_path):
    made = Made(tmp_path)
    for seed, mark in enumerate(("aaaaaa", "bbbbbb")):
        searched(made, "darts_iii", mark, HARD, seed)
    searched(made, "darts_iii", "cccccc", {"n_step": 3, "gamma": 0.5})
    assert models(made) == {"darts_iii", "darts_iii-cccccc"}
    assert names.base("darts_iii-cccccc") == "dartsiii"


def test_without_the_search_it_is_called_by_its_run(tmp_path):
    made = Made(tmp_path)
    made.add("darts_ii", 0, "digits", "accuracy", 0.9, treatment="-dddddd", kind="train", search_seed=4)
    made.add("darts", 0, "digits", "accuracy", 0.9, treatment="-eeeeee", kind="train")  # nobody says that it was searched for
    assert models(made) == {"darts_ii", "darts-eeeeee"}


def test_table_4_has_what_was_searched_and_trained(tmp_path):
    made = Made(tmp_path)
    for name, mark, params in (("darts", "aaaaaa", PLAIN), ("darts_iii", "bbbbbb", HARD)):
        searched(made, name, mark, params)
    table = table_04.exhibit(made.collected()).table
    ours = {str(row[0]): [cell.value for cell in row[1:] if isinstance(cell, Cell) and cell.runs] for row in table.rows}
    assert [value for name, values in ours.items() if "DARTS-iii" in name for value in values] == [90.0]
