#!/usr/bin/env python3
"""usher-load against real daemons: transports, loops, whole jobs; its counts against the dispatcher's and against a packet capture; a
dispatcher that stands still. load_fakes.py has other protocols and servers that misbehave.

No speed is asserted: only that everything is counted, and that a stalled server shows in the open loop's latencies.
"""

import concurrent.futures
import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.capture import Capture
from support.cluster import BIN, Cluster, address_new, check, main, port_free, run, wait_until
from support.load_report import check_losses, check_sums


@contextlib.contextmanager
def stage():
    """rm, a dispatcher that takes no jobs, two workers; over IPv4, and a second dispatcher over IPv6."""
    with Cluster() as cluster:
        rm, workers = address_new(), [address_new(), address_new()]
        cluster.workers = workers
        cluster.rm(rm)
        cluster.address = address_new()
        cluster.dispatcher(cluster.address, rm, "--no-jobs")
        cluster.address_ipv6 = address_new("[::1]")
        cluster.dispatcher(cluster.address_ipv6, rm, "--no-jobs", name="dispatcher6")
        for i, worker in enumerate(workers):
            cluster.worker(worker, rm, name=f"worker{i}")
        for name in ("dispatcher", "dispatcher6"):
            wait_until(f"{name} knows the workers", lambda name=name: set(workers) <= set(cluster.nodes(name)))
        yield cluster


def load(cluster, *options, expect=0, dispatcher=None):
    """expect: the exit code, None for any."""
    arguments = ["ask", "--dispatcher", dispatcher or cluster.address, "--json", *options]
    code, out, err = run("usher-load", *arguments)
    check(expect in (code, None), f"usher-load {' '.join(arguments)}: exit {code} instead of {expect}: {out} {err}")
    return json.loads(out)


def jobs(cluster, *options, expect=0):
    arguments = ["run", "--dispatcher", f"{cluster.address},{cluster.address_ipv6}", "--json", *options]
    code, out, err = run("usher-load", *arguments)
    check(expect in (code, None), f"usher-load {' '.join(arguments)}: exit {code} instead of {expect}: {out} {err}")
    return json.loads(out)


def counters(cluster, name="dispatcher"):
    """{'usher_requests_total{proto="udp"}': n} of a daemon."""
    return cluster.ctl(name, "stats")["stats"]


def counts_agree_with_the_dispatcher(cluster):
    for proto in ("udp", "tcp"):
        for loop in (("--connections", "3", "--depth", "4"), ("--connections", "3", "--rate", "2000"),
                     ("--rate", "2000", "--arrivals", "poisson", "--seed", "1")):
            before = counters(cluster)
            report = load(cluster, "--proto", proto, *loop, "--warmup", "0", "--duration", "1s")
            after = counters(cluster)
            grown = {name: after[name] - before[name] for name in before if isinstance(after[name], (int, float))}
            check_sums(report)
            check(report["lost"] == 0 and report["errors"] == 0, f"{proto} {loop}: {report}")
            asked = grown[f'usher_requests_total{{proto="{proto}"}}']
            answered = grown['usher_picks_total{result="ok"}']
            check(asked == report["sent"], f"{proto} {loop}: the dispatcher was asked {asked} times: {report}")
            check(answered == report["answered"], f"{proto} {loop}: the dispatcher answered {answered} times: {report}")


def open_loop_offers_its_rate(cluster):
    report = load(cluster, "--proto", "udp", "--rate", "1000", "--warmup", "200ms", "--duration", "2s")
    check(abs(report["offered_rps"] - 1000) < 1 and report["sent"] == 2000, f"not 1000/s for 2 s: {report}")


def requests_end_the_run(cluster):
    report = load(cluster, "--proto", "udp", "--depth", "16", "--pack", "8", "--requests", "4000", "--warmup", "0", "--duration", "1m")
    check(report["sent"] == 4000 and report["duration_s"] < 60, f"not 4000 requests: {report}")


def packed_datagrams_and_ipv6(cluster):
    for options in (("--pack", "16", "--depth", "32"), ("--pack", "16", "--rate", "1600"), ("--count", "2")):
        report = load(cluster, "--proto", "udp", *options, "--warmup", "0", "--duration", "300ms")
        check_sums(report)
        check(report["errors"] == 0, f"{options}: {report}")
    for proto in ("udp", "tcp"):
        report = load(cluster, "--proto", proto, "--warmup", "0", "--duration", "300ms", dispatcher=cluster.address_ipv6)
        check_sums(report)
        check(report["errors"] == 0 and report["lost"] == 0, f"{proto} over IPv6: {report}")


