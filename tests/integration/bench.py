#!/usr/bin/env python3
"""The benchmark suite, so that it cannot rot: bench/run in its tiny form, interrupted, with wrong arguments; bench/compare; bench/sweep; the
bare echoes. No speed is asserted."""

import contextlib
import functools
import json
import os
import pathlib
import random
import signal
import socket
import subprocess
import sys
import tempfile
import types

sys.path.insert(0, __file__.rsplit("/", 1)[0])
sys.path.insert(1, __file__.rsplit("/", 3)[0] + "/bench")
from support.cluster import BIN, SANITIZED, check, main, wait_until

from suite import idle, machine, measure, plots, servers
from suite.process import Stage

ROOT = pathlib.Path(__file__).resolve().parents[2]
WITHOUT_PEERS = "P1,P4d1,P6,P10,latency,services"  # those that need nothing of tools/deps bench


def in_folder(test):
    """Gives the test a folder whose name is in the environment of all that it starts."""

    @functools.wraps(test)
    def run():
        with tempfile.TemporaryDirectory(prefix="usher-bench-test-") as folder:
            test(pathlib.Path(folder))

    return run


def suite(folder, name, *arguments, expect=(0,)):
    run = subprocess.run([ROOT / "bench" / name, *arguments], capture_output=True, text=True, check=False,
                         env={**os.environ, "TMPDIR": str(folder)}, timeout=240)
    check(run.returncode in expect, f"bench/{name} {' '.join(map(str, arguments))}: exit {run.returncode} instead of {expect}:\n"
                                    f"{run.stdout}{run.stderr}")
    return run.stdout, run.stderr


def left_over(folder):
    """Processes that were started with that folder in their environment."""
    found = []
    for path in pathlib.Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            if f"TMPDIR={folder}".encode() in (path / "environ").read_bytes():
                found.append((path / "comm").read_text().strip())
    return found


def nothing_left(folder):
    wait_until("all processes of the suite have ended", lambda: not left_over(folder), 10)
    check(not list(folder.glob("usher-bench-*")), f"folders are left: {list(folder.iterdir())}")


def scale_measures_a_small_fleet(folder):
    out, _ = suite(folder, "scale", "--quick", "--nodes", "1000", "--bin", BIN, "--json", folder / "scale.json",
                   expect=(0, 1))  # 1: VOID, on a machine that has other things to do
    [round_] = json.loads((folder / "scale.json").read_text())["rounds"]
    usher, zadds = round_["usher"], round_["zadds"]
    check(usher["fleet"]["registered"] > 990 and usher["fleet"]["errors"] == 0, f"the fleet did not come: {usher['fleet']}")
    for side in (usher, zadds):  # a run that lacked CPU says so itself
        check(side["heartbeats_per_s"] > (0 if side.get("void") else 500), f"too few heartbeats: {usher} {zadds}")
    check(0 < usher["age_s"]["p99"] < 10 and usher["cores"]["sum"] > 0 and usher["delta_mb_per_s"] > 0, f"figures are missing: {usher}")
    check("cores: both" in out or "VOID" in out, f"the report is not there: {out}")
    nothing_left(folder)


def scale_refuses_wrong_arguments(folder):
    for words in (["--nodes", "0"], ["--dispatchers", "-1"], ["--bin", "/nowhere"], ["--rounds", "x"]):
        suite(folder, "scale", *words, expect=(2,))


def goals_that_are_met_by_nothing_are_drawn(_):
    """An idle dispatcher wakes up 0 times in every round: no share of what is allowed can be said, and the page is made all the same."""
    idle = {"id": "P10wakeups", "values": [0, 0, 0], "goal": 0, "sense": "<="}
    check(plots.goal_shares(idle) == [] and plots.goal_shares(idle | {"goal": 5}) == [], "a share of nothing")
    check("No plot" in plots.goals_plot("goals", [idle, idle | {"goal": 5}]), "drawn without a single share")


