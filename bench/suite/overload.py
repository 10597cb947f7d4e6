"""Overload: what is left of the answers when twice as much is asked as can be answered, by clients that wait 50 ms.

Two ways to get there with a generator that is hardly faster than what it loads: the answering threads get a seventh of their core, since a
neighbours want it too; or requests come in super-datagrams, which cost their sender next to nothing, to a server that takes them one by one.
What is answered in time is set against two peaks, measured in the same round at the same share of the core: what a closed loop reaches, of
clients with one request outstanding each; and what is answered in time in an open loop that offers as much as can be answered. Twice the
closed loop's is offered. (With more outstanding, a client's requests come joined and cost less each: that would be another job.) A round in
which the generator could not send that much does not count."""

import sys

from suite import plan as plans
from suite.machine import alone, text_of
from suite.measure import json_output
from suite.process import Stage
from suite.servers import program

WAIT_MS = 50
CLIENTS = 16
NEIGHBOURS = 6  # so that a seventh is left
RECOVERY_SLICE_S = 0.2
RECOVERY_LIMIT_S = 3
ROUNDS = 8
REPEATS = 4  # rounds more, when the generator did not send what it should have
SENT_LEAST = 0.95  # of what was to be offered


class Load:
    """usher-load against one dispatcher, and what the dispatcher counts."""

    def __init__(self, bench, stage, target, options, closed_clients):
        self.bench = bench
        self.target = target
        self.control = stage.folder / f"{target.address.split(':')[1]}.sock"
        self.options = options
        self.closed_clients = closed_clients  # enough of them to keep it busy

    def run(self, rate, seconds, warmup_s=0.7, wait_ms=WAIT_MS, clients=CLIENTS):
        rate = rate if isinstance(rate, str) else str(max(1, round(rate)))
        command = [program(self.bench.binaries, "usher-load"), "ask", "--dispatcher", self.target.address, "--json", "--server-pid",
                   self.target.process.pid, "--connections", clients, "--rate", rate, "--reply-timeout", f"{wait_ms}ms", "--warmup",
                   f"{round(warmup_s * 1000)}ms", "--duration", f"{round(seconds * 1000)}ms", *self.target.options, *self.options]
        return json_output(command, {self.bench.cpus.load})

    def closed(self, seconds):
        """What a closed loop reaches."""
        return self.run("max", seconds, clients=self.closed_clients)["achieved_rps"]

    def open_peak(self, closed, seconds):
        """The most that is answered in time in an open loop, found by asking for more until less comes back."""
        best, rate = 0, closed * 0.4
        while True:
            answered = self.run(rate, seconds)["achieved_rps"]
            best = max(best, answered)
            if answered < 0.85 * rate:
                return best
            rate *= 1.25

    def expired(self):
        stats = json_output([program(self.bench.binaries, "usherctl"), "-s", self.control, "stats", "--json"], {self.bench.cpus.load})
        return stats["stats"]['usher_expired_total{reason="wait"}']

    def rss_mib(self):
        return plans.status_mib(text_of(f"/proc/{self.target.process.pid}/status"), "VmRSS")


def hold_back(stage):
    """What runs on the server's CPU shares it with neighbours that never sleep. Each of them is a session of its own, so that the shares
    are the same whether or not the kernel groups by session (autogroup), where niceness would count for nothing."""
    for _ in range(NEIGHBOURS):
        stage.start("neighbour", [sys.executable, "-c", "while True: pass"])


def recovery_s(load, rate, usual_us):
    """How long after an overload until p99 at half the load is what it was, give or take half."""
    for step in range(round(RECOVERY_LIMIT_S / RECOVERY_SLICE_S)):
        if load.run(rate, RECOVERY_SLICE_S, warmup_s=0)["latency_us"]["p99"] <= 1.5 * usual_us:
            return (step + 1) * RECOVERY_SLICE_S
    return RECOVERY_LIMIT_S