def many_source_sockets(cluster):
    report = load(cluster, "--proto", "udp", "--connections", "500", "--warmup", "0", "--duration", "500ms")
    check_sums(report)
    check(report["sent"] >= 500, f"not every socket asked: {report}")


def sockets_come_from_the_addresses_of_bind(cluster):
    peers = set()
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(1)
        with subprocess.Popen([BIN / "usher-load", "ask", "--echo", "--dispatcher", "127.0.0.1:%d" % server.getsockname()[1], "--connections",
                               "30", "--bind", "127.0.0.2,127.0.0.3", "--bind", "127.0.0.4", "--warmup", "0", "--duration", "300ms",
                               "--reply-timeout", "100ms"], stdout=subprocess.DEVNULL):
            with contextlib.suppress(TimeoutError):
                while len(peers) < 30:
                    peers.add(server.recvfrom(2048)[1])
    count = {ip: sum(peer[0] == ip for peer in peers) for ip in ("127.0.0.2", "127.0.0.3", "127.0.0.4")}
    check(set(count.values()) == {10}, f"not in turn: {count}")
    for proto in ("udp", "tcp"):
        report = load(cluster, "--bind", "127.0.0.2", "--proto", proto, "--warmup", "0", "--duration", "100ms")
        check(report["answered"] > 0 and report["errors"] == 0, f"{proto}: {report}")
        code, out, err = run("usher-load", "run", "--dispatcher", cluster.address, "--bind", "127.0.0.2,127.0.0.3", "--proto", proto,
                             "--service-time", "1ms", "--warmup", "0", "--duration", "200ms", "--json")
        check(code == 0 and json.loads(out)["errors"] == 0, f"{proto}: exit {code}: {out} {err}")


def super_datagrams_threads_and_spinning(cluster):
    for options in (("--gso", "--depth", "16"), ("--gso", "--depth", "128", "--connections", "2"), ("--gso", "--depth", "8", "--rate", "1600"),
                    ("--gso", "--pack", "28"), ("--threads", "2", "--connections", "4"), ("--threads", "2", "--connections", "2", "--rate", "1000"),
                    ("--spin",), ("--spin", "--rate", "1000")):
        report = load(cluster, "--proto", "udp", *options, "--warmup", "0", "--duration", "500ms")
        check_sums(report)
        check(report["errors"] == 0 and report["unexpected"] == 0, f"{options}: {report}")
        if "--rate" in options:
            check(abs(report["offered_rps"] - float(options[-1])) < 20, f"{options}: another rate was offered: {report}")


def several_dispatchers_share_the_connections(cluster):
    before = {name: counters(cluster, name)['usher_requests_total{proto="udp"}'] for name in ("dispatcher", "dispatcher6")}
    report = load(cluster, "--connections", "4", "--requests", "400", "--rate", "2000", "--warmup", "0",
                  dispatcher=f"{cluster.address},{cluster.address_ipv6}")
    grown = {name: counters(cluster, name)['usher_requests_total{proto="udp"}'] - count for name, count in before.items()}
    check(report["answered"] == 400 and grown == {"dispatcher": 200, "dispatcher6": 200}, f"not in turn: {grown} {report}")


def nodes_that_are_not_on_offer_are_errors(cluster):
    report = load(cluster, "--warmup", "0", "--duration", "200ms", "--nodes", ",".join(cluster.workers))
    check(report["errors"] == 0 and report["nodes_named"] == 2, f"the nodes there are were refused: {report}")
    report = load(cluster, "--warmup", "0", "--duration", "200ms", "--nodes", "192.0.2.1:1", expect=1)
    check(report["answered"] == 0 and report["errors_by_name"] == {"other-node": report["received"]}, f"strangers were taken: {report}")


def counts_agree_with_a_packet_capture(cluster):
    """Every frame that usher-load says was sent or received crossed the loopback, and no other."""
    port = int(cluster.address.rsplit(":", 1)[1])
    for options in (("--rate", "2000"), ("--rate", "2000", "--pack", "4"), ("--rate", "2000", "--arrivals", "poisson"),
                    ("--gso", "--depth", "16", "--rate", "1600"), ("--connections", "8", "--depth", "4", "--requests", "4000"),
                    ("--proto", "tcp", "--rate", "2000", "--connections", "3"),
                    ("--proto", "tcp", "--connections", "3", "--depth", "8", "--requests", "4000")):
        try:
            capture = Capture(port)
        except PermissionError:
            print("skip a packet capture needs the right to open packet sockets")
            return
        capture.start()
        try:
            report = load(cluster, *options, "--warmup", "0", "--duration", "1s", "--reply-timeout", "10s")
        finally:
            seen = capture.end()
        check(report["lost"] == 0 and seen == {"to": report["sent"], "from": report["received"]}, f"{options}: {seen} {report}")


