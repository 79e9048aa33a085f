"""Table 2: functionality stealing by replicas of any architecture; victims are rows, replicas columns."""

from collections.abc import Sequence

from robnas.report import names
from robnas.report.collected import Collected
from robnas.report.exhibit import Exhibit
from robnas.report.found import Found
from robnas.report.paper import forests, thefts
from robnas.report.paper.over_seeds import Who, who

DRAWN = 4
"""Replicas, as many as the paper has, that are drawn; of more the table alone is legible."""


def exhibit(collected: Collected) -> Exhibit:
    """ACE (Eq. 8) of each pair."""
    found = quantities(collected)
    about = (
        "Average cross entropy of the replica's answers under the victim's (ACE, nats; lower: more is stolen). Rows: victims; columns: "
        "replicas. Read down a column: which victim gives most away to the same replica."
    )
    needed = "thefts: robnas fit --config knockoff/paper.yaml --model.network=REPLICA --attacks.knockoff.victim=RUN of another architecture"
    return forests.exhibit(
        collected,
        list(found.values()),
        key="table-2",
        label="Table 2",
        title="Stealing across architectures",
        about=about,
        needed=needed,
        figure=len(found) <= DRAWN,
    )


def quantities(collected: Collected) -> dict[Who, forests.Quantity]:
    """Replica → what it stole of each victim, with the paper's numbers."""
    replicas: dict[Who, list[Found]] = {}
    for pair in crossed(thefts.of_victims(collected, collected.select(plugin="knockoff", metric="ace"))):
        replicas.setdefault(who(pair[0]), []).append(thefts.of_victim(pair))
    return {
        one: forests.Quantity(f"replica {one.title}", "ACE", replicas[one], printed(collected, one), near=thefts.from_budget, share=False)
        for one in sorted(replicas, key=lambda one: one.order)
    }


def crossed(pairs: Sequence[tuple[Found, Found]]) -> list[tuple[Found, Found]]:
    """(replica, victim) rows of the architectures that were stolen from, or by, another one: a theft among equals alone is Fig. 9's."""
    across = [pair for pair in pairs if not thefts.same(pair)]
    replicas = {(replica.dataset, who(replica)) for replica, _ in across}
    victims = {(victim.dataset, who(victim)) for _, victim in across}
    return [(r, v) for r, v in pairs if (r.dataset, who(r)) in replicas and (v.dataset, who(v)) in victims]


def printed(collected: Collected, replica: Who) -> dict[str, dict[str, float]]:
    """Data set → victim in print → ACE of this replica, as the paper has it."""
    found: dict[str, dict[str, float]] = {}
    for one in collected.published:
        if one.where != "Table 2" or replica.searched:
            continue
        victim, _, theirs = one.subject.removeprefix("victim ").partition(" / replica ")
        if names.plain(theirs) == names.plain(replica.title):
            found.setdefault(one.dataset, {})[names.model(victim)] = one.values[0]
    return found
