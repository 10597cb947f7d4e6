"""What is measured: the goals P1 … P10, and the curves. Each is a function that starts its servers, measures, and fills a Result, which
holds what there is so far when it is interrupted."""

import dataclasses
import json
import resource
import subprocess
import time

from suite import fairness, idle, overload, servers, updates
from suite.knee import Search
from suite.machine import Trouble, alone, text_of
from suite.measure import Series, count_text, json_output, pick, ratio
from suite.process import Stage

FEW_NODES = 8
SERVICE_NODES = 10  # that offer one service, where there are many
MANY_NODES = 100_000
KNEE_P99_US = 1000
KNEE_STEPS, KNEE_STEPS_QUICK = 5, 3
KNEE_RUN_S = 0.2  # the shorter, the fewer of the runs are met by a machine that stands still
KNEE_RUNS, KNEE_RUNS_QUICK = 11, 3
CURVE_ROUNDS = 5


@dataclasses.dataclass
class Figure:
    """One number of the report with its spread: a ratio in neighbouring runs, or a plain value. `sense` and `goal`: >= 0.95."""

    id: str
    label: str
    values: list
    unit: str = ""  # "" is a ratio
    sense: str = ""
    goal: float = 0
    summary: tuple = ()  # (low, median, high), where another program formed them
    rounds: int = 0  # that a summary was formed of, where that is known
    finding: str = ""  # what was found, where that is no number; or what is to be known of the number

    def median(self):
        return self.summary[1] if self.summary else Series(self.values).median()

    def met(self):
        """None: no goal, or nothing counted."""
        median = self.median()
        if not self.sense or median is None:
            return None
        return median >= self.goal if self.sense == ">=" else median <= self.goal


@dataclasses.dataclass
class Result:
    """What one experiment gave."""

    id: str
    title: str
    load: str = ""
    figures: list = dataclasses.field(default_factory=list)
    runs: dict = dataclasses.field(default_factory=dict)  # {target: [Sample]}, an entry a round
    titles: dict = dataclasses.field(default_factory=dict)  # {target: what it is}
    x_name: str = ""  # of a curve
    points: list = dataclasses.field(default_factory=list)  # {"x": number, "runs": …, "figures": …}
    notes: list = dataclasses.field(default_factory=list)
    others: list = dataclasses.field(default_factory=list)  # metrics by which the other dispatcher was compared already


UDP_LOAD = ["--connections", "64", "--depth", "16"]
UDP_CLIENTS = ["--connections", "50", "--depth", "1"]
UDP_ONE = ["--connections", "1", "--depth", "1"]
UDP_JOINED = ["--connections", "8", "--gso", "--depth", "64"]  # the kernel's share is small: what we do ourselves shows
TCP_CONNECTIONS = ["--connections", "50"]
ECHOES_UDP = ["echo udp-uring", "echo udp-recvmmsg"]
ECHOES_TCP = ["echo tcp-uring", "echo tcp-epoll"]


@dataclasses.dataclass
class Other:
    """A dispatcher that is measured beside the dispatcher: of another build, or with further options."""

    id: str
    name: str
    label: str  # of the ratio
    binaries: object = None  # None: the same
    options: tuple = ()


def other_build(binaries):
    return Other("build", "other build", "this build / other build", binaries=binaries)


def other_options(options):
    return Other("options", "other options", f"as it is / with {options}", options=tuple(options.split()))


