"""The servers that are compared, each in the best set-up we know for one core: what starts them, how they are asked."""

import json
import os
import pathlib
import shutil
import socket
import subprocess

from suite.machine import ROOT, Trouble, address_free

PEERS = ROOT / "build/peers/root"
DNS_NAME = "pick.bench.test"
REDIS_KEY = "answer"
NAMED_NODES_MAX = 64  # of which usher-load is told the addresses, so that it takes no others


class Target:
    """A running server: where it is, and the options that make usher-load ask it.

    A spinning server is stopped (SIGSTOP) while others are measured: it would take their CPU."""

    def __init__(self, name, title, process, address, options, spins=False):
        self.name = name
        self.title = title
        self.process = process
        self.address = address
        self.options = list(options)
        self.spins = spins
        self.worker_pid = None  # the process that does the work: a server may have forked
        self.is_resting = False


def program(binaries, name):
    path = binaries / name
    if not path.exists():
        raise Trouble(f"{path} is missing: build it (bench/run does without --bin)")
    return path


def limit(stage, binaries, path, *options, name=None):
    """A bare echo."""
    process = stage.start(f"bench-limit-{path}", [program(binaries, "bench-limit"), "--path", path, *options])
    first = process.wait_until("listening", lambda: "listening on " in process.log() and process.log().splitlines()[0])
    proto = path.split("-")[0]
    title = " ".join(("bare echo", path, *options))
    return Target(name or f"echo {path}", title, process, first.split()[-1], ["--proto", proto, "--echo"], "--spin" in options)


class Cluster:
    """bench-feed, which stands in for rm, and how to start dispatchers that follow it. With `updates` (each node's once unless
    told otherwise: what is known of them must not be too old to place by) and `changes` a second it works, so it runs on the load's CPU."""

    def __init__(self, stage, binaries, nodes=8, services=1, updates=None, changes=0):
        self.stage = stage
        self.binaries = binaries
        self.nodes = nodes
        self.asked = asked_of(nodes, services, changes)
        self.address = address_free()
        self.feed = stage.start("bench-feed", [program(binaries, "bench-feed"), "--listen", self.address, "--nodes", nodes, "--services",
                                               services, "--updates-per-s", nodes if updates is None else updates, "--changes-per-s", changes], {stage.cpus.load})
        self.feed.wait_until("listening", lambda: ":" in self.feed.log())

    def dispatcher(self, transport, *options, name="dispatcher", binaries=None, threads=1, cpus=None):
        """transport: how it is asked, udp or tcp. It takes no jobs, and has one answering thread unless told otherwise."""
        binaries = binaries or self.binaries
        address = address_free()
        socket_path = self.stage.folder / f"{address.split(':')[1]}.sock"
        process = self.stage.start(
            name, [program(binaries, "usher-dispatcher"), "--listen", address, "--rm", self.address, "--no-jobs", "--threads", threads,
                   "--state-dir", self.stage.folder / "state", "--admin", socket_path, "--drain-accept", "0s", *options], cpus)
        control = program(binaries, "usherctl")

        def follows():
            run = subprocess.run([control, "-s", socket_path, "status", "--json"], capture_output=True, text=True, check=False)
            return run.returncode == 0 and json.loads(run.stdout)["directory"]["nodes"] >= self.nodes

        process.wait_until("following its rm", follows)
        return Target(name, " ".join((name, *options)), process, address, ["--proto", transport, *self.asked], "--spin" in options)


def asked_of(nodes, services, changes):
    """What usher-load is told of bench-feed's fleet: to ask for all services, and which addresses are on offer, where they are few and stay."""
    asked = ["--services", str(services)] if services > 1 else []
    if nodes <= NAMED_NODES_MAX and changes == 0:
        asked += ["--nodes", ",".join(f"10.0.0.{serial}:7500" for serial in range(nodes))]
    return asked


def peer_path(name):
    """A peer of build/peers, or the system's."""
    for folder in ("usr/sbin", "usr/bin"):
        if (PEERS / folder / name).exists():
            return str(PEERS / folder / name)
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin")
    if not path:
        raise Trouble(f"{name} is missing: run tools/deps bench")
    return path


def peer_environment():
    folders = [str(path) for path in (PEERS / "usr/lib").glob("*-linux-gnu*")]
    return {"LD_LIBRARY_PATH": ":".join(folders + [p for p in [os.environ.get("LD_LIBRARY_PATH")] if p])}


def dns_target(name, title, process, address):
    process.wait_until("answering", lambda: dns_answers(address))
    return Target(name, title, process, address, ["--proto", "dns", "--query", DNS_NAME])


