#!/usr/bin/env python3
"""What the benchmark suite decides without measuring: the search for the knee on machines that disturb its runs, the time that a shortened
report may take, what it makes of a finding that is no number. Runs are made up, from seeds; nothing is started and no speed is asserted."""

import contextlib
import dataclasses
import pathlib
import random
import sys
import time
import types
from unittest import mock

sys.path.insert(0, __file__.rsplit("/", 1)[0])
sys.path.insert(1, __file__.rsplit("/", 3)[0] + "/bench")
from support.cluster import check, main

from suite import idle, knee, measure, plan, report, run, servers, sweep
from suite.machine import Trouble

BOUND_US = 1000
KNEE_RATE = 100_000  # of the server that is made up
LIMIT = 210_000
SEEDS = range(200)


@dataclasses.dataclass
class Run:
    p99: float
    valid: bool = True
    sent: int = 10_000
    lost: int = 0


def server(seed, stalled=0.0, late=0.0):
    """run(rate) of a server whose p99 goes beyond the bound at KNEE_RATE. Of its runs a share is hit by a machine that stalls the server,
    another one has a generator that is late."""
    chance = random.Random(seed)

    def made_up(rate):
        p99 = 200 if rate < KNEE_RATE else 5000
        if chance.random() < stalled:
            p99 = chance.uniform(2000, 50_000)
        return Run(p99, valid=chance.random() >= late)

    return made_up


def search(made_up, steps=5):
    return knee.Search(made_up, BOUND_US, 9, 18).find(LIMIT * 0.6, LIMIT, steps)


def found_rates(**disturbances):
    return [search(server(seed, **disturbances)).rate for seed in SEEDS]


def close(rate):
    """Within what five bisections leave open."""
    return KNEE_RATE - LIMIT / 16 <= rate <= KNEE_RATE


def quiet_machine_has_a_knee():
    found = search(server(0))
    check(close(found.rate) and found.void() == 0, f"{found}")
    check(found.lowest().below is False and found.lowest().rate >= KNEE_RATE, f"what ends it: {found.lowest()}")
    check(all(step.runs() == 5 for step in found.steps), f"five of nine runs decide when they agree: {found}")


def knee_is_found_on_a_machine_that_stalls():
    """A fifth of the runs hit: with single runs, every third search would go wrong."""
    rates = found_rates(stalled=0.2)
    check(sum(map(close, rates)) >= 0.9 * len(rates), f"{sum(map(close, rates))} of {len(rates)} searches found it")
    check(all(rate <= KNEE_RATE for rate in rates), f"a rate above the knee was taken for one below it: {max(rates)}")


def void_runs_are_repeated_and_counted():
    for seed in SEEDS:
        found = search(server(seed, late=0.3))
        check(close(found.rate), f"{found}")
        check(sum(len(step.values) for step in found.steps) + found.void() == found.runs(), f"{found}")
    check(any(search(server(seed, late=0.3)).void() > 0 for seed in SEEDS), "no run was VOID")


def runs_of_a_rate_are_bounded():
    found = search(server(0, late=1.0))
    check(found.rate == 0 and found.void() == found.runs() == 5 * 18, f"{found}")
    check(all(step.below is None for step in found.steps), f"judged without a run that counts: {found}")


def machine_that_always_stalls_has_no_knee():
    """The bound is missed by the median run itself: nothing may make that look like a knee."""
    found = search(server(0, stalled=1.0))
    check(found.rate == 0 and found.lowest().below is False and found.void() == 0, f"{found}")


def lost_requests_are_above_the_knee():
    found = search(lambda rate: Run(200, lost=0 if rate < KNEE_RATE else 11))
    check(close(found.rate), f"{found}")


def nothing_above_is_said():
    found = search(lambda rate: Run(200))
    check(found.rate > LIMIT * 0.95 and found.lowest() is None, f"{found}")
    check("nothing was above it" in plan.knee_text(found), plan.knee_text(found))


class NoStage:
    """Where nothing stands."""

    def __init__(self, cpus):
        self.cpus = cpus
        self.folder = pathlib.Path("/nonexistent")

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass


