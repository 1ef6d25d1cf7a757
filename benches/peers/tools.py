"""The builders, each behind the same few verbs.

`build` and `archive` return nothing; `peak` has the MB of memory that the last of them took: of the processes that a
command started, or of a daemon while it worked.
"""

import os
import subprocess
import time

from machine import KILN, Peaks, sh, timed

# The client that belongs to Debian's daemon; a newer one wants the buildx plugin.
DOCKER = "/usr/bin/docker" if os.path.exists("/usr/bin/docker") else "docker"


class Tool:
    """What tools without a daemon share."""

    builds = runs = True
    # Whether steps can have a network of their own: a daemon without a bridge cannot give them one.
    isolates = False
    env = None
    peak = 0

    def do(self, *command):
        _, peak = timed([str(word) for word in command], env=self.env)
        self.peak = max(self.peak, peak)

    def stop(self):
        pass


class Kiln(Tool):
    name, program, isolates = "kiln", KILN, True

    def __init__(self, place):
        self.store = place / "kiln"
        self.env = {**os.environ, "KILN_ROOT": str(self.store)}

    def base(self, tar, name):
        sh([KILN, "import", str(tar), name], env=self.env)

    def build(self, context, cache=True, to=None, private=False):
        options = ["--progress=plain", "-t", "bench"] + ([] if cache else ["--no-cache"])
        options += [] if private else ["--network=host"]
        if to:
            options += ["-o", "type={},dest={}".format(*to)]
        self.do(KILN, "build", *options, context)

    def forget(self):
        sh([KILN, "prune", "--all", "--force"], env=self.env)

    def run(self):
        self.do(KILN, "run", "--rm", "busybox", "true")


class Buildah(Tool):
    name, program, runs = "buildah", "buildah", False

    def __init__(self, place):
        self.store = place / "buildah"
        self.options = ["--root", str(self.store), "--runroot", str(place / "buildah-run"), "--storage-driver", "overlay"]

    def base(self, tar, name):
        container = sh(["buildah", *self.options, "from", "scratch"]).strip()
        sh(["buildah", *self.options, "add", container, str(tar), "/"])
        sh(["buildah", *self.options, "commit", container, f"localhost/{name}:latest"])
        sh(["buildah", *self.options, "rm", container])

    def build(self, context, cache=True, to=None):
        options = ["--layers", "--isolation=chroot", "--network=host", "-t", "bench"] + ([] if cache else ["--no-cache"])
        self.do("buildah", *self.options, "build", *options, context)
        if to:
            kind = {"oci": "oci-archive", "docker": "docker-archive"}[to[0]]
            self.do("buildah", *self.options, "push", "bench", f"{kind}:{to[1]}")

    def forget(self):
        sh(["buildah", *self.options, "rmi", "--prune", "--force"])


class Podman(Tool):
    name, program, builds = "podman", "podman", False

    def __init__(self, place):
        self.store = place / "podman"
        self.options = ["--root", str(self.store), "--runroot", str(place / "podman-run"), "--storage-driver", "overlay"]
        self.options += ["--cgroup-manager", "cgroupfs", "--runtime", "runc"]

    def base(self, tar, name):
        if name == "busybox":
            sh(["podman", *self.options, "import", "-q", str(tar), f"localhost/{name}:latest"])

    def run(self):
        limits = ["--ulimit=nofile=1024:1024", "--ulimit=nproc=1024:1024"]
        self.do("podman", *self.options, "run", "--rm", "--network=host", *limits, "localhost/busybox", "true")


class Docker(Tool):
    name, program = "docker", "dockerd"

    def __init__(self, place):
        self.store = place / "docker"
        socket = f"unix://{place}/docker.sock"
        self.log = open(place / "dockerd.log", "w")
        self.daemon = subprocess.Popen(
            ["dockerd", "--bridge=none", "--iptables=false", "-H", socket, "--data-root", str(self.store),
             "--exec-root", str(place / "docker-exec"), "--pidfile", str(place / "docker.pid")],
            stdout=self.log, stderr=self.log)
        self.env = {**os.environ, "DOCKER_BUILDKIT": "1", "DOCKER_HOST": socket}
        for _ in range(300):
            if subprocess.run([DOCKER, "version"], env=self.env, capture_output=True).returncode == 0:
                return
            time.sleep(0.1)
        self.stop()
        raise RuntimeError("dockerd did not start")

    def do(self, *command):
        peaks = Peaks(self.daemon.pid)
        sh([str(word) for word in command], env=self.env)
        self.peak = max(self.peak, peaks.megabytes())

    def base(self, tar, name):
        sh([DOCKER, "import", str(tar), f"{name}:latest"], env=self.env)

    def build(self, context, cache=True, to=None):
        options = ["--progress=plain", "--network=host", "-t", "bench"] + ([] if cache else ["--no-cache"])
        self.do(DOCKER, "build", *options, context)
        if to:
            # Of this version: its archive is a docker-archive whatever one wants.
            self.do(DOCKER, "save", "-o", to[1], "bench")

    def forget(self):
        sh([DOCKER, "image", "prune", "--force"], env=self.env)
        sh([DOCKER, "builder", "prune", "--all", "--force"], env=self.env)

    def run(self):
        self.do(DOCKER, "run", "--rm", "--network=host", "busybox", "true")

    def stop(self):
        self.daemon.terminate()
        self.daemon.wait()


TOOLS = [Kiln, Buildah, Podman, Docker]