def tiny_run_measures_and_reports(folder):
    out, _ = suite(folder, "run", "--tiny", "--bin", BIN, "--only", WITHOUT_PEERS, "--out", folder / "out")
    report = json.loads((folder / "out/report.json").read_text())
    results = {result["id"]: result for result in report["results"]}
    check(set(results) >= set(WITHOUT_PEERS.split(",")), f"measured {list(results)}")
    check(not report["skipped"] and not report["interrupted"], f"skipped: {report['skipped']}")
    for name in ("P1", "P4d1", "P6"):
        check(results[name]["runs"]["dispatcher"] and results[name]["figures"], f"{name} has no runs: {results[name]}")
    check(results["latency"]["points"] and results["services"]["points"], "the curves have no points")
    memory = next(figure for figure in results["P10"]["figures"] if figure["id"] == "P10 memory")
    check(memory["median"] > 1, f"memory of a dispatcher: {memory}")
    for name in ("commit", "kernel", "cpu", "compiler", "flags", "server_cpu", "load_cpu"):
        check(report["facts"].get(name) not in (None, ""), f"the report does not say {name}")
    page = (folder / "out/report.html").read_text()
    check("P1" in page and ("<svg" in page or "gnuplot is missing" in page), "the page has neither plots nor a word why not")
    check("P4d1" in out and "≥ 1.25" in out, f"the table lacks a goal:\n{out}")
    nothing_left(folder)


