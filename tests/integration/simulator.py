#!/usr/bin/env python3
"""usher-sim as a person or a script meets it: what it prints where, and what it says of mistakes. What it computes is in tests/unit."""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import BIN, check, main, run

TABLES = pathlib.Path(__file__).resolve().parent.parent.parent / "tools/sim-tables"

QUICK = ("--nodes", "4", "--jobs", "1000", "--heartbeat", "10s", "--refresh", "10s")


def simulate(*words, expect=0):
    code, out, err = run("usher-sim", *words)
    check(code == expect, f"usher-sim {' '.join(words)}: exit {code} instead of {expect}: {out} {err}")
    return out, err


def refused(words, *remedies, code=2):
    """One line on stderr that has all remedies in it; with --json, one object on stdout that says the same, else nothing."""
    out, err = simulate(*words, expect=code)
    check(out == "" and err.count("\n") == 1, f"{words}: not one line on stderr alone: {out} {err}")
    for remedy in remedies:
        check(remedy in err, f"{words}: no {remedy!r} in: {err}")
    out, again = simulate(*words, "--json", expect=code)
    mistake = json.loads(out)
    check(again == err and set(mistake) == {"error", "message"} and err.endswith(f": {mistake['message']}\n"), f"{words}: {out} {again}")


def plots(*words, policies):
    """What usher-sim prints, and what it tells a gnuplot that only writes it down: the real one need not be installed."""
    with tempfile.TemporaryDirectory() as folder:
        gnuplot = pathlib.Path(folder, "gnuplot")
        gnuplot.write_text('#!/bin/sh\ncat > "$0.script"\n')
        gnuplot.chmod(0o755)
        path = os.environ["PATH"]
        os.environ["PATH"] = f"{folder}:{path}"
        try:
            out, err = simulate(*QUICK, "--policy", policies, "--plot", f"{folder}/a.svg", *words)
        finally:
            os.environ["PATH"] = path
        check(err == "", err)
        return out, pathlib.Path(folder, "gnuplot.script").read_text()


def json_of_a_plot_is_its_points():
    out, script = plots("--plot-over", "age", "--json", policies="random")
    report = json.loads(out)
    check(report["plot"].endswith("/a.svg") and report["over"] == "age", f"{report}")
    (line,) = report["policies"]
    check(line["policy"] == "random" and len(line["points"]) > 3, f"{report}")
    drawn = script[script.index("EOD\n") + 4:script.rindex("EOD\n")].split("\n")[:-1]
    check(drawn == [f"{point['age']:g} {point['p99_over_oracle']:g}" for point in line["points"]], f"{report}: draws {script}")


def plots_are_counted():
    for policies, words in ("random", "p99 of 1 policy over load"), ("random,oracle", "p99 of 2 policies over load"):
        out, _ = plots(policies=policies)
        check(words in out, out)


def mistakes_get_one_clear_line():
    refused((*QUICK, "--plot-over", "age"), "--plot-over age: there is no plot; add --plot FILE.svg")
    refused((*QUICK, "--plot-over", "time"), "--plot-over")
    refused((*QUICK, "--plot", "a.png"), "ends in .svg")
    refused((*QUICK, "--nodes", "many"), "--nodes")
    for policies in "some", "all,some", "some,all":
        refused((*QUICK, "--policy", policies), 'there is no "some"; give all, or some of oracle')
    refused((*QUICK, "--service", "exp:soon"), "--service exp:soon: give exp:100ms")
    refused((*QUICK, "--service", "exp:1ns"), "give a mean of 1us or more")
    refused((*QUICK, "--service", "lognormal:4:10ms"), "SIGMA 3, else much of the work would lie in jobs that are too rare")
    refused((*QUICK, "--service", "trace:/dev/zero"), "line 1: give one time above 0 a line, in seconds (0.05) or with a unit (50ms)")
    with tempfile.TemporaryDirectory() as folder:
        refused((*QUICK, "--service", f"trace:{folder}"), "Is a directory")
    refused((*QUICK, "--share-max", "0.5"), "--share-max: 0.5 would leave every node less than its share: choose 1 or more, or 0")
    plan = "plan", "--rate", "10"
    refused((*plan, "--slo", "p99"), "--slo p99: give mean<TIME")
    for policies in "all", "finish-time,random":
        refused((*plan, "--slo", "p99<9s", "--policy", policies), f'there is no "{policies}"; give one of oracle')
    refused((*plan, "--slo", "p99<1ms"), "is it above what a job takes alone?", code=1)
    refused(("plan", "--rate", "1e6", "--slo", "p99<9s"), "--rate 1e+06: 100000 nodes", "no more than 999000 jobs per second", code=1)


def what_would_take_hours_is_refused():
    refused(("--service", "exp:1h"), "give fewer --jobs")
    refused(("--nodes", "10000", "--service", "exp:1us"), "give a shorter --heartbeat and --refresh")
    refused(("plan", "--rate", "0.000001", "--slo", "p99<9s"), "give fewer --jobs")
    with tempfile.TemporaryDirectory() as folder:
        trace = pathlib.Path(folder, "trace")
        trace.write_text("1s\n9999h\n")
        refused(("--jobs", "2000", "--service", f"trace:{trace}"), "give fewer --jobs")
        refused(("--service", "exp:1h", "--plot", f"{folder}/a.svg"), "give fewer --jobs")
        check([p.name for p in pathlib.Path(folder).iterdir()] == ["trace"], "leaves a picture of nothing")


def documents_say_what_it_says_now():
    """At least where looking is cheap; tools/sim-tables looks at the rest."""
    looked = subprocess.run([TABLES, "--quick"], env={**os.environ, "USHER_BIN": str(BIN)}, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                            text=True, check=False)
    check(looked.returncode == 0, f"renew the tables (tools/sim-tables --write):\n{looked.stdout}")


main(documents_say_what_it_says_now, json_of_a_plot_is_its_points, plots_are_counted, mistakes_get_one_clear_line, what_would_take_hours_is_refused)
