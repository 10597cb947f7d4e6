"""bench/sweep: which settings pay on this machine. Every setting runs next to the default in the same rounds. It pays, or costs, when that
is 99 % certain: among dozens of comparisons, chance would else find some."""

import argparse
import dataclasses
import math
import signal
import subprocess
import sys

from suite import machine, report, servers
from suite.arguments import existing_folder, within
from suite.machine import Trouble
from suite.measure import Bench, Pace, ratio_of_pairs
from suite.process import Stage
from suite.run import binaries_prepare, interrupt, say

LEAST = 0.02  # less than that is no reason to set anything
REPEATS = 2  # rounds more for each wanted one, where runs are VOID


@dataclasses.dataclass
class Load:
    """A way of loading, and what counts under it."""

    name: str
    transport: str
    options: list
    metric: str = "core_rate"

    def metrics_of(self, setting):
        """What a setting is judged by. What spins takes all of its core whatever it answers, so that says nothing: its rate and latency do."""
        return SPIN_METRICS if setting.split()[0] == "--spin" else (self.metric,)


LOADS = {
    "clients": Load("256 UDP clients, one request each", "udp", ["--connections", "256", "--depth", "1"]),
    "busy": Load("4 UDP clients, 64 requests each", "udp", ["--connections", "4", "--depth", "64"]),
    "one": Load("one request outstanding over UDP, p50", "udp", ["--connections", "1", "--depth", "1"], "p50"),
    "joined": Load("UDP super-datagrams of 64", "udp", ["--connections", "8", "--gso", "--depth", "64"]),
    "tcp1": Load("TCP, 50 connections, depth 1", "tcp", ["--connections", "50", "--depth", "1"]),
    "tcp16": Load("TCP, 50 connections, depth 16", "tcp", ["--connections", "50", "--depth", "16"]),
    "tcp128": Load("TCP, 50 connections, depth 128", "tcp", ["--connections", "50", "--depth", "128"]),
}

LATENCIES = ("p50", "p99")
SPIN_METRICS = ("rate", *LATENCIES)
METRICS = {"core_rate": "rate per core", "rate": "rate", "p50": "p50", "p99": "p99"}  # as the table says it

UDP, TCP = ("clients", "busy", "one", "joined"), ("tcp1", "tcp16", "tcp128")

# Options of usher-dispatcher, and under which loads they are tried. Values that the program does not know, and its defaults, are left out.
DISPATCHER = [
    ("--io", ("uring", "epoll"), UDP + TCP),
    ("--gro", ("on", "off"), UDP),
    ("--udp-buffers", ("16", "32", "64", "256"), ("clients", "busy", "joined")),  # what a batch takes
    ("--tcp-buffers", ("32", "512", "2048"), TCP),
    ("--spin", (None,), ("clients", "one", "tcp1", "tcp16")),
    ("--request-queue", ("1024", "65536"), ("busy",)),
]

# Loads under which the number of answering threads is tried; they must have as many connections as the generator has threads.
THREAD_LOADS, THREAD_CPUS_LEAST = ("clients", "joined", "tcp16"), 4

# Levers that no option of the dispatcher has, by the bare echoes: what they would be worth on this machine.
LIMIT = {
    "clients": ("udp-uring", [["udp-uring", "--connected"]]),
    "joined": ("udp-recvmmsg", [["udp-recvmmsg", "--gso"]]),  # GSO by itself: answers leave joined, requests are taken one by one
    "one": ("udp-uring", [["udp-uring", "--connected"]]),
    "tcp16": ("tcp-uring", [["tcp-uring", "--min-wait", "20us"], ["tcp-uring", "--min-wait", "50us"]]),
    "tcp128": ("tcp-uring", [["tcp-uring", "--min-wait", "50us"]]),
}


