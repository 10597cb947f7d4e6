"""bench/run: builds, measures, reports."""

import argparse
import contextlib
import math
import pathlib
import signal
import subprocess
import sys
import time

from suite import machine, page, plan, report, servers
from suite.arguments import existing_folder, out_check, within
from suite.machine import Trouble
from suite.measure import Bench, Pace

PACES = {
    "full": Pace(duration_s=0.6, warmup_s=0.1, rounds=13, repeats=1),
    "quick": Pace(duration_s=0.3, warmup_s=0.05, rounds=3, repeats=1),
    "tiny": Pace(duration_s=0.05, warmup_s=0.02, rounds=1, repeats=2),
}
TINY = ["P1", "P2", "P4d1", "P6", "P7", "P10", "latency", "services"]
BUDGETS_S = {"quick": 105, "tiny": 200}  # the servers are stopped and the report written within the rest of two minutes
TARGETS = ["usher-dispatcher", "usher-load", "usherctl", "bench-limit", "bench-feed", "bench-micro"]


def some_options(text):
    if not text.split():
        raise argparse.ArgumentTypeError("give options of usher-dispatcher, such as '--policy two-choices'")
    return text


def arguments_read():
    parser = argparse.ArgumentParser(
        prog="bench/run", description="Measures the dispatcher against bare echoes and against gdnsd, NSD and Redis on this machine, and "
        "writes bench/out/report.html and report.json. docs/BENCH.md says how to read them.",
        epilog="Exit codes: 0 all was measured, 1 something could not be or nothing counted, 2 wrong arguments, 130 interrupted (the report "
        "has what there was). With USHER_BENCH_LOCK=FILE that file is locked during each round of runs.")
    pace = parser.add_mutually_exclusive_group()
    pace.add_argument("--quick", action="store_true", help="short runs and fewer points: two minutes after the build")
    pace.add_argument("--tiny", action="store_true", help="only shows that everything works: seconds; the figures mean nothing")
    parser.add_argument("--only", metavar="NAME,…", help="only these measurements, such as P1,P4,nodes (--list shows them)")
    parser.add_argument("--list", action="store_true", help="list the measurements and end")
    parser.add_argument("--rounds", type=within(int, 1, math.inf, "at least 1"), metavar="N", help="rounds of each measurement that must count")
    parser.add_argument("--duration", type=within(float, 0.01, 600, "0.01 to 600 seconds"), metavar="SECONDS", help="how long each run measures")
    parser.add_argument("--bin", type=existing_folder, metavar="DIR", help="measure the programs of this folder; build nothing")
    other = parser.add_mutually_exclusive_group()
    other.add_argument("--against", type=existing_folder, metavar="DIR", help="another build's folder, whose dispatcher joins every round of P1 to P6")
    other.add_argument("--versus", metavar="OPTIONS", type=some_options, help="further options of a second dispatcher that joins every round of P1 to P6: "
                       "--versus='--policy two-choices'")
    parser.add_argument("--dispatcher", metavar="OPTIONS", default="", help="further options of usher-dispatcher: --dispatcher='--io epoll'")
    parser.add_argument("--out", metavar="DIR", default=str(machine.ROOT / "bench/out"), help="where the report goes (bench/out)")
    arguments = parser.parse_args()
    if arguments.only is not None:
        try:
            if not all(arguments.only.split(",")):
                raise Trouble("--only: name at least one measurement (--list shows them)")
            plan.chosen(arguments.only.split(","), plan.experiments(plan.Plan(None)))
        except Trouble as trouble:
            parser.error(str(trouble))
    out_check(parser, arguments.out, "report.json")
    return arguments


def say(text):
    print(text, file=sys.stderr, flush=True)


def deps_install():
    """What is missing, through tools/deps; its own message says what it could not do."""
    run = subprocess.run([machine.ROOT / "tools/deps", "bench"], stdout=sys.stderr, check=False)
    if run.returncode != 0:
        raise Trouble("tools/deps bench failed (above); with --bin nothing is installed or built")