def dns_answers(address):
    """Whether an A record comes back."""
    labels = b"".join(bytes([len(label)]) + label.encode() for label in DNS_NAME.split("."))
    ip, port = address.split(":")
    with socket.socket(type=socket.SOCK_DGRAM) as client:
        client.settimeout(0.05)
        client.connect((ip, int(port)))
        try:
            client.send(b"\x12\x34\x01\x00\x00\x01" + bytes(6) + labels + b"\0\0\1\0\1")
            reply = client.recv(512)
        except OSError:
            return False
    return len(reply) > 12 and reply[3] & 15 == 0 and reply[7] > 0


ZONE = "$TTL 3600\n@ IN SOA ns hostmaster 1 7200 1800 259200 900\n@ IN NS ns\nns IN A 127.0.0.1\n"


def gdnsd(stage):
    """Weighted choice among 64 addresses of which one is healthy, as a health check that runs elsewhere says in a file."""
    address, folder = address_free(), stage.folder / "gdnsd"
    for name in ("etc/zones", "run", "state"):
        (folder / name).mkdir(parents=True)
    weights = "\n".join(f"a{i} => [ 192.0.2.{i}, 10 ]" for i in range(1, 65))
    (folder / "etc/health").write_text("192.0.2.33 => UP/3600\n")
    (folder / "etc/zones/bench.test").write_text(ZONE + "pick DYNA weighted!pick\n")
    (folder / "etc/config").write_text(f"""
options => {{ listen => {address}, run_dir => "{folder}/run", state_dir => "{folder}/state", udp_threads => 1, tcp_threads => 1 }}
service_types => {{ health => {{ plugin => extfile, file => "{folder}/etc/health", def_down => true }} }}
plugins => {{ extfile => {{ }}, weighted => {{ pick => {{ service_types => health, up_thresh => 0.01
{weights}
}} }} }}
""")
    process = stage.start("gdnsd", [peer_path("gdnsd"), "-c", folder / "etc", "start"], environment=peer_environment())
    return dns_target("gdnsd", "gdnsd, weighted, 1 of 64 healthy", process, address)


def nsd(stage):
    """One A record, nothing else in the answer."""
    address, folder = address_free(), stage.folder / "nsd"
    folder.mkdir()
    (folder / "zone").write_text(ZONE + "pick IN A 192.0.2.33\n")
    (folder / "nsd.conf").write_text(f"""
server:
    ip-address: {address.replace(":", "@")}
    server-count: 1
    minimal-responses: yes
    username: ""
    chroot: ""
    zonesdir: "{folder}"
    zonelistfile: "{folder}/zone.list"
    xfrdfile: "{folder}/xfrd.state"
    xfrdir: "{folder}"
    cookie-secret-file: "{folder}/cookies"
    database: ""
    pidfile: ""
    rrl-ratelimit: 0
    rrl-whitelist-ratelimit: 0
remote-control:
    control-enable: no
zone:
    name: bench.test
    zonefile: zone
""")
    process = stage.start("nsd", [peer_path("nsd"), "-d", "-c", folder / "nsd.conf"], environment=peer_environment())
    return dns_target("NSD", "NSD, one A record", process, address)


def redis(stage):
    """GET of a prepared answer; nothing is written to disk."""
    address = address_free()
    ip, port = address.split(":")
    process = stage.start("redis", [peer_path("redis-server"), "--bind", ip, "--port", port, "--save", "", "--appendonly", "no",
                                    "--dir", stage.folder, "--daemonize", "no", "--maxclients", "20000"], environment=peer_environment())

    def holds_answer():
        try:
            with socket.create_connection((ip, int(port)), 0.2) as client:
                client.sendall(f"SET {REDIS_KEY} 192.0.2.33:7500\r\n".encode())
                return client.recv(64).startswith(b"+OK")
        except OSError:
            return False

    process.wait_until("answering", holds_answer)
    return Target("Redis", "Redis, GET of a prepared answer", process, address, ["--proto", "resp", "--command", f"GET {REDIS_KEY}"])


def versions():
    """{program: version} of the peers."""
    found = {}
    for name, option, title in (("gdnsd", "version", "gdnsd"), ("nsd", "-v", "NSD"), ("redis-server", "--version", "Redis")):
        try:
            run = subprocess.run([peer_path(name), option], capture_output=True, text=True, check=False, timeout=10,
                                 env={**os.environ, **peer_environment()})
        except (Trouble, OSError, subprocess.TimeoutExpired):
            continue
        lines = (run.stdout or run.stderr).strip().splitlines()
        found[title] = lines[0] if lines else "unknown"
    return found


def binaries_path(binaries):
    """Absolute, and checked."""
    path = pathlib.Path(binaries).resolve()
    if not (path / "usher-dispatcher").exists():
        raise Trouble(f"{path} has no usher-dispatcher: give a folder such as build/release/bin")
    return path