def whole_jobs_are_done_by_the_nodes(cluster):
    for options in (("--service-time", "1ms", "--depth", "8"), ("--service-time", "exp:2ms", "--rate", "200", "--arrivals", "poisson"),
                    ("--service", "echo", "--data-size", "100000", "--depth", "4"), ("--service", "blob", "--data-size", "200000", "--depth", "4"),
                    ("--proto", "tcp", "--service", "echo", "--rate", "200")):
        report = jobs(cluster, *options, "--warmup", "0", "--duration", "1s")
        check_sums(report)
        check(report["errors"] == report["lost"] == 0, f"{options}: {report}")
        check(set(report["nodes"]) == set(cluster.workers) and sum(report["nodes"].values()) == report["answered"],
              f"{options}: the nodes' shares do not add up: {report}")
        check(report["waited_us"]["p50"] + report["ran_us"]["p50"] <= report["latency_us"]["max"], f"{options}: {report}")


def thousands_of_jobs_are_on_their_way(cluster):
    """The workers' slots are few, so most of the 2,000 wait in their queues, or are told that they are full."""
    report = jobs(cluster, "--service-time", "1ms", "--depth", "2000", "--warmup", "0", "--duration", "1s")
    check_sums(report)
    check(report["lost"] == 0 and report["answered"] + report["busy"] == report["sent"] > 2000, f"not thousands: {report}")


def runs_of_one_seed_at_the_same_time_are_different_clients(cluster):
    """The seed is for distances and durations. Were the jobs' IDs its too, the nodes would refuse them as duplicates."""
    options = ("--service", "echo", "--seed", "7", "--depth", "16", "--warmup", "0", "--duration", "1s")
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for report in pool.map(lambda _: jobs(cluster, *options), range(2)):
            check(report["answered"] > 0 and report["errors"] == 0, f"a job of one was taken for one of the other: {report}")


def busy_and_lost_jobs_are_told_apart(cluster):
    report = jobs(cluster, "--service-time", "30s", "--rate", "20", "--warmup", "0", "--duration", "200ms", "--reply-timeout", "300ms", expect=None)
    check(report["answered"] == 0 and report["lost"] + report["errors"] == report["sent"], f"lost jobs: {report}")
    check(report["lost_by_stage"]["asking"] == 0 and report["lost_by_stage"]["running"] == report["lost"], f"by stage: {report}")
    check_losses(report)
    causes = report["losses_by_cause"]
    check(causes.get("timeout", 0) + causes.get("wait-exceeded", 0) == report["lost"], f"by cause: {report}")
    report = jobs(cluster, "--service", "nobody-offers-this", "--rate", "100", "--warmup", "0", "--duration", "200ms", expect=4)
    check(report["errors_by_name"] == {"unknown-service": report["received"]} and report["nodes"] == {}, f"not by name: {report}")
    check_losses(report)


def nodes_go_on_answering_in_an_overload(_):
    """Four times the jobs that the slots can do. Did jobs wait in the node's queue until their time is nearly over, all would end too late but
    those of the first 300 ms, a seventeenth of all. Jobs of one length are the hard case: all that begin have waited for as long as they may."""
    with Cluster() as own:
        rm, worker, own.address = address_new(), address_new(), address_new()
        own.rm(rm)
        own.dispatcher(own.address, rm, "--no-jobs")
        own.worker(worker, rm, "--slots", "4", "--queue", "100000", "--services", "sleep,exec:pause=sleep 0.1")
        wait_until("the dispatcher knows the worker", lambda: worker in own.nodes("dispatcher"))
        for service in (("sleep", "--service-time", "100ms"), ("pause",)):
            code, out, err = run("usher-load", "run", "--dispatcher", own.address, "--service", *service, "--rate", "160", "--warmup", "0",
                                 "--duration", "5s", "--reply-timeout", "1s", "--json")
            report = json.loads(out)
            check_losses(report)
            check(code == 0 and report["answered"] > report["sent"] / 9, f"{service}: nodes work on what nobody waits for: {code} {err} {report}")
            check(report["losses_by_cause"].get("wait-exceeded", 0) > 0, f"{service}: by cause: {report}")


