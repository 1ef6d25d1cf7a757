"""Root file systems and build contexts, the same for all tools."""

import os
import shutil
from pathlib import Path

from machine import sh

APPLETS = ("bin", "dev", "etc", "proc", "sys", "tmp", "root")
# Forty small programs' worth of compiling: a second or so.
SOURCES = 40


def busybox(place):
    root = place / "busybox"
    for name in APPLETS:
        (root / name).mkdir(parents=True)
    shutil.copy(shutil.which("busybox"), root / "bin/busybox")
    for applet in sh([str(root / "bin/busybox"), "--list"]).split():
        if applet != "busybox":
            (root / "bin" / applet).symlink_to("busybox")
    (root / "etc/passwd").write_text("root:x:0:0:root:/root:/bin/sh\n")
    (root / "etc/group").write_text("root:x:0:\n")
    tar = place / "busybox.tar"
    sh(["tar", "-C", str(root), "--owner=0", "--group=0", "-cf", str(tar), "."])
    return tar


def debian(place):
    """A Debian with a compiler and make, from the machine's own sources of packages; kept in KILN_BENCH_DEBIAN."""
    kept = os.environ.get("KILN_BENCH_DEBIAN")
    tar = os.path.abspath(kept) if kept else str(place / "debian.tar")
    if not os.path.exists(tar):
        sources = "/etc/apt/sources.list.d/debian.sources"
        command = ["mmdebstrap", "--quiet", "--variant=apt", "--include=gcc,libc6-dev,make", "bookworm", tar + ".part.tar"]
        sh(command + ([sources] if os.path.exists(sources) else []))
        os.rename(tar + ".part.tar", tar)
    return tar


def context(place, name, dockerfile):
    directory = place / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def fill(directory, count, size):
    """Forty files to a directory, half of each incompressible."""
    data = os.urandom(size // 2) + b"text " * (size // 10)
    for number in range(count):
        parent = directory / f"d{number // 40}"
        if number % 40 == 0:
            parent.mkdir(parents=True)
        (parent / f"f{number}").write_bytes(number.to_bytes(8, "little") + data[8:])


def mixed(path):
    """128 MiB: half text (the sources of this project), a quarter random, a quarter zeros."""
    files = sorted(Path(__file__).parents[2].glob("crates/**/*.rs"))
    text = b"".join(file.read_bytes() for file in files)
    with open(path, "wb") as out:
        left = 64 << 20
        while left:
            left -= out.write(text[:left])
        out.write(os.urandom(32 << 20))
        out.write(bytes(32 << 20))


def sources(directory):
    """A program in C of many files, and its Makefile."""
    directory.mkdir()
    for number in range(SOURCES):
        body = "".join(f"int f{number}_{n}(int x) {{ return x * {n} + {number}; }}\n" for n in range(50))
        (directory / f"part{number}.c").write_text(body)
    (directory / "main.c").write_text("int main(void) { return 0; }\n")
    (directory / "Makefile").write_text("CFLAGS = -O1\nprogram: $(patsubst %.c,%.o,$(wildcard *.c))\n\t$(CC) -o $@ $^\n")
