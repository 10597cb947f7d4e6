#!/usr/bin/env python3
"""What monitoring is given: `usherctl check` with its exit codes, and dashboards and alerts that ask for metrics which exist."""

import json
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import PATIENCE_S, Cluster, address_new, check, http_get, main, run, wait_until

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


def promtool(*arguments, text=None):
    """What Prometheus' own checker says; it must find nothing wrong."""
    path = ROOT / "build/promtool/promtool"
    path = path if path.exists() else shutil.which("promtool")
    check(path, "no promtool: tools/deps test fetches one into build/promtool")
    done = subprocess.run([path, *arguments], input=text, capture_output=True, text=True, check=False, timeout=60)
    check(done.returncode == 0 and not done.stderr, f"promtool {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stdout}{done.stderr}")


def rules_please_promtool():
    for path in sorted((ROOT / "deploy/prometheus").glob("*.yml")):
        promtool("check", "rules", path)


def get(address, path):
    with urllib.request.urlopen(f"http://{address}{path}", timeout=PATIENCE_S) as answer:
        return answer.read().decode(), answer.headers["Content-Type"]


def metrics_of_all_daemons_please_promtool():
    with Cluster() as cluster:
        rm, https = address_new(), [address_new() for _ in range(3)]
        process = cluster.rm(rm, "--http", https[0], "--heartbeat-valid", "10m")  # nobody heartbeats for the node that is played
        cluster.dispatcher(address_new(), rm, "--http", https[1])
        cluster.worker(address_new(), rm, "--http", https[2])
        wait_until("both nodes are there", lambda: len(cluster.nodes("dispatcher")) == 2)
        for value in (10, -2.5):
            body = {"instance": "a", "timestamp": int(time.time() * 1000), "services": ["web"], "metrics": {"sessions_open": value}}
            request = urllib.request.Request(f"http://{https[0]}/v1/nodes/10.0.0.1:80", json.dumps(body).encode(), method="PUT")
            urllib.request.urlopen(request, timeout=PATIENCE_S).close()
            time.sleep(0.1)
        for address in https:
            text, kind = get(address, "/metrics")
            check(kind.startswith("text/plain; version=0.0.4"), f"Content-Type {kind}")
            promtool("check", "metrics", text=text)
        text = get(https[0], "/metrics")[0]
        check('usher_node_metric{node="10.0.0.1:80",name="sessions_open"} -2.5' in text, f"a metric of any name: {text[-3000:]}")
        rate = re.search(r'usher_node_metric_rate{node="10.0.0.1:80",name="sessions_open"} (\S+)', text)
        check(rate and 0 < float(rate[1]) < 125.1, f"its rate of change: {rate}")
        wait_until("rates of what nodes tell in datagrams", lambda: len(
            re.findall(r'usher_node_metric_rate{node="[^"]+",name="cpu_use"}', get(https[0], "/metrics")[0])) >= 2)
        for labels, some in (('{node="10.0.0.1:80"}', 1), ('{name="sessions_open"}', 1), ('{name="sessions_open",node="10.0.0.1:80"}', 1),
                             ('{node="10.0.0.1:8"}', 0), ('{node="10.0.0.1:80",name="none"}', 0)):
            got, out, _ = run("usherctl", "-s", cluster.socket("rm"), "check", f"usher_node_metric{labels}=1e9")
            check(got == (0 if some else 3) and (",name=\"sessions_open\"}'=-2.5" in out) == bool(some), f"check with labels {labels}: {got} {out}")
        process.terminate()
        process.start()  # for a full round of heartbeats it would take 10 min, from Redis it knows at once
        wait_until("rm knows the nodes again", lambda: cluster.nodes("rm"))
        wait_until("rm tells its lists", lambda: http_get(https[0], "/sd")[0] == 200)
        groups = json.loads(get(https[0], "/sd")[0])
        check(groups, "nobody is discovered")
        for group in groups:
            check(set(group) == {"targets", "labels"} and all(isinstance(value, str) for value in group["labels"].values()),
                  f"http_sd takes targets and labels that are texts: {group}")
            check(all(re.fullmatch(r"[a-zA-Z_]\w*", name) for name in group["labels"]), f"names of labels: {group}")


class Failing:
    """A daemon that answers its admin socket, and says that it is not able to."""

    def __init__(self, path):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.bind(str(path))
        self.socket.listen()
        self.thread = threading.Thread(target=self.answer, daemon=True)
        self.thread.start()

    def answer(self):
        while True:
            with self.socket.accept()[0] as client:
                request = json.loads(client.makefile().readline())
                works = {"ok": True, "healthy": True, "program": "usher-rm"}
                fails = {"ok": False, "error": "ENOMEM", "text": "out of memory", "exit": 1}
                client.sendall(json.dumps(works if request == ["status"] else fails).encode() + b"\n")


def check_says_what_a_daemon_cannot_tell():
    with Cluster() as cluster:
        path = cluster.folder / "failing.sock"
        Failing(path)
        got, out, err = run("usherctl", "-s", path, "check")
        check(got == 3 and out == "USHER UNKNOWN - out of memory\n" and not err, f"a daemon without stats: {got} {out} {err}")


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
            ("dispatcher", (), 2, "no directory yet: no rm has answered\n"),
            ("nobody", (), 2, "no admin socket"),
        ):
            got, out, err = run("usherctl", "-s", cluster.socket(name), "check", *conditions)
            check(got == code and text in out and out.count("\n") == 1 and not err, f"check {conditions} of {name}: {got} {out} {err}")
        several = cluster.folder / "several"
        several.mkdir()
        for name in ("rm", "dispatcher"):
            (several / f"usher-{name}.sock").symlink_to(cluster.socket(name))
        got, out, err = run("usherctl", "--state-dir", several, "check")
        check(got == 3 and out.startswith("USHER UNKNOWN - 2 daemons run here, choose one with -s: ") and not err,
              f"check where several daemons run: {got} {out} {err}")
        got, out, err = run("usherctl", "--state-dir", cluster.folder / "nowhere", "check")
        check(got == 2 and "is one running?" in out and not err, f"check where no daemon runs: {got} {out} {err}")
        process.kill()
        got, out, _ = run("usherctl", "-s", cluster.socket("rm"), "check", "--timeout", "1s")
        check(got == 2, f"a killed daemon: {got} {out}")


main(dashboards_and_alerts_ask_for_what_exists, rules_please_promtool, metrics_of_all_daemons_please_promtool, check_has_the_exit_codes_of_plugins,
     check_says_what_a_daemon_cannot_tell)
