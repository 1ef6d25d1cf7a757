#!/usr/bin/env python3
"""Times the same Dockerfiles with kiln and with whichever of buildah, podman and docker (BuildKit) is installed.

Every tool takes its turn in each round, so that noise of the machine meets all alike. Prints medians and the ratio to
kiln. Needs root. Work happens in a fresh directory on KILN_BENCH_DIR (default: a fresh ext4 in a file, mounted).

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
import time
from pathlib import Path

KILN = os.environ.get("KILN", "kiln")
FILES = 20_000
# The client that belongs to Debian's daemon; a newer one wants the buildx plugin.
DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"


def sh(command, **options):
    """Runs a command quietly; its output is shown when it fails."""
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, **options)
    if done.returncode:
        sys.stderr.write(done.stdout.decode(errors="replace"))
        raise SystemExit(f"failed: {command}")
    return done.stdout.decode(errors="replace")


class Kiln:
    name = "kiln"

    def __init__(self, place):
        self.env = {**os.environ, "KILN_ROOT": str(place / "kiln")}

    def base(self, tar):
        sh([KILN, "import", str(tar), "busybox:latest"], env=self.env)

    def build(self, context, cache=True, out=None):
        command = [KILN, "build", "--progress=plain", "-t", "bench"] + ([] if cache else ["--no-cache"])
        command += ["-o", f"type=oci,dest={out}"] if out else []
        sh(command + [str(context)], env=self.env)

    def run(self):
        sh([KILN, "run", "--rm", "busybox", "true"], env=self.env)

    def stop(self):
        pass


class Buildah:
    name = "buildah"

    def __init__(self, place):
        self.options = ["--root", str(place / "buildah"), "--runroot", str(place / "buildah-run"), "--storage-driver", "overlay"]

    def base(self, tar):
        container = sh(["buildah", *self.options, "from", "scratch"]).strip()
        sh(["buildah", *self.options, "add", container, str(tar), "/"])
        sh(["buildah", *self.options, "commit", container, "localhost/busybox:latest"])
        sh(["buildah", *self.options, "rm", container])

    def build(self, context, cache=True, out=None):
        command = ["buildah", *self.options, "build", "--layers", "--isolation=chroot", "--network=host", "-t", "bench"]
        command += [] if cache else ["--no-cache"]
        sh(command + [str(context)])
        if out:
            sh(["buildah", *self.options, "push", "bench", f"oci-archive:{out}"])

    run = None

    def stop(self):
        pass


class Podman:
    name = "podman"

    def __init__(self, place):
        self.options = ["--root", str(place / "podman"), "--runroot", str(place / "podman-run"), "--storage-driver", "overlay"]
        self.options += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def base(self, tar):
        sh(["podman", *self.options, "import", "-q", str(tar), "localhost/busybox:latest"])

    build = None

    def run(self):
        sh(["podman", *self.options, "run", "--rm", "--network=host", "--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024",
            "localhost/busybox", "true"])

    def stop(self):
        pass


class Docker:
    name = "docker"

    def __init__(self, place):
        self.socket = f"unix://{place}/docker.sock"
        self.log = open(place / "dockerd.log", "w")
        self.daemon = subprocess.Popen(
            ["dockerd", "--bridge=none", "--iptables=false", "-H", self.socket, "--data-root", str(place / "docker"),
             "--exec-root", str(place / "docker-exec"), "--pidfile", str(place / "docker.pid")],
            stdout=self.log, stderr=self.log)
        self.env = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_HOST": self.socket}
        for _ in range(300):
            if subprocess.run([DOCKER, "version"], env=self.env, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError("dockerd did not start")

    def base(self, tar):
        sh([DOCKER, "import", str(tar), "busybox:latest"], env=self.env)

    def build(self, context, cache=True, out=None):
        command = [DOCKER, "build", "--progress=plain", "--network=host", "-t", "bench"] + ([] if cache else ["--no-cache"])
        sh(command + [str(context)], env=self.env)
        if out:
            sh([DOCKER, "save", "-o", str(out), "bench"], env=self.env)

    def run(self):
        sh([DOCKER, "run", "--rm", "--network=host", "busybox", "true"], env=self.env)

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


def busybox(place):
    """The same root file system for all."""
    root = place / "rootfs"
    for name in ("bin", "dev", "etc", "proc", "sys", "tmp", "root"):
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


def context(place, name, dockerfile):
    directory = place / name
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "Dockerfile").write_text(dockerfile)
    return directory


def many_files(directory):
    data = os.urandom(5000) + b"text " * 1000
    for number in range(FILES):
        parent = directory / "files" / f"d{number // 40}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"f{number}").write_bytes(number.to_bytes(8, "little") + data)


def rows(place):
    """Name, and what one tool does to prepare and to be timed."""
    steps = context(place, "steps", "FROM busybox\n" + "".join(f'RUN ["true", "{n}"]\n' for n in range(30)))
    warm = context(place, "warm", "FROM busybox\n" + "".join(f"RUN echo {n} > /f{n}\n" for n in range(12)) + "COPY src /src\n")
    for number in range(2000):
        parent = warm / "src" / f"d{number // 100}"
        parent.mkdir(parents=True, exist_ok=True)
        (parent / f"f{number}").write_text(f"file {number}\n" * 50)
    copy = context(place, "copy", "FROM busybox\nCOPY files /files\n")
    many_files(copy)
    sleeps = context(place, "sleeps", "".join(f"FROM busybox AS s{n}\nRUN sleep 2; echo {n} > /f\n" for n in range(4))
                     + "FROM busybox\n" + "".join(f"COPY --from=s{n} /f /f{n}\n" for n in range(4)))
    big = context(place, "big", "FROM busybox\nRUN dd if=/dev/urandom of=/a bs=1M count=128 && "
                  "i=0; while [ $i -lt 7 ]; do busybox --list | head -c 2000 > /l; yes \"$i $(cat /l)\" | head -c 134217728 > /b$i; i=$((i+1)); done\n")
    counter = iter(range(1 << 30))

    def change(tool):
        (copy / "files/d7/f300").write_text(f"changed {next(counter)}")

    build = lambda directory, **options: lambda tool: tool.build(directory, **options)
    nothing = lambda tool: None
    return [
        ("30 x RUN true, cold", nothing, build(steps, cache=False)),
        ("30 x RUN true, cached", build(steps), build(steps)),
        ("13 steps and 2,000 files, cached", build(warm), build(warm)),
        ("COPY of 20,000 files, cold", nothing, build(copy, cache=False)),
        ("COPY of 20,000 files, no change", build(copy), build(copy)),
        ("COPY of 20,000 files, one changed", change, build(copy)),
        ("four stages of sleep 2", nothing, build(sleeps, cache=False)),
        ("1 GiB in one RUN, to an OCI archive", nothing, build(big, cache=False, out=place / "out.tar")),
        ("run true", nothing, lambda tool: tool.run()),
    ]


def fresh_ext4(place):
    """A file system of its own: an aged one costs more for each file, and not for all tools alike."""
    image = place / "disk.img"
    sh(["truncate", "-s", "24G", str(image)])
    sh(["mkfs.ext4", "-q", "-F", str(image)])
    target = place / "disk"
    target.mkdir()
    sh(["mount", "-o", "loop", str(image), str(target)])
    return target


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
        for kind, program in [(Kiln, KILN), (Buildah, "buildah"), (Podman, "podman"), (Docker, "dockerd")]:
            if not shutil.which(program):
                print(f"{program} is not installed: left out", file=sys.stderr)
                continue
            try:
                tools.append(kind(place))
            except RuntimeError as error:
                print(f"{kind.name}: {error}: left out", file=sys.stderr)
        tar = busybox(place)
        for tool in tools:
            tool.base(tar)
        for name, prepare, timed in rows(place):
            if wanted and not any(text in name for text in wanted):
                continue
            able = [tool for tool in tools if getattr(tool, "run" if name.startswith("run") else "build")]
            times = {tool.name: [] for tool in able}
            for _ in range(arguments.rounds):
                for tool in able:
                    prepare(tool)
                    begun = time.perf_counter()
                    timed(tool)
                    times[tool.name].append(time.perf_counter() - begun)
            results[name] = times
            kiln = statistics.median(times["kiln"])
            cells = []
            for tool in able:
                median = statistics.median(times[tool.name])
                ratio = "" if tool.name == "kiln" else f" ({median / kiln:.1f}x)"
                cells.append(f"{tool.name} {median * 1000:.1f} ms{ratio}")
            print(f"{name}: " + ", ".join(cells), flush=True)
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