def all_services_are_asked_for_and_every_address_is_checked(_):
    cpus = machine.Cpus()
    with Stage(cpus) as stage:
        target = servers.Cluster(stage, BIN, 6, services=3).dispatcher("udp")

        def told(**replaced):
            options = [*target.options]
            for name, value in replaced.items():
                options[options.index(f"--{name}") + 1] = value
            return measure.json_output([BIN / "usher-load", "ask", "--dispatcher", target.address, "--requests", "3000", "--warmup", "0",
                                        "--duration", "1m", "--reply-timeout", "30s", "--json", *options], {cpus.load}, 100)

        sound, asked, other = told(), told(services="4"), told(nodes="10.0.0.1:7500")
    check(sound["errors"] == 0 and sound["answered"] >= 3000, f"{sound}")
    check(asked["errors_by_name"] == {"unknown-service": asked["received"] // 4}, f"a quarter asked for the fourth of three services: {asked}")
    check(other["errors_by_name"]["other-node"] > 0 and not measure.sample_of(target, other).valid, f"an address that is not on offer: {other}")


def idle_connections_are_measured_or_it_is_said_why_not(folder):
    _, err = suite(folder, "run", "--tiny", "--bin", BIN, "--only", "idle", "--out", folder / "out", expect=(0, 1))  # 1: all VOID
    result = json.loads((folder / "out/report.json").read_text())["results"][0]
    figure, control = result["figures"][:2]
    check(figure["id"] == "idle p99" and figure["goal"] == 1.1 and control["id"] == "idle control", f"{figure} {control}")
    if idle.descriptors_lacking():
        check("ulimit -Hn" in figure["finding"] and not figure["values"], f"nothing can have been measured: {figure}")
        return
    without, beside = result["runs"]["dispatcher"], result["runs"][idle.IDLE]
    check(len(without) == len(beside) >= 2 * idle.ROUNDS_SHORT, f"{len(without)} runs without connections, {len(beside)} with them: {err}")
    check({run["target"] for run in without} == {run["target"] for run in beside} == {"dispatcher", "dispatcher 2"}, f"one has them always: {result['runs']}")
    check(sum("had 10,000 idle connections" in note for note in result["notes"]) == 2, f"who says that they were taken? {result['notes']}")
    for run in (*without, *beside):
        check(run["p99"] >= run["p50"] > 0 if run["valid"] else run["verdict"], f"neither latencies nor why not: {run}")
    counted = [all(run["valid"] for run in pair) for pair in zip(without, beside)]
    sides = {run["target"] for run, counts in zip(beside, counted) if counts}
    check(len(figure["values"]) == (len(sides) == 2), f"{sum(counted)} of {len(counted)} pairs count, and the figure is {figure}")
    if figure["values"]:
        low, high = figure["spread"]
        check(0 < low <= figure["median"] <= high and figure["rounds"] == sum(counted), f"of {sum(counted)} pairs: {figure}")
    else:
        check("VOID" in err, f"nothing was measured, and nothing says why: {err}")
    nothing_left(folder)


def idle_runs(chance, cost, unlike):
    """Both halves, as a machine gives them that a stall meets in one of four runs; `unlike`: how much slower the second dispatcher is."""
    def run(factor):
        return types.SimpleNamespace(p99=factor * chance.uniform(90, 190) * (chance.uniform(2, 20) if chance.random() < 0.25 else 1))

    return [[(run(base), run(target * cost)) for _ in range(idle.ROUNDS)] for base, target in ((1, unlike), (unlike, 1))]


def idle_figure_notices_a_tenth_and_nothing_else(_):
    chance = random.Random(7)
    for cost in (1.0, 1.25):
        for unlike in (1.0, 1.2):
            found, control = idle.figures_of(idle_runs(chance, cost, unlike), "p99")
            for (low, one, high), true in ((found, cost), (control, unlike)):
                check(abs(one / true - 1) < 0.08 and low < one < high < 1.2 * low, f"cost {cost}, unlike {unlike}: {found} {control}")
            check((found[0] > 1.1) == (cost > 1.1), f"a cost of {cost}: {found}")
    check(idle.figures_of([[], idle_runs(chance, 1, 1)[0]], "p99") == [], "a figure of one half")


def void_runs_count_nowhere(folder):
    suite(folder, "run", "--tiny", "--bin", BIN, "--only", "P1", "--out", folder / "out")
    result = json.loads((folder / "out/report.json").read_text())["results"][0]
    rounds = zip(*result["runs"].values())
    counted = sum(all(run["valid"] or run["busy"] for run in runs) for runs in rounds)
    check(len(result["figures"][0]["values"]) <= counted, f"{counted} rounds without VOID, but {result['figures'][0]}")


def second_dispatcher_joins_every_round(folder):
    suite(folder, "run", "--tiny", "--bin", BIN, "--only", "P6", "--versus=--policy two-choices", "--out", folder / "out", expect=(0, 1))  # 1: all VOID
    result = json.loads((folder / "out/report.json").read_text())["results"][0]
    check(len(result["runs"]["other options"]) == len(result["runs"]["dispatcher"]) > 0, f"runs: {result['runs']}")
    check([figure["label"] for figure in result["figures"] if "two-choices" in figure["label"]] ==
          ["UDP, super-datagrams of 64 requests: as it is / with --policy two-choices"], f"figures: {result['figures']}")


def interrupted_run_writes_what_there_is(folder):
    process = subprocess.Popen([ROOT / "bench/run", "--tiny", "--rounds", "1000", "--bin", BIN, "--only", "P6", "--out", folder / "out"],
                               stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)})
    try:
        while "dispatcher" not in (line := process.stderr.readline()):
            check(line, f"bench/run ended by itself: {process.poll()}")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=60)
    finally:
        process.kill()
    check(process.returncode == 130, f"exit {process.returncode} after Ctrl-C")
    report = json.loads((folder / "out/report.json").read_text())
    check(report["interrupted"] and report["results"][0]["runs"]["dispatcher"], f"the report lost what there was: {out}")
    nothing_left(folder)