@dataclasses.dataclass
class Finding:
    """A setting under a load, as the gain over the default in each round: 1.1 is 10 % faster."""

    part: str
    load: Load
    setting: str
    metric: str
    gain: object  # Series

    def text(self):
        """Where it is so, and how much."""
        by = "" if self.metric == self.load.metric else f", {METRICS[self.metric]}"
        return f"{self.load.name}{by} ({self.gain.median():.2f})"

    def verdict(self):
        if not self.gain.values:
            return "VOID"
        certain = self.gain.certain()
        if not certain:
            return "too few rounds"
        if certain[0] > 1 and self.gain.median() > 1 + LEAST:
            return "pays"
        if certain[1] < 1 and self.gain.median() < 1 - LEAST:
            return "costs"
        return "no difference"

    def row(self):
        low, high = self.gain.spread() or (None, None)
        return [self.load.name, self.setting, METRICS[self.metric], report.number_text(self.gain.median()),
                f"{report.number_text(low)} … {report.number_text(high)}", str(len(self.gain.values)), self.verdict()]


def gains(bench, load, base, variants):
    """(name, metric, Series of gains) of each variant over the base, for all that it is judged by."""
    metrics = {target.name: load.metrics_of(target.name) for target in variants}
    for name, pairs in bench.pairs(base, [(target, metrics[target.name]) for target in variants], load.options).items():
        for metric in metrics[name]:
            series = ratio_of_pairs(pairs, metric)
            if metric in LATENCIES:
                series.values = [1 / value for value in series.values]
            yield name, metric, series


def dispatcher_settings(binaries, load_name):
    """[["--io", "epoll"], …] of what this dispatcher knows, its defaults left out."""
    text = subprocess.run([servers.program(binaries, "usher-dispatcher"), "--dump-docs=markdown"], capture_output=True, text=True, check=False).stdout
    settings = []
    for option, values, loads in DISPATCHER:
        line = next((line for line in text.splitlines() if line.startswith((f"| `{option} ", f"| `{option}`"))), "")
        if not line or load_name not in loads:
            continue
        default = line.partition("Default: ")[2].partition(".")[0].replace("auto", "uring")
        settings += [[option] if value is None else [option, value] for value in values if value is None or value != default]
    return settings


def sweep_dispatcher(bench, names):
    for name in names:
        load = LOADS[name]
        say(f"dispatcher: {load.name}")
        with Stage(bench.cpus) as stage:
            cluster = servers.Cluster(stage, bench.binaries)
            base = cluster.dispatcher(load.transport, name="default")
            variants = [cluster.dispatcher(load.transport, *setting, name=" ".join(setting))
                        for setting in dispatcher_settings(bench.binaries, name)]
            for setting, metric, gain in gains(bench, load, base, variants):
                yield Finding("dispatcher", load, setting, metric, gain)


def sweep_threads(bench, names):
    """Half of the CPUs answer at most, the others load; here the rate counts, whatever it costs. Against one answering thread."""
    allowed = bench.cpus.allowed
    names = [name for name in names if name in THREAD_LOADS]
    if len(allowed) < THREAD_CPUS_LEAST:
        say(f"--threads is left out: it takes {THREAD_CPUS_LEAST} CPUs or more to compare, here are {len(allowed)}")
        return
    half = len(allowed) // 2
    saved, bench.load_cpus = bench.load_cpus, set(allowed[half:])
    for name in names:
        load = dataclasses.replace(LOADS[name], metric="rate", options=[*LOADS[name].options, "--threads", str(half)])
        say(f"answering threads: {load.name}")
        with Stage(bench.cpus) as stage:
            cluster = servers.Cluster(stage, bench.binaries)
            base, *variants = [cluster.dispatcher(load.transport, name=f"--threads {number}", threads=number, cpus=set(allowed[:half]))
                               for number in sorted({1, 2, half})]
            for setting, metric, gain in gains(bench, load, base, variants):
                yield Finding("dispatcher", load, setting, metric, gain)
    bench.load_cpus = saved


def sweep_limit(bench, names):
    for name in (name for name in names if name in LIMIT):
        load, (base, variants) = LOADS[name], LIMIT[name]
        say(f"bare echoes: {load.name}")
        with Stage(bench.cpus) as stage:
            first = servers.limit(stage, bench.binaries, base, name=base)
            others = [servers.limit(stage, bench.binaries, *variant, name=" ".join(variant)) for variant in variants]
            for setting, metric, gain in gains(bench, load, first, others):
                yield Finding("bare echoes", load, f"{setting} / {base}", metric, gain)


