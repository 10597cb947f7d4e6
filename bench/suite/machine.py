"""The machine and the programs under measurement: which CPUs, which kernel, which build."""

import contextlib
import fcntl
import os
import pathlib
import platform
import re
import shutil
import socket
import subprocess
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Trouble(Exception):
    """What stands in the way, in a line that says what to do."""


def text_of(path, default=""):
    try:
        return pathlib.Path(path).read_text(errors="replace").strip()
    except OSError:
        return default


def output_of(*command):
    """What a program prints, or "" when there is no such program."""
    try:
        run = subprocess.run(command, capture_output=True, text=True, check=False, cwd=ROOT, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return (run.stdout or run.stderr).strip()


def cpu_list(text):
    """{0, 1, 4} of "0-1,4"."""
    cpus = set()
    for part in filter(None, text.split(",")):
        first, _, last = part.partition("-")
        cpus.update(range(int(first), int(last or first) + 1))
    return cpus


class Cpus:
    """Which CPU serves and which one loads: on different cores where that is possible."""

    def __init__(self):
        self.allowed = sorted(os.sched_getaffinity(0))
        self.server = self.allowed[0]
        siblings = cpu_list(text_of(f"/sys/devices/system/cpu/cpu{self.server}/topology/thread_siblings_list"))
        others = [cpu for cpu in self.allowed if cpu != self.server]
        apart = [cpu for cpu in others if cpu not in siblings]
        self.load = (apart or others or [self.server])[0]
        self.note = ""
        if not others:
            self.note = "only one CPU: server and load share it, the figures say nothing about either"
        elif not apart:
            self.note = "server and load run on two threads of one core and slow each other down"


@contextlib.contextmanager
def alone():
    """While measuring: whoever shares the machine can name a file in USHER_BENCH_LOCK, which is held exclusively for each round of
    runs; other work takes it too (flock FILE COMMAND)."""
    path = os.environ.get("USHER_BENCH_LOCK")
    if not path:
        yield
        return
    try:
        lock = open(path, "a")  # noqa: SIM115 - held by the with below
    except OSError as error:
        raise Trouble(f"USHER_BENCH_LOCK={path}: {error.strerror}: name a file that can be written") from None
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


PORTS_GIVEN = set()


def address_free():
    """"127.0.0.1:port" with a port that is free for TCP and UDP right now and that nobody here was given before."""
    while True:
        with socket.socket() as tcp, socket.socket(type=socket.SOCK_DGRAM) as udp:
            tcp.bind(("127.0.0.1", 0))
            port = tcp.getsockname()[1]
            try:
                udp.bind(("127.0.0.1", port))
            except OSError:
                continue
        if port not in PORTS_GIVEN:
            PORTS_GIVEN.add(port)
            return f"127.0.0.1:{port}"


def build(targets):
    """A release of the programs that are needed, in build/release. Says nothing when there is nothing to do."""
    build_dir = ROOT / "build/release"
    for command in (["cmake", "--preset", "release", "-DBUILD_TESTING=OFF"], ["cmake", "--build", str(build_dir), "--target", *targets]):
        if command[1] == "--preset" and (build_dir / "build.ninja").exists():
            continue
        if not shutil.which("cmake"):
            raise Trouble("cmake is missing: run tools/deps bench")
        run = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        if run.returncode != 0:
            raise Trouble(f"the build failed, {' '.join(command)} says:\n{(run.stdout + run.stderr)[-2000:]}")
    return build_dir / "bin"


def compiler_of(binaries):
    """Compiler and flags of the build that the programs lie in, as it recorded them."""
    cache = text_of(binaries.parent / "CMakeCache.txt")
    path = re.search(r"^CMAKE_C_COMPILER:\w+=(.*)$", cache, re.MULTILINE)
    commands = text_of(binaries.parent / "compile_commands.json")
    flags = re.search(r'"command": "\S+ ([^"]*) -o [^"]*dispatcher/answer\.c', commands)
    words = [word for word in (flags[1].split() if flags else []) if not word.startswith(("-I", "-W", "-D_GNU", "-fmacro", "-isystem"))]
    return {
        "compiler": output_of(path[1], "--version").splitlines()[0] if path else "unknown",
        "flags": " ".join(words) or "unknown",
    }


def commit():
    """The short hash, with + behind it when files differ from it."""
    name = output_of("git", "rev-parse", "--short=12", "HEAD")
    if not re.fullmatch(r"[0-9a-f]{12}", name):
        return "unknown"
    return name + ("+" if output_of("git", "status", "--porcelain", "--untracked-files=no") else "")


def facts(binaries, cpus):
    """What a figure has to carry with it."""
    info = text_of("/proc/cpuinfo")
    model = re.search(r"^model name\s*:\s*(.*)$", info, re.MULTILINE)
    return {
        "commit": commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "kernel": f"{platform.system()} {platform.release()} {platform.machine()}",
        "cpu": model[1] if model else "unknown",
        "cpus": len(cpus.allowed),
        "virtual": bool(re.search(r"^flags\s*:.*\bhypervisor\b", info, re.MULTILINE)),
        "governor": text_of(f"/sys/devices/system/cpu/cpu{cpus.server}/cpufreq/scaling_governor", "none"),
        "server_cpu": cpus.server,
        "load_cpu": cpus.load,
        "load_average": os.getloadavg()[0],
        **compiler_of(binaries),
    }
