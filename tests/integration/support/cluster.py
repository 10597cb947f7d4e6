"""Starts real processes for the integration tests: rm, dispatchers, workers on loopback, in a folder of their own.

Everything started is stopped when the `with` block ends, whatever happened; only processes started here are ever signalled, by pid.
"""
import contextlib
import errno
import json
import os
import pathlib
import random
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import traceback
import urllib.error
import urllib.request

BIN = pathlib.Path(os.environ.get("USHER_BIN", "build/release/bin")).resolve()

# Sanitizer builds on two busy cores are slow; these are limits for giving up, never measurements.
PATIENCE_S = 30

# Whether times that the product promises may be measured: not in a build with sanitizers.
SANITIZED = any(mark in (BIN / "usher-worker").read_bytes() for mark in (b"__asan_init", b"__tsan_init"))


class Failure(Exception):
    """What a test found wrong."""


def check(condition, text):
    if not condition:
        raise Failure(text)


def wait_until(what, condition, limit_s=PATIENCE_S):
    """Polls until condition() is true; returns how long that took."""
    begin = time.monotonic()
    while True:
        if condition():
            return time.monotonic() - begin
        if time.monotonic() - begin > limit_s:
            raise Failure(f"not within {limit_s} s: {what}")
        time.sleep(0.05)


PORTS_GIVEN = set()
PORT_MIN = 10000


def ports():
    """Those that the kernel gives to nobody by itself: else the socket of some client could have one while its server is started anew."""
    low = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    return range(PORT_MIN, low) if low > PORT_MIN + 10000 else range(PORT_MIN, 65536)


def port_free(ip="127.0.0.1"):
    """A port that is free for TCP and UDP on the IP ("[::1]" for IPv6) right now, and that nobody was given before: who got it may
    not listen yet."""
    ip = ip.strip("[]")
    family = socket.AF_INET6 if ":" in ip else socket.AF_INET
    while True:
        port = random.choice(ports())
        with socket.socket(family) as tcp, socket.socket(family, socket.SOCK_DGRAM) as udp:
            try:
                tcp.bind((ip, port))
                udp.bind((ip, port))
            except OSError as error:
                if error.errno != errno.EADDRINUSE:
                    raise
                continue
        if port not in PORTS_GIVEN:
            PORTS_GIVEN.add(port)
            return port


def address_new(ip="127.0.0.1"):
    """"ip:port" with a port that is free right now."""
    return f"{ip}:{port_free(ip)}"


class Process:
    def __init__(self, cluster, name, arguments, environment=None):
        self.name = name
        self.environment = {**os.environ, **(environment or {})}
        self.arguments = [str(a) for a in arguments]
        self.log_path = cluster.folder / f"{name}.log"
        self.popen = None
        self.start()

    def start(self):
        with open(self.log_path, "a") as log:
            self.popen = subprocess.Popen(self.arguments, stdout=log, stderr=log, stdin=subprocess.DEVNULL, env=self.environment)

    def signal(self, number):
        self.popen.send_signal(number)

    def kill(self):
        """kill -9, and wait for the end."""
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def terminate(self, limit_s=PATIENCE_S):
        """SIGTERM; returns the exit code."""
        if self.popen.poll() is None:
            self.popen.terminate()
        return self.popen.wait(limit_s)

    def running(self):
        return self.popen.poll() is None

    def log(self):
        return self.log_path.read_text(errors="replace") if self.log_path.exists() else ""


