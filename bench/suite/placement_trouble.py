"""bench/placement --slow and --liar: what finish-time does about a node that becomes slow in mid-run, and about one that lies.

Both run in the cluster of the comparison, under its load. Who was named how often is read from the dispatchers' own counts."""

import bisect
import json
import subprocess
import sys
import time

from suite import report
from suite.machine import ROOT, Trouble
from suite.placement_cluster import PUSH, Cluster, load_command
from suite.process import Stage, pinned

# The node that lies is the tests': it is to know the protocol's document alone.
sys.path.insert(0, str(ROOT / "tests/integration"))
from support.liar import Liar  # noqa: E402

LOOK_S = 0.1
SLOWED = 5
HEARTBEAT_S = 1
LIAR_SHARE_MAX = 3
CLAIMS = 32  # so many times its slots


class Picks:
    """How often each node has been named by all dispatchers, over time."""

    def __init__(self, cluster):
        self.cluster = cluster
        self.times = []
        self.counts = []  # {address: picks}

    def look(self):
        counts = {}
        for path in self.cluster.dispatcher_sockets:
            answer = self.cluster.control(path, "nodes", "sleep")
            for node in answer["nodes"] if answer else []:
                counts[node["address"]] = counts.get(node["address"], 0) + node["picks"]
        self.times.append(time.monotonic())
        self.counts.append(counts)

    def watch(self, until):
        while time.monotonic() < until:
            self.look()
            time.sleep(max(0, min(LOOK_S, until - time.monotonic())))

    def index(self, when):
        return min(bisect.bisect_left(self.times, when), len(self.times) - 1)

    def share(self, address, begin, end):
        """Of what was picked between two times."""
        first, last = self.counts[self.index(begin)], self.counts[self.index(end)]
        total = sum(last.values()) - sum(first.values())
        return (last.get(address, 0) - first.get(address, 0)) / total if total > 0 else 0

    def since(self, address, begin, end, window_s, holds):
        """The first time from which on the share within a window is as wanted, from `begin` on in seconds; None: never."""
        for i in range(self.index(begin), self.index(end - window_s) + 1):
            if holds(self.share(address, self.times[i], self.times[i] + window_s)):
                return max(0.0, self.times[i] - begin)
        return None


class Load:
    """usher-load run beside what is done to the cluster."""

    def __init__(self, stage, cluster, settings, duration_s, **options):
        command = load_command(cluster, settings, duration_s, settings.warmup_s, settings.seed, **options)
        self.popen = subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                      text=True, preexec_fn=pinned({stage.cpus.load}))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()

    def report(self):
        out, err = self.popen.communicate(timeout=120)
        if self.popen.returncode not in (0, 1) or not out:
            raise Trouble(f"usher-load run: {err.strip()[-300:] or 'it said nothing'}")
        load = json.loads(out)
        return {name: load[name] for name in ("sent", "lost", "errors", "valid", "verdict")}


def slow_plan(settings):
    """(seconds before, while it is slow, after), and the bound of its share's fall: two heartbeats and 20 of its service times."""
    bound_s = 2 * HEARTBEAT_S + 20 * SLOWED * settings.factor(0) * settings.mean_ms / 1000
    before_s = max(2.0, settings.duration_s / 4)
    return before_s, max(bound_s + 3, settings.duration_s / 3), max(bound_s + 3, settings.duration_s / 3), bound_s


def slow(binaries, cpus, settings):
    """The first worker becomes five times as slow, and quick again."""
    before_s, slow_s, after_s, bound_s = slow_plan(settings)
    with Stage(cpus) as stage:
        cluster = Cluster(stage, binaries, settings, "finish-time", PUSH)
        address, path = next(iter(cluster.workers.items()))
        picks = Picks(cluster)

        def factor_set(factor):
            if cluster.control(path, "set", "sleep-factor", f"{factor:g}") is None:
                raise Trouble(f"{address} does not let its sleep-factor be set")
            return time.monotonic()

        with Load(stage, cluster, settings, before_s + slow_s + after_s + 1) as load:
            begin = time.monotonic() + settings.warmup_s
            picks.watch(begin + before_s)
            slowed = factor_set(SLOWED * settings.factor(0))
            picks.watch(slowed + slow_s)
            quick = factor_set(settings.factor(0))
            picks.watch(quick + after_s)
            end = picks.times[-1]
            told = load.report()
    before = picks.share(address, begin, slowed)
    window_s = max(1.0, 15 / (before * settings.rate())) if before else 1.0
    lost_s = picks.since(address, slowed, quick, window_s, lambda share: share < before / 2)
    back_s = picks.since(address, quick, end, window_s, lambda share: share > before / 2)
    return {"node": address, "slowed": SLOWED, "share_before": before, "share_slow": picks.share(address, slowed + bound_s, quick), "share_after":
            picks.share(address, quick + bound_s, end), "bound_s": bound_s, "lost_s": lost_s, "back_s": back_s, "window_s": window_s, "load": told,
            "met": lost_s is not None and lost_s <= bound_s and back_s is not None and back_s <= bound_s}


