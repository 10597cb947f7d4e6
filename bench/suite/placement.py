"""bench/placement: placement policies in a live cluster, one after the other under the same load.

For each policy a cluster of real processes: usher-rm with its Redis, dispatchers that take no jobs, workers of unequal speed whose jobs
sleep. usher-load run begins jobs when they are planned (open loop, as of many independent clients), so a policy that lets queues grow is
charged for them. Jobs sleep, so that a small machine has room for many nodes; what else runs on it delays them all the same."""

import argparse
import json
import pathlib
import re
import signal
import statistics
import sys

from suite import machine, placement_trouble, plots, report, servers
from suite.arguments import existing_folder, out_check, within
from suite.machine import Trouble, alone
from suite.measure import json_output
from suite.placement_cluster import OWN, PUSH, Cluster, Settings, load_command
from suite.process import Stage

TARGETS = ["usher-rm", "usher-dispatcher", "usher-worker", "usherctl", "usher-load"]
FORMAT = 1
BASE = ("finish-time", PUSH)
RUNS = [BASE, ("below-average", OWN), ("two-choices", OWN), ("below-average", PUSH), ("two-choices", PUSH), ("weighted", PUSH),
        ("round-robin", PUSH)]
GOALS = {("below-average", OWN): 0.3, ("two-choices", OWN): 0.5, ("below-average", PUSH): 0.75, ("two-choices", PUSH): 0.9}
COLOURS = {"finish-time": "#1f6fb4", "below-average": "#c23b3b", "two-choices": "#2f8f5b", "weighted": "#b8a01c", "round-robin": "#707880"}


def spectrum(path):
    """[(1 / (1 - quantile), ms)] of an HdrHistogram text."""
    rows = []
    for line in path.read_text().splitlines():
        words = re.findall(r"\S+", line)
        if len(words) == 4 and words[0][0].isdigit() and words[3] != "inf":
            rows.append((float(words[3]), float(words[0])))
    return rows


def measure(binaries, cpus, settings, policy, mode, number):
    """One cluster, one run of usher-load."""
    with Stage(cpus) as stage:
        cluster = Cluster(stage, binaries, settings, policy, mode)
        hdr = stage.folder / "latencies.hgrm"
        command = load_command(cluster, settings, settings.duration_s, settings.warmup_s, settings.seed + number, "--hdr", hdr)
        load = json_output(command, {cpus.load}, settings.duration_s + settings.warmup_s + 90)
        latency = load["latency_us"] or {}
        return {"policy": policy, "mode": mode, "round": number, "mean_ms": milliseconds(latency.get("mean")), "p50_ms":
                milliseconds(latency.get("p50")), "p99_ms": milliseconds(latency.get("p99")), "p999_ms": milliseconds(latency.get("p999")),
                "sent": load["sent"], "lost": load["lost"], "errors": load["errors"], "errors_by_name": load.get("errors_by_name"),
                "valid": load["valid"], "verdict": load["verdict"], "jobs_by_node": load["nodes"], "told": cluster.told(), "spectrum": spectrum(hdr)}


def milliseconds(value_us):
    return None if value_us is None else value_us / 1000


def counted(runs, policy, mode):
    """Those that are not VOID and lost nothing that would make them look quick."""
    return [run for run in runs if run["policy"] == policy and run["mode"] == mode and run["valid"] and run["p99_ms"] and
            not run["lost"] and not run["errors"]]


def median_of(runs, name):
    values = [run[name] for run in runs if run[name] is not None]
    return statistics.median(values) if values else None


def ratios(runs):
    """finish-time's p99 over each other's, as the median over rounds in which both counted."""
    found = {}
    base = {run["round"]: run["p99_ms"] for run in counted(runs, *BASE)}
    for key in RUNS[1:]:
        values = [base[run["round"]] / run["p99_ms"] for run in counted(runs, *key) if run["round"] in base]
        if values:
            found[key] = statistics.median(values)
    return found


def number_text(value):
    return "-" if value is None else f"{value:.0f}" if value >= 100 else f"{value:.1f}"


def verdict_text(key, ratio):
    if key not in GOALS or ratio is None:
        return ""
    return f"{'met' if ratio <= GOALS[key] else 'missed'} (≤ {GOALS[key]:g})"