class Plan:
    """What the experiments share. dispatcher_options go to every dispatcher; `other`: a second dispatcher that joins every round; thorough: the full report, not --quick or --tiny."""

    def __init__(self, bench, dispatcher_options=(), other=None, thorough=True):
        self.bench = bench
        self.dispatcher_options = list(dispatcher_options)
        self.other = other
        self.thorough = thorough

    def echoes(self, stage, names):
        return [servers.limit(stage, self.bench.binaries, name.split(" ")[1], name=name) for name in names]

    def dispatchers(self, stage, transport, *options):
        """The dispatcher, and the other one."""
        cluster = servers.Cluster(stage, self.bench.binaries, FEW_NODES)
        options = [*self.dispatcher_options, *options]
        found = [cluster.dispatcher(transport, *options)]
        if self.other:
            found.append(cluster.dispatcher(transport, *options, *self.other.options, name=self.other.name, binaries=self.other.binaries))
        return found

    def rounds(self, result, targets, options):
        result.load = result.load or "usher-load ask " + " ".join(options)
        result.titles.update({target.name: target.title for target in targets})
        return self.bench.rounds(targets, options, keep=result.runs)

    def compare(self, result, label, over, metric, sense="", goal=0.0, figure_id=""):
        """The figure dispatcher / over, and dispatcher / the other one."""
        figure_id = figure_id or result.id
        result.figures.append(Figure(figure_id, label, ratio(result.runs, "dispatcher", over, metric).values, "", sense, goal))
        if self.other and metric not in result.others:
            result.others.append(metric)
            result.figures.append(Figure(f"{figure_id} {self.other.id}", f"{label.partition(' / ')[0]}: {self.other.label}",
                                         ratio(result.runs, "dispatcher", self.other.name, metric).values))

    # The goals.

    def p1(self, result):
        """The load is sent in super-datagrams, which the kernel cuts up before it queues them: so the generator is not the limit. A
        socket with GRO would get them whole, hence --gro off."""
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "udp", "--gro", "off"), *self.echoes(stage, ECHOES_UDP)]
            self.rounds(result, targets, [*UDP_LOAD, "--gso"])
        self.compare(result, "UDP, one request per datagram / the faster bare echo", ECHOES_UDP, "core_rate", ">=", 0.95)

    def p1_clients(self, result):
        """The default set-up; the answers of a batch go to different clients, so that none can be joined."""
        with Stage(self.bench.cpus) as stage:
            self.rounds(result, [*self.dispatchers(stage, "udp"), *self.echoes(stage, ECHOES_UDP)], ["--connections", "256", "--depth", "1"])
        self.compare(result, "UDP, 256 clients, one request each / the faster bare echo", ECHOES_UDP, "core_rate", ">=", 0.95)

    def p2(self, result):
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "udp"), servers.gdnsd(stage), servers.nsd(stage), *self.echoes(stage, ECHOES_UDP[:1])]
            self.rounds(result, targets, UDP_CLIENTS)
        self.compare(result, "UDP, 50 clients, per server core / gdnsd", "gdnsd", "core_rate", ">=", 1.3, "P2 gdnsd")
        self.compare(result, "UDP, 50 clients, per server core / NSD", "NSD", "core_rate", ">=", 1.3, "P2 NSD")
        self.compare(result, "the same / bare echo", ECHOES_UDP[:1], "core_rate", figure_id="P2 echo")

    def p3(self, result):
        with Stage(self.bench.cpus) as stage:
            self.rounds(result, [*self.dispatchers(stage, "udp"), *self.echoes(stage, ECHOES_UDP)], UDP_ONE)
        self.compare(result, "one outstanding over UDP, p50 / the faster bare echo", ECHOES_UDP, "p50", "<=", 1.05, "P3 p50")
        self.compare(result, "one outstanding over UDP, p99 / the faster bare echo", ECHOES_UDP, "p99", "<=", 1.05, "P3 p99")

    def p3_spin(self, result):
        with Stage(self.bench.cpus) as stage:
            echo = servers.limit(stage, self.bench.binaries, "udp-uring", "--spin", name="echo udp-uring")
            self.rounds(result, [*self.dispatchers(stage, "udp", "--spin"), echo], [*UDP_ONE, "--spin"])
        result.figures.append(Figure("P3 spin", "both sides spin, p50", pick(result.runs["dispatcher"], "p50").values, "us", "<=", 8))
        self.compare(result, "both sides spin, p50 / bare echo", ["echo udp-uring"], "p50", figure_id="P3 spin echo")

    def p4(self, result, depth, goal):
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "tcp"), servers.redis(stage), *self.echoes(stage, ECHOES_TCP[:1])]
            self.rounds(result, targets, [*TCP_CONNECTIONS, "--depth", str(depth)])
        self.compare(result, f"TCP, 50 connections, depth {depth} / Redis GET", "Redis", "core_rate", ">=", goal)
        self.compare(result, "the same / bare echo", ECHOES_TCP[:1], "core_rate", figure_id=f"{result.id} echo")

    def p5(self, result):
        with Stage(self.bench.cpus) as stage:
            self.rounds(result, [*self.dispatchers(stage, "tcp"), *self.echoes(stage, ECHOES_TCP)], [*TCP_CONNECTIONS, "--depth", "64"])
        self.compare(result, "TCP, 50 connections, depth 64 / the faster bare echo", ECHOES_TCP, "core_rate", ">=", 0.75)

    def p6(self, result):
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "udp"), *self.echoes(stage, ["echo udp-gso"])]
            self.rounds(result, targets, UDP_JOINED)
        self.compare(result, "UDP, super-datagrams of 64 requests / bare echo with GRO and GSO", "echo udp-gso", "core_rate", ">=", 0.6)

    def p6_packed(self, result):
        with Stage(self.bench.cpus) as stage:
            self.rounds(result, self.dispatchers(stage, "udp"), ["--connections", "16", "--pack", "28", "--depth", "448"])
        values = pick(result.runs["dispatcher"], "core_rate").values
        result.figures.append(Figure("P6 packed", "UDP, 28 requests in a datagram, per server core", values, "/s", ">=", 6e6))

    def micro(self, result):
        """P7 and P9, which bench-micro measures by itself, on the server's CPU."""
        run_micro(self.bench, result, thorough=self.thorough)

    def p10(self, result):
        """The memory of a dispatcher with 100,000 nodes whose loads and membership change, and the wake-ups of an idle one."""
        with Stage(self.bench.cpus) as stage:
            cluster = servers.Cluster(stage, self.bench.binaries, nodes=MANY_NODES, updates=MANY_NODES, changes=1)
            target = cluster.dispatcher("udp", *self.dispatcher_options)
            time.sleep(3 if self.thorough else 1)
            status = text_of(f"/proc/{target.process.pid}/status")
        result.figures += [
            Figure("P10 memory", f"resident with {MANY_NODES:,} nodes, receive buffers untouched", [status_mib(status, "VmRSS")], "MiB", "<=", 64),
            Figure("P10 peak", "the most that was resident", [status_mib(status, "VmHWM")], "MiB"),
        ]
        with Stage(self.bench.cpus) as stage:
            target = servers.Cluster(stage, self.bench.binaries).dispatcher("udp", *self.dispatcher_options)
            time.sleep(0.5)
            seconds = 5 if self.thorough else 1
            with alone():
                before = wakeups(target.process.pid)
                time.sleep(seconds)
                after = wakeups(target.process.pid)
        answering = sum(after[thread] - before.get(thread, 0) for thread in after if after and thread[1].startswith("core"))
        every = sum(after[thread] - before.get(thread, 0) for thread in after)
        result.figures += [
            Figure("P10 wakeups", "wake-ups of an idle dispatcher's answering threads", [answering / seconds], "/s", "<=", 0),
            Figure("P10 timers", "wake-ups of all its threads: heartbeats, load samples, asking rm", [every / seconds], "/s"),
        ]

    # The curves.

    def latency(self, result):
        """Open loop: latency from the planned time, at rising rates up to what the closed loop reached, and the knee. Runs of the curve
        are longer here: a virtual machine that stands still for some ms would else fill the last percent of many."""
        result.x_name, result.load = "offered requests per second", "usher-load ask " + " ".join(open_loop("RATE"))
        paced = self.bench.paced(3 if self.thorough else 1, self.bench.pace.duration_s * 1.7)
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "udp")[:1], *self.echoes(stage, ECHOES_UDP[:1])]
            for target in targets:
                paced.warm(target, UDP_LOAD)
            # Whoever is the limit there: the curve only needs to know where the end is.
            peak = Series([paced.run(targets[0], UDP_LOAD).rate for _ in range(3)]).median()
            for share in (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 1.0) if self.thorough else (0.1, 0.5, 0.9):
                self.point(result, peak * share, targets, open_loop(peak * share), paced)
                if not any(run.valid for runs in result.points[-1]["runs"].values() for run in runs):
                    result.notes.append(f"the curve ends at {count_text(peak * share)}/s, where no run counts: the generator falls behind "
                                        "whoever answers, or does not get its CPU")
                    break
            self.knee(result, targets, peak)

    def knee(self, result, targets, peak):
        """The knee of the first target. Where none is found, that is a finding, and the second target's runs beside it say whose."""
        say = lambda step: self.bench.say(f"  knee: {step_text(step)}")  # noqa: E731
        knee = self.knee_search(targets[0]).find(peak * 0.6, peak * 1.05, KNEE_STEPS if self.thorough else KNEE_STEPS_QUICK, say)
        result.notes += [f"search for the knee: {'; '.join(step_text(step) for step in knee.steps)}", knee_text(knee)]
        label, values, finding = f"highest rate with p99 below {KNEE_P99_US} us in the median run", [], ""
        if knee.rate:
            values = [knee.rate]
        else:
            beside = self.knee_search(targets[1]).step(knee.lowest().rate)
            whose = "which has one there" if beside.below else "which has none there either: it is the machine"
            finding = f"no knee found: {knee.void()} of {knee.runs()} runs disturbed; next to {targets[1].name}, {whose}"
            result.notes.append(f"{targets[1].name} beside it: {step_text(beside)}")
            self.bench.say(f"  {result.notes[-1]}")
        result.figures.append(Figure("knee", label, values, "/s", finding=finding))
        result.figures.append(Figure("knee share", "the same as a share of what the closed loop reached", [rate / peak for rate in values],
                                     finding=finding))

    def knee_search(self, target):
        bench = self.bench.paced(1, min(KNEE_RUN_S, self.bench.pace.duration_s))

        def run(rate):
            with alone():
                return bench.run(target, open_loop(rate))

        wanted = KNEE_RUNS if self.thorough else KNEE_RUNS_QUICK
        return Search(run, KNEE_P99_US, wanted, 2 * wanted)

    def point(self, result, x, targets, options, bench=None):
        runs = {}
        result.points.append({"x": x, "runs": runs})
        result.titles.update({target.name: target.title for target in targets})
        (bench or self.bench).rounds(targets, options, keep=runs)

    def nodes(self, result):
        self.cost(result, "nodes", (10, 100, 1000, 10_000, MANY_NODES) if self.thorough else (10, MANY_NODES), lambda number: {"nodes": number})

    def services(self, result):
        """Each is offered by as many nodes, and all are asked for in turn. So there are more nodes as well: beside it stands what as many
        cost that all offer one service."""
        self.cost(result, "services", (1, 10, 100, 1000) if self.thorough else (1, 1000),
                  lambda number: {"nodes": number * SERVICE_NODES, "services": number},
                  (lambda number: {"nodes": number * SERVICE_NODES}) if self.thorough else None)

    def cost(self, result, name, numbers, cluster_of, beside_of=None):
        """CPU per request, each point in rounds with the first one. cluster_of(number): what there is; beside_of: what else to compare with."""
        result.x_name, result.load = name, "usher-load ask " + " ".join([*UDP_JOINED, *(["--services", "N"] if name == "services" else [])])
        # A curve needs fewer rounds than a goal; and usher-load has to meet every node once.
        learning = self.bench.paced(min(CURVE_ROUNDS, self.bench.pace.rounds), self.bench.pace.duration_s, 0.7 if self.thorough else 0.4)
        for number in numbers:
            with Stage(self.bench.cpus) as stage:
                asked = lambda cluster, name: servers.Cluster(stage, self.bench.binaries, **cluster).dispatcher(  # noqa: E731
                    "udp", *self.dispatcher_options, name=name)
                base = asked(cluster_of(numbers[0]), f"{numbers[0]} {name if numbers[0] > 1 else name[:-1]}")
                if number == numbers[0]:
                    self.point(result, number, [base], UDP_JOINED, learning)
                    continue
                others = [asked(beside_of(number), "as many nodes")] if beside_of else []
                self.point(result, number, [asked(cluster_of(number), "dispatcher"), *others, base], UDP_JOINED, learning)
            runs = result.points[-1]["runs"]
            what = f"CPU per request with {number:,} {name} / "
            result.figures.append(Figure(f"{name} {number}", f"{what}with {numbers[0]:,}", ratio(runs, "dispatcher", base.name, "ns").values))
            result.figures += [Figure(f"{name} {number} nodes", f"{what}with {numbers[0]:,} of as many nodes",
                                      ratio(runs, "dispatcher", other.name, "ns").values) for other in others]

    def connections(self, result):
        """TCP, one request outstanding on each connection."""
        result.x_name = "TCP connections"
        result.load = "usher-load ask --proto tcp --connections N --depth 1"
        with Stage(self.bench.cpus) as stage:
            targets = [*self.dispatchers(stage, "tcp")[:1], *self.echoes(stage, ECHOES_TCP[:1]), servers.redis(stage)]
            for number in (1, 10, 100, 1000, 10_000) if self.thorough else (1, 1000):
                if number + 100 > resource.getrlimit(resource.RLIMIT_NOFILE)[1]:
                    result.notes.append(f"{number:,} connections: skipped, this shell may have fewer descriptors: ulimit -Hn")
                    continue
                fewer = self.bench.paced(min(CURVE_ROUNDS, self.bench.pace.rounds), self.bench.pace.duration_s)
                self.point(result, number, targets, ["--connections", str(number), "--depth", "1"], fewer)
                runs = result.points[-1]["runs"]
                result.figures.append(Figure(f"connections {number}", f"CPU per request with {number:,} connections / bare echo",
                                             ratio(runs, "dispatcher", ECHOES_TCP[0], "ns").values))

    def cores(self, result):
        """Half of the CPUs answer at most, the others load."""
        result.x_name = "answering threads"
        allowed = self.bench.cpus.allowed
        if len(allowed) < 4:
            result.notes.append(f"skipped: this needs 4 CPUs or more, here are {len(allowed)}")
            return
        half = len(allowed) // 2
        with Stage(self.bench.cpus) as stage:
            cluster = servers.Cluster(stage, self.bench.binaries, FEW_NODES)
            for number in sorted({1, 2, half}):
                target = cluster.dispatcher("udp", *self.dispatcher_options, threads=number, cpus=set(allowed[:number]))
                saved, self.bench.load_cpus = self.bench.load_cpus, set(allowed[-half:])
                self.point(result, number, [target], ["--connections", str(16 * number), "--depth", "16", "--threads", str(half)])
                self.bench.load_cpus = saved


