"""Idle TCP connections: what 10,000 clients that are only connected cost the latency of others over UDP. Two dispatchers that differ in nothing
else are asked in turn, at a rate far below what they can answer: in an open loop, so that p99 says how long an answer took and not how
long the queue was. The connections are this process's own, which does nothing meanwhile."""

import contextlib
import resource
import socket
import time

from suite import plan as plans
from suite import servers
from suite.machine import Trouble
from suite.measure import json_output, ratio
from suite.process import Stage
from suite.servers import program

CONNECTIONS = 10_000
SPARE = 500  # descriptors that both ends need beside them
RUN_S = 0.2  # the shorter, the fewer of the runs are met by a machine that stands still
ROUNDS = 50
RATE_MOST = 20_000
RATE_SHARE = 0.25  # of what a closed loop reaches, if that is less
IDLE = "idle connections"
CONNECT_LIMIT_S = 30


def descriptors_lacking():
    """What is in the way, or ""."""
    most = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if most == resource.RLIM_INFINITY or most >= CONNECTIONS + SPARE:
        return ""
    return f"not measured: {CONNECTIONS:,} connections need {CONNECTIONS + SPARE:,} descriptors, and here are {most:,} allowed (ulimit -Hn): raise that"


@contextlib.contextmanager
def connected(bench, stage, target, count=CONNECTIONS):
    """While `count` idle connections are open and taken."""
    ip, port = target.address.split(":")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    control = stage.folder / f"{port}.sock"
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        try:
            for _ in range(count):
                stack.enter_context(socket.create_connection((ip, int(port)), CONNECT_LIMIT_S))
        except OSError as error:
            raise Trouble(f"of {count:,} idle connections one could not be opened: {error.strerror or error}") from None
        deadline = time.monotonic() + CONNECT_LIMIT_S
        while (taken := json_output([program(bench.binaries, "usherctl"), "-s", control, "status", "--json"], {bench.cpus.load})["connections"]) < count:
            if time.monotonic() > deadline:
                raise Trouble(f"the dispatcher took {taken:,} of {count:,} idle connections: its log says why")
            time.sleep(0.05)
        yield


def load_both(plan, result):
    bench = plan.bench
    with Stage(bench.cpus) as stage:
        cluster = servers.Cluster(stage, bench.binaries, plans.FEW_NODES)
        base = cluster.dispatcher("udp", *plan.dispatcher_options)
        target = cluster.dispatcher("udp", *plan.dispatcher_options, name=IDLE)
        for one in (base, target):
            bench.warm(one, plans.UDP_LOAD)
        options = plans.open_loop(min(RATE_MOST, RATE_SHARE * bench.run(base, plans.UDP_LOAD).rate))
        result.load = "usher-load ask " + " ".join(options)
        result.titles |= {base.name: base.title, IDLE: f"dispatcher with {CONNECTIONS:,} idle TCP connections"}
        short = bench.paced(ROUNDS if plan.thorough else bench.pace.rounds, min(RUN_S, bench.pace.duration_s))
        found = {}
        try:
            with connected(bench, stage, target):
                short.pairs(base, [(target, ("p99",))], options, keep=found)
        finally:
            pairs = found.get(IDLE, [])
            result.runs |= {base.name: [pair[0] for pair in pairs], IDLE: [pair[1] for pair in pairs]}


def measure(plan, result):
    lacking = descriptors_lacking()
    if not lacking:
        load_both(plan, result)
    what = f"UDP beside {CONNECTIONS:,} idle TCP connections / without them"
    values = lambda metric: ratio(result.runs, IDLE, "dispatcher", metric).values  # noqa: E731
    result.figures += [
        plans.Figure("idle p99", f"{what}: p99 in the open loop", values("p99"), "", "<=", 1.10, finding=lacking),
        plans.Figure("idle p50", f"{what}: p50", values("p50"), finding=lacking),
        plans.Figure("idle CPU", f"{what}: CPU per request", values("ns"), finding=lacking),
    ]
