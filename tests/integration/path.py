#!/usr/bin/env python3
"""What a request may cost a dispatcher beside its time: nothing. No allocation, no lock, no log line, no system call of its own, and no
memory for a client that does not read.

Allocations and locks are counted by tests/support/preload/count_calls.c, thread by thread. System calls (a log line is a write) are
counted by strace on the answering thread alone: liburing makes them by an instruction of its own, which nothing in the process could
count. Every count is taken over N and over 10 N requests: what is paid once may differ between programs, what is paid per request
shows as the difference.
"""
import concurrent.futures
import contextlib
import json
import mmap
import os
import pathlib
import resource
import signal
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
import support.independent as wire
from support.cluster import BIN, PATIENCE_S, SANITIZED, Cluster, address_new, check, main, run, wait_until

FEW, MANY = 4000, 40000
CONNECTIONS, DEPTH = 4, 16

# Both runs open and close as many connections, but what is left of closing them may be counted in the next one.
SLACK = 16 * CONNECTIONS

SLOW_READERS = 100
# What waits to be sent, twice 256 KiB, in buffers that grow by doubling.
SLOW_READER_BYTES_MAX = 4 * 256 * 1024
IDLE, IDLE_ROUNDS, IDLE_ROUNDS_MAX = 10000, 7, 30
IDLE_LIMITS = {"cpu": 1.1, "p50": 1.25, "p99": 1.5}