def step_text(step):
    """What was found of one rate."""
    word = {True: "below", False: "above", None: "not known to be below"}[step.below]
    median = "" if step.median() is None else f"p99 {step.median():.0f} us in the median run, {100 * step.lost:.2g} % lost, "
    return f"{count_text(step.rate)}/s is {word} it ({median}{step.void} of {step.runs()} runs VOID)"


def knee_text(knee):
    """What ends it, or that there is none; and how much of the search the host, or a generator that is too slow, has disturbed."""
    lowest = knee.lowest()
    end = "nothing was above it" if not lowest else "above it p99 is higher" if lowest.below is False else "above it too few runs count"
    if not knee.rate:
        end = f"no knee was found, down to {count_text(lowest.rate)}/s"
    return f"the knee: {end}; {knee.void()} of {knee.runs()} runs were VOID, in which usher-load did not get its CPU in time, or could not keep up"


def open_loop(rate):
    text = rate if isinstance(rate, str) else f"{max(1, round(rate))}"
    return ["--connections", "64", "--rate", text, "--arrivals", "poisson", "--seed", "1", "--reply-timeout", "100ms", "--spin"]


def status_mib(status, name):
    for line in status.splitlines():
        if line.startswith(name + ":"):
            return int(line.split()[1]) / 1024
    raise Trouble(f"/proc/PID/status has no {name}: is this Linux?")