def killed_run_leaves_no_server(folder):
    process = subprocess.Popen([ROOT / "bench/run", "--tiny", "--rounds", "1000", "--bin", BIN, "--only", "P6", "--out", folder / "out"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, env={**os.environ, "TMPDIR": str(folder)})
    while "dispatcher" not in process.stderr.readline():
        check(process.poll() is None, "bench/run ended by itself")
    process.kill()
    process.wait()
    process.stderr.close()
    wait_until("the servers have ended too", lambda: not left_over(folder), 20)


def reports_are_compared(folder):
    report, other = folder / "a/report.json", folder / "other.json"
    suite(folder, "run", "--tiny", "--bin", BIN, "--only", "P6", "--out", folder / "a", expect=(0, 1))  # 1: no run of so short a time counted
    for path, median in ((report, 0.8), (other, 0.6)):  # on a busy machine there may be none
        record = json.loads(report.read_text())
        record["results"][0]["figures"][0] |= {"values": [median], "median": median, "spread": [median, median]}
        path.write_text(json.dumps(record))
    out, _ = suite(folder, "compare", report, report)
    check("P6" in out and "+0.0 %" in out, f"a report compared with itself:\n{out}")
    out, _ = suite(folder, "compare", report, other)
    check("-25.0 %" in out and "WORSE" in out, f"a report compared with a worse one:\n{out}")
    for wrong in (folder / "missing.json", BIN / "usher-load", *broken_reports(folder, report)):
        _, err = suite(folder, "compare", report, wrong, expect=(2,))
        check(str(wrong) in err and ("report.json of bench/run" in err or "is no report of bench/run" in err) and err.count("\n") == 1,
              f"says of {wrong}, {wrong.read_text(errors='replace')[:200] if wrong.exists() else ''}: {err}")


def broken_reports(folder, report):
    """Files that are JSON, more or less, and no reports."""
    record = json.loads(report.read_text())
    without = lambda record, name: {key: value for key, value in record.items() if key != name}  # noqa: E731
    figure = record["results"][0]["figures"][0]
    figures = [without(figure, "label"), without(figure, "median"), figure | {"median": "0.8"}, figure | {"median": True}, figure | {"spread": [1]},
               figure | {"spread": "both"}, figure | {"median": 10 ** 400}, figure | {"unit": 1}, figure | {"sense": []}, figure | {"label": "\ud800"}, []]
    texts = ['{"format": 999}', '{"format": 1}', '{"format": 1, "results": [], "facts": {}, "mode": "full", "interrupted": false}', "[1]", "[" * 200_000,
             '{"format": 1, "results": ' + "[" * 200_000, json.dumps(record | {"results": [{}]}), json.dumps(record | {"results": [1]}),
             json.dumps(record | {"results": {}}), json.dumps(record | {"facts": record["facts"] | {"cpu": ["two"]}}), json.dumps(without(record, "mode")),
             *(json.dumps(record | {"results": [{"figures": [wrong]}]}) for wrong in figures)]
    for number, text in enumerate(texts):
        path = folder / f"broken-{number}.json"
        path.write_text(text)
        yield path


def micro_runs_what_it_is_told(folder):
    out, _ = suite(folder, "micro", "--bin", BIN, "--quick", "--rounds", "1", "--only", "codec", "--json")
    check(json.loads(out)["rows"], f"bench/micro printed: {out}")
    for options, words in ((["--only", "nothing"], "--only"), (["--bin", "/nowhere"], "no folder"), (["--fast"], "--fast")):
        _, err = suite(folder, "micro", "--bin", BIN, *options, expect=(2,))
        check(words in err, f"bench/micro {options}: {err}")


def sweep_says_what_pays(folder):
    out, _ = suite(folder, "sweep", "--bin", BIN, "--loads", "joined", "--part", "dispatcher", "--rounds", "1", "--duration", "0.05")
    check("--gro off" in out and "On this machine:" in out, f"bench/sweep printed:\n{out}")
    nothing_left(folder)


def mistakes_are_named(folder):
    for arguments, code, words in ((["--only", "P99"], 2, "there is no such measurement"), (["--only", ""], 2, "at least one"),
                                   (["--bin", "/nowhere"], 2, "no folder"), (["--bin", "/"], 1, "has no usher-dispatcher"),
                                   (["--rounds", "0"], 2, "at least 1"), (["--versus", ""], 2, "give options"), (["--quick", "--tiny"], 2, "not allowed")):
        arguments = arguments if "--bin" in arguments else ["--bin", BIN, *arguments]
        _, err = suite(folder, "run", *arguments, "--out", folder / "out", expect=(code,))
        check(words in err, f"bench/run {arguments}: {err}")
    _, err = suite(folder, "run", "--bin", BIN, "--out", "/proc/nowhere", expect=(2,))
    check("--out /proc/nowhere" in err, f"bench/run --out: {err}")
    _, err = suite(folder, "sweep", "--loads", "nothing", expect=(2,))
    check("no such load" in err, f"bench/sweep --loads nothing: {err}")


def echoes_echo(folder):
    """Every path, all the way: bytes come back as they were, and SIGTERM ends it."""
    for path, *options in (["udp-recvmmsg"], ["udp-recvmmsg", "--gso"], ["udp-uring"], ["udp-gso"], ["tcp-epoll"], ["tcp-uring"]):
        with subprocess.Popen([BIN / "bench-limit", "--path", path, *options], stdout=subprocess.PIPE, text=True, cwd=folder) as process:
            ip, port = process.stdout.readline().split()[-1].split(":")
            kind = socket.SOCK_DGRAM if path.startswith("udp") else socket.SOCK_STREAM
            with socket.socket(type=kind) as client:
                client.settimeout(10)
                client.connect((ip, int(port)))
                for size in (1, 44, 1200):
                    sent, got = os.urandom(size), b""
                    client.send(sent)
                    while len(got) < size:
                        got += client.recv(65536)
                    check(got == sent, f"{path} sent back {len(got)} other bytes than the {size} it got")
                if kind == socket.SOCK_DGRAM:
                    many_datagrams_come_back(process, client, path)
            process.terminate()
            check(process.wait(10) == 0, f"bench-limit --path {path} ended with {process.returncode}")


def many_datagrams_come_back(process, client, path):
    """What has come while the echo was not looking is one batch; of unequal lengths, so that not all of it can be joined."""
    process.send_signal(signal.SIGSTOP)
    wait_until("it has stopped", lambda: pathlib.Path(f"/proc/{process.pid}/stat").read_text().rsplit(")", 1)[1].split()[0] == "T")
    sent = [bytes([number]) * (44 if number < 20 or number == 25 else 500) for number in range(40)]  # fits any socket's buffer
    for datagram in sent:
        client.send(datagram)
    process.send_signal(signal.SIGCONT)
    got = [client.recv(65536) for _ in sent]
    check(sorted(got) == sorted(sent), f"{path} sent back other datagrams than it got: {[len(one) for one in got]}")


def echoes_refuse_nonsense(folder):
    with socket.socket(type=socket.SOCK_DGRAM) as taken:
        taken.bind(("127.0.0.1", 0))
        address = "127.0.0.1:%d" % taken.getsockname()[1]
        for arguments, words in ((["--path", "tcp-epoll", "--connected"], "--connected is for"), (["--buffers", "3"], "a power of two"),
                                 (["--path", "udp-recvmmsg", "--buffers", "64"], "--buffers is for"), (["--gso"], "--gso is for"),
                                 (["--min-wait", "1us"], "--min-wait is for"), (["--batch", "8"], "--batch is for"), (["--listen", address], f"cannot listen on {address}")):
            run = subprocess.run([BIN / "bench-limit", *arguments], capture_output=True, text=True, check=False, timeout=30, cwd=folder)
            check(run.returncode in (1, 2) and words in run.stderr, f"bench-limit {arguments}: exit {run.returncode}, {run.stderr}")


tests = [goals_that_are_met_by_nothing_are_drawn, tiny_run_measures_and_reports, all_services_are_asked_for_and_every_address_is_checked, idle_connections_are_measured_or_it_is_said_why_not,
         idle_figure_notices_a_tenth_and_nothing_else, scale_measures_a_small_fleet, scale_refuses_wrong_arguments, void_runs_count_nowhere, second_dispatcher_joins_every_round, interrupted_run_writes_what_there_is, killed_run_leaves_no_server,
         reports_are_compared, micro_runs_what_it_is_told, sweep_says_what_pays, mistakes_are_named, echoes_echo, echoes_refuse_nonsense]
main(*(in_folder(test) for test in tests if not (SANITIZED and test in (sweep_says_what_pays, idle_connections_are_measured_or_it_is_said_why_not))))