def paying(findings, setting, verdict):
    return [finding for finding in findings if finding.setting == setting and finding.verdict() == verdict]


def options_for_all(findings):
    """What pays somewhere and costs nowhere; of several values of one option the one that pays most."""
    chosen = {}
    for finding in findings:
        if finding.verdict() == "pays" and not paying(findings, finding.setting, "costs"):
            option = finding.setting.split()[0]
            chosen[option] = max(chosen.get(option, finding), finding, key=lambda one: one.gain.median())
    return " ".join(finding.setting for finding in chosen.values())


def advice(findings):
    """Lines that say what to set."""
    lines = []
    mine = [finding for finding in findings if finding.part == "dispatcher"]
    for setting in dict.fromkeys(finding.setting for finding in mine):
        pays, costs = (", ".join(finding.text() for finding in paying(mine, setting, verdict))
                       for verdict in ("pays", "costs"))
        if pays and costs:
            lines.append(f"{setting}: pays with {pays}; costs with {costs}: set it for the load you have")
        elif pays:
            lines.append(f"{setting}: pays with {pays}")
    together = options_for_all(mine)
    lines.append(f"set: usher-dispatcher {together}" if together else "set: nothing; of no option is it certain that it pays somewhere and costs nowhere")
    if any("--spin" in line for line in lines):
        lines.append("(--spin takes a whole core for each answering thread, whether anybody asks or not)")
    return lines + [f"without an option, by the bare echoes: {finding.setting} would pay with {finding.text()}"
                    for finding in findings if finding.part != "dispatcher" and finding.verdict() == "pays"]


def show(findings):
    for part in ("dispatcher", "bare echoes"):
        rows = [finding.row() for finding in findings if finding.part == part]
        if rows:
            print(f"\n{part}: gain over {'the default' if part == 'dispatcher' else 'the plain path'}\n")
            print(report.table(["load", "setting", "by", "gain", "spread", "rounds", ""], rows, (3, 5)))
    print("\nOn this machine:")
    for line in advice(findings):
        print(f"  {line}")


def arguments_read():
    parser = argparse.ArgumentParser(prog="bench/sweep", description="Tries the dispatcher's settings, and what the bare echoes know beside, "
                                     "each next to the default, and says what pays on this machine.")
    parser.add_argument("--loads", metavar="NAME,…", default=",".join(LOADS), help=f"which loads, of {', '.join(LOADS)}")
    parser.add_argument("--part", choices=["dispatcher", "limit", "both"], default="both", help="only the dispatcher, or only the bare echoes")
    parser.add_argument("--rounds", type=within(int, 1, math.inf, "at least 1"), default=9, help="rounds that must count for each setting (9; with fewer than 8 nothing is certain); those with a VOID run are repeated, twice at most")
    parser.add_argument("--duration", type=within(float, 0.01, 600, "0.01 to 600 seconds"), default=0.5, help="seconds for each run (0.5)")
    parser.add_argument("--bin", type=existing_folder, metavar="DIR", help="the programs of this folder; build nothing")
    arguments = parser.parse_args()
    unknown = [name for name in arguments.loads.split(",") if name not in LOADS]
    if unknown:
        parser.error(f"--loads: no such load: {', '.join(unknown)}; there are {', '.join(LOADS)}")
    return arguments


PARTS = [sweep_dispatcher, sweep_threads, sweep_limit]


def sweep(arguments):
    cpus = machine.Cpus()
    binaries = binaries_prepare(arguments)
    bench = Bench(binaries, cpus, Pace(arguments.duration, 0.05, arguments.rounds, REPEATS), say)
    names, findings, code = arguments.loads.split(","), [], 0
    parts = {"dispatcher": PARTS[:2], "limit": PARTS[2:], "both": PARTS}[arguments.part]
    print(report.facts_text(machine.facts(binaries, cpus)))
    try:
        for part in parts:
            for finding in part(bench, names):
                findings.append(finding)
    except KeyboardInterrupt:
        say("interrupted: this is what there is")
        code = 130
    show(findings)
    return code


def main():
    arguments = arguments_read()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return sweep(arguments)
    except Trouble as trouble:
        print(f"bench/sweep: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