def wakeups(pid):
    """{(thread, name): how often it went to sleep of its own accord}"""
    counts = {}
    tasks = subprocess.run(["ls", f"/proc/{pid}/task"], capture_output=True, text=True, check=False).stdout.split()
    for task in tasks:
        for line in text_of(f"/proc/{pid}/task/{task}/status").splitlines():
            if line.startswith("voluntary_ctxt_switches"):
                counts[task, text_of(f"/proc/{pid}/task/{task}/comm")] = int(line.split()[1])
    return counts


def micro_id(row):
    """Of a row with a goal: "P7 TCP, 1000 nodes" of "decode, queue, pick, encode: TCP, 1000 nodes"; "P9 spsc two cores"."""
    name = row["name"]
    return "P7 " + name.partition(": ")[2] if row["group"] == "path" else f"P9 {row['group']} {name.rpartition(', ')[2]}"


def quiet_text(row):
    """What it was in the rounds in which nobody else used the core, where that is known."""
    if "quiet_rounds" not in row or "goal_ns" not in row:
        return ""
    if not row["quiet_rounds"]:
        return "no round had the core to itself"
    return f"{row['quiet_ns']['median']:.1f} ns in {row['quiet_rounds']} of {row['rounds']} rounds that had the core to themselves"


def run_micro(bench, result, thorough):
    """bench-micro's rows as figures: goals on the way of a request are P7, those on queues P9."""
    command = [servers.program(bench.binaries, "bench-micro"), "--json", *([] if thorough else ["--quick", "--only", "path,spsc,mpmc"])]
    result.load = " ".join(["bench-micro", *command[1:]])
    with alone():
        report = json_output(command, {bench.cpus.server, bench.cpus.load})
    for row in report["rows"]:
        relative, goal = "ratio" in row and "goal_ns" not in row, "goal_ns" in row or "goal_ratio" in row
        spread = row["ratio"] if relative else row["ns"]
        # Both names end alike: "spsc_queue, two cores / ck_ring spsc, two cores".
        against = f" / {row['against'].partition(',')[0]}" if relative else ""
        figure_id = micro_id(row) if goal else row["group"]
        figure = Figure(figure_id, row["name"] + against, [spread["median"]],
                        "" if relative else "ns", summary=(spread["low"], spread["median"], spread["high"]))
        if goal:
            figure.sense, figure.goal = (">=", row["goal_ratio"]) if "goal_ratio" in row else ("<=", row["goal_ns"])
        figure.finding = quiet_text(row)
        result.figures.append(figure)
    result.notes += report["notes"]


