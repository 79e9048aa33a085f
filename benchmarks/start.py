"""How long verbs that need no torch take to start: `robnas --help`, `robnas list`, the median of some processes of their own.

    python benchmarks/start.py

The aim is well under half a second; `python -c pass` beside it says how much of that is Python itself.
"""

import subprocess
import sys
import time
from statistics import median

COMMANDS = {
    "python": ["-c", "pass"],
    "--help": ["-m", "robnas", "--help"],
    "list": ["-m", "robnas", "list"],
    "cell": ["-m", "robnas", "cell", "darts"],
}
REPEATS = 11


def seconds(words: list[str]) -> float:
    start = time.perf_counter()
    subprocess.run([sys.executable, *words], capture_output=True, check=True)
    return time.perf_counter() - start


def main() -> None:
    for name, words in COMMANDS.items():
        print(f"{name:8} {median(seconds(words) for _ in range(REPEATS)):.3f} s")


if __name__ == "__main__":
    main()
