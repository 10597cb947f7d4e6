#!/usr/bin/env python3
"""Two nginx that know nothing of Usher, attached to a worker (docs/NODE.md, "Attached servers"): one is stopped, one is overloaded by wrk,
under several policies and however its load is looked at; those who ask are sent to the other within the time that the worker's log
names, and back when it is well again."""
import collections
import contextlib
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.bounds import bounded, stalled_s
from support.cluster import SANITIZED, Cluster, address_new, check, main, metrics, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
FLEET = ROOT / "build/fleet/root"
ASKS = 200 if SANITIZED else 1000
SLOTS = 50
CLIENTS = 100  # of the load tool, each with a request under way all the time: twice what a server is said to serve well
LATE_S = 10 if SANITIZED else 0.5  # what the test's own asking, and an rm that passes things on, may take beyond the bound

NGINX_CONF = """
daemon off;
master_process off;
pid nginx.pid;
error_log error.log;
events {{ worker_connections 1024; }}
http {{
    access_log off;
    client_body_temp_path tmp; proxy_temp_path tmp; fastcgi_temp_path tmp; uwsgi_temp_path tmp; scgi_temp_path tmp;
    server {{
        listen {address};
        location = /health {{ return 200 "fine\\n"; }}
        location = /status {{ stub_status; }}
        location = /work.txt {{ root .; gzip on; gzip_comp_level 9; gzip_types *; }}
    }}
}}
"""

# What costs nginx some milliseconds to compress, each time anew.
WORK = " ".join(str(random.Random(1).randrange(10**9) * i % 10**6) for i in range(10000))


def server_address():
    """A free port below those that the kernel gives to clients: it must still be free when the server comes back."""
    while True:
        port = random.randrange(12000, 32000)
        with socket.socket() as tcp, contextlib.suppress(OSError):
            tcp.bind(("127.0.0.1", port))
            return f"127.0.0.1:{port}"


def listens(address):
    ip, port = address.rsplit(":", 1)
    with socket.socket() as tcp:
        return tcp.connect_ex((ip, int(port))) == 0


def program(name):
    unpacked = [folder / name for folder in (FLEET / "usr/sbin", FLEET / "usr/bin") if (folder / name).exists()]
    found = unpacked[0] if unpacked else shutil.which(name, path="/usr/sbin:/usr/bin")
    check(found, f"no {name}: tools/deps test unpacks one into build/fleet")
    return found


