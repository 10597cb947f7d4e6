#!/usr/bin/env python3
"""Two nginx that know nothing of Usher, attached to a worker (docs/NODE.md, "Attached servers"): one is stopped, one is overloaded; those who
ask `usher ask` are sent to the other within the time that the worker's log names, and back when it is well again."""
import collections
import contextlib
import pathlib
import random
import re
import shutil
import socket
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import SANITIZED, Cluster, address_new, check, main, metrics, run, wait_until

ROOT = pathlib.Path(__file__).resolve().parents[2]
ASKS = 200 if SANITIZED else 1000
SLOTS = 50
HELD = 200  # connections, four times what a server is said to serve well
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
    }}
}}
"""


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


def nginx_program():
    unpacked = ROOT / "build/fleet/root/usr/sbin/nginx"
    found = unpacked if unpacked.exists() else shutil.which("nginx", path="/usr/sbin:/usr/bin")
    check(found, "no nginx: tools/deps test unpacks one into build/fleet")
    return found


class Fleet(Cluster):
    """rm, dispatcher, two nginx and a worker that speaks for them."""

    def __init__(self):
        super().__init__()
        self.rm_at, self.rm_http, self.dispatcher_at, self.worker_at, self.worker_http = (address_new() for _ in range(5))
        self.servers = [server_address(), server_address()]

    def begin(self):
        self.rm(self.rm_at, "--http", self.rm_http)
        self.dispatcher(self.dispatcher_at, self.rm_at, "--no-jobs", "--policy", "two-choices")
        for number, address in enumerate(self.servers):
            folder = self.folder / f"nginx-{number}"
            folder.mkdir()
            (folder / "nginx.conf").write_text(NGINX_CONF.format(address=address))
            self.add(f"nginx-{number}", nginx_program(), "-p", f"{folder}/", "-c", "nginx.conf", "-e", "error.log")
        for address in self.servers:  # else the first check would find it down, and say so
            wait_until(f"{address} listens", lambda address=address: listens(address))

    def attach(self, load):
        attached = [word for address in self.servers for word in ("--attach", f"web=http://{address}/health")]
        self.worker(self.worker_at, self.rm_at, "--http", self.worker_http, "--heartbeat", "200ms", *attached, "--attach-load", load,
                    "--attach-slots", SLOTS, "--attach-check-interval", "200ms", "--attach-check-timeout", "300ms")
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

    def attached(self, address):
        rows = self.ctl("worker", "status")["node"]["attached"]
        return next(row for row in rows if row["address"] == address)

    def worst_s(self):
        return max(int(ms) for ms in re.findall(r"attach-begun .*worst_ms=(\d+)", self.processes["worker"].log())) / 1000


@contextlib.contextmanager
def a_fleet():
    with Fleet() as fleet:
        fleet.begin()
        fleet.attach("connections")
        yield fleet


@contextlib.contextmanager
def held_connections(address, count):
    ip, port = address.rsplit(":", 1)
    with contextlib.ExitStack() as stack:
        for _ in range(count):
            stack.enter_context(socket.create_connection((ip, int(port))))
        yield


def both_get_their_share(fleet):
    shares = fleet.ask_many(ASKS // 5)
    check(all(shares[address] >= ASKS // 5 * 0.25 for address in fleet.servers), f"of {ASKS // 5} asks: {shares}")


def one_stops_and_returns(fleet):
    stopped, other = fleet.servers
    fleet.processes["nginx-0"].terminate()
    begin = time.monotonic()
    last_s = 0
    while time.monotonic() - begin < fleet.worst_s() + LATE_S:
        if fleet.ask() == stopped:
            last_s = time.monotonic() - begin
    print(f"     stopped server last named after {last_s * 1000:.0f} ms; worst_ms says {fleet.worst_s() * 1000:.0f}")
    check(last_s <= fleet.worst_s() + LATE_S / 2, f"the stopped server was named {last_s:.2f} s later; {fleet.worst_s()} s were promised")
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


def one_is_overloaded_and_recovers(fleet):
    loaded, other = fleet.servers
    with held_connections(loaded, HELD):
        wait_until("the connections show", lambda: fleet.attached(loaded)["in_use"] >= HELD)
        wait_until("the dispatcher knows", lambda: fleet.nodes("dispatcher")[loaded]["load_index"] > 1)
        shares = fleet.ask_many(ASKS)
        print(f"     with {HELD} connections held: {shares[loaded]} of {ASKS} asks")
        check(shares[other] >= 0.95 * ASKS, f"of {ASKS} asks with {HELD} connections held: {shares}")
        check(fleet.state(loaded) == "ready", "overloaded is not down")
    wait_until("the connections are gone", lambda: fleet.nodes("dispatcher")[loaded]["load_index"] < 1)
    both_get_their_share(fleet)


def metric_of_the_server_counts(fleet):
    loaded = fleet.servers[0]
    fleet.processes["worker"].kill()
    fleet.attach("metric:/status#Active connections")
    with held_connections(loaded, HELD):
        wait_until("the metric shows", lambda: fleet.attached(loaded)["in_use"] >= HELD)
        wait_until("the dispatcher knows", lambda: fleet.nodes("dispatcher")[loaded]["load_index"] > 1)
        shares = fleet.ask_many(ASKS // 5)
        check(shares[loaded] <= 0.05 * ASKS // 5, f"of {ASKS // 5} asks with {HELD} connections held: {shares}")
    check(fleet.attached(loaded)["load_known"], "the metric is there")


def metric_that_is_not_there_is_told(fleet):
    fleet.processes["worker"].terminate()
    fleet.attach("metric:/status#Passive connections")
    row = fleet.attached(fleet.servers[0])
    wait_until("a line about it", lambda: "attach-load-unknown" in fleet.processes["worker"].log())
    check(not row["load_known"] or row["in_use"] == 0, f"status: {row}")
    check("begins with the metric's name" in fleet.processes["worker"].log(), fleet.processes["worker"].log())
    both_get_their_share(fleet)


def jobs_are_refused(fleet):
    code, _, err = run("usher", "run", "--dispatchers", fleet.dispatcher_at, "--service", "web", "--data", "x")
    check(code == 1 and "attached server" in err and "usher ask" in err, f"usher run: exit {code}: {err}")


main(both_get_their_share, one_stops_and_returns, one_is_overloaded_and_recovers, metric_of_the_server_counts,
     metric_that_is_not_there_is_told, jobs_are_refused, stage=a_fleet)