def goals_are_an_exit_code(cluster):
    report = load(cluster, "--rate", "200", "--warmup", "0", "--duration", "300ms", "--reply-timeout", "20s", "--slo", "p50<10s,lost<=0%",
                  expect=None)
    check([goal["met"] for goal in report["slo"]] == [True, True], f"not met: {report}")
    report = load(cluster, "--rate", "200", "--warmup", "0", "--duration", "300ms", "--slo", "p99<1us,rps>1", expect=1)
    check([goal["met"] for goal in report["slo"]] == [False, True], f"not missed: {report}")
    code, out, _ = run("usher-load", "ask", "--dispatcher", cluster.address, "--warmup", "0", "--duration", "100ms", "--slo", "max<1us")
    check(code == 1 and "max<1us: MISSED" in out, f"it does not say which: {code} {out}")


def spectrum_is_written_for_plotters(cluster):
    path = cluster.folder / "spectrum.hdr"
    report = load(cluster, "--rate", "500", "--warmup", "0", "--duration", "500ms", "--hdr", str(path))
    rows = [line.split() for line in path.read_text().splitlines()[2:] if line and not line.startswith("#")]
    check(float(rows[-1][1]) == 1 and int(rows[-1][2]) == report["sent"], f"the last row: {rows[-1]}")
    check(abs(float(rows[-1][0]) * 1000 - report["latency_us"]["max"]) < 1, f"the greatest value: {rows[-1]} {report}")
    load(cluster, "--requests", "10", "--warmup", "0", "--hdr", str(path))
    check(path.read_text().count("inf\n") == 1, f"not overwritten: {path.read_text()}")


def report_that_cannot_be_written_is_known_before_the_run(cluster):
    for command in ("ask", "run"):
        arguments = [BIN / "usher-load", command, "--dispatcher", cluster.address, "--warmup", "0", "--duration", "1h", "--json"]
        done = subprocess.run([*arguments, "--hdr", "/nowhere/x"], capture_output=True, text=True, timeout=20, check=False)
        check(done.returncode == 2 and "--hdr /nowhere/x" in done.stderr, f"{command}: exit {done.returncode}: {done.stderr}")
        done = subprocess.run(["sh", "-c", 'exec "$@" >&-', "sh", *arguments], stderr=subprocess.PIPE, text=True, timeout=20, check=False)
        check(done.returncode == 2 and "standard output" in done.stderr, f"{command}: exit {done.returncode}: {done.stderr}")
    with open("/dev/full", "w") as full:
        done = subprocess.run([BIN / "usher-load", "ask", "--dispatcher", cluster.address, "--warmup", "0", "--duration", "50ms"], stdout=full,
                              stderr=subprocess.PIPE, text=True, timeout=20, check=False)
    check(done.returncode == 1 and "could not be written" in done.stderr, f"exit {done.returncode}: {done.stderr}")


def cpu_of_both_sides_is_known(cluster):
    """Of a process that is named, and of whoever listens there."""
    pid = cluster.processes["dispatcher"].popen.pid
    for options in (("--server-pid", str(pid)), ()):
        report = load(cluster, "--proto", "tcp", "--depth", "16", *options, "--warmup", "0", "--duration", "1s")
        for name in ("client_cpu", "client_busy", "server_cpu", "server_thread_cpu"):
            check(report[name] is not None and 0 < report[name] < 2, f"{options}: {name}: {report}")


def stalled_dispatcher_shows_in_p99(cluster):
    """Stopped 200 ms of every 2 s: a tenth of the planned requests meets it, so p99 is near 180 ms; a generator that waits for its
    answers before it goes on would see a handful of slow ones."""
    dispatcher = cluster.processes["dispatcher"]
    done = threading.Event()

    def stall():
        while not done.wait(1.8):
            dispatcher.signal(signal.SIGSTOP)
            time.sleep(0.2)
            dispatcher.signal(signal.SIGCONT)

    for proto in ("udp", "tcp"):
        done.clear()
        thread = threading.Thread(target=stall)
        thread.start()
        try:
            report = load(cluster, "--proto", proto, "--rate", "2000", "--warmup", "0", "--duration", "6s")
        finally:
            done.set()
            thread.join()
            dispatcher.signal(signal.SIGCONT)
        check_sums(report)
        # However few of the stops the 6 s have met, their last 20 ms are less than a hundredth of the requests.
        check(report["latency_us"]["p99"] >= 150_000, f"{proto}: p99 hides the stall: {report}")