# What the parts of a plan take beside the runs themselves, somewhat more than they did where they were timed.
START_S = 0.25  # to start a server, and to stop it
SPAWN_S = 0.06  # to start usher-load, and to read its report
WARM_S = 0.1 + SPAWN_S
CONNECT_S = 2.0  # to open 10,000 connections
MICRO_S = 3.0  # bench-micro --quick --only path,spsc,mpmc


class PlanClock:
    """Stands in for time while a plan is walked through without measuring: every run takes what was asked for, and all are alike."""

    def __init__(self, valid=True):
        self.s = 0.0
        self.valid = valid

    def target(self, name):
        self.s += START_S
        return servers.Target(name, "", types.SimpleNamespace(pid=1), "127.0.0.1:1", [])

    def cluster(self, *_, **__):
        self.s += START_S
        return types.SimpleNamespace(dispatcher=lambda *_, name="dispatcher", **__: self.target(name))

    def run(self, bench, target, duration_s=None):
        self.s += (duration_s or bench.pace.duration_s) + bench.pace.warmup_s + SPAWN_S
        return measure.Sample(target.name, 1e5, 1e5, 1000.0, 10.0, 100.0, 1e3, 1.0, 0.5, 10_000, 0, 0, self.valid, False, "")

    def spend(self, seconds, result=None):
        self.s += seconds
        return result


@contextlib.contextmanager
def walked(clock):
    """Bench --quick, with everything replaced that takes time or starts something."""
    cpus = types.SimpleNamespace(server=0, load=1, allowed=[0, 1], note="")
    peers = {key: lambda _, name=name: clock.target(name) for key, name in (("gdnsd", "gdnsd"), ("nsd", "NSD"), ("redis", "Redis"))}
    with (mock.patch.multiple(servers, Cluster=clock.cluster, program=lambda *_: "program", limit=lambda *_, name=None: clock.target(name), **peers),
          mock.patch.multiple(measure.Bench, run=lambda bench, target, options, duration_s=None: clock.run(bench, target, duration_s),
                              warm=lambda *_: clock.spend(WARM_S)),
          mock.patch.multiple(plan, Stage=NoStage, json_output=lambda *_: clock.spend(MICRO_S, {"rows": [], "notes": []}),
                              status_mib=lambda *_: 1.0, wakeups=lambda _: {}, text_of=lambda *_: ""),
          mock.patch.multiple(idle, Stage=NoStage, descriptors_lacking=lambda: "",
                              connected=lambda *_: contextlib.nullcontext(clock.spend(CONNECT_S))),
          mock.patch.object(plan.time, "sleep", clock.spend)):
        yield plan.Plan(measure.Bench(pathlib.Path("/nonexistent"), cpus, run.PACES["quick"]), thorough=False)


def quick_fits_into_two_minutes_as_planned():
    """The sum of what is planned, with time left for a machine that is slower than that, and to write the report. What exceeds it is cut."""
    clock, parts = PlanClock(), {}
    with walked(clock) as planned:
        for name, (title, function) in plan.experiments(planned).items():
            begin = clock.s
            function(plan.Result(name, title))
            parts[name] = clock.s - begin
    check(all(parts[name] > 0 for name in ("P1", "P4d64", "P7", "P10", "idle", "latency", "nodes", "services", "connections")), f"{parts}")
    check(clock.s <= run.BUDGETS_S["quick"] <= 110, f"--quick is planned for {clock.s:.0f} s: {parts}")


def time_limit_cuts_what_is_going_on():
    """What took its time is cut, what comes after it is left out, and both are said; what was measured stays."""
    record = {"skipped": [], "results": [], "failed": False}
    stages = []

    def endless(result):
        result.figures.append(plan.Figure("x", "so far", [1.0]))
        try:
            while True:
                time.sleep(0.01)
        finally:
            stages.append("cleaned up")

    experiments = {"a": ("first", lambda result: result.figures.append(plan.Figure("a", "first", [2.0]))), "b": ("endless", endless),
                   "c": ("third", endless)}
    run.measure(experiments, list(experiments), record, 0.3)
    check([result["id"] for result in record["results"]] == ["a", "b"] and stages == ["cleaned up"], f"{record}")
    check(record["results"][1]["figures"][0]["median"] == 1.0 and "cut short" in record["results"][1]["notes"][0], f"{record}")
    check(record["skipped"] == ["c (third): the time was over"] and not record["failed"], f"{record}")