def text(record):
    runs, found, rows = record["runs"], ratios(record["runs"]), []
    for key in RUNS:
        mine = [run for run in runs if (run["policy"], run["mode"]) == key]
        good = counted(runs, *key)
        if not mine:
            continue
        ratio = found.get(key)
        rows.append([*key, *(number_text(median_of(good, name)) for name in ("mean_ms", "p50_ms", "p99_ms", "p999_ms")),
                     "1" if key == BASE and good else "-" if ratio is None else f"{ratio:.2f}", verdict_text(key, ratio),
                     str(sum(run["sent"] for run in mine)), str(sum(run["lost"] for run in mine)), str(sum(run["errors"] for run in mine)),
                     str(len(mine) - len(good)) if len(good) < len(mine) else ""])
    s = record["settings"]
    head = (f"{report.facts_text(record['facts'])}\n\n{s['dispatchers']} dispatchers, {s['workers']} workers with {s['slots']} slots, sleep factors "
            f"{', '.join(f'{factor:g}' for factor in s['factors'])} by turns, jobs exp:{s['mean_ms']:g}ms, {s['rate']:.1f} jobs/s = {100 * s['load']:g} % "
            f"load, {s['duration_s']:g} s, {s['rounds']} round(s)\n")
    header = ["policy", "information", "mean ms", "p50", "p99", "p99.9", "finish-time p99 ÷ its", "goal", "jobs", "lost", "errors", "VOID"]
    parts = [head, report.table(header, rows, (2, 3, 4, 5, 6, 8, 9, 10, 11))]
    parts += [f"VOID: {run['policy']}, {run['mode']}: {run['verdict']}" for run in runs if not run["valid"]]
    parts += [f"not measured: {line}" for line in record["failures"]]
    parts += record["warnings"]
    if record["interrupted"]:
        parts.append("interrupted: this is what there was")
    return "\n".join(parts)


def plot(record):
    """Latency over the percentile, a line for each policy and mode: the first round that counted."""
    series = {}
    for policy, mode in RUNS:
        good = counted(record["runs"], policy, mode)
        if good:
            title = policy if (policy, mode) == BASE else f"{policy}, {mode}"
            series[title] = (COLOURS[policy], mode, [(x, y) for x, y in good[0]["spectrum"] if 1.5 <= x <= 5000 and y > 0])
    data, parts = [], []
    for i, (title, (colour, mode, rows)) in enumerate(series.items()):
        if rows:
            data.append(f"$d{i} << EOD\n{plots.block(rows)}\nEOD")
            dash = "dashtype 2 " if mode == OWN else ""
            parts.append(f"$d{i} using 1:2 with lines linewidth 2 {dash}linecolor '{colour}' title {plots.quoted(title)}")
    if not parts:
        return "<p>No plot: no run counted.</p>"
    settings = ("set logscale xy 10\nset xlabel 'share of the jobs that were quicker'\nset ylabel 'ms'\nset grid xtics linecolor '#dddddd'\n"
                "set xtics ('50 %%' 2, '90 %%' 10, '99 %%' 100, '99.9 %%' 1000)\n")
    return plots.render("\n".join([*data, settings, "plot " + ", ".join(parts)]), "placement", height=480)


def factors_read(value):
    factors = [float(word) for word in value.split(",")]
    if not factors or not all(0.01 <= factor <= 100 for factor in factors):
        raise ValueError
    return factors


def arguments_read():
    parser = argparse.ArgumentParser(
        prog="bench/placement", description="Compares placement policies: for each a cluster of real processes under the same open-loop load of "
        "sleeping jobs. docs/BENCH.md says how to read it. Eight minutes.",
        epilog="Exit codes: 0 all was measured, 1 something could not be or was VOID, 2 wrong arguments, 130 interrupted (the report has what there "
        "was). A missed goal is no error.")
    parser.add_argument("--quick", action="store_true", help="tiny: shows that it works; the figures mean nothing")
    parser.add_argument("--only", metavar="POLICY,…", help="only these policies; finish-time comes along, as all are set against it")
    parser.add_argument("--slow", action="store_true", help="instead: a node becomes five times as slow in mid-run, and quick again; how long until its "
                        "share is below half, and above")
    parser.add_argument("--liar", action="store_true", help="instead: one node more, which lies in all it reports, first of all but its slots and then of "
                        "these too; what share it gets")
    parser.add_argument("--duration", type=within(float, 0.5, 3600, "0.5 to 3600 seconds"), metavar="SECONDS", help="of each run (60)")
    parser.add_argument("--rounds", type=within(int, 1, 100, "1 to 100"), default=1, metavar="N", help="runs of each policy, in turns (1)")
    parser.add_argument("--dispatchers", type=within(int, 1, 16, "1 to 16"), metavar="N", help="(2)")
    parser.add_argument("--workers", type=within(int, 1, 200, "1 to 200"), metavar="N", help="(12)")
    parser.add_argument("--slots", type=within(int, 1, 64, "1 to 64"), default=2, metavar="N", help="of each worker (2)")
    parser.add_argument("--sleep-factor", default="0.625,0.83,1.25,2.5", metavar="F,…", help="of the workers, by turns (0.625,0.83,1.25,2.5)")
    parser.add_argument("--mean", type=within(float, 1, 10000, "1 to 10000 ms"), metavar="MS", help="of the jobs' exponential time (100)")
    parser.add_argument("--load", type=within(float, 0.01, 0.99, "0.01 to 0.99"), default=0.85, metavar="SHARE", help="of what all slots can do (0.85)")
    parser.add_argument("--seed", type=within(int, 1, 2**62, "a positive number"), default=1, metavar="N", help="of arrivals and times (1)")
    parser.add_argument("--bin", type=existing_folder, metavar="DIR", help="the programs of this folder; build nothing")
    parser.add_argument("--out", metavar="DIR", default=str(machine.ROOT / "bench/out"),
                        help="where placement.json and placement.svg go (bench/out)")
    arguments = parser.parse_args()
    try:
        arguments.sleep_factor = factors_read(arguments.sleep_factor)
    except ValueError:
        parser.error("--sleep-factor: give numbers from 0.01 to 100, such as 0.5,1,2")
    policies = {policy for policy, _ in RUNS}
    arguments.only = set(arguments.only.split(",")) if arguments.only is not None else policies
    if not arguments.only <= policies:
        parser.error(f"--only: there are {', '.join(sorted(policies))}")
    if (arguments.slow or arguments.liar) and arguments.only != policies:
        parser.error("--only goes with neither --slow nor --liar: these are about finish-time")
    out_check(parser, arguments.out, "placement.json")
    return arguments