def errors_are_told_apart(cluster):
    report = load(cluster, "--proto", "udp", "--service", "nobody-offers-this", "--warmup", "0", "--duration", "200ms", expect=4)
    check(report["answered"] == 0 and report["errors"] == report["received"] == report["errors_by_name"]["unknown-service"],
          f"not by name: {report}")
    check(report["losses_by_cause"].get("unknown-service") == report["received"] and report["verdict"] == "unanswered", f"by cause: {report}")
    check_losses(report)
    report = load(cluster, "--proto", "tcp", dispatcher=f"127.0.0.1:{port_free()}", expect=3)
    check(report["error"] == "ECONNREFUSED", f"a closed port: {report}")


def interrupted(cluster, command, *options):
    """The exit code and report of a run that is interrupted when it has begun to ask."""
    before = counters(cluster)['usher_requests_total{proto="udp"}']
    with subprocess.Popen([BIN / "usher-load", command, "--dispatcher", cluster.address, "--duration", "1h", "--json", *options],
                          stdout=subprocess.PIPE, text=True) as process:
        wait_until("requests arrive", lambda: counters(cluster)['usher_requests_total{proto="udp"}'] > before)
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=30)
    return process.returncode, json.loads(out)


def interrupt_still_reports(cluster):
    """And is no fault of the generator's: what was planned before it has left. Late sends are, on a machine that is busy."""
    for command, options in (("ask", ("--rate", "100")), ("ask", ("--rate", "150", "--arrivals", "poisson")), ("ask", ()),
                             ("ask", ("--rate", "70", "--threads", "2", "--connections", "2")), ("run", ("--rate", "100", "--service", "echo"))):
        for _ in range(3):
            code, report = interrupted(cluster, command, *options, "--warmup", "0", "--reply-timeout", "20s", "--slo", "errors<=0%")
            check(report["interrupted"] and report["duration_s"] < 60 and report["unsent"] == 0, f"{command} {options}: {code} {report}")
            check_sums(report)
            late = report["verdict"] == "fell-behind" and report["late"] > 0.01 * report["sent"] or report["verdict"].startswith("bottleneck")
            check(late or (code == 0 and report["valid"]), f"{command} {options}: a healthy run is VOID: {code} {report}")


def advice_goes_by_what_is_known(cluster):
    """What to do about runs in which nothing was answered."""
    code, report = interrupted(cluster, "ask", "--rate", "100", "--warmup", "1h")
    check(code == 1 and report["verdict"] == "nothing-sent" and "--warmup" in report["advice"], f"in the warm-up: {code} {report}")
    report = load(cluster, "--rate", "100000000", "--warmup", "100ms", "--duration", "100ms", "--reply-timeout", "1ms", expect=1)
    check(report["sent"] == 0 < report["unsent"] and report["verdict"] == "fell-behind", f"more than any machine can send: {report}")
    check("advice" not in report and "lower --rate" in report["verdict_text"], f"it says to send more: {report}")
    report = load(cluster, "--warmup", "0", "--requests", "10", "--reply-timeout", "20s", dispatcher=cluster.workers[0], expect=1)
    check(set(report["losses_by_cause"]) == {"not-dispatcher"} and "--dispatcher" in report["advice"], f"a worker: {report}")
    rm = cluster.processes["rm"].arguments[2]
    report = load(cluster, "--warmup", "0", "--requests", "10", "--reply-timeout", "20s", dispatcher=rm, expect=1)
    check(set(report["losses_by_cause"]) == {"not-accepted-here"} and "--dispatcher" in report["advice"], f"rm: {report}")


def dispatcher_that_ends_leaves_a_void_run(cluster):
    rm, victim = cluster.processes["rm"].arguments[2], address_new()
    process = cluster.dispatcher(victim, rm, "--no-jobs", name="victim")
    wait_until("the victim knows the workers", lambda: len(cluster.nodes("victim")) >= 2)
    threading.Timer(0.5, process.kill).start()
    report = load(cluster, "--proto", "tcp", "--rate", "500", "--warmup", "0", "--duration", "30s", dispatcher=victim)
    check(not report["valid"] and report["errors"] > 0 and report["duration_s"] < 30, f"not VOID: {report}")
    check_losses(report)