def trouble_is_a_failure_and_the_rest_goes_on():
    record = {"skipped": [], "results": [], "failed": False}

    def troubled(_):
        raise Trouble("a server did not start")

    experiments = {"a": ("troubled", troubled), "b": ("sound", lambda result: result.figures.append(plan.Figure("b", "b", [1.0])))}
    run.measure(experiments, list(experiments), record, None)
    check(record["failed"] and len(record["results"]) == 2 and "did not start" in record["skipped"][0], f"{record}")


def no_knee_is_a_finding_and_no_failure():
    """Everything is VOID: --only latency ends with 0 and says that it found none."""
    record = {"skipped": [], "results": [], "failed": False}
    with walked(PlanClock(valid=False)) as planned:
        run.measure(plan.experiments(planned), ["latency"], record)
    figures = record["results"][0]["figures"]
    check(not record["failed"] and not record["skipped"] and not run.nothing_was_found(record), f"{record}")
    check(figures[0]["id"] == "knee" and figures[0]["median"] is None, f"{figures}")
    check("no knee found: 18 of 18 runs disturbed" in report.verdict_text(figures[0]), report.verdict_text(figures[0]))
    check("none there either: it is the machine" in report.verdict_text(figures[0]), report.verdict_text(figures[0]))
    check(any("no knee was found, down to" in note for note in record["results"][0]["notes"]), f"{record['results'][0]['notes']}")
    check(any("beside it" in note for note in record["results"][0]["notes"]), f"{record['results'][0]['notes']}")


def rows_of_micro_become_figures():
    """A goal in ns is judged by ns, though the row has a ratio to the reference; what it was with the core to itself stands beside."""
    spread = {"median": 40.0, "low": 30.0, "high": 41.0, "best": 26.0}
    rows = [{"group": "path", "name": "decode, queue, pick, encode: TCP, 1000 nodes", "ns": spread, "goal_ns": 30, "rounds": 15, "quiet_rounds": 5,
             "quiet_ns": spread | {"median": 26.4}, "against": "reference", "ratio": spread | {"median": 0.3}},
            {"group": "spsc", "name": "spsc_queue, two cores", "ns": spread, "against": "ck_ring, two cores", "ratio": spread | {"median": 6.0},
             "goal_ratio": 1.5}]
    result = plan.Result("P7", "micro")
    bench = types.SimpleNamespace(binaries="", cpus=types.SimpleNamespace(server=0, load=1))
    with (mock.patch.object(servers, "program", lambda *_: "bench-micro"),
          mock.patch.object(plan, "json_output", lambda *_: {"rows": rows, "notes": []})):
        plan.run_micro(bench, result, thorough=False)
    path, queue = plan.as_json(result)["figures"]
    check(path["id"] == "P7 TCP, 1000 nodes" and path["median"] == 40.0 and path["met"] is False, f"{path}")
    check(report.verdict_text(path).startswith("MISSED") and "26.4 ns in 5 of 15" in report.verdict_text(path), report.verdict_text(path))
    check(queue["id"] == "P9 spsc two cores" and queue["median"] == 6.0 and queue["met"] is True, f"{queue}")


def sample(target, rate=1e5, p50=10.0, share=1.0, valid=True):
    return measure.Sample(target, rate, rate / share, 1e9 * share / rate, p50, 10 * p50, 100 * p50, share, 0.5, 10_000, 0, 0, valid, not valid, "")


class MadeUp(measure.Bench):
    """Runs that are made up: answer(target's name, how many runs it had before) is a Sample."""

    def __init__(self, answer, rounds=8, repeats=2):
        super().__init__(None, types.SimpleNamespace(load=1), measure.Pace(0.1, 0.0, rounds, repeats))
        self.answer, self.runs = answer, {}

    def run(self, target, options, duration_s=None):
        self.runs[target.name] = self.runs.get(target.name, 0) + 1
        return self.answer(target.name, self.runs[target.name] - 1)

    def warm(self, target, options):
        pass


def target_named(name):
    return servers.Target(name, name, types.SimpleNamespace(pid=1, signal_all=lambda _: None), "127.0.0.1:1", [], name == "--spin")


