"""The table of measured costs that `robnas study --dry-run` knows before a job has run: from studies that are done.

python tools/measured_costs.py runs/quickstart > src/robnas/study/measured.csv
"""

import argparse
import csv
import sys
from collections import defaultdict
from pathlib import Path
from statistics import fmean

from robnas.errors import UserError
from robnas.study.costs import block_of
from robnas.study.plan import Plan

HEAD = "# Seconds of one job on one thread of a CPU, wall clock, reduced as the shipped studies on digits have it.\n"


def rows(folders: list[Path]) -> list[tuple[str, str, str, str, float]]:
    """(data set, kind, block, model, mean seconds) of reduced jobs that were good at once. Raises UserError where a folder has no plan."""
    seconds: dict[tuple[str, str, str, str], list[float]] = defaultdict(list)
    for folder in folders:
        plan = Plan.read(folder)
        if plan is None:
            raise UserError(f"{folder} is no folder of a study")
        for job in plan.jobs:
            if job.state == "done" and job.reduced and job.attempts == 1 and job.seconds is not None:
                seconds[job.dataset, job.kind, block_of(job), job.model].append(job.seconds)
    return [(*key, round(fmean(values), 1)) for key, values in sorted(seconds.items())]


def main(words: list[str] | None = None) -> None:
    """CSV on standard output."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folders", nargs="+", type=Path, metavar="DIR", help="folder of a study that ran on a quiet machine")
    try:
        found = rows(parser.parse_args(words).folders)
    except UserError as error:
        parser.error(str(error))
    sys.stdout.write(HEAD)
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(("dataset", "kind", "block", "model", "seconds"))
    writer.writerows(found)


if __name__ == "__main__":
    main()