def binaries_prepare(arguments, targets=TARGETS):
    if arguments.bin:
        return servers.binaries_path(arguments.bin)
    deps_install()
    say("building the release")
    return machine.build(targets)


def pace_of(arguments):
    mode = "quick" if arguments.quick else "tiny" if arguments.tiny else "full"
    pace = PACES[mode]
    return mode, Pace(arguments.duration or pace.duration_s, pace.warmup_s, arguments.rounds or pace.rounds, pace.repeats)


class TimeUp(BaseException):
    """The time of a shortened report is over. No Exception: nothing but measure() is to catch it."""


@contextlib.contextmanager
def time_limit(seconds):
    """Raises TimeUp in whatever is going on then: servers are stopped and files removed on its way, as by Ctrl-C."""

    def end(*_):
        raise TimeUp

    before = signal.signal(signal.SIGALRM, end)
    try:
        signal.setitimer(signal.ITIMER_REAL, seconds or 0)
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def measure(experiments, names, record, limit_s=None):
    """Runs the experiments; what fails is said and does not stop the others. What does not fit into the time is left out, and said."""
    begin, results = time.monotonic(), []
    try:
        with time_limit(limit_s):
            for name in names:
                title, function = experiments[name]
                say(f"{name}: {title} (at {time.monotonic() - begin:.0f} s)")
                results.append(plan.Result(name, title))
                try:
                    function(results[-1])
                except Trouble as trouble:
                    say(f"  {trouble}")
                    record["skipped"].append(f"{name} ({title}): {trouble}")
                    record["failed"] = True
    except TimeUp:
        say(f"the {limit_s} s that may be measured for are over")
        record["skipped"] += [f"{name} ({experiments[name][0]}): the time was over" for name in names[len(results):]]
        for result in results[-1:]:
            result.notes.append(f"cut short: the {limit_s} s that may be measured for were over")
    finally:
        record["results"] += [plan.as_json(result) for result in results]


def nothing_was_found(record):
    """Neither a number nor that there is none."""
    return not any(figure["values"] or figure["finding"] for result in record["results"] for figure in result["figures"])


def write(record, folder):
    folder.mkdir(parents=True, exist_ok=True)
    report.save(record, folder / "report.json")
    (folder / "report.html").write_text(page.page(record))
    print(report.text(record))
    print(f"\n{folder / 'report.html'}\n{folder / 'report.json'}")


def interrupt(*_):
    raise KeyboardInterrupt


def other_of(arguments):
    if arguments.against:
        return plan.other_build(servers.binaries_path(arguments.against))
    return plan.other_options(arguments.versus) if arguments.versus else None


def bench(arguments):
    mode, pace = pace_of(arguments)
    cpus = machine.Cpus()
    binaries = binaries_prepare(arguments)
    measured = plan.Plan(Bench(binaries, cpus, pace, say), arguments.dispatcher.split(), other_of(arguments), thorough=mode == "full")
    experiments = plan.experiments(measured)
    names = plan.chosen(arguments.only.split(","), experiments) if arguments.only else TINY if mode == "tiny" else list(experiments)
    record = {"format": report.FORMAT, "mode": mode, "facts": machine.facts(binaries, cpus), "peers": servers.versions(),
              "warnings": [note for note in (cpus.note,) if note], "interrupted": False, "failed": False, "skipped": [], "results": []}
    if mode == "tiny":
        record["warnings"].append("made with --tiny: the figures mean nothing")
    try:
        measure(experiments, names, record, BUDGETS_S.get(mode))
    except KeyboardInterrupt:
        record["interrupted"] = True
        say("interrupted: writing what there is")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    write(record, pathlib.Path(arguments.out))
    if record["interrupted"]:
        return 130
    return 1 if record["failed"] or nothing_was_found(record) else 0


def main():
    arguments = arguments_read()
    if arguments.list:
        for name, (title, _) in plan.experiments(plan.Plan(None)).items():
            print(f"{name:12} {title}")
        return 0
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return bench(arguments)
    except Trouble as trouble:
        say(f"bench/run: {trouble}")
        return 1
    except KeyboardInterrupt:
        say("bench/run: interrupted before anything was measured")
        return 130