def found_by_sweep(answer, load, *settings, **pace):
    bench = MadeUp(answer, **pace)
    return bench, [sweep.Finding("dispatcher", sweep.LOADS[load], *found)
                   for found in sweep.gains(bench, sweep.LOADS[load], target_named("default"), [target_named(name) for name in settings])]


def spinning_is_judged_by_rate_and_latency():
    """It answers more and sooner, and takes all of its core for it: by what an answer costs it would lose."""
    made_up = {"default": sample("default", 1e5, 20.0, 0.5), "--spin": sample("--spin", 1.1e5, 10.0, 1.0), "--io epoll": sample("--io epoll", 1e5, 20.0, 0.4)}
    _, found = found_by_sweep(lambda name, _: made_up[name], "tcp16", "--spin", "--io epoll")
    verdicts = {(one.setting, one.metric): one.verdict() for one in found}
    check(verdicts == {("--spin", "rate"): "pays", ("--spin", "p50"): "pays", ("--spin", "p99"): "pays", ("--io epoll", "core_rate"): "pays"}, f"{verdicts}")
    lines = sweep.advice(found)
    check(any("--spin: pays with TCP, 50 connections, depth 16, rate (1.10)" in line for line in lines), f"{lines}")


def void_runs_of_a_sweep_are_made_up_for():
    """The fewest rounds that are enough stay enough when runs are VOID, and only what lacks some is repeated. What is always VOID ends."""
    void = lambda name, runs: sample(name, valid=not (name == "--gro off" and runs < 6), share=0.9 if name == "default" else 1.0)  # noqa: E731
    bench, found = found_by_sweep(void, "one", "--gro off", "--io epoll")
    check([len(one.gain.values) for one in found] == [8, 8] and all(one.verdict() != "too few rounds" for one in found), f"{found}")
    check(bench.runs == {"default": 14, "--gro off": 14, "--io epoll": 8}, f"{bench.runs}")
    bench, found = found_by_sweep(lambda name, _: sample(name, valid=name == "default"), "one", "--io epoll")
    check(found[0].verdict() == "VOID" and bench.runs["default"] == 24, f"{found} {bench.runs}")


def an_answer_that_is_not_on_offer_makes_a_run_void():
    told = {"latency_us": {"p50": 1}, "achieved_rps": 1e5, "server_cpu": 1.0, "client_cpu": 0.5, "answered": 1_000_000, "errors": 1, "valid": True,
            "verdict": "valid", "verdict_text": "", "sent": 1_000_001, "lost": 0, "errors_by_name": {"queue-full": 1}}
    check(measure.sample_of(target_named("a"), told).valid, "one refusal in a million")
    for name in ("other-node", "node-twice"):
        wrong = measure.sample_of(target_named("a"), told | {"errors_by_name": {name: 1}})
        check(not wrong.valid and not wrong.busy and name in wrong.verdict, f"{wrong}")


def too_few_descriptors_are_said():
    """The goal stands in the table, with what to do about it, and nothing is started."""
    result = plan.Result("idle", "idle")
    with mock.patch.object(idle.resource, "getrlimit", lambda _: (1024, 4096)):
        idle.measure(plan.Plan(None), result)
    figure = plan.as_json(result)["figures"][0]
    check(figure["sense"] == "<=" and figure["goal"] == 1.1 and "10,500 descriptors" in report.verdict_text(figure) and "ulimit -Hn" in report.verdict_text(figure),
          report.verdict_text(figure))


main(spinning_is_judged_by_rate_and_latency, void_runs_of_a_sweep_are_made_up_for, an_answer_that_is_not_on_offer_makes_a_run_void, too_few_descriptors_are_said, rows_of_micro_become_figures, quiet_machine_has_a_knee, knee_is_found_on_a_machine_that_stalls, void_runs_are_repeated_and_counted, runs_of_a_rate_are_bounded,
     machine_that_always_stalls_has_no_knee, lost_requests_are_above_the_knee, nothing_above_is_said, quick_fits_into_two_minutes_as_planned,
     time_limit_cuts_what_is_going_on, trouble_is_a_failure_and_the_rest_goes_on, no_knee_is_a_finding_and_no_failure)
