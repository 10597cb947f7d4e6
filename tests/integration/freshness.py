#!/usr/bin/env python3
"""What nodes tell beside their regular heartbeats, seen by a dispatcher that knows docs/PROTOCOL.md and nothing else: it heartbeats to
rm, sends jobs that carry its boot ID, and gets idle tokens."""
import contextlib
import os
import socket
import struct
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support import independent as wire
from support.cluster import SANITIZED, Cluster, address_new, check, main, metrics, usher, wait_until

BOOT_ID = 0xD15B
SO_TIMESTAMPNS = 35  # of asm-generic/socket.h


class Dispatcher:
    """Heartbeats each 200 ms to rm from the port at which it gets tokens; keeps the acknowledgements and tokens that come."""

    def __init__(self, rm):
        self.rm, self.acks, self.tokens, self.arrivals_s, self.sequence = wire.endpoint(rm), [], [], [], 0
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.udp.bind(("127.0.0.1", 0))
        self.udp.settimeout(0.02)
        self.address = "127.0.0.1:%d" % self.udp.getsockname()[1]
        self.ending = threading.Event()
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        due_s = 0
        while not self.ending.is_set():
            if time.monotonic() >= due_s:
                due_s = time.monotonic() + 0.2
                self.sequence += 1
                self.udp.sendto(wire.heartbeat(self.address, BOOT_ID, self.sequence), self.rm)
            with contextlib.suppress(TimeoutError):
                self.take(self.udp.recv(65536))

    def take(self, data):
        got = wire.decode(data)
        if got.kind == wire.HEARTBEAT_ACK:
            self.acks.append(got)
        elif got.kind == wire.IDLE_TOKEN:
            check(len(data) == got.size == 76, f"a token in a datagram of {len(data)} bytes")
            self.tokens.append(got)
            self.arrivals_s.append(time.monotonic())

    def end(self):
        self.ending.set()
        self.thread.join()
        self.udp.close()


@contextlib.contextmanager
def region():
    with Cluster() as cluster:
        cluster.rm_at, cluster.dispatcher_at, cluster.worker_at, cluster.http = (address_new() for _ in range(4))
        cluster.rm(cluster.rm_at)
        cluster.dispatcher(cluster.dispatcher_at, cluster.rm_at, "--no-jobs")
        cluster.worker(cluster.worker_at, cluster.rm_at, "--slots", "1", "--heartbeat", "200ms", "--http", cluster.http)
        cluster.wait_nodes("dispatcher", [cluster.dispatcher_at, cluster.worker_at])
        cluster.own = Dispatcher(cluster.rm_at)
        try:
            wait_until("rm tells of both dispatchers", lambda: cluster.own.acks and len(cluster.own.acks[-1].dispatchers) == 2)
            yield cluster
        finally:
            cluster.own.end()


def status(cluster):
    return cluster.ctl("worker", "status")["node"]


def jobs_run(cluster, count, data="5ms"):
    """One after the other, as picks of our own dispatcher."""
    with wire.Stream(cluster.worker_at) as stream:
        for _ in range(count):
            got, _ = stream.run(wire.job("sleep", data.encode(), boot_id=BOOT_ID))
            check(got.kind == wire.RESULT, f"{got}")


def acknowledgements_name_dispatchers_and_their_boots(cluster):
    ack = cluster.own.acks[-1]
    check(ack.total == 2 and ack.nodes == 3 and ack.region == 1 and not ack.rest, f"{ack}")
    check(ack.dispatchers[BOOT_ID] == cluster.own.address, f"{ack}")
    check(cluster.dispatcher_at in ack.dispatchers.values(), f"{ack}")


def tokens_come_from_a_node_that_ran_our_jobs(cluster):
    wait_until("the worker knows of both", lambda: status(cluster)["rms"][0]["dispatchers"] == 2)
    jobs_run(cluster, 40)
    before, begin = len(cluster.own.tokens), time.monotonic()
    jobs_run(cluster, 40)
    got, spent_s = cluster.own.tokens[before:], time.monotonic() - begin
    check(3 <= len(got) <= spent_s / 0.01 + 2, f"{len(got)} tokens in {spent_s} s")
    check({token.node for token in got} == {cluster.worker_at}, f"{got}")
    check(len({token.boot_id for token in got}) == 1, f"{got}")
    sequences = [token.sequence for token in cluster.own.tokens]
    check(sequences == sorted(set(sequences)), f"{sequences}")


def a_real_dispatchers_jobs_bring_the_tokens_to_it(cluster):
    usher("run", "--dispatchers", cluster.dispatcher_at, "--service", "echo", "--reply-timeout", "2s")
    time.sleep(0.1)
    before, sent = len(cluster.own.tokens), status(cluster)["freshness"]["tokens_sent"]
    wait_until("more tokens", lambda: status(cluster)["freshness"]["tokens_sent"] > sent)
    check(len(cluster.own.tokens) == before, "tokens came to who had not sent the last job")


def budget_is_told(cluster):
    freshness, numbers = status(cluster)["freshness"], metrics(cluster.http)
    check(freshness["budget_per_s"] == 50 == numbers["usher_node_freshness_budget"], f"{freshness}")
    sent = numbers["usher_idle_tokens_sent_total"]
    extra = sum(value for name, value in numbers.items() if name.startswith("usher_heartbeats_extra_total"))
    check(sent >= len(cluster.own.tokens) and freshness["tokens_sent"] > 0, f"{sent} {freshness}")
    check(sent + extra <= 5 + 50 * (time.time() - numbers["usher_start_time_seconds"]), f"{sent} {extra}")