def dispatcher_that_falls_silent_leaves_a_void_run(cluster):
    """A closed loop does not ask while nobody answers: few requests are lost, and the latencies of the others are fine."""
    dispatcher = cluster.processes["dispatcher"]
    threading.Timer(0.5, dispatcher.signal, [signal.SIGSTOP]).start()
    try:
        report = load(cluster, "--proto", "udp", "--warmup", "0", "--duration", "2s", "--reply-timeout", "200ms")
    finally:
        dispatcher.signal(signal.SIGCONT)
    check(not report["valid"] and report["verdict"] == "silent", f"not VOID: {report}")


def report_for_people(cluster):
    code, out, err = run("usher-load", "ask", "--dispatcher", cluster.address, "--warmup", "0", "--duration", "200ms")
    check(code == 0 and not err, f"exit {code}: {err}")
    for word in ("answered over", "p99.99", "#", "CPU", "lost"):
        check(word in out, f"no {word} in: {out}")
    check("valid" in out or "VOID" in out, f"no verdict: {out}")


def mistakes_get_one_clear_line(cluster):
    for options, text in (
        ((), "--dispatcher"),
        (("--dispatcher", "nowhere"), "--dispatcher"),
        (("--dispatcher", cluster.address, "--rate", "fast"), "--rate"),
        (("--dispatcher", cluster.address, "--rate", "-5"), "--rate"),
        (("--dispatcher", cluster.address, "--rate", "5", "--depth", "2"), "--depth is for --rate max"),
        (("--dispatcher", cluster.address, "--arrivals", "poisson"), "--arrivals needs a --rate"),
        (("--dispatcher", cluster.address, "--proto", "tcp", "--pack", "2"), "--pack is for --proto udp"),
        (("--dispatcher", cluster.address, "--proto", "dns"), "--query"),
        (("--dispatcher", cluster.address, "--proto", "resp"), "--command"),
        (("--dispatcher", cluster.address, "--threads", "2"), "--threads"),
        (("--dispatcher", cluster.address, "--pack", "8", "--depth", "4"), "--depth is less than --pack"),
        (("--dispatcher", cluster.address, "--pack", "28", "--count", "3"), "do not fit"),
        (("--dispatcher", cluster.address, "--service", "not a name"), "--service"),
        (("--dispatcher", cluster.address, "--echo", "--service", "echo"), "--service is for dispatchers"),
        (("--dispatcher", cluster.address, "--bind", "192.0.2.1"), "--bind 192.0.2.1"),
        (("--dispatcher", cluster.address, "--server-pid", "4194304"), "no such process"),
        (("--dispatcher", cluster.address, "--slo", ""), "--slo: is empty; leave it out, or give it a value. Goals such as 'p99<1ms"),
        (("--dispatcher", cluster.address, "--slo", "p99<2s"), "every run meets it, for no latency is above --reply-timeout (1s)"),
        (("--dispatcher", cluster.address, "--slo", "p99<"), "its bound is missing; give goals such as p99<1ms"),
        (("--dispatcher", cluster.address, "--hdr", ""), "--hdr: is empty"),
    ):
        code, out, err = run("usher-load", "ask", *options)
        check(code == 2 and text in err and err.count("\n") == 1 and not out, f"{options}: exit {code}: {out} {err}")


main(counts_agree_with_the_dispatcher, open_loop_offers_its_rate, requests_end_the_run, packed_datagrams_and_ipv6, many_source_sockets,
     sockets_come_from_the_addresses_of_bind, super_datagrams_threads_and_spinning, several_dispatchers_share_the_connections,
     nodes_that_are_not_on_offer_are_errors, counts_agree_with_a_packet_capture, whole_jobs_are_done_by_the_nodes,
     thousands_of_jobs_are_on_their_way, runs_of_one_seed_at_the_same_time_are_different_clients, busy_and_lost_jobs_are_told_apart,
     nodes_go_on_answering_in_an_overload, goals_are_an_exit_code, spectrum_is_written_for_plotters,
     report_that_cannot_be_written_is_known_before_the_run, cpu_of_both_sides_is_known, stalled_dispatcher_shows_in_p99,
     errors_are_told_apart, interrupt_still_reports, advice_goes_by_what_is_known, dispatcher_that_ends_leaves_a_void_run,
     dispatcher_that_falls_silent_leaves_a_void_run, report_for_people, mistakes_get_one_clear_line, stage=stage)
