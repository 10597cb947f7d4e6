#!/usr/bin/env python3
"""usher-load against real daemons: both transports, both loops, its counts against the dispatcher's, and a dispatcher that stands still.

No speed is asserted: only that everything is counted, and that a stalled server shows in the open loop's latencies.
"""

import contextlib
import json
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import BIN, Cluster, address_new, check, main, port_free, run, wait_until


@contextlib.contextmanager
def stage():
    """rm, a dispatcher that takes no jobs, two workers; over IPv4, and a second dispatcher over IPv6."""
    with Cluster() as cluster:
        rm, workers = address_new(), [address_new(), address_new()]
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
    arguments = ["ask", "--dispatcher", dispatcher or cluster.address, "--json", *options]
    code, out, err = run("usher-load", *arguments)
    check(code == expect, f"usher-load {' '.join(arguments)}: exit {code} instead of {expect}: {out} {err}")
    return json.loads(out)


def counters(cluster, name="dispatcher"):
    """{'usher_requests_total{proto="udp"}': n} of a daemon."""
    return cluster.ctl(name, "stats")["stats"]


def check_sums(report):
    check(report["sent"] == report["received"] + report["lost"], f"sent is not received and lost: {report}")
    check(report["received"] >= report["answered"] > 0, f"nothing was answered: {report}")
    latency = report["latency_us"]
    spectrum = [latency[name] for name in ("p50", "p90", "p99", "p999", "p9999", "max")]
    check(0 < latency["mean"] <= latency["max"] and spectrum == sorted(spectrum), f"odd latencies: {latency}")
    check(isinstance(report["valid"], bool) and report["verdict"], f"no verdict: {report}")


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


def cpu_of_both_sides_is_known(cluster):
    pid = cluster.processes["dispatcher"].popen.pid
    report = load(cluster, "--proto", "tcp", "--depth", "16", "--server-pid", str(pid), "--warmup", "0", "--duration", "1s")
    check(report["client_cpu"] > 0, f"no client CPU: {report}")
    check(report["server_cpu"] is None or report["server_cpu"] > 0, f"odd server CPU: {report}")


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
        check(report["latency_us"]["p99"] >= 50_000, f"{proto}: p99 hides the stall: {report}")


def lost_requests_count_as_timeouts(cluster):
    """A socket that never answers: everything is lost, in every percentile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        report = load(cluster, "--proto", "udp", "--rate", "200", "--warmup", "0", "--duration", "500ms", "--reply-timeout", "100ms",
                      dispatcher=f"127.0.0.1:{silent.getsockname()[1]}", expect=3)
    check(report["sent"] == report["lost"] == 100 and report["received"] == 0, f"not all lost: {report}")
    check(abs(report["latency_us"]["p50"] - 100_000) < 1_000, f"a lost request is no timeout: {report}")


def garbage_is_no_answer(cluster):
    """A server that answers with other bytes: counted as errors and as lost, never as answered."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as liar:
        liar.bind(("127.0.0.1", 0))
        liar.settimeout(0.1)
        done = threading.Event()

        def lie():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    data, peer = liar.recvfrom(2048)
                    liar.sendto(b"\0" * len(data), peer)

        thread = threading.Thread(target=lie)
        thread.start()
        try:
            report = load(cluster, "--proto", "udp", "--rate", "100", "--warmup", "0", "--duration", "300ms", "--reply-timeout", "100ms",
                          dispatcher=f"127.0.0.1:{liar.getsockname()[1]}", expect=3)
        finally:
            done.set()
            thread.join()
    check(report["answered"] == 0 and report["errors"] > 0 and report["lost"] == report["sent"], f"garbage was taken: {report}")


def errors_are_told_apart(cluster):
    report = load(cluster, "--proto", "udp", "--service", "nobody-offers-this", "--warmup", "0", "--duration", "200ms", expect=4)
    check(report["answered"] == 0 and report["errors"] == report["received"] == report["errors_by_name"]["unknown-service"],
          f"not by name: {report}")
    report = load(cluster, "--proto", "tcp", dispatcher=f"127.0.0.1:{port_free()}", expect=3)
    check(report["error"] == "ECONNREFUSED", f"a closed port: {report}")


def interrupt_still_reports(cluster):
    process = subprocess.Popen([BIN / "usher-load", "ask", "--dispatcher", cluster.address, "--proto", "udp", "--rate", "100", "--warmup",
                                "0", "--duration", "1m", "--json"], stdout=subprocess.PIPE, text=True)
    before = counters(cluster)['usher_requests_total{proto="udp"}']
    wait_until("requests arrive", lambda: counters(cluster)['usher_requests_total{proto="udp"}'] > before)
    process.send_signal(signal.SIGINT)
    out, _ = process.communicate(timeout=30)
    report = json.loads(out)
    check(process.returncode == 0 and report["interrupted"] and report["duration_s"] < 60, f"interrupted: {process.returncode} {report}")
    check_sums(report)


def dispatcher_that_ends_leaves_a_void_run(cluster):
    rm, victim = cluster.processes["rm"].arguments[2], address_new()
    process = cluster.dispatcher(victim, rm, "--no-jobs", name="victim")
    wait_until("the victim knows the workers", lambda: len(cluster.nodes("victim")) >= 2)
    threading.Timer(0.5, process.kill).start()
    report = load(cluster, "--proto", "tcp", "--rate", "500", "--warmup", "0", "--duration", "30s", dispatcher=victim)
    check(not report["valid"] and report["errors"] > 0 and report["duration_s"] < 30, f"not VOID: {report}")


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
        (("--dispatcher", cluster.address, "--server-pid", "4194304"), "no such process"),
    ):
        code, out, err = run("usher-load", "ask", *options)
        check(code == 2 and text in err and err.count("\n") == 1 and not out, f"{options}: exit {code}: {out} {err}")


main(counts_agree_with_the_dispatcher, open_loop_offers_its_rate, requests_end_the_run, packed_datagrams_and_ipv6, many_source_sockets,
     cpu_of_both_sides_is_known, stalled_dispatcher_shows_in_p99, lost_requests_count_as_timeouts, garbage_is_no_answer,
     errors_are_told_apart, interrupt_still_reports, dispatcher_that_ends_leaves_a_void_run, report_for_people, mistakes_get_one_clear_line, stage=stage)
