#!/usr/bin/env python3
"""How cost grows: with the files of a COPY, with the steps of a Dockerfile, with the layers of an image.

files: a build from nothing, builds without a change, builds with one file changed, for each number of files. Floors of the
same minute are `cp -a` and a walk by find(1), which looks at every file once. Nothing is packed: the target of the build
takes one file of the stage that copies all. Memory, and what the store grows by.

steps: so many `RUN true`, so many `RUN` that write a file each (a layer for each), so many ENV: from nothing, and
again. In milliseconds, and for each step.

layers: an image of so many layers: one more `RUN true` on top of it in a build that has nothing else to do, and `kiln run`
of true. What is made once for a deep image (its flats) is made before.

Prints medians. Needs root; works on a fresh ext4 in a file.

  growth.py [--rounds N] [--only files,steps,layers] [--files N,...] [--steps N,...] [--layers N,...]
"""

import argparse
import itertools
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import trees
from machine import KILN, fresh_ext4, sh, timed, used

FILES = "FROM scratch AS all\nCOPY files /files\nFROM scratch\nCOPY --from=all /files/d0/f0 /f\n"
BYTES = 10_000


class Store:
    """A store of kiln, and how long commands on it take."""

    def __init__(self, place, name):
        self.root = place / name
        self.env = {**os.environ, "KILN_ROOT": str(self.root)}

    def kiln(self, *arguments):
        """Returns seconds, and the MB of memory. What the one before left to be written is on the disk by then."""
        sh(["sync", "-f", str(self.root.parent)])
        return timed([KILN, *(str(argument) for argument in arguments)], env=self.env)

    def build(self, context, *options):
        return self.kiln("build", "--progress=plain", *options, context)

    def busybox(self, tar):
        self.kiln("import", tar, "busybox")

    def remove(self):
        shutil.rmtree(self.root, ignore_errors=True)


def milliseconds(times):
    return statistics.median(times) * 1000


def print_row(*cells):
    print("| " + " | ".join(str(cell) for cell in cells) + " |", flush=True)


def print_head(*names):
    print_row(*names)
    print("|" + "---|" * len(names))


def files(place, counts, rounds):
    print_head("files", "cp -a, ms", "cold", "find, ms", "no change", "one changed", "memory without a change, MB",
               "context, MB", "store", "grown by one")
    for count in counts:
        of_files(place, count, rounds)


def of_files(place, count, rounds):
    context = trees.context(place, f"context-{count}", FILES)
    trees.fill(context / "files", count, BYTES)
    store = Store(place, f"store-{count}")
    find = lambda: timed(["find", str(context / "files"), "-printf", "%s %T@ %C@ %i\\n"])
    times = {name: [] for name in ("cp -a", "cold", "find", "no change", "one changed")}
    memory, grown = 0, 0
    for _ in range(rounds):
        store.remove()
        sh(["sync", "-f", str(place)])
        times["cp -a"].append(timed(["cp", "-a", str(context / "files"), str(place / "copy")])[0])
        shutil.rmtree(place / "copy")
        sh(["sync", "-f", str(place)])
        times["cold"].append(store.build(context)[0])
    cold = used(store.root)
    # What is as young as the build that reads it is read again by the next.
    time.sleep(0.1)
    store.build(context), store.build(context)
    for _ in range(rounds):
        times["find"].append(find()[0])
        seconds, peak = store.build(context)
        times["no change"].append(seconds)
        memory = max(memory, peak)
    for number in range(rounds):
        (context / "files/d0/f1").write_text(f"changed {number}")
        before = used(store.root)
        times["one changed"].append(store.build(context)[0])
        grown = max(grown, used(store.root) - before)
    row = [f"{milliseconds(times[name]):.0f}" for name in times]
    print_row(f"{count:,}", *row, f"{memory:.0f}", f"{used(context):.0f}", f"{cold:.0f}", f"{grown:.1f}")


STEPS = {
    "RUN true": lambda n: f'RUN ["true", "{n}"]\n',
    "RUN that writes": lambda n: f"RUN echo {n} > /f{n}\n",
    "ENV": lambda n: f"ENV E{n % 50} {n}\n",
}


def steps(place, counts, rounds):
    tar = trees.busybox(place)
    print_head("steps", *(f"{kind}, {when}" for kind in STEPS for when in ("cold, ms", "a step", "again", "a step", "MB")))
    for count in counts:
        cells = [cell for kind in STEPS for cell in of_steps(place, tar, kind, count, rounds)]
        print_row(f"{count:,}", *cells)


def of_steps(place, tar, kind, count, rounds):
    context = trees.context(place, "steps", "FROM busybox\n" + "".join(STEPS[kind](n) for n in range(count)))
    store = Store(place, "store-steps")
    times = {"cold": [], "again": []}
    memory = 0
    for _ in range(rounds):
        store.remove()
        store.busybox(tar)
        for when in times:
            seconds, peak = store.build(context, "-t", "bench")
            times[when].append(seconds)
            memory = max(memory, peak)
    cells = [(milliseconds(times[when]), milliseconds(times[when]) / count) for when in times]
    return [f"{total:.0f}" if digits == 0 else f"{total:.2f}" for pair in cells for digits, total in enumerate(pair)] + [f"{memory:.0f}"]


def layers(place, counts, rounds):
    tar = trees.busybox(place) if not (place / "busybox.tar").exists() else place / "busybox.tar"
    print_head("layers", "the image, cold, ms", "a layer", "the image again", "RUN true on top", "kiln run true")
    unique = itertools.count()
    for count in counts:
        store = Store(place, f"store-layers-{count}")
        store.busybox(tar)
        deep = trees.context(place, f"deep-{count}", "FROM busybox\n" + "".join(f"COPY f /d/{n}\n" for n in range(count - 1)))
        (deep / "f").write_text("a file\n")
        cold = store.build(deep, "-t", "deep")[0]
        store.kiln("inspect", "deep")
        top = trees.context(place, f"top-{count}", "")
        times = {"again": [], "run": [], "box": []}
        # The first of each makes what is made once.
        for number in range(rounds + 1):
            (top / "Dockerfile").write_text(f'FROM deep\nRUN ["true", "{next(unique)}"]\n')
            taken = {"again": store.build(deep, "-t", "deep")[0], "run": store.build(top)[0],
                     "box": store.kiln("run", "--rm", "deep", "true")[0]}
            for name in times if number else ():
                times[name].append(taken[name])
        print_row(f"{count:,}", f"{cold * 1000:.0f}", f"{cold * 1000 / count:.2f}", *(f"{milliseconds(times[name]):.1f}" for name in times))


TABLES = {
    "files": (files, "2000,20000,200000"),
    "steps": (steps, "10,100,1000"),
    "layers": (layers, "1,10,100,600"),
}


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", default=",".join(TABLES), help="tables, comma separated")
    for name, (_, counts) in TABLES.items():
        arguments.add_argument(f"--{name}", default=counts)
    arguments = arguments.parse_args()
    base = Path(tempfile.mkdtemp(prefix="kiln-growth-", dir=os.environ.get("KILN_BENCH_DIR")))
    place = fresh_ext4(base)
    try:
        for name in arguments.only.split(","):
            table, _ = TABLES[name]
            table(place, [int(count) for count in getattr(arguments, name).split(",")], arguments.rounds)
            print()
    finally:
        subprocess.run(["umount", "-l", str(place)], check=False)
        shutil.rmtree(base, ignore_errors=True)


if __name__ == "__main__":
    main()