def liar(binaries, cpus, settings, claimed):
    """One node more, of as many slots as the others, that claims `claimed`, nothing to do, no time for a job, and all jobs done."""
    span_s = max(8.0, settings.duration_s)
    with Stage(cpus) as stage:
        cluster = Cluster(stage, binaries, settings, "finish-time", PUSH)
        picks = Picks(cluster)
        with Liar(cluster.rm, settings.slots, claimed) as node:
            stage.processes[-1].wait_until("beside one that lies", lambda: all(cluster.knows(path, settings.workers + 1)
                                                                               for path in cluster.dispatcher_sockets))
            # Its queue is long: who waits for so long has been told a lie.
            with Load(stage, cluster, settings, span_s + 1, reply_timeout="10s") as load:
                begin = time.monotonic() + settings.warmup_s
                picks.watch(begin + span_s)
                told = load.report()
            address, jobs = node.address, node.jobs
    fair = 1 / (settings.workers + 1)
    share = picks.share(address, begin, begin + span_s)
    return {"slots": settings.slots, "claimed": claimed, "share": share, "fair": fair, "times": share / fair, "jobs": jobs, "load": told,
            "met": 0 < share <= LIAR_SHARE_MAX * fair}


def seconds_text(value):
    return "never" if value is None else f"{value:.1f} s"


def load_text(load):
    return f"{load['sent']} jobs, {load['lost']} lost, {load['errors']} errors" + ("" if load["valid"] else f", VOID: {load['verdict']}")


def met_text(found):
    return "met" if found["met"] else "missed"


def slow_text(found):
    rows = [["before", f"{100 * found['share_before']:.1f} %", ""],
            [f"{found['slowed']} times as slow", f"{100 * found['share_slow']:.1f} %", f"below half after {seconds_text(found['lost_s'])}"],
            ["quick again", f"{100 * found['share_after']:.1f} %", f"above half after {seconds_text(found['back_s'])}"]]
    return "\n".join([f"A node that becomes slow: {found['node']}", report.table(["", "its share of the picks", ""], rows, (1,)),
                      f"goal: each within {found['bound_s']:.1f} s (2 heartbeats and 20 of its service times): {met_text(found)}; shares are of "
                      f"{found['window_s']:.1f} s", load_text(found["load"])])


def liar_text(found):
    return "\n".join([f"A node that lies in all it reports, and claims {found['claimed']} slots for its {found['slots']}:",
                      f"it got {100 * found['share']:.1f} % of the picks, {found['times']:.2f} times the share of its slots, {100 * found['fair']:.1f} %; "
                      f"goal: at most {LIAR_SHARE_MAX} times: {met_text(found)}", load_text(found["load"])])


def run(binaries, cpus, settings, wanted, say):
    """{name: what was found}; `wanted` of slow and liar."""
    found = {}
    if "slow" in wanted:
        say(f"a node that becomes slow: {sum(slow_plan(settings)[:3]) + settings.warmup_s:.0f} s")
        found["slow"] = slow(binaries, cpus, settings)
    for name, claimed in (("liar", settings.slots), ("liar_of_slots", CLAIMS * settings.slots)) if "liar" in wanted else ():
        say(f"a node that lies, and claims {claimed} slots: {settings.duration_s + settings.warmup_s:.0f} s")
        found[name] = liar(binaries, cpus, settings, claimed)
    return found


def text(found):
    return "\n\n".join(slow_text(one) if name == "slow" else liar_text(one) for name, one in found.items())