class Fleet(Cluster):
    """rm, dispatcher, two nginx and a worker that speaks for them."""

    def __init__(self):
        super().__init__()
        self.rm_at, self.rm_http, self.dispatcher_at, self.worker_at, self.worker_http = (address_new() for _ in range(5))
        self.servers = [server_address(), server_address()]
        self.policy = "finish-time"

    def begin(self):
        self.rm(self.rm_at, "--http", self.rm_http)
        self.dispatcher(self.dispatcher_at, self.rm_at, "--no-jobs")
        for number, address in enumerate(self.servers):
            folder = self.folder / f"nginx-{number}"
            folder.mkdir()
            (folder / "nginx.conf").write_text(NGINX_CONF.format(address=address))
            (folder / "work.txt").write_text(WORK)
            self.add(f"nginx-{number}", program("nginx"), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log")
        for address in self.servers:  # else the first check would find it down, and say so
            wait_until(f"{address} listens", lambda address=address: listens(address))

    def attach(self, *options, path="/health"):
        attached = [word for address in self.servers for word in ("--attach", f"web=http://{address}{path}" if path else f"web={address}")]
        self.worker(self.worker_at, self.rm_at, "--http", self.worker_http, "--heartbeat", "200ms", *attached, "--attach-slots", SLOTS,
                    "--attach-check-interval", "200ms", "--attach-check-timeout", "300ms", *options)
        wait_until("the worker answers", lambda: run("usherctl", "-s", self.socket("worker"), "status")[0] == 0)
        wait_until("both servers are offered", lambda: {a for a in self.servers if self.state(a) == "ready"} == set(self.servers))

    def state(self, address):
        return self.nodes("dispatcher").get(address, {}).get("state")

    def ask(self):
        code, out, err = run("usher", "ask", "--dispatchers", self.dispatcher_at, "--service", "web")
        check(code == 0, f"usher ask: exit {code}: {err}")
        return out.strip()

    def ask_many(self, count):
        return collections.Counter(self.ask() for _ in range(count))

    def attach_anew(self, *options, path="/health"):
        self.processes["worker"].terminate()
        self.attach(*options, path=path)

    def shares(self, rate):
        """Of requests that usher-load sends for a few seconds, at so many a second, the part that each server got."""

        def picks():
            nodes = self.nodes("dispatcher")
            return [nodes[address]["picks"] for address in self.servers]

        before = picks()
        code, out, err = run("usher-load", "ask", "--dispatcher", self.dispatcher_at, "--service", "web", "--rate", rate, "--duration", "2s",
                             "--warmup", "0", "--json")
        check(code == 0, f"usher-load: exit {code}: {out[-2000:]} {err[-2000:]}")
        counts = [now - then for then, now in zip(before, picks())]
        return {address: count / sum(counts) for address, count in zip(self.servers, counts)}

    def attached(self, address):
        rows = self.ctl("worker", "status")["node"]["attached"]
        return next(row for row in rows if row["address"] == address)

    def worst_s(self):
        return max(int(ms) for ms in re.findall(r"attach-begun .*worst_ms=(\d+)", self.processes["worker"].log())) / 1000


@contextlib.contextmanager
def a_fleet():
    with Fleet() as fleet:
        fleet.begin()
        fleet.attach()
        yield fleet


@contextlib.contextmanager
def load_tool(address, path="/work.txt", clients=CLIENTS, options=()):
    """wrk, as fast as the server can."""
    libraries = {**os.environ, "LD_LIBRARY_PATH": str(next((FLEET / "usr/lib").glob("*-linux-gnu"), ""))}
    command = [program("wrk"), "-t1", f"-c{clients}", "-d2m", "--timeout", "1m", "-H", "Accept-Encoding: gzip", *options, f"http://{address}{path}"]
    wrk = subprocess.Popen(command, env=libraries, stdout=subprocess.DEVNULL)
    try:
        yield
    finally:
        wrk.kill()
        wrk.wait()


def both_get_their_share(fleet):
    shares = fleet.ask_many(ASKS // 5)
    check(all(shares[address] >= ASKS // 5 * 0.25 for address in fleet.servers), f"of {ASKS // 5} asks: {shares}")


def one_stops_and_returns(fleet):
    stopped, other = fleet.servers
    fleet.processes["nginx-0"].terminate()
    begin = time.monotonic()
    last_s = 0
    while time.monotonic() - begin < fleet.worst_s() + LATE_S + stalled_s(begin):
        if fleet.ask() == stopped:
            last_s = time.monotonic() - begin
    bounded(last_s, fleet.worst_s() + LATE_S / 2, "the stopped server was named last after", since=begin)
    shares = fleet.ask_many(ASKS)
    check(shares == {other: ASKS}, f"of {ASKS} asks behind that: {shares}")
    row = fleet.attached(stopped)["services"][0]
    check(row["state"] == "down" and "Connection refused" in row["problem"], f"status: {row}")
    measured = metrics(fleet.worker_http)
    check(measured[f'usher_attached_up{{server="{stopped}",service="web"}}'] == 0, "usher_attached_up of the stopped server")
    check(measured[f'usher_attached_up{{server="{other}",service="web"}}'] == 1, "usher_attached_up of the other")
    log = fleet.processes["worker"].log()
    check(log.count("attach-down") == 1, f"said once: {log}")
    fleet.processes["nginx-0"].start()
    wait_until("the server is back", lambda: fleet.state(stopped) == "ready")
    both_get_their_share(fleet)


def is_left_alone(fleet, loaded):
    """However many ask; two-choices takes each request for a connection that lasts until the next heartbeat, so there they must be few."""
    asks = fleet.ask_many(ASKS // 5)
    check(asks[loaded] <= 0.1 * ASKS // 5, f"of {ASKS // 5} asks while one is overloaded: {asks}")
    for rate in (100,) if fleet.policy == "two-choices" else (100, 5000):
        share = fleet.shares(rate)[loaded]
        print(f"     {fleet.policy}: at {rate} requests a second the overloaded one gets {100 * share:.1f} %")
        check(share <= 0.1, f"at {rate} a second the overloaded one gets {share:.3f}")


def overload(fleet, **load):
    """A load tool makes one of them slow: requests go to the other one, and come back when it has ended."""
    loaded, other = fleet.servers

    def difference():
        nodes = fleet.nodes("dispatcher")
        return nodes[loaded]["load_index"] - nodes[other]["load_index"]

    wait_until("both are idle", lambda: abs(difference()) < 0.1)
    with load_tool(loaded, **load):
        wait_until("the dispatcher knows", lambda: difference() > 0.4)
        is_left_alone(fleet, loaded)
        check(fleet.state(loaded) == "ready", "overloaded is not down")
    wait_until("the load is gone", lambda: abs(difference()) < 0.1)
    wait_until("both get their share", lambda: min(fleet.shares(1000).values()) > 0.25)


def one_is_overloaded_and_recovers(fleet):
    """By its connections; checked by a TCP connect, which an overloaded server still takes."""
    fleet.attach_anew("--attach-load", "connections", path="")
    for policy in ("two-choices", "below-average", "finish-time"):
        fleet.policy = policy
        fleet.ctl("dispatcher", "set", "policy", policy)
        overload(fleet)


def short_connections_count_too(fleet):
    """A new connection for each request, which leaves thousands of closed ones in the kernel's tables."""
    fleet.attach_anew("--attach-load", "connections", path="")
    overload(fleet, options=["-H", "Connection: close"])


def metric_of_the_server_counts(fleet):
    """Its page comes late from a server that is overloaded; then it counts as full."""
    fleet.attach_anew("--attach-load", "metric:/status#Active connections", path="")
    overload(fleet)


def checks_that_time_out_take_it_out(fleet):
    """By a page that the overloaded server has no time for."""
    fleet.attach_anew()
    loaded, other = fleet.servers
    with load_tool(loaded, clients=400):
        wait_until("it is taken out", lambda: fleet.state(loaded) != "ready")
        shares = fleet.ask_many(ASKS // 5)
        check(shares == {other: ASKS // 5}, f"of {ASKS // 5} asks: {shares}")
        check("no answer within" in fleet.attached(loaded)["services"][0]["problem"], f"{fleet.attached(loaded)}")
    wait_until("it is back", lambda: fleet.state(loaded) == "ready")


def machine_s_load_is_the_same_for_both(fleet):
    """With --attach-load host servers of one machine cannot be told apart."""
    fleet.attach_anew("--attach-load", "host", path="")
    with load_tool(fleet.servers[0]):
        wait_until("the machine is busy", lambda: all(fleet.attached(address)["load_index"] > 0.15 for address in fleet.servers))
        time.sleep(0.5)
        shares = fleet.shares(1000)
        check(min(shares.values()) > 0.25, f"of two on one machine: {shares}")


def metric_that_is_not_there_is_told(fleet):
    fleet.attach_anew("--attach-load", "metric:/status#Passive connections")
    row = fleet.attached(fleet.servers[0])
    wait_until("a line about it", lambda: "attach-load-unknown" in fleet.processes["worker"].log())
    check(not row["load_known"] and row["in_use"] == 0, f"status: {row}")
    check("begins with the metric's name" in fleet.processes["worker"].log(), fleet.processes["worker"].log())
    both_get_their_share(fleet)


def jobs_are_refused(fleet):
    code, _, err = run("usher", "run", "--dispatchers", fleet.dispatcher_at, "--service", "web", "--data", "x")
    check(code == 1 and "attached server" in err and "usher ask" in err, f"usher run: exit {code}: {err}")


def two_workers_of_one_server_are_told(fleet):
    """The one that began last is believed; the other one says so, once, and when that is over."""
    fleet.attach_anew()
    first = fleet.processes["worker"]
    begun = first.log().count("attach-unheard")
    fleet.worker(address_new(), fleet.rm_at, "--heartbeat", "200ms", "--attach", f"web={fleet.servers[0]}", name="second")
    wait_until("the first one says so", lambda: first.log().count("attach-unheard") > begun)
    check("on one node only" in first.log() and f"server={fleet.servers[0]} " in first.log(), f"what to do: {first.log()}")
    time.sleep(1)
    check(first.log().count("attach-unheard") == begun + 1, "it says so once")
    check("attach-unheard" not in fleet.processes["second"].log(), "the one that is believed has nothing to say")
    both_get_their_share(fleet)
    fleet.processes["second"].terminate()
    wait_until("the first one is believed again", lambda: "attach-heard" in first.log())


main(both_get_their_share, one_stops_and_returns, one_is_overloaded_and_recovers, short_connections_count_too, metric_of_the_server_counts,
     checks_that_time_out_take_it_out, machine_s_load_is_the_same_for_both, metric_that_is_not_there_is_told,
     two_workers_of_one_server_are_told, jobs_are_refused, stage=a_fleet)