def experiments(plan):
    """{id: (title, function)} in the order in which they run: the goals first."""
    return {
        "P1": ("UDP, one request per datagram, against a bare echo", plan.p1),
        "P1clients": ("the same with 256 clients, default set-up", plan.p1_clients),
        "P2": ("UDP, 50 clients with one request outstanding each, against DNS servers", plan.p2),
        "P3": ("UDP, one request outstanding: latency against a bare echo", plan.p3),
        "P3spin": ("the same, both sides spinning", plan.p3_spin),
        "P4d1": ("TCP, depth 1, against Redis", lambda result: plan.p4(result, 1, 1.25)),
        "P4d16": ("TCP, depth 16, against Redis", lambda result: plan.p4(result, 16, 2.2)),
        "P4d64": ("TCP, depth 64, against Redis", lambda result: plan.p4(result, 64, 4.0)),
        "P5": ("TCP, depth 64, against a bare echo", plan.p5),
        "P6": ("UDP, super-datagrams, against a bare echo", plan.p6),
        "P6packed": ("UDP, 28 requests packed into each datagram", plan.p6_packed),
        "P7": ("picks and queues alone (P7, P9)", plan.micro),
        "P10": ("memory and wake-ups", plan.p10),
        "idle": ("what idle TCP connections cost others over UDP", lambda result: idle.measure(plan, result)),
        "latency": ("latency against offered load", plan.latency),
        "nodes": ("cost per request against the number of nodes", plan.nodes),
        "services": ("cost per request against the number of services", plan.services),
        "connections": ("cost per request against the number of TCP connections", plan.connections),
        "cores": ("answered requests against the number of cores", plan.cores),
        "overload": ("twice as much as can be answered, for clients that wait 50 ms", lambda result: overload.measure(plan, result)),
        "fairness": ("whether runs at the generator's limit may count for what a request costs", lambda result: fairness.measure(plan, result)),
        "updates": ("what load reports and changes of 100,000 nodes cost", lambda result: updates.measure(plan, result)),
    }


def chosen(names, available):
    """The experiments that --only names: "P4" stands for all that begin so, "P9" for P7, which measures it."""
    wanted = []
    for name in names:
        found = [key for key in available if key == name or key.startswith(name) and not key[len(name):][:1].isdigit()]
        if name.upper() == "P9":
            found = ["P7"]
        if not found:
            raise Trouble(f"--only {name}: there is no such measurement; there are {', '.join(available)}")
        wanted += found
    return [key for key in available if key in wanted]


def as_json(result):
    """A Result as it goes into report.json, with medians worked out."""
    record = dataclasses.asdict(result)
    del record["others"]
    for figure, row in zip(result.figures, record["figures"]):
        series = Series(figure.values)
        low_high = (figure.summary[0], figure.summary[2]) if figure.summary else None
        row |= {"rounds": figure.rounds or (None if figure.summary else len(figure.values)), "median": figure.median(), "spread": low_high or series.spread(), "range": low_high or series.range(), "met": figure.met()}
    return json.loads(json.dumps(record))
