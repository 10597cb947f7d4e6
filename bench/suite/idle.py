"""Idle TCP connections: what 10,000 clients that are only connected cost the latency of others over UDP. Two dispatchers that differ in nothing
else are asked in turn, at a rate far below what they can answer: in an open loop, so that p99 says how long an answer took and not how
long the queue was. The connections are this process's own, which does nothing meanwhile.

A machine that stands still for a moment makes p99 of any run that it meets, and some stand still several times a second for minutes. So there
are hundreds of runs, each so short that stalls miss many, and of each side's p99 the mean of 1/p99² is taken: all runs count, and one that a
stall made twenty times as long weighs a four-hundredth, however many there are of them. Two processes of one program differ too, by what
lies where: so the connections are at one dispatcher first and then at the other, and the figure is the geometric mean of both. What the
dispatchers differ by wherever the connections are comes out of the same runs, formed as the figure is: the control, which should be near 1.
The spread is what 95 % of the figures lie within that are made of runs drawn from these (bootstrap)."""

import contextlib
import dataclasses
import random
import resource
import socket
import statistics
import time

from suite import plan as plans
from suite import servers
from suite.machine import Trouble, alone
from suite.measure import Bench, Pace, json_output
from suite.process import Stage
from suite.servers import program

CONNECTIONS = 10_000
SPARE = 500  # descriptors that both ends need beside them
RUN_S = 0.05
WARMUP_S = 0.01
ROUNDS, ROUNDS_SHORT = 190, 3  # in either half: in the full report; for each round of others in shorter ones
DRAWN = 1000  # figures from runs drawn anew
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


def taken(bench, stage, target):
    """How many TCP connections the dispatcher says it has."""
    control = stage.folder / f"{target.address.split(':')[1]}.sock"
    return json_output([program(bench.binaries, "usherctl"), "-s", control, "status", "--json"], {bench.cpus.load})["connections"]


def taken_wait(bench, stage, target, count):
    deadline = time.monotonic() + CONNECT_LIMIT_S
    while (now := taken(bench, stage, target)) != count:
        if time.monotonic() > deadline:
            raise Trouble(f"the dispatcher has {now:,} TCP connections instead of {count:,}: its log says why")
        time.sleep(0.05)


@contextlib.contextmanager
def connected(bench, stage, target, count=CONNECTIONS):
    """While `count` idle connections are open and taken. That they still are is looked at when the end is reached, and that they are gone."""
    ip, port = target.address.split(":")
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.ExitStack() as stack:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[1], before[1]))
        stack.callback(resource.setrlimit, resource.RLIMIT_NOFILE, before)
        try:
            for _ in range(count):
                stack.enter_context(socket.create_connection((ip, int(port)), CONNECT_LIMIT_S))
        except OSError as error:
            raise Trouble(f"of {count:,} idle connections one could not be opened: {error.strerror or error}") from None
        taken_wait(bench, stage, target, count)
        yield
        still = taken(bench, stage, target)
        if still != count:
            raise Trouble(f"of {count:,} idle connections {still:,} were left at the end: what was measured is something else")
    taken_wait(bench, stage, target, 0)


@dataclasses.dataclass
class Half:
    """Runs of one dispatcher without connections and of the other one with them, an entry a round in each."""

    without: list = dataclasses.field(default_factory=list)
    beside: list = dataclasses.field(default_factory=list)

    def pairs(self):
        return [pair for pair in zip(self.without, self.beside) if all(run.counts("p99") for run in pair)]

    def text(self):
        pairs, void = self.pairs(), [run.verdict for run in (*self.without, *self.beside) if not run.counts("p99")]
        p99 = [f"{undisturbed(runs, 'p99'):.0f} us" for runs in zip(*pairs)] or ["VOID"] * 2
        return f"  {len(pairs)} pairs, p99 without connections {p99[0]}, with them {p99[1]}" + (f"; {len(void)} runs VOID ({void[-1]})" if void else "")


