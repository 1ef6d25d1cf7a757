#!/usr/bin/env python3
"""Times the same Dockerfiles with kiln and with whichever of buildah, podman and docker (BuildKit) is installed.

Steps have the network of the machine with every tool, unless a row says otherwise. Every tool takes its turn in each
round, so that noise of the machine meets all alike, and so does the floor: a program that does nothing but the work
itself. What one of them leaves to be written is on the disk before the next begins; nobody's figure has it. Prints medians, the ratio to kiln, and the most memory that a tool took (a daemon with its children; of what ends,
the largest process). Needs root. Work happens in a fresh directory on KILN_BENCH_DIR (default: a fresh ext4 in a file,
mounted). KILN_BENCH_DEBIAN names a tar to keep the Debian of one row in.

  run.py [--rounds N] [--only ROW,...] [--json FILE]
"""

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
import trees
from machine import fresh_ext4, seconds, sh
from rows import Rows
from tools import TOOLS


def start_tools(place):
    """Returns the tools that are here. Of those that are not, says so."""
    tools = []
    for kind in TOOLS:
        if not shutil.which(kind.program):
            print(f"{kind.program} is not installed: left out", file=sys.stderr)
            continue
        try:
            tools.append(kind(place))
        except RuntimeError as error:
            print(f"{kind.name}: {error}: left out", file=sys.stderr)
    return tools


def measure(row, tools, rounds):
    """Returns the figures of each tool, and of the floor, round by round; and the peaks of memory."""
    figures = {tool.name: [] for tool in tools}
    floors = []
    peaks = {tool.name: 0 for tool in tools}
    for _ in range(rounds):
        for tool in tools:
            row.prepare(tool)
            tool.peak = 0
            sh(["sync"])
            if row.unit == "ms":
                figures[tool.name].append(seconds(lambda: row.action(tool)) * 1000)
            else:
                figures[tool.name].append(row.action(tool))
            peaks[tool.name] = max(peaks[tool.name], tool.peak)
        sh(["sync"])
        floor = row.floor() if row.floor else None
        if floor is not None:
            floors.append(floor * 1000 if row.unit == "ms" else floor)
    return figures, floors, peaks


def show(row, figures, floors, peaks):
    kiln = statistics.median(figures["kiln"])
    cells = [row.name, f"{kiln:.1f} {row.unit}", f"{peaks['kiln']:.0f} MB"]
    if floors:
        floor = statistics.median(floors)
        cells.append(f"{floor:.1f} {row.unit} ({row.floor_name}); kiln {kiln - floor:+.1f}")
    else:
        cells.append("")
    for name in ("docker", "buildah", "podman"):
        if name in figures:
            median = statistics.median(figures[name])
            cells.append(f"{median:.1f} {row.unit} ({median / kiln:.1f}x), {peaks[name]:.0f} MB")
        else:
            cells.append("")
    print("| " + " | ".join(cells) + " |", flush=True)


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--rounds", type=int, default=5)
    arguments.add_argument("--only", default="", help="rows whose name contains one of these, comma separated")
    arguments.add_argument("--json", type=Path)
    arguments = arguments.parse_args()
    wanted = [text for text in arguments.only.split(",") if text]

    base = Path(tempfile.mkdtemp(prefix="kiln-peers-", dir=os.environ.get("KILN_BENCH_DIR")))
    own_disk = "KILN_BENCH_DIR" not in os.environ
    place = fresh_ext4(base) if own_disk else base
    tools, results = [], {}
    try:
        tools = start_tools(place)
        bases = set()
        print("| work | kiln | memory | floor | docker | buildah | podman |\n|---|---|---|---|---|---|---|")
        for row in Rows(place).all():
            if wanted and not any(text in row.name for text in wanted):
                continue
            for name in {"busybox", row.base} - bases:
                tar = getattr(trees, name)(place)
                for tool in tools:
                    tool.base(tar, name)
                bases.add(name)
            able = [tool for tool in tools if getattr(tool, row.verb)]
            figures, floors, peaks = measure(row, able, arguments.rounds)
            results[row.name] = {"unit": row.unit, "figures": figures, "floor": floors, "memory": peaks}
            show(row, figures, floors, peaks)
    finally:
        for tool in tools:
            tool.stop()
        if own_disk:
            subprocess.run(["umount", "-l", str(place)], check=False)
        shutil.rmtree(base, ignore_errors=True)
    if arguments.json:
        arguments.json.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
