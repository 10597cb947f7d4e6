#!/usr/bin/env python3
"""What monitoring is given: `usherctl check` with its exit codes, and dashboards and alerts that ask for metrics which exist."""

import json
import pathlib
import re
import shutil
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, address_new, check, main, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]


def known_metrics():
    return set(re.findall(r"^\| `(usher_\w+)`", (ROOT / "docs/METRICS.md").read_text(), re.M))


def dashboards_and_alerts_ask_for_what_exists():
    known = known_metrics()
    check(len(known) > 50, f"METRICS.md names too few metrics: {len(known)}")
    dashboard = json.loads((ROOT / "deploy/grafana/usher.json").read_text())
    expressions = [target["expr"] for panel in dashboard["panels"] for target in panel["targets"]]
    rules = (ROOT / "deploy/prometheus/usher.rules.yml").read_text()
    expressions += re.findall(r"expr: (.*)", rules)
    check(len(expressions) > 20, "the expressions were not found")
    for expression in expressions:
        for name in re.findall(r"\busher_\w+", expression):
            check(name in known, f"{name} in {expression!r} is no metric of ours")
    if shutil.which("promtool"):
        done = subprocess.run(["promtool", "check", "rules", ROOT / "deploy/prometheus/usher.rules.yml"], capture_output=True, text=True)
        check(done.returncode == 0, done.stdout + done.stderr)


def check_has_the_exit_codes_of_plugins():
    with Cluster() as cluster:
        rm = address_new()
        process = cluster.rm(rm)
        wait_until("rm is healthy", lambda: run("usherctl", "-s", cluster.socket("rm"), "check")[0] == 0)
        cluster.dispatcher(address_new(), "127.0.0.1:9", "--no-jobs")
        wait_until("the dispatcher's socket", lambda: run("usherctl", "-s", cluster.socket("dispatcher"), "status")[0] == 0)
        for name, conditions, code, text in (
            ("rm", (), 0, "USHER OK - usher-rm on " + rm),
            ("rm", ("usher_subscribers=5",), 0, "| 'usher_subscribers'=0;5"),
            ("rm", ("usher_subscribers=2:1",), 2, "usher_subscribers is 0"),
            ("rm", ("usher_subscribers=1:-1",), 1, "usher_subscribers is 0"),
            ("rm", ('usher_nodes{state="fresh"}=1',), 0, "USHER OK"),
            ("rm", ("usher_nonsense=1",), 3, "no metric usher_nonsense"),
            ("rm", ("usher_subscribers",), 3, "is no condition"),
            ("rm", ("usher_subscribers=1:x",), 3, "is no condition"),
            ("dispatcher", (), 2, "no nodes in the directory"),
            ("nobody", (), 2, "no admin socket"),
        ):
            got, out, err = run("usherctl", "-s", cluster.socket(name), "check", *conditions)
            check(got == code and text in out and out.count("\n") == 1 and not err, f"check {conditions} of {name}: {got} {out} {err}")
        process.kill()
        got, out, _ = run("usherctl", "-s", cluster.socket("rm"), "check", "--timeout", "1s")
        check(got == 2, f"a killed daemon: {got} {out}")


main(dashboards_and_alerts_ask_for_what_exists, check_has_the_exit_codes_of_plugins)