# What each loop may call: waiting, and receiving and sending for many requests at a time.
CALLS_ALLOWED = {
    ("uring", "udp"): {"io_uring_enter", "recvmmsg", "sendmmsg"},
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
    """One call to wait, and where no ring does it one to receive and one to send, for all that a batch has: of datagrams one each, of
    streams one a connection. A busy ring need not wait. Datagrams of 16 requests each show in addition that no call belongs to a request."""
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
            check(waits <= batches + SLACK and sum(grown.get(name, 0) for name in allowed) > 0, what)
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


def rss_bytes(process):
    """Memory that the process really has."""
    return int(pathlib.Path(f"/proc/{process.popen.pid}/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def connections_open(address, count, stack):
    ip, port = address.rsplit(":", 1)
    return [stack.enter_context(socket.create_connection((ip, int(port)), PATIENCE_S)) for _ in range(count)]


def send_all_that_goes(connections, what):
    """Until nobody takes any more; returns how many bytes went."""
    total = 0
    for connection in connections:
        connection.setblocking(False)
        with contextlib.suppress(BlockingIOError, ConnectionError):
            while True:
                total += connection.send(what)
    return total


def slow_readers_grow_nothing(cluster):
    """A hundred clients that ask and never read: each has its share of buffers, and then is not heard any more; after a while it is
    shut out, and the memory is there for others."""
    requests = wire.request_address("echo") * 1000
    process = cluster.dispatcher(address := address_new(), cluster.address_rm, "--no-jobs", name="slow")
    wait_until("it knows the worker", lambda: process.running() and cluster.nodes("slow"))
    stats = lambda: cluster.ctl("slow", "stats")["stats"]  # noqa: E731
    before, growths = rss_bytes(process), []
    for _ in range(3):
        closed = stats()["usher_connections_too_slow_total"]
        with contextlib.ExitStack() as stack:
            connections = connections_open(address, SLOW_READERS, stack)
            sizes = []
            # On a busy machine it takes longer until all buffers are full.
            while len(sizes) < 2 or (len(sizes) < 4 and sizes[-1] - sizes[-2] > SLOW_READERS * 4096):
                deadline = time.monotonic() + 1.2
                while time.monotonic() < deadline:
                    send_all_that_goes(connections, requests)
                    time.sleep(0.1)
                sizes.append(rss_bytes(process))
            growths.append(sizes[-1] - sizes[-2])
            # AddressSanitizer keeps what was freed for a while, which may be more than what is in use.
            check(SANITIZED or sizes[-1] - before <= SLOW_READERS * SLOW_READER_BYTES_MAX, f"they cost {sizes[-1] - before} bytes")
            wait_until("they are shut out", lambda: stats()["usher_connections_too_slow_total"] >= closed + SLOW_READERS)
    print(f"     {SLOW_READERS} clients that do not read hold {(sizes[-1] - before) / SLOW_READERS / 1024:.0f} KiB each; then grow by {growths} bytes")
    check(min(growths) <= SLOW_READERS * 4096, f"memory grows while they send on: {growths}")


def load_at(address, process, *load):
    """{p50, p99, CPU of a request}"""
    code, out, err = run("usher-load", "ask", "--dispatcher", address, "--server-pid", process.popen.pid, "--warmup", "100ms", *load, "--json")
    check(code == 0, f"usher-load: exit {code}: {out} {err}")
    report = json.loads(out)
    return {"p50": report["latency_us"]["p50"], "p99": report["latency_us"]["p99"],
            "cpu": report["server_thread_cpu"] / report["achieved_rps"]}


def round_of(addresses, processes, order):
    """{figure: with idle connections to without}. CPU: both kept busy, one after the other, since beside each other they would share
    cores as it happens. Latency: at a rate that every build can do, both at once, so that whatever else runs on the machine disturbs them alike."""
    busy = {name: load_at(addresses[name], processes[name], "--connections", CONNECTIONS, "--depth", DEPTH, "--duration", "200ms")
            for name in order}
    with concurrent.futures.ThreadPoolExecutor(len(order)) as pool:
        calm = dict(zip(order, pool.map(
            lambda name: load_at(addresses[name], processes[name], "--rate", "2000", "--duration", "500ms"), order)))
    return {"cpu": busy["idle"]["cpu"] / busy["alone"]["cpu"],
            **{figure: calm["idle"][figure] / calm["alone"][figure] for figure in ("p50", "p99")}}


def idle_connections_cost_little(cluster):
    """Many clients that are only connected to one of two dispatchers, while others ask both over UDP.

    The CPU of a request is what tells: its ratio's quartiles are 0.94 and 1.00, beside busy neighbours too. A p99 of a thousand requests is one bad
    moment of the machine, its ratio's quartiles 0.9 and 2.1, so its limit is wider than the tenth that is promised. All are medians over
    rounds, and when these are not enough for an answer there are more of them: what costs more than the limits does so however long
    one looks. Looking at all connections once a request would cost a hundred times as much; at a tenth of them ten times."""
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (limits[1], limits[1]))
    count = min(1000 if SANITIZED else IDLE, limits[1] - 500)
    addresses = {"alone": address_new(), "idle": address_new()}
    processes = {name: cluster.dispatcher(address, cluster.address_rm, "--no-jobs", name=name) for name, address in addresses.items()}
    for name, process in processes.items():
        wait_until(f"{name} knows the worker", lambda name=name, process=process: process.running() and cluster.nodes(name))
    load_at(addresses["idle"], processes["idle"], "--rate", "2000", "--duration", "500ms")
    before, rounds, ratio = rss_bytes(processes["idle"]), [], {}
    with contextlib.ExitStack() as stack:
        connections_open(addresses["idle"], count, stack)
        wait_until("all are connected", lambda: cluster.ctl("idle", "status")["connections"] == count)
        each = (rss_bytes(processes["idle"]) - before) // count
        while len(rounds) < IDLE_ROUNDS or (len(rounds) < IDLE_ROUNDS_MAX and not within(ratio)):
            rounds.append(round_of(addresses, processes, sorted(addresses, reverse=len(rounds) % 2 == 1)))
            ratio = {figure: statistics.median(one[figure] for one in rounds) for figure in IDLE_LIMITS}
    what = (f"{count} idle connections: {each} bytes each, UDP with them to without " + ", ".join(f"{name} {of:.2f}" for name, of in ratio.items()) +
            f", medians of {len(rounds)} rounds")
    print(f"     {what}")
    check(SANITIZED or each <= 4096, what)
    check(within(ratio), what)
    wait_until("all are gone", lambda: cluster.ctl("idle", "status")["connections"] == 0)


def within(ratio):
    return all(ratio[figure] <= limit for figure, limit in IDLE_LIMITS.items())


def updates_and_changes_disturb_nobody(cluster):
    """Every node reports many times, and nodes come and go, while clients ask: everybody gets a node, and no answer is wrong."""
    feed, address = address_new(), address_new()
    cluster.add("feed", BIN / "bench-feed", "--listen", feed, "--nodes", "2000", "--updates-per-s", "20000", "--changes-per-s", "20")
    process = cluster.dispatcher(address, feed, "--no-jobs", name="fed")
    wait_until("it has the list", lambda: process.running() and len(cluster.nodes("fed")) >= 2000)
    sizes = []
    for _ in range(3):
        for proto in ("udp", "tcp"):
            code, out, err = run("usher-load", "ask", "--dispatcher", address, "--proto", proto, "--rate", "2000", "--warmup", "0",
                                 "--duration", "500ms", "--reply-timeout", "10s", "--json")
            report = json.loads(out)
            check(code == 0 and report["errors"] == 0 and report["lost"] == 0, f"{proto}: {report} {err}")
        sizes.append(rss_bytes(process))
    check(SANITIZED or sizes[-1] - sizes[0] <= 8 << 20, f"memory grows with updates: {sizes}")


def tracing_is_allowed():
    """A container may forbid it."""
    tried = subprocess.run(["strace", "-c", "true"], capture_output=True, text=True)
    if tried.returncode != 0:
        print(f"skip system calls are not counted, strace may not: {tried.stderr.splitlines()[:1]}")
    return tried.returncode == 0


COUNTING = (counting_sees_what_happens, nothing_is_allocated_or_locked_per_request, only_batches_make_system_calls)
# A sanitizer's runtime allocates and locks for itself, and wants to stand before libc alone.
main(*(COUNTING if not SANITIZED and tracing_is_allowed() else ()), slow_readers_grow_nothing,
     idle_connections_cost_little, updates_and_changes_disturb_nobody, stage=stage)