def round_of(load, open_rate, seconds, twice_first):
    """What one round gave: rates answered in time, and how much of what was to be offered has left."""
    closed = load.closed(seconds)
    one = {"closed": closed}
    for part in ("twice", "open") if twice_first else ("open", "twice"):
        if part == "open":
            one["open"] = load.run(open_rate, seconds)["achieved_rps"]
            continue
        usual_us = load.run(open_rate / 2, seconds, warmup_s=0.2)["latency_us"]["p99"]
        before = load.expired()
        report = load.run(2 * closed, seconds)
        one |= {"twice": report["achieved_rps"], "sent": report["sent"] / report["duration_s"] / (2 * closed),
                "expired": load.expired() - before, "rss_mib": load.rss_mib()}
        one["recovery_s"] = recovery_s(load, open_rate / 2, usual_us)
    return one


def rounds_of(plan, name, options, load_options, held_back, closed_clients):
    """[round] of those that count, and how many others there were."""
    seconds, wanted = plan.bench.pace.duration_s, min(ROUNDS, plan.bench.pace.rounds)
    rounds, void = [], 0
    with Stage(plan.bench.cpus) as stage:
        target = plan.dispatchers(stage, "udp", *options)[0]
        if held_back:
            hold_back(stage)
        load = Load(plan.bench, stage, target, load_options, closed_clients)
        with alone():
            open_rate = load.open_peak(load.closed(seconds), seconds)
        for step in range(wanted + REPEATS):
            with alone():
                one = round_of(load, open_rate, seconds, step % 2)
            counts = one["sent"] >= SENT_LEAST
            plan.bench.say(f"  {name}: closed loop {one['closed']:.0f}/s, open loop {one['open']:.0f}/s, twice the closed loop's offered (sent "
                           f"{one['sent']:.2f} of that): {one['twice']:.0f}/s answered in time{'' if counts else ', VOID'}")
            if counts:
                rounds.append(one)
            void += not counts
            if len(rounds) == wanted:
                break
    return rounds, void


def measure_one(plan, result, name, options, load_options, held_back, closed_clients):
    rounds, void = rounds_of(plan, name, options, load_options, held_back, closed_clients)
    if void:
        result.notes.append(f"{name}: {void} rounds do not count: the generator did not send twice as much as can be answered")
    figure, prefix = plans.Figure, f"overload {name}"
    column = lambda what: [one[what] for one in rounds]  # noqa: E731
    growth = [rounds[-1]["rss_mib"] - rounds[0]["rss_mib"]] if rounds else []
    result.figures += [
        figure(prefix, f"{name}: answered in time, offered twice what a closed loop reaches / that",
               [one["twice"] / one["closed"] for one in rounds], "", ">=", 0.9),
        figure(f"{prefix} open", f"{name}: the same / answered in time in an open loop at its peak",
               [one["twice"] / one["open"] for one in rounds], "", ">=", 0.9),
        figure(f"{prefix} sent", f"{name}: what left the generator / what was to be offered", column("sent")),
        figure(f"{prefix} recovery", f"{name}: time until p99 is back, in steps of {RECOVERY_SLICE_S} s", column("recovery_s"), "s", "<=", 2),
        figure(f"{prefix} expired", f"{name}: requests dropped because their wait had passed, per run", column("expired")),
        figure(f"{prefix} memory", f"{name}: resident memory after the last overload less that after the first", growth, "MiB", "<=", 1),
    ]


def measure(plan, result):
    if not plan.thorough:
        result.notes.append("only in the full report: finding the peaks takes a while")
        return
    result.load = f"usher-load ask --connections {CLIENTS} --rate max|PEAK|2*PEAK --reply-timeout {WAIT_MS}ms [--gso]"
    measure_one(plan, result, "a seventh of a core", [], [], True, 64)
    measure_one(plan, result, "super-datagrams", ["--gro", "off"], ["--gso"], False, 16)
