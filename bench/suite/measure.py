"""Measuring: one run of usher-load against a server, and rounds of runs next to each other.

The speed of a machine drifts, a virtual one's by a third within minutes. So nothing here compares two runs that are not neighbours: a
round runs every variant once, one after the other; ratios are formed within a round; what is reported is their median and quartiles.
Many short rounds say more than a few long ones, since the drift within a round is smaller.
A run whose load generator was the bottleneck or late is VOID: it does not count, and its round is repeated."""

import dataclasses
import json
import math
import signal
import statistics
import subprocess

from suite.machine import Trouble, alone
from suite.process import children_of, cpu_ns, pinned
from suite.servers import program

RUN_LIMIT_S = 30  # beyond its own duration

# Over loopback a request costs both sides about the same, so that both reach their limits together. What a request costs the server does
# not depend on which of them was first, once the server is this busy: held to half a core by a busy neighbour, and so never short of
# requests, the bare echoes cost what they cost at 84 % (docs/BENCH.md). So such a run counts for the cost per request, and for that alone.
SERVER_BUSY = 0.8
COSTS = ("core_rate", "ns", "server_cpu", "client_cpu")

# Errors of which a single one is too many: the answer names what is not on offer, or a node twice.
WRONG = ("other-node", "node-twice")


@dataclasses.dataclass
class Pace:
    """How long is measured: the difference between the full report, --quick and the tests."""

    duration_s: float
    warmup_s: float
    rounds: int
    repeats: int  # rounds more for each wanted one, when runs are VOID


@dataclasses.dataclass
class Sample:
    """One run. Rates per second; `core_rate` per fully used server core; ns of server CPU per request; latencies in us."""

    target: str
    rate: float
    core_rate: float
    ns: float
    p50: float
    p99: float
    p999: float
    server_cpu: float
    client_cpu: float
    sent: int
    lost: int
    errors: int
    valid: bool  # as usher-load says, and without errors
    busy: bool  # VOID because the generator was the limit, but the server was busy enough to tell what a request costs it
    verdict: str

    def counts(self, metric):
        return self.valid or self.busy and metric in COSTS


