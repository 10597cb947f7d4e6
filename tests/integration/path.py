#!/usr/bin/env python3
"""What a request may cost a dispatcher beside its time: nothing. No allocation, no lock, no log line, no system call of its own, and no
memory for a client that does not read.

Allocations and locks are counted by tests/support/preload/count_calls.c, thread by thread. System calls (a log line is a write) are
counted by strace on the answering thread alone: liburing makes them by an instruction of its own, which nothing in the process could
count. Every count is taken over N and over 10 N requests: what is paid once may differ between programs, what is paid per request
shows as the difference.
"""
import contextlib
import json
import mmap
import pathlib
import signal
import socket
import struct
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import BIN, PATIENCE_S, SANITIZED, Cluster, address_new, check, main, run, wait_until

FEW, MANY = 4000, 40000
CONNECTIONS, DEPTH = 4, 16

# Both runs open and close as many connections, but what is left of closing them may be counted in the next one.
SLACK = 16 * CONNECTIONS

# What each loop may call: waiting, and receiving and sending for many requests at a time.
CALLS_ALLOWED = {
    ("uring", "udp"): {"io_uring_enter"},
    ("uring", "tcp"): {"io_uring_enter"},
    ("epoll", "udp"): {"epoll_wait", "epoll_pwait2", "recvmmsg", "sendmmsg"},
    ("epoll", "tcp"): {"epoll_wait", "epoll_pwait2", "recvfrom", "sendto"},
}

ROW = struct.Struct("=IIQQQ")  # struct thread_counts of count_calls.c


