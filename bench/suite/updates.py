"""What load reports of all nodes and changes of the membership cost the answers: 100,000 nodes that each report once a second, and one that
leaves and another that joins every second, against the same dispatcher while its resource manager keeps still (is stopped).

The resource manager works on the load generator's CPU with the lowest priority. Throughput is per server core, all threads of the
dispatcher counted, with one request per datagram from a sender of super-datagrams: so the server is the limit, as for P1. The load goes on
without a break while the resource manager is stopped and let go in turn, several times a second: between runs of their own, the machine's
drift is several times what is looked for here. Each turn with updates is set against the turns without before and after it."""

import os
import signal
import subprocess
import time

from suite import plan as plans
from suite import servers
from suite.machine import alone
from suite.measure import json_output
from suite.process import Stage, cpu_ns, pinned
from suite.servers import program

NODES = 100_000
SETTLE_S = 0.12  # after the resource manager was stopped or let go: what is under way arrives
TURN_S = 0.35
TURNS = 24  # of either kind


class Turns:
    """Lets the resource manager work, or stops it, and counts what an answer costs meanwhile."""

    def __init__(self, bench, stage, feed, target):
        self.bench = bench
        self.feed = feed
        self.target = target
        self.control = stage.folder / f"{target.address.split(':')[1]}.sock"

    def answers(self):
        stats = json_output([program(self.bench.binaries, "usherctl"), "-s", self.control, "stats", "--json"], {self.bench.cpus.load})
        return stats["stats"]['usher_requests_total{proto="udp"}']

    def work(self, busy):
        self.feed.signal_all(signal.SIGCONT if busy else signal.SIGSTOP)
        time.sleep(SETTLE_S)

    def cost_ns(self, busy):
        """CPU of the whole dispatcher per request."""
        self.work(busy)
        count, used = self.answers(), cpu_ns(self.target.process.pid)
        time.sleep(TURN_S)
        used = cpu_ns(self.target.process.pid) - used
        return used / max(1, self.answers() - count)

    def costs_ns(self, options):
        """{busy: one for each turn}, under one load that goes on all the while; one turn more without updates than with."""
        seconds = (2 * TURNS + 1) * (SETTLE_S + TURN_S + 0.1) + 1
        command = [program(self.bench.binaries, "usher-load"), "ask", "--dispatcher", self.target.address, "--duration",
                   f"{round(seconds)}s", *self.target.options, *options]
        with subprocess.Popen([str(word) for word in command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                              preexec_fn=pinned({self.bench.cpus.load})) as load:
            try:
                time.sleep(SETTLE_S)
                costs = {busy: [] for busy in (False, True)}
                for turn in range(2 * TURNS + 1):
                    costs[turn % 2 == 1].append(self.cost_ns(turn % 2 == 1))
            finally:
                load.kill()
        return costs


def ratios_of(costs):
    """Throughput of each turn with updates / of its neighbours without."""
    quiet = costs[False]
    return [(quiet[i] + quiet[i + 1]) / 2 / busy for i, busy in enumerate(costs[True])]


def measure(plan, result, nodes=NODES):
    if not plan.thorough:
        result.notes.append("only in the full report: what it measures is less than short runs differ")
        return
    bench = plan.bench
    delays = []
    options = [*plans.UDP_LOAD, "--gso"]
    result.load = "usher-load ask " + " ".join(options)
    with Stage(bench.cpus) as stage:
        cluster = servers.Cluster(stage, bench.binaries, nodes=nodes, updates=nodes, changes=1)
        target = cluster.dispatcher("udp", *plan.dispatcher_options, "--gro", "off")
        os.setpriority(os.PRIO_PROCESS, cluster.feed.pid, 19)
        bench.warm(target, options)
        turns = Turns(bench, stage, cluster.feed, target)
        with alone():
            ratios = ratios_of(turns.costs_ns(options))
            capacity = bench.run(target, options).rate
        slow = plans.open_loop(min(50_000, capacity / 2))
        for step in range(2 * bench.pace.rounds):
            with alone():
                p999 = {}
                for busy in (False, True) if step % 2 else (True, False):
                    turns.work(busy)
                    p999[busy] = bench.run(target, slow).p999
            delays.append((p999[True] - p999[False]) / 1000)
            bench.say(f"  quiet p99.9 {p999[False]:.0f} us, with updates {p999[True]:.0f} us")
        turns.work(True)
        used, begin = cpu_ns(target.process.pid), time.monotonic()
        time.sleep(bench.pace.duration_s)
        own = (cpu_ns(target.process.pid) - used) / 1e9 / (time.monotonic() - begin)
    result.figures += [
        plans.Figure("updates throughput", f"{nodes:,} nodes: answers per server core with updates and changes / without", ratios, "", ">=", 0.95),
        plans.Figure("updates p99.9", f"{nodes:,} nodes: p99.9 in the open loop with updates and changes less that without", delays, "ms", "<=", 1),
        plans.Figure("updates cpu", f"{nodes:,} nodes: what the updates and changes take of a core while nobody asks", [own], "", "<=", 0.05),
    ]
