"""The rows of the table: what each tool does untimed, what is timed, and the floor: what the work itself takes here.

Contexts and root file systems are made when a row first asks for them, so that `--only` is quick.
"""

import shutil
from dataclasses import dataclass
from functools import cached_property
from typing import Callable, Optional

import trees
from machine import seconds, sh, used

FILES = 20_000
MANY = 200_000


@dataclass
class Row:
    name: str
    prepare: Callable
    # Returns nothing to be timed, or a number in `unit`.
    action: Callable
    verb: str = "builds"
    unit: str = "ms"
    floor: Optional[Callable] = None
    floor_name: str = ""
    base: str = "busybox"


class Rows:
    def __init__(self, place):
        self.place = place
        self.changes = 0

    def context(self, name, dockerfile):
        return trees.context(self.place, name, dockerfile)

    @cached_property
    def steps(self):
        return self.context("steps", "FROM busybox\n" + "".join(f'RUN ["true", "{n}"]\n' for n in range(30)))

    @cached_property
    def warm(self):
        commands = "".join(f"RUN echo {n} > /f{n}\n" for n in range(12))
        warm = self.context("warm", f"FROM busybox\n{commands}COPY src /src\n")
        for number in range(2000):
            parent = warm / "src" / f"d{number // 100}"
            parent.mkdir(parents=True, exist_ok=True)
            (parent / f"f{number}").write_text(f"file {number}\n" * 50)
        return warm

    @cached_property
    def copy(self):
        copy = self.context("copy", "FROM busybox\nCOPY files /files\n")
        trees.fill(copy / "files", FILES, 10_000)
        return copy

    @cached_property
    def copy_many(self):
        copy = self.context("copy-many", "FROM busybox\nCOPY files /files\n")
        trees.fill(copy / "files", MANY, 1_000)
        return copy

    @cached_property
    def sleeps(self):
        stages = "".join(f"FROM busybox AS s{n}\nRUN sleep 2; echo {n} > /f\n" for n in range(4))
        return self.context("sleeps", stages + "FROM busybox\n" + "".join(f"COPY --from=s{n} /f /f{n}\n" for n in range(4)))

    @cached_property
    def big(self):
        copies = "for n in 0 1 2 3 4 5 6 7; do cat /seed/data > /b$n; done"
        big = self.context("big", f"FROM busybox\nRUN --mount=type=bind,target=/seed {copies}\n")
        trees.mixed(big / "data")
        return big

    @cached_property
    def make(self):
        make = self.context("make", "FROM debian\nCOPY src /src\nRUN make -s -C /src\n")
        trees.sources(make / "src")
        return make

    @cached_property
    def chroot(self):
        """The Debian of the `make` row, for its floor."""
        root = self.place / "chroot"
        root.mkdir()
        sh(["tar", "-C", str(root), "-xf", str(trees.debian(self.place))])
        return root

    def forget_copy(self, tool):
        """What a build has made is gone from the store, which else would have to find a place for it, or see that it has it."""
        tool.build(self.steps)
        tool.forget()

    def change_copy(self, _tool):
        self.changes += 1
        (self.copy / "files/d7/f300").write_text(f"changed {self.changes}")

    def change_big(self, _tool):
        """Other data each time: what was packed once is not packed again."""
        self.changes += 1
        with open(self.big / "data", "r+b") as data:
            data.write(self.changes.to_bytes(8, "little"))

    def twice_many(self, tool):
        """The second build remembers the hash of so many files; from then on a build without a change is as fast as it gets."""
        tool.build(self.copy_many)
        tool.build(self.copy_many)

    def change_source(self, tool):
        tool.build(self.make)
        self.changes += 1
        (self.make / "src/main.c").write_text(f"int main(void) {{ return {self.changes} & 1; }}\n")

    def grow(self, tool):
        """Returns what a store grows by. The context is another one for each tool and round, so that nothing is known."""
        self.changes += 1
        context = self.place / "grow"
        shutil.copytree(self.copy, context)
        (context / "Dockerfile").write_text(f"FROM busybox\nCOPY files /files{self.changes}\n")
        sh(["sync"])
        before = used(tool.store)
        tool.build(context)
        sh(["sync"])
        shutil.rmtree(context)
        return used(tool.store) - before

    # Floors.

    def sleep(self):
        return seconds(lambda: sh(["sleep", "2"]))

    def find(self, directory):
        return seconds(lambda: sh(["find", str(directory), "-printf", "%s %T@ %C@ %i\\n"]))

    def cp(self, source):
        target = self.place / "copied"
        taken = seconds(lambda: sh(["cp", "-a", str(source), str(target)]))
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        return taken

    def deflate(self):
        """libdeflate -6 of the same gigabyte, half of it on each of two processors."""
        if not shutil.which("libdeflate-gzip"):
            return None
        pack = "seq 8 | xargs -P2 -n1 sh -c 'libdeflate-gzip -6 -c data > /dev/null'"
        return seconds(lambda: sh(["sh", "-c", pack], cwd=self.big))

    def native_make(self):
        target = self.chroot / "src"
        shutil.rmtree(target, ignore_errors=True)
        shutil.copytree(self.make / "src", target)
        return seconds(lambda: sh(["chroot", str(self.chroot), "make", "-s", "-C", "/src"]))

    def bwrap(self):
        if not shutil.which("bwrap"):
            return None
        root = str(self.place / "busybox")
        options = ["--unshare-pid", "--unshare-ipc", "--unshare-uts", "--bind", root, "/", "--proc", "/proc", "--dev", "/dev"]
        return seconds(lambda: sh(["bwrap", *options, "true"]))

    def bwraps(self):
        each = [self.bwrap() for _ in range(30)]
        return None if None in each else sum(each)

    def all(self):
        build = lambda name, **options: lambda tool: tool.build(getattr(self, name), **options)
        nothing = lambda tool: None
        archive = self.place / "out.tar"

        def save(tool):
            archive.unlink(missing_ok=True)
            tool.build(self.big, to=("docker", archive))

        return [
            Row("30 x RUN true, cold", nothing, build("steps", cache=False), floor=self.bwraps, floor_name="30 x bwrap"),
            Row("the same with a private network", nothing, build("steps", cache=False, private=True), verb="isolates"),
            Row("30 x RUN true, cached", build("steps"), build("steps")),
            Row("13 steps and 2,000 files, cached", build("warm"), build("warm")),
            Row("COPY of 20,000 files, cold", self.forget_copy, build("copy", cache=False),
                floor=lambda: self.cp(self.copy / "files"), floor_name="cp -a"),
            Row("COPY of 20,000 files, no change", build("copy"), build("copy"),
                floor=lambda: self.find(self.copy), floor_name="find"),
            Row("COPY over 200,000 files, no change", self.twice_many, build("copy_many"),
                floor=lambda: self.find(self.copy_many), floor_name="find"),
            Row("COPY of 20,000 files, one changed", self.change_copy, build("copy")),
            Row("store grown by the 20,000 files", nothing, self.grow, unit="MB",
                floor=lambda: used(self.copy), floor_name="the files"),
            Row("four stages of sleep 2", nothing, build("sleeps", cache=False), floor=self.sleep, floor_name="sleep 2"),
            Row("1 GiB in one RUN, to an OCI archive", self.change_big, build("big", cache=False, to=("oci", self.place / "oci.tar")),
                floor=self.deflate, floor_name="libdeflate -6, two cores"),
            Row("docker-archive of the 1 GiB image, cached", save, save,
                floor=lambda: self.cp(archive), floor_name="cp of it"),
            Row("Debian base, make: one source changed", self.change_source, build("make"), base="debian",
                floor=self.native_make, floor_name="make in a chroot"),
            Row("run true", nothing, lambda tool: tool.run(), verb="runs", floor=self.bwrap, floor_name="bwrap"),
        ]