def say(line):
    print(line, file=sys.stderr, flush=True)


def rounds_run(binaries, cpus, settings, wanted, record):
    """Policies in turns; what fails is said and does not stop the others."""
    for number in range(settings.rounds):
        for policy, mode in wanted:
            say(f"{policy}, {mode}: {settings.duration_s:g} s")
            try:
                with alone():
                    run = measure(binaries, cpus, settings, policy, mode, number)
            except Trouble as trouble:
                say(f"  {trouble}")
                record["failures"].append(f"{policy}, {mode}: {trouble}")
                continue
            record["runs"].append(run)
            say(f"  p99 {number_text(run['p99_ms'])} ms, {run['lost']} lost, {run['errors']} errors" + ("" if run["valid"] else f", VOID: {run['verdict']}"))


def bench(arguments):
    cpus = machine.Cpus()
    binaries = servers.binaries_path(arguments.bin) if arguments.bin else machine.build(TARGETS)
    settings = Settings(arguments)
    record = {"format": FORMAT, "settings": settings.as_json(), "facts": machine.facts(binaries, cpus), "runs": [], "failures": [],
              "warnings": ["made with --quick: the figures mean nothing"] if arguments.quick else [], "interrupted": False}
    troubles = [name for name in ("slow", "liar") if getattr(arguments, name)]
    if troubles:
        return trouble(arguments, binaries, cpus, settings, record, troubles)
    wanted = [key for key in RUNS if key[0] in arguments.only or key == BASE]
    try:
        rounds_run(binaries, cpus, settings, wanted, record)
    except KeyboardInterrupt:
        record["interrupted"] = True
        say("interrupted: writing what there is")
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    folder = pathlib.Path(arguments.out)
    record["ratios"] = {f"{policy}, {mode}": ratio for (policy, mode), ratio in ratios(record["runs"]).items()}
    (folder / "placement.json").write_text(json.dumps(record, indent=1) + "\n")
    picture = plot(record)
    (folder / "placement.svg").write_text(picture + "\n") if picture.startswith("<svg") else record["warnings"].append(re.sub("<[^>]*>", "", picture))
    print(text(record))
    print(f"\n{folder / 'placement.json'}\n{folder / 'placement.svg'}")
    if record["interrupted"]:
        return 130
    return 1 if record["failures"] or not all(run["valid"] for run in record["runs"]) else 0


def trouble(arguments, binaries, cpus, settings, record, wanted):
    """--slow and --liar. Only VOID is an error, as of the comparison."""
    with alone():
        record["found"] = placement_trouble.run(binaries, cpus, settings, wanted, say)
    path = pathlib.Path(arguments.out) / "placement-trouble.json"
    path.write_text(json.dumps(record, indent=1) + "\n")
    print("\n\n".join([report.facts_text(record["facts"]), placement_trouble.text(record["found"]), *record["warnings"], str(path)]))
    return 0 if all(one["load"]["valid"] for one in record["found"].values()) else 1


def interrupt(*_):
    raise KeyboardInterrupt


def main():
    arguments = arguments_read()
    signal.signal(signal.SIGTERM, interrupt)
    try:
        return bench(arguments)
    except Trouble as trouble:
        say(f"bench/placement: {trouble}")
        return 1
    except KeyboardInterrupt:
        say("bench/placement: interrupted before anything was measured")
        return 130