class Counted:
    """A dispatcher whose answering thread is watched."""

    def __init__(self, cluster, rm, loop):
        self.cluster = cluster
        self.counts = cluster.folder / f"counts-{loop}"
        self.address = address_new()
        self.loop = loop
        self.process = cluster.daemon("dispatcher", f"dispatcher-{loop}", self.address, "--rm", rm, "--threads", "1", "--no-jobs", "--io",
                                      loop, environment={"LD_PRELOAD": str(BIN.parent / "tests" / "libcount_calls.so"),
                                                         "COUNT_CALLS_FILE": str(self.counts)})
        wait_until(f"{loop}: the answering thread runs", lambda: self.process.running() and self.threads())
        self.thread = self.threads()["core-0"]

    def threads(self):
        """{name: thread ID} of the threads that count."""
        found = {}
        for task in pathlib.Path(f"/proc/{self.process.popen.pid}/task").iterdir():
            name = (task / "comm").read_text().strip()
            if name.startswith("core-"):
                found[name] = int(task.name)
        return found

    def calls(self):
        """What the answering thread has called so far."""
        with open(self.counts, "rb") as file, mmap.mmap(file.fileno(), 0, prot=mmap.PROT_READ) as rows:
            for thread, _, allocations, frees, locks in ROW.iter_unpack(rows[:]):
                if thread == self.thread:
                    return {"allocations": allocations, "frees": frees, "locks": locks}
        return {"allocations": 0, "frees": 0, "locks": 0}

    @contextlib.contextmanager
    def system_calls(self):
        """A dictionary that holds {name: count} of the answering thread's system calls when the block has ended."""
        output = self.counts.with_suffix(".strace")
        output.unlink(missing_ok=True)
        tracer = subprocess.Popen(["strace", "-c", "-U", "calls,name", "-o", output, "-p", str(self.thread)], stdin=subprocess.DEVNULL,
                                  stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        status = pathlib.Path(f"/proc/{self.process.popen.pid}/task/{self.thread}/status")
        counts = {}
        try:
            wait_until("strace watches", lambda: f"TracerPid:\t{tracer.pid}\n" in status.read_text() or tracer.poll() is not None)
            check(tracer.poll() is None, f"strace: {tracer.stderr.read() if tracer.poll() is not None else ''}")
            yield counts
        finally:
            if tracer.poll() is None:
                tracer.send_signal(signal.SIGINT)
            tracer.communicate(timeout=PATIENCE_S)
        for line in output.read_text().splitlines():
            words = line.split()
            if len(words) == 2 and words[0].isdigit() and words[1] != "total":
                counts[words[1]] = int(words[0])

    def ask(self, proto, requests, *options):
        code, out, err = run("usher-load", "ask", "--dispatcher", self.address, "--proto", proto, "--connections", CONNECTIONS, "--depth",
                             DEPTH, *options, "--requests", requests, "--warmup", "0", "--duration", "2m", "--reply-timeout", "1m", "--json")
        check(code == 0 and json.loads(out)["answered"] >= requests, f"usher-load: exit {code}: {out} {err}")

    def batches(self):
        return self.cluster.ctl(f"dispatcher-{self.loop}", "stats")["stats"]["usher_io_batches_total"]


@contextlib.contextmanager
def stage():
    with Cluster() as cluster:
        cluster.address_rm, worker = address_new(), address_new()
        cluster.rm(cluster.address_rm)
        cluster.worker(worker, cluster.address_rm)
        cluster.counted = {} if SANITIZED else {loop: Counted(cluster, cluster.address_rm, loop) for loop in ("uring", "epoll")}
        for loop in cluster.counted:
            wait_until(f"{loop} knows the worker", lambda loop=loop: worker in cluster.nodes(f"dispatcher-{loop}"))
        yield cluster



def difference(before, after):
    return {name: count - before.get(name, 0) for name, count in after.items()}


def per_request(counted, proto, count):
    """What MANY requests cost more than FEW; count() makes a run and returns {what: how often}."""
    counted.ask(proto, FEW)
    few, many = count(FEW), count(MANY)
    return difference(few, many)


def nothing_is_allocated_or_locked_per_request(cluster):
    for counted in cluster.counted.values():
        for proto in ("udp", "tcp"):
            def count(requests):
                before = counted.calls()
                counted.ask(proto, requests)
                return difference(before, counted.calls())
            grown = per_request(counted, proto, count)
            check(set(grown) == {"allocations", "frees", "locks"} and max(grown.values()) <= SLACK,
                  f"{counted.loop} {proto}: {MANY - FEW} requests more cost {grown}")


def only_batches_make_system_calls(cluster):
    """One call to wait, and for epoll one to receive and one to send, for all that a batch has: of datagrams one each, of streams one
    a connection. Datagrams of 16 requests each show in addition that no call belongs to a request."""
    for counted in cluster.counted.values():
        for proto, options in (("udp", ("--pack", "16")), ("udp", ()), ("tcp", ())):
            def count(requests):
                batches = counted.batches()
                with counted.system_calls() as calls:
                    counted.ask(proto, requests, *options)
                return {**calls, "batches": counted.batches() - batches}
            grown = per_request(counted, proto, count)
            batches = grown.pop("batches")
            what = f"{counted.loop} {proto} {' '.join(options)}: {MANY - FEW} requests more in {batches} batches cost {grown}"
            allowed = CALLS_ALLOWED[counted.loop, proto]
            print(f"     {what}")
            check(all(times <= SLACK for name, times in grown.items() if name not in allowed), what)
            sockets = CONNECTIONS if proto == "tcp" else 1
            check(all(grown.get(name, 0) <= batches * sockets + SLACK for name in allowed), what)
            waits = sum(grown.get(name, 0) for name in ("io_uring_enter", "epoll_wait", "epoll_pwait2"))
            check(0 < waits <= batches + SLACK, what)
            if options:
                check(sum(grown.values()) <= 3 * (MANY - FEW) // 16 + SLACK, what)


def counting_sees_what_happens(cluster):
    """Connections do cost allocations and system calls: would these be missed, nothing above would mean anything."""
    for counted in cluster.counted.values():
        ip, port = counted.address.rsplit(":", 1)
        before = counted.calls()
        with counted.system_calls() as calls, contextlib.ExitStack() as opened:
            for _ in range(50):
                opened.enter_context(socket.create_connection((ip, int(port))))
            wait_until("the connections are there",
                       lambda: cluster.ctl(f"dispatcher-{counted.loop}", "status")["connections"] >= 50)
        check(difference(before, counted.calls())["allocations"] >= 50, f"{counted.loop}: allocations are missed")
        check(calls.get("setsockopt", 0) >= 50, f"{counted.loop}: system calls are missed: {calls}")


def tracing_is_allowed():
    """A container may forbid it."""
    tried = subprocess.run(["strace", "-c", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        print(f"skip system calls are not counted, strace may not: {tried.stderr.splitlines()[:1]}")
    return tried.returncode == 0


# A sanitizer's runtime allocates and locks for itself, and wants to stand before libc alone.
if not SANITIZED and tracing_is_allowed():
    main(counting_sees_what_happens, nothing_is_allocated_or_locked_per_request, only_batches_make_system_calls, stage=stage)