def half_run(bench, base, target, options, half):
    """Rounds until as many pairs count as are wanted, or enough was tried; in turn from both ends."""
    for number in range(bench.pace.rounds * (1 + bench.pace.repeats)):
        order = [(base, half.without), (target, half.beside)]
        with alone():
            ran = [(runs, bench.run(one, options)) for one, runs in (order[::-1] if number % 2 else order)]
        for runs, sample in ran:
            runs.append(sample)
        if len(half.pairs()) >= bench.pace.rounds:
            break
    bench.say(half.text())


def halves_run(plan, result):
    bench, halves = plan.bench, []
    with Stage(bench.cpus) as stage:
        cluster = servers.Cluster(stage, bench.binaries, plans.FEW_NODES)
        both = [cluster.dispatcher("udp", *plan.dispatcher_options, name=name) for name in ("dispatcher", "dispatcher 2")]
        for one in both:
            bench.warm(one, plans.UDP_LOAD)
        options = plans.open_loop(min(RATE_MOST, RATE_SHARE * bench.run(both[0], plans.UDP_LOAD).rate))
        result.load = "usher-load ask " + " ".join(options)
        result.titles |= {"dispatcher": "dispatcher", IDLE: f"dispatcher with {CONNECTIONS:,} idle TCP connections"}
        rounds = ROUNDS if plan.thorough else ROUNDS_SHORT * bench.pace.rounds
        short = Bench(bench.binaries, bench.cpus, Pace(RUN_S, WARMUP_S, rounds, bench.pace.repeats), bench.say)
        try:
            for base, target in (both, both[::-1]):
                halves.append(Half())
                with connected(bench, stage, target):
                    half_run(short, base, target, options, halves[-1])
                result.notes.append(f"{target.name} had {CONNECTIONS:,} idle connections before the first of its runs and after the last")
        finally:
            result.runs |= {"dispatcher": [run for half in halves for run in half.without], IDLE: [run for half in halves for run in half.beside]}
    return [half.pairs() for half in halves]


def undisturbed(runs, metric):
    """The power mean with exponent -2: where the runs that nothing met lie."""
    return statistics.fmean(getattr(run, metric) ** -2 for run in runs) ** -0.5


def figure_of(halves, metric):
    """(what the connections cost, what the dispatchers differ by) by [[(run without, run with them)]] of both halves."""
    first, second = [undisturbed(beside, metric) / undisturbed(without, metric) for without, beside in (zip(*pairs) for pairs in halves)]
    return (first * second) ** 0.5, (first / second) ** 0.5


def figures_of(halves, metric):
    """[(low, figure, high)], of the connections and of the dispatchers; [] if a half has no pair that counts."""
    halves = [[pair for pair in pairs if all(getattr(run, metric) for run in pair)] for pairs in halves]
    if len(halves) < 2 or not all(halves):
        return []
    chance = random.Random(1)
    drawn = zip(*[figure_of([chance.choices(pairs, k=len(pairs)) for pairs in halves], metric) for _ in range(DRAWN)])
    return [(sorted(many)[DRAWN // 40], one, sorted(many)[-DRAWN // 40]) for many, one in zip(drawn, figure_of(halves, metric))]


def measure(plan, result):
    lacking = descriptors_lacking()
    halves = [] if lacking else halves_run(plan, result)
    what = f"UDP beside {CONNECTIONS:,} idle TCP connections / without them"

    def add(name, label, found, **goal):
        result.figures.append(plans.Figure(name, label, [one for _, one, _ in found], summary=found[0] if found else (),
                                           rounds=sum(map(len, halves)) if found else 0, finding=lacking, **goal))

    p99 = figures_of(halves, "p99")
    add("idle p99", f"{what}: p99 in the open loop", p99[:1], sense="<=", goal=1.10)
    add("idle control", "control: the two dispatchers wherever the connections are, p99", p99[1:])
    add("idle p50", f"{what}: p50", figures_of(halves, "p50")[:1])
    add("idle CPU", f"{what}: CPU per request", figures_of(halves, "ns")[:1])
