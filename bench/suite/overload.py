"""Overload: what is left of the answers when twice as much is asked as can be answered, by clients that wait 50 ms.

Two ways to get there with a generator that is hardly faster than what it loads: the answering threads get a seventh of their core, since a
neighbour wants it too; or requests come in super-datagrams, which cost their sender next to nothing, to a server that takes them one by one.
The peak is what is answered in time when as much is offered as can be answered, in the run before or after; not what a closed loop
reaches, where the clients themselves wait for each other."""

import os
import pathlib
import sys

from suite import plan as plans
from suite.machine import alone, text_of
from suite.measure import json_output
from suite.process import Stage
from suite.servers import program

WAIT_MS = 50
NICE = 9  # against 0: a seventh
RECOVERY_SLICE_S = 0.2
RECOVERY_LIMIT_S = 3


class Load:
    """usher-load against one dispatcher, and what the dispatcher counts."""

    def __init__(self, bench, stage, target, options):
        self.bench = bench
        self.target = target
        self.control = stage.folder / f"{target.address.split(':')[1]}.sock"
        self.options = options

    def run(self, rate, seconds, warmup_s=0.7, wait_ms=WAIT_MS):
        rate = rate if isinstance(rate, str) else str(max(1, round(rate)))
        command = [program(self.bench.binaries, "usher-load"), "ask", "--dispatcher", self.target.address, "--json", "--server-pid",
                   self.target.process.pid, "--connections", "16", "--rate", rate, "--reply-timeout", f"{wait_ms}ms", "--warmup",
                   f"{round(warmup_s * 1000)}ms", "--duration", f"{round(seconds * 1000)}ms", *self.options]
        return json_output(command, {self.bench.cpus.load})

    def capacity(self, seconds):
        """The most that is answered in time, and the rate at which it was, found by asking for more until less comes back."""
        best, rate = 0, self.run("max", seconds, wait_ms=1000)["achieved_rps"] * 0.4
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


def hold_back(stage, target):
    """The answering threads share their CPU with somebody whom the scheduler prefers."""
    stage.start("neighbour", [sys.executable, "-c", "while True: pass"], {stage.cpus.server})
    for task in pathlib.Path(f"/proc/{target.process.pid}/task").iterdir():
        if text_of(task / "comm").startswith("core-"):
            os.setpriority(os.PRIO_PROCESS, int(task.name), NICE)


def recovery_s(load, rate, usual_us):
    """How long after an overload until p99 at half the load is what it was, give or take half."""
    for step in range(round(RECOVERY_LIMIT_S / RECOVERY_SLICE_S)):
        if load.run(rate, RECOVERY_SLICE_S, warmup_s=0)["latency_us"]["p99"] <= 1.5 * usual_us:
            return (step + 1) * RECOVERY_SLICE_S
    return RECOVERY_LIMIT_S


def measure_one(plan, result, name, options, load_options, held_back):
    seconds = plan.bench.pace.duration_s
    ratios, expired, recoveries, sizes = [], [], [], []
    with Stage(plan.bench.cpus) as stage:
        target = plan.dispatchers(stage, "udp", *options)[0]
        if held_back:
            hold_back(stage, target)
        load = Load(plan.bench, stage, target, load_options)
        with alone():
            peak = load.capacity(seconds)
        for step in range(plan.bench.pace.rounds):
            with alone():
                usual = load.run(peak / 2, seconds, warmup_s=0.2)["latency_us"]["p99"]
                rates = {}
                for times in (1, 2) if step % 2 else (2, 1):
                    before = load.expired()
                    rates[times] = load.run(peak * times, seconds)["achieved_rps"]
                    if times == 2:
                        expired.append(load.expired() - before)
                        sizes.append(load.rss_mib())
                        recoveries.append(recovery_s(load, peak / 2, usual))
            peak = max(peak, *rates.values()) if step == 0 else peak
            ratios.append(rates[2] / rates[1])
            plan.bench.say(f"  {name}: {rates[1]:.0f}/s answered in time at the peak, {rates[2]:.0f}/s at twice that")
    result.figures += [
        plans.Figure(f"overload {name}", f"{name}: answered in time at twice the peak / at the peak", ratios, "", ">=", 0.9),
        plans.Figure(f"overload {name} recovery", f"{name}: time until p99 is back, in steps of {RECOVERY_SLICE_S} s", recoveries, "s", "<=", 2),
        plans.Figure(f"overload {name} expired", f"{name}: requests dropped because their wait had passed, per run", expired),
        plans.Figure(f"overload {name} memory", f"{name}: resident memory after the last overload less that after the first",
                     [sizes[-1] - sizes[0]] if sizes else [], "MiB", "<=", 1),
    ]


def measure(plan, result):
    if not plan.thorough:
        result.notes.append("only in the full report: finding the peak takes a while")
        return
    result.load = f"usher-load ask --connections 16 --rate PEAK|2*PEAK --reply-timeout {WAIT_MS}ms [--gso]"
    measure_one(plan, result, "a seventh of a core", [], [], held_back=True)
    measure_one(plan, result, "super-datagrams", ["--gro", "off"], ["--gso", "--pack", "1"], held_back=False)
