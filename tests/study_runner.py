"""What a pool's workers run in tests: `VERB FOLDER NAME`, no torch."""

import os
import signal
import sys
import time
from pathlib import Path

from robnas import jobs
from robnas.identity import identity_of


def main(argv):
    if argv[0] == "fit":
        argv = argv[1:]
    verb, folder, name = argv[0], Path(argv[1]), argv[2]
    with (folder / "ran.txt").open("a") as file:
        file.write(f"{name} {' '.join(argv[3:])}".strip() + "\n")
    print("out of", name)
    print("err of", name, file=sys.stderr)
    os.system(f"echo child of {name}")
    if verb in ("job", "fail_once"):
        jobs.Job(identity_of({"name": name}), "some", folder).enter()
    if verb == "where":
        (folder / name).write_text(f"{os.getpid()} {os.environ['OMP_NUM_THREADS']} {'torch' in sys.modules}")
    if verb == "environment":
        (folder / name).write_text("".join(f"{key}={value}\n" for key, value in os.environ.items() if "\n" not in value))
    if verb == "fail" or (verb == "fail_once" and not (folder / name).exists()):
        (folder / name).touch()
        sys.exit(2)
    if verb == "raise":
        raise ValueError("a bug")
    if verb == "die" or (verb == "die_once" and not (folder / name).exists()):
        (folder / name).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    while verb == "pair" and len((folder / "ran.txt").read_text().split()) < 2:  # until two workers have begun
        time.sleep(0.02)
    if verb == "sleep":
        time.sleep(60)
    if verb == "spoil":
        os.environ["SPOILED"] = "yes"
        os.chdir("/")
        sys.argv = []
    if verb == "spoiled":
        (folder / name).write_text(f"{os.environ.get('SPOILED')} {Path.cwd()} {sys.argv[0]}")