@dataclasses.dataclass
class Series:
    """Values of one figure over the rounds that counted."""

    values: list

    def median(self):
        return statistics.median(self.values) if self.values else None

    def spread(self):
        """Quartiles: half of the rounds lie between them."""
        if len(self.values) < 2:
            return (self.values[0], self.values[0]) if self.values else None
        low, _, high = statistics.quantiles(self.values, n=4, method="inclusive")
        return low, high

    def certain(self):
        """Bounds of the true median with 99 % confidence, whatever the distribution: order statistics, by the sign test. None with
        fewer than 8 values: then nothing is certain."""
        count, outside, low = len(self.values), 0, -1
        for i in range(count // 2):
            outside += math.comb(count, i) / 2 ** count
            if 2 * outside > 0.01:
                break
            low = i
        ordered = sorted(self.values)
        return (ordered[low], ordered[count - 1 - low]) if low >= 0 else None

    def range(self):
        return (min(self.values), max(self.values)) if self.values else None


def pick(runs, metric):
    return Series([getattr(run, metric) for run in runs if run.counts(metric) and getattr(run, metric) is not None])


class Bench:
    """What a measurement needs: the binaries, the CPUs, the pace."""

    def __init__(self, binaries, cpus, pace, say=lambda text: None):
        self.binaries = binaries
        self.cpus = cpus
        self.load_cpus = {cpus.load}
        self.pace = pace
        self.say = say

    def paced(self, rounds, duration_s, warmup_s=0.0):
        """The same with other rounds and durations."""
        warmup_s = max(warmup_s, self.pace.warmup_s)
        copy = Bench(self.binaries, self.cpus, dataclasses.replace(self.pace, rounds=rounds, duration_s=duration_s, warmup_s=warmup_s), self.say)
        copy.load_cpus = self.load_cpus
        return copy

    def run(self, target, options, duration_s=None):
        """One run of usher-load against a target; Sample."""
        duration_s = duration_s or self.pace.duration_s
        command = [program(self.binaries, "usher-load"), "ask", "--dispatcher", target.address, "--json", "--server-pid",
                   str(target.worker_pid), "--duration", f"{round(duration_s * 1000)}ms", "--warmup",
                   f"{round(self.pace.warmup_s * 1000)}ms", *target.options, *options]
        resume(target)
        try:
            report = json_output(command, self.load_cpus, duration_s + self.pace.warmup_s + RUN_LIMIT_S)
        finally:
            rest(target)
        return sample_of(target, report)

    def rounds(self, targets, options, count=None, keep=None):
        """Runs each target in turn until `count` rounds are without VOID, or enough was tried. Returns {target name: [Sample]} with
        one entry a round in every list; keep, if given, is filled in place, so that an interruption loses nothing."""
        count = count or self.pace.rounds
        runs = keep if keep is not None else {}
        for target in targets:
            runs.setdefault(target.name, [])
            rest(target)
            self.warm(target, options)
        good = 0
        for _ in range(count * (1 + self.pace.repeats)):
            with alone():
                samples = [self.run(target, options) for target in targets]
            for target, sample in zip(targets, samples):
                runs[target.name].append(sample)
            good += all(sample.counts("ns") for sample in samples)
            self.say("  " + ", ".join(sample_text(sample) for sample in samples))
            if good >= count:
                break
        return runs

    def pairs(self, base, variants, options, keep=None):
        """The base next to each variant, (target, metrics that must count) of both: rounds until each variant has as many pairs as rounds are
        wanted, or enough was tried; a variant that has them stays out of what is repeated for others. Returns {variant's name: [(base, variant)]};
        keep, if given, is filled in place, so that an interruption loses nothing."""
        found = keep if keep is not None else {}
        found.update({target.name: [] for target, _ in variants})
        for target in [base, *(target for target, _ in variants)]:
            rest(target)
            self.warm(target, options)
        for number in range(self.pace.rounds * (1 + self.pace.repeats)):
            lacking = [(target, metrics) for target, metrics in variants if len(found[target.name]) < self.pace.rounds]
            if not lacking:
                break
            targets = [base, *(target for target, _ in lacking)]
            with alone():  # in turn from both ends: what the machine does slowly favours nobody
                ran = {target.name: self.run(target, options) for target in (targets[::-1] if number % 2 else targets)}
            first, *samples = [ran[target.name] for target in targets]
            for (target, metrics), sample in zip(lacking, samples):
                if all(first.counts(metric) and sample.counts(metric) for metric in metrics):
                    found[target.name].append((first, sample))
            self.say("  " + ", ".join(sample_text(sample) for sample in (first, *samples)))
        return found

    def warm(self, target, options):
        """A first short run, which counts nowhere: touches memory, and shows which of a server's processes works."""
        if target.worker_pid:
            return
        target.worker_pid = target.process.pid
        before = {pid: cpu_ns(pid) for pid in children_of(target.process.pid)}
        self.run(target, options, 0.05)
        target.worker_pid = max(before, key=lambda pid: cpu_ns(pid) - before[pid])


def rest(target):
    if target.spins and not target.is_resting:
        target.process.signal_all(signal.SIGSTOP)
        target.is_resting = True


def resume(target):
    if target.is_resting:
        target.process.signal_all(signal.SIGCONT)
        target.is_resting = False


def json_output(command, cpus, limit_s=300):
    """The JSON that a program prints. It is killed when we are interrupted."""
    text = " ".join(str(word) for word in command)
    with subprocess.Popen([str(word) for word in command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                          text=True, start_new_session=True, preexec_fn=pinned(cpus)) as process:
        try:
            out, err = process.communicate(timeout=limit_s)
        except subprocess.TimeoutExpired:
            process.kill()
            raise Trouble(f"it did not end: {text}") from None
        except BaseException:
            process.kill()
            raise
    try:
        report = json.loads(out)
    except ValueError:
        raise Trouble(f"{text}: {err.strip()[-600:] or 'it said nothing'}") from None
    if "error" in report:
        raise Trouble(f"{text}: {report.get('message') or report['error']}")
    return report


def sample_of(target, report):
    latency, rate, share = report["latency_us"] or {}, report["achieved_rps"], report["server_cpu"]
    answered, wrong, by_name = report["answered"], report["errors"], report.get("errors_by_name") or {}
    valid, verdict = report["valid"], report["verdict_text"]
    busy = report["verdict"] == "bottleneck" and (share or 0) >= SERVER_BUSY
    if (valid or busy) and (answered == 0 or wrong > answered / 1000 or any(by_name.get(name) for name in WRONG)):
        valid, busy, verdict = False, False, f"{wrong} errors among {answered} answers: {by_name}"
    return Sample(target.name, rate, rate / share if share else None, 1e9 * share / rate if share and rate else None, latency.get("p50"),
                  latency.get("p99"), latency.get("p999"), share, report["client_cpu"], report["sent"], report["lost"], wrong, valid, busy, verdict)


def sample_text(sample):
    if not sample.counts("ns"):
        return f"{sample.target} VOID ({sample.verdict})"
    return f"{sample.target} {count_text(sample.rate)}/s, {sample.ns or 0:.0f} ns, p99 {sample.p99 or 0:.0f} us"


def count_text(number):
    """"412 k"."""
    for unit, size in (("M", 1e6), ("k", 1e3)):
        if number >= size:
            return f"{number / size:.3g} {unit}"
    return f"{number:.3g}"


def ratio_of_pairs(pairs, metric):
    """The second of each pair to the first."""
    return Series([getattr(b, metric) / getattr(a, metric) for a, b in pairs if getattr(a, metric) and getattr(b, metric)])


def ratio(runs, of, over, metric):
    """The ratio of two targets in each round in which both counted. `over` may name several: the best of them over all rounds."""
    names = [over] if isinstance(over, str) else over
    medians = {name: pick(runs.get(name, []), metric).median() for name in names}
    best = (min if metric in ("p50", "p99", "p999", "ns") else max)
    base = best((name for name in names if medians[name]), key=medians.get, default=None)
    pairs = zip(runs.get(of, []), runs.get(base, []))
    return Series([getattr(a, metric) / getattr(b, metric) for a, b in pairs
                   if a.counts(metric) and b.counts(metric) and getattr(a, metric) and getattr(b, metric)])