class Cluster:
    """Daemons of one or more regions with one state folder."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="usher-test-"))
        self.processes = {}

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None:
            self.logs_print()
        # Daemons twice: the second signal skips the time in which a leaving one still accepts work. rm last, it ends its Redis.
        for _ in range(2):
            for process in self.processes.values():
                if process.running() and "rm" not in process.name:
                    process.signal(signal.SIGCONT)
                    process.signal(signal.SIGTERM)
            time.sleep(0.1)
        for process in sorted(self.processes.values(), key=lambda p: "rm" in p.name):
            try:
                process.signal(signal.SIGCONT)
                process.terminate(10)
            except subprocess.TimeoutExpired:
                process.kill()
        for pid in self.processes_left():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)

    def processes_left(self, folder=None):
        """Pids of processes that have the folder in their command line: the Redis of a killed rm, for instance."""
        found = []
        for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                if str(folder or self.folder).encode() in entry.read_bytes() and int(entry.parent.name) != os.getpid():
                    found.append(int(entry.parent.name))
        return found

    def logs_print(self):
        for process in self.processes.values():
            print(f"--- {process.name}: {' '.join(process.arguments)}", file=sys.stderr)
            print("".join(process.log().splitlines(keepends=True)[-15:]), file=sys.stderr)

    def add(self, name, *arguments, environment=None):
        self.processes[name] = Process(self, name, arguments, environment)
        return self.processes[name]

    def daemon(self, program, name, listen, *options, environment=None):
        state = self.folder / name
        return self.add(name, BIN / f"usher-{program}", "--listen", listen, "--state-dir", state,
                        "--admin", self.socket(name), *options, environment=environment)

    def rm(self, listen, *options, name="rm"):
        return self.daemon("rm", name, listen, *options)

    def dispatcher(self, listen, rm, *options, name="dispatcher"):
        return self.daemon("dispatcher", name, listen, "--rm", rm, "--threads", "1", *options)

    def worker(self, listen, rm, *options, name="worker"):
        return self.daemon("worker", name, listen, "--rm", rm, *options)

    def socket(self, name):
        return self.folder / f"{name}.sock"

    def ctl(self, name, *words, expect=0):
        """usherctl --json to the daemon of that name; the answer as an object."""
        code, out, err = run("usherctl", "-s", self.socket(name), *words, "--json")
        check(code == expect, f"usherctl {words}: exit {code} instead of {expect}: {out} {err}")
        return json.loads(out) if out.strip() else {}

    def nodes(self, name):
        """What a daemon's directory says: {address: row}. Empty while it does not answer yet."""
        code, out, _ = run("usherctl", "-s", self.socket(name), "nodes", "--json")
        return {row["address"]: row for row in json.loads(out)["nodes"]} if code == 0 else {}

    def wait_nodes(self, name, addresses, limit_s=PATIENCE_S):
        wanted = set(addresses)
        return wait_until(f"{name} knows just {sorted(wanted)}, it has {sorted(self.nodes(name))}",
                          lambda: set(self.nodes(name)) == wanted, limit_s)


def http_get(address, path):
    """(status, text)"""
    try:
        with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as refusal:
        return refusal.code, refusal.read().decode()


def metrics(address):
    """{'name{label="value"}': number} of a daemon's /metrics."""
    status, text = http_get(address, "/metrics")
    check(status == 200, f"GET /metrics: {status}")
    rows = [line.rsplit(" ", 1) for line in text.splitlines() if line and not line.startswith("#")]
    return {name: float(value) for name, value in rows}


def redis_cli(cluster, rm, *words):
    """What redis-cli prints, asked at the Redis of the rm of that name; "" when it does not answer."""
    where = cluster.ctl(rm, "status")["redis"]["where"]
    return subprocess.run(["redis-cli", "-s", where.removeprefix("unix:"), *words], capture_output=True, text=True,
                          timeout=PATIENCE_S).stdout


def run(program, *arguments, limit_s=120, stdin=None):
    """(exit code, stdout, stderr) of one of our programs."""
    done = subprocess.run([BIN / program, *[str(a) for a in arguments]], capture_output=True, text=True, timeout=limit_s,
                          input=stdin)
    return done.returncode, done.stdout, done.stderr


def usher(*arguments, expect=0, limit_s=120):
    """`usher … --json`; the object that it printed. expect: the exit code, None for any."""
    code, out, err = run("usher", *arguments, "--json", limit_s=limit_s)
    check(expect in (code, None), f"usher {' '.join(map(str, arguments))}: exit {code} instead of {expect}: {out[-2000:]} {err[-2000:]}")
    return json.loads(out)


def main(*tests, stage=None):
    """Runs the functions one after the other (those named in the arguments, or all); exit code 1 when one failed. A stage is a context
    manager whose value, a Cluster, they share."""
    chosen = [t for t in tests if len(sys.argv) < 2 or t.__name__ in sys.argv[1:]]
    failed = 0
    with stage() if stage else contextlib.nullcontext() as common:
        for test in chosen:
            begin = time.monotonic()
            try:
                test(common) if stage else test()
                print(f"ok   {test.__name__} ({time.monotonic() - begin:.1f} s)", flush=True)
            except (Failure, AssertionError, OSError, subprocess.TimeoutExpired, LookupError, AttributeError, ValueError) as failure:
                failed += 1
                print(f"FAIL {test.__name__}: {type(failure).__name__}: {failure}", flush=True)
                traceback.print_tb(failure.__traceback__, limit=-3)
                if stage:
                    common.logs_print()
    sys.exit(1 if failed else 0)
