"""Whether a run that is VOID because the generator was the limit may count for what a request costs the server (measure.SERVER_BUSY): each
server as it is, next to the generator's limit, against the same one held to half of its core by a neighbour that never sleeps. Held so, it
never lacks requests."""

import signal
import sys

from suite import plan as plans
from suite import servers
from suite.machine import alone
from suite.measure import ratio, sample_text
from suite.process import Stage

ROUNDS = 4
HELD = "%s, half a core"


def targets_new(plan, stage):
    """[(server, how it is loaded)]"""
    joined, deep = plans.UDP_JOINED, [*plans.TCP_CONNECTIONS, "--depth", "64"]
    cluster = servers.Cluster(stage, plan.bench.binaries)
    return [
        (plan.echoes(stage, ["echo udp-gso"])[0], joined),
        (cluster.dispatcher("udp", *plan.dispatcher_options, name="dispatcher udp"), joined),
        *((echo, deep) for echo in plan.echoes(stage, plans.ECHOES_TCP)),
        (cluster.dispatcher("tcp", *plan.dispatcher_options, name="dispatcher tcp"), deep),
    ]


def measure(plan, result):
    if not plan.thorough:
        result.notes.append("only in the full report")
        return
    bench = plan.bench
    result.load = "usher-load ask " + " ".join(plans.UDP_JOINED) + ", or --connections 50 --depth 64 over TCP"
    with Stage(bench.cpus) as stage:
        loads = targets_new(plan, stage)
        neighbour = stage.start("neighbour", [sys.executable, "-c", "while True: pass"])
        neighbour.signal_all(signal.SIGSTOP)
        for target, options in loads:
            bench.warm(target, options)
            runs = {target.name: [], HELD % target.name: []}
            for _ in range(min(ROUNDS, bench.pace.rounds)):
                with alone():
                    runs[target.name].append(bench.run(target, options))
                    neighbour.signal_all(signal.SIGCONT)
                    runs[HELD % target.name].append(bench.run(target, options))
                    neighbour.signal_all(signal.SIGSTOP)
                bench.say("  " + ", ".join(sample_text(samples[-1]) for samples in runs.values()))
            result.runs |= runs
            result.titles[target.name] = target.title
            result.figures.append(plans.Figure(f"fairness {target.name}", "CPU per request next to the generator's limit / with half a core",
                                               ratio(runs, target.name, HELD % target.name, "ns").values))
