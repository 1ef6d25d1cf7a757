"""What the benches need of the machine: commands, a fresh disk, time and memory."""

import os
import subprocess
import sys
import time
from pathlib import Path

KILN = os.environ.get("KILN", "kiln")


def sh(command, **options):
    """Runs a command quietly; its output is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise SystemExit(f"failed: {command}")
    return done.stdout.decode(errors="replace")


def timed(command, **options):
    """Runs a command; returns seconds, and the MB that it or one of its children had at most."""
    begun = time.perf_counter()
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, **options)
    said = process.stderr.read()
    _, status, usage = os.wait4(process.pid, 0)
    taken = time.perf_counter() - begun
    if status:
        raise SystemExit(f"failed: {command}\n{said.decode(errors='replace')}")
    return taken, usage.ru_maxrss / 1024


def seconds(action):
    """Returns how long something takes."""
    begun = time.perf_counter()
    action()
    return time.perf_counter() - begun


def used(directory):
    """Returns the MB that a directory takes on the disk, files with several names once. What goes meanwhile is no failure."""
    done = subprocess.run(["du", "-sk", str(directory)], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
    return int(done.stdout.split()[0]) / 1024 if Path(directory).exists() else 0


def fresh_ext4(place):
    """A file system of its own: an aged one costs more for each file, and not for all tools alike."""
    image = place / "disk.img"
    sh(["truncate", "-s", "40G", str(image)])
    sh(["mkfs.ext4", "-q", "-F", str(image)])
    target = place / "disk"
    target.mkdir()
    sh(["mount", "-o", "loop", str(image), str(target)])
    return target


class Peaks:
    """The most memory that running processes have had since this was made (proc(5), `clear_refs` and `VmHWM`)."""

    def __init__(self, pid):
        self.pids = [pid, *children(pid)]
        for process in self.pids:
            try:
                Path(f"/proc/{process}/clear_refs").write_text("5")
            except OSError:
                pass

    def megabytes(self):
        return sum(peak(process) for process in self.pids)


def children(pid):
    try:
        direct = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    except OSError:
        return []
    return direct + [below for child in direct for below in children(child)]


def peak(pid):
    try:
        lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    except OSError:
        return 0
    return sum(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 1024