def a_slowed_node_knows_it_within_twenty_jobs(cluster):
    jobs_run(cluster, 100)
    cluster.ctl("worker", "set", "sleep-factor", "5")
    jobs_run(cluster, 20)
    mean_s = next(s["mean_s"] for s in status(cluster)["services"] if s["name"] == "sleep")
    cluster.ctl("worker", "set", "sleep-factor", "1")
    check(mean_s > (0.012 if SANITIZED else 0.02), f"expects {mean_s} s for jobs that take 0.025 s now")


def a_drained_node_sends_none(cluster):
    cluster.ctl("rm", "drain", cluster.worker_at)
    wait_until("the worker knows", lambda: status(cluster)["admin_drain"])
    before = status(cluster)["freshness"]["tokens_sent"]
    jobs_run(cluster, 40)
    check(status(cluster)["freshness"]["tokens_sent"] == before, "a drained node offers itself")
    cluster.ctl("rm", "ready", cluster.worker_at)
    wait_until("tokens again", lambda: status(cluster)["freshness"]["tokens_sent"] > before)


class Wire(threading.Thread):
    """When the heartbeats of a node crossed lo, by the kernel's stamps of a packet capture, and when they say that they were made."""

    def __init__(self, node):
        super().__init__()
        self.node, self.crossed_ms, self.made_ms, self.ending = wire.fixed(node), [], [], threading.Event()
        self.socket = socket.socket(socket.AF_PACKET, socket.SOCK_DGRAM, socket.htons(0x0800))
        self.socket.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, 1)
        self.socket.bind(("lo", 0))
        self.socket.settimeout(0.1)

    def run(self):
        while not self.ending.is_set():
            with contextlib.suppress(TimeoutError):
                packet, (told,), _, address = self.socket.recvmsg(2048, 64)
                frame = packet[(packet[0] & 15) * 4 + 8:]
                is_beat = packet[9] == socket.IPPROTO_UDP and frame[:2] == b"US" and frame[4:6] == wire.HEARTBEAT.to_bytes(2, "big")
                if is_beat and frame[wire.HEADER.size:].startswith(self.node) and address[2] != socket.PACKET_OUTGOING:
                    seconds, ns = struct.unpack("qq", told[2])
                    self.crossed_ms.append(seconds * 1000 + ns / 1e6)
                    self.made_ms.append(struct.unpack_from("!Q", frame, 44)[0])

    def end(self):
        self.ending.set()
        self.join()
        self.socket.close()

    def gaps_ms(self):
        return [after - before for before, after in zip(self.crossed_ms, self.crossed_ms[1:])]

    def gaps_after_made_ms(self):
        """From when one was made to when the next one crossed: what delays one on its way does not make these shorter."""
        return [after - before for before, after in zip(self.made_ms, self.crossed_ms[1:])]


@contextlib.contextmanager
def all_cpus_busy():
    burners = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(os.cpu_count())]
    try:
        yield
    finally:
        for burner in burners:
            burner.kill()
            burner.wait()


def steps_of_the_cpu_are_told_at_least_10_ms_apart(cluster):
    """N8, with all CPUs busy and idle in turn: heartbeats between the regular ones, each 30 s, and a packet capture that times them. A node
    that the machine stops between its look at the clock and its sending is late with that one, not early with the next: so they are
    measured from when they were made. One may be stopped between that look and the next one, which the heartbeat carries."""
    address, http = address_new(), address_new()
    try:
        captured = Wire(address)
    except PermissionError:
        print("skip a packet capture needs the right to open packet sockets")
        return
    cluster.worker(address, cluster.rm_at, "--heartbeat", "30s", "--http", http, "--load-samples", "100", "--change-thresholds", "cpu=1,queue=0",
                   "--extra-heartbeats", "100", "--freshness-budget", "1000", name="stepping")
    wait_until("rm knows it", lambda: cluster.nodes("rm").get(address, {}).get("state") == "ready")
    captured.start()
    for _ in range(25):
        with all_cpus_busy():
            time.sleep(0.2)
        time.sleep(0.2)
        if len(captured.crossed_ms) >= 20:
            break
    captured.end()
    gaps_ms, after_made_ms = captured.gaps_ms(), sorted(captured.gaps_after_made_ms())
    counted = metrics(http)['usher_heartbeats_extra_total{reason="change"}']
    check(cluster.processes["stepping"].terminate() == 0, "the worker did not end well")
    check(len(gaps_ms) >= 3 and counted >= 3, f"{len(gaps_ms)} + 1 heartbeats, {counted} counted, when the CPU went up and down")
    check(after_made_ms[1] >= 10, f"{after_made_ms[:5]} ms after the one before was made, {sorted(gaps_ms)[:5]} ms apart")
    print(f"     {len(gaps_ms) + 1} heartbeats for steps of the CPU, at least {min(gaps_ms):.2f} ms apart on the wire", flush=True)


def dispatchers_are_nodes_too_unless_they_take_no_jobs(cluster):
    cluster.dispatcher(address_new(), cluster.rm_at, name="both")
    wait_until("it has a directory", lambda: cluster.nodes("both"))
    wait_until("a dispatcher offers itself", lambda: cluster.ctl("both", "status")["node"]["freshness"]["tokens_sent"] > 0)
    check(cluster.ctl("dispatcher", "status")["node"]["freshness"]["tokens_sent"] == 0, "one with --no-jobs offers itself")


main(acknowledgements_name_dispatchers_and_their_boots, tokens_come_from_a_node_that_ran_our_jobs,
     a_real_dispatchers_jobs_bring_the_tokens_to_it, budget_is_told, a_slowed_node_knows_it_within_twenty_jobs,
     a_drained_node_sends_none, steps_of_the_cpu_are_told_at_least_10_ms_apart,
     dispatchers_are_nodes_too_unless_they_take_no_jobs, stage=region)
