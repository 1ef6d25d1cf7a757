#!/usr/bin/env python3
"""How the cost of a COPY grows with the number of its files, with the floor of the same minute beside it.

For each size: a build from nothing, builds without a change, builds with one file changed. Floors are `cp -a` and a walk
by find(1), which looks at every file once. Nothing is packed: the target of the build takes one file of the stage that
copies all. Prints medians, peak memory and what the store grows by. Needs root; works on a fresh ext4 in a file.

  growth.py [--rounds N] [--sizes N,...]
"""

import argparse
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
from run import KILN, fresh_ext4, sh

DOCKERFILE = "FROM scratch AS all\nCOPY files /files\nFROM scratch\nCOPY --from=all /files/d0/f0 /f\n"
BYTES = 10_000


def fill(directory, count):
    """Forty files to a directory, half of each incompressible."""
    data = os.urandom(BYTES // 2) + b"text " * (BYTES // 10)
    for number in range(count):
        parent = directory / "files" / f"d{number // 40}"
        if number % 40 == 0:
            parent.mkdir(parents=True)
        (parent / f"f{number}").write_bytes(number.to_bytes(8, "little") + data[8:])
    (directory / "Dockerfile").write_text(DOCKERFILE)


def timed(command, **options):
    """Returns seconds, and the peak of memory in MB."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - begun
    if status:
        raise SystemExit(f"failed: {command}\n{said.decode(errors='replace')}")
    return taken, usage.ru_maxrss / 1024


def used(directory):
    """Returns the MB that a directory takes on the disk, files with several names once."""
    return int(sh(["du", "-sk", str(directory)]).split()[0]) / 1024


def measure(place, count, rounds):
    context, root = place / f"context-{count}", place / f"store-{count}"
    fill(context, count)
    environment = {**os.environ, "KILN_ROOT": str(root)}
    build = lambda: timed([KILN, "build", "--progress=plain", str(context)], env=environment)
    find = lambda: timed(["find", str(context / "files"), "-printf", "%s %T@ %C@ %i\\n"])
    times = {name: [] for name in ("cp -a", "cold", "find", "no change", "one changed")}
    memory, grown = 0, 0
    for number in range(rounds):
        shutil.rmtree(root, ignore_errors=True)
        sh(["sync", "-f", str(place)])
        times["cp -a"].append(timed(["cp", "-a", str(context / "files"), str(place / "copy")])[0])
        shutil.rmtree(place / "copy")
        sh(["sync", "-f", str(place)])
        seconds, _ = build()
        times["cold"].append(seconds)
    cold = used(root)
    # What is as young as the build that reads it is read again by the next.
    time.sleep(0.1)
    build(), build()
    for number in range(rounds):
        times["find"].append(find()[0])
        seconds, peak = build()
        times["no change"].append(seconds)
        memory = max(memory, peak)
    for number in range(rounds):
        (context / "files/d0/f1").write_text(f"changed {number}")
        before = used(root)
        times["one changed"].append(build()[0])
        grown = max(grown, used(root) - before)
    row = [f"{statistics.median(times[name]) * 1000:.0f}" for name in times]
    print(" | ".join([f"| {count:,}", *row, f"{memory:.0f}", f"{used(context):.0f}", f"{cold:.0f}", f"{grown:.1f} |"]), flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--sizes", default="2000,20000,200000")
    arguments = arguments.parse_args()
    base = Path(tempfile.mkdtemp(prefix="kiln-growth-", dir=os.environ.get("KILN_BENCH_DIR")))
    place = fresh_ext4(base)
    try:
        print("| files | cp -a, ms | cold | find, ms | no change | one changed | memory without a change, MB | context, MB | store | grown by one |")
        print("|---|---|---|---|---|---|---|---|---|---|")
        for count in arguments.sizes.split(","):
            measure(place, int(count), arguments.rounds)
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
