"""What load reports of all nodes and changes of the membership cost the answers: 100,000 nodes that each report once a second, and one that
leaves and another that joins every second, against the same dispatcher while its resource manager keeps still (is stopped) for the length
of a run. The resource manager works on the load generator's CPU with the lowest priority. Throughput is per server core, all threads of the
dispatcher counted, with one request per datagram from a sender of super-datagrams: so the server is the limit, as for P1."""

import os
import signal
import time

from suite import plan as plans
from suite import servers
from suite.machine import alone
from suite.process import Stage, cpu_ns

NODES = 100_000
SETTLE_S = 0.5  # after it was stopped it sends what it owes


def measure(plan, result, nodes=NODES):
    if not plan.thorough:
        result.notes.append("only in the full report: what it measures is less than short runs differ")
        return
    bench = plan.bench
    costs, delays = [], []
    options = [*plans.UDP_LOAD, "--gso"]
    result.load = "usher-load ask " + " ".join(options)
    with Stage(bench.cpus) as stage:
        cluster = servers.Cluster(stage, bench.binaries, nodes=nodes, updates=nodes, changes=1)
        target = cluster.dispatcher("udp", *plan.dispatcher_options, "--gro", "off")
        os.setpriority(os.PRIO_PROCESS, cluster.feed.pid, 19)
        bench.warm(target, options)
        capacity = bench.run(target, options).rate
        slow = plans.open_loop(min(50_000, capacity / 10))

        def both(busy):
            cluster.feed.signal_all(signal.SIGCONT if busy else signal.SIGSTOP)
            time.sleep(SETTLE_S)
            return bench.run(target, options), bench.run(target, slow)

        for step in range(bench.pace.rounds):
            with alone():
                runs = {busy: both(busy) for busy in ((False, True) if step % 2 else (True, False))}
                cluster.feed.signal_all(signal.SIGCONT)
                time.sleep(SETTLE_S)
            fast, slow_runs = ({busy: runs[busy][i] for busy in runs} for i in (0, 1))
            costs.append(fast[True].core_rate / fast[False].core_rate)
            delays.append((slow_runs[True].p999 - slow_runs[False].p999) / 1000)
            bench.say(f"  quiet {fast[False].ns:.1f} ns, p99.9 {slow_runs[False].p999:.0f} us; with updates {fast[True].ns:.1f} ns, "
                      f"p99.9 {slow_runs[True].p999:.0f} us")
        used, begin = cpu_ns(target.process.pid), time.monotonic()
        time.sleep(bench.pace.duration_s)
        own = (cpu_ns(target.process.pid) - used) / 1e9 / (time.monotonic() - begin)
    result.figures += [
        plans.Figure("updates throughput", f"{nodes:,} nodes: answers per server core with updates and changes / without", costs, "", ">=", 0.95),
        plans.Figure("updates p99.9", f"{nodes:,} nodes: p99.9 in the open loop with updates and changes less that without", delays, "ms", "<=", 1),
        plans.Figure("updates cpu", f"{nodes:,} nodes: what the updates and changes take of a core while nobody asks", [own], "", "<=", 0.05),
    ]
