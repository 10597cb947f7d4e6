"""bench/scale: what a resource manager and its Redis take to hear of very many nodes (P8).

usher-rm with its embedded Redis stands on one CPU; bench-fleet, which plays the nodes, and the dispatchers that follow on the other. The
base it is set against is what a manager that keeps everything in Redis would need at least: the same Redis, driven by two pipelined ZADDs
for each heartbeat. Both in turn, a few rounds of each."""

import argparse
import http.client
import json
import os
import pathlib
import signal
import socket
import statistics
import subprocess
import sys
import threading
import time

from suite import machine, servers
from suite.arguments import existing_folder, within
from suite.machine import Trouble, address_free, alone
from suite.process import Stage, cpu_ns
from suite.servers import program

TARGETS = ["usher-rm", "usher-dispatcher", "usherctl", "bench-fleet"]
SLOW_US = 5000  # Redis must never be blocked for longer (P8)
CORES_MAX = 1.0
START_S = 8  # until 100,000 nodes are registered and written
SILENCE_S = 8  # after the last heartbeat: until all have expired (--heartbeat-valid, 3 s) and Redis has been told
EARLY_S = 0.2  # between questions while rm has just started, and tells no list yet
TICK_S = 1 / os.sysconf("SC_CLK_TCK")


def memory_bytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


def cpu_with_children_s(pid):
    """Of a process and the children it has waited for: Redis rewrites its log in such."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return cpu_ns(pid) / 1e9 + sum(map(int, fields[13:15])) * TICK_S


def waited_s(pid):
    """How long the main thread has stood ready for a CPU that others had, and how often it had to give it up."""
    delay_ns = int(pathlib.Path(f"/proc/{pid}/task/{pid}/schedstat").read_text().split()[1])
    status = pathlib.Path(f"/proc/{pid}/task/{pid}/status").read_text()
    return delay_ns / 1e9, int(status.split("nonvoluntary_ctxt_switches:")[1].split()[0])


def put_first(pid):
    """The main thread gets its CPU whenever it wants it; what it forks does not."""
    try:
        os.sched_setscheduler(pid, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    except PermissionError:
        raise Trouble("--redis-first: this needs CAP_SYS_NICE: run it as root") from None


class Redis:
    """As much of a Redis client as is needed to look into one."""

    def __init__(self, path, pid):
        self.pid = pid
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(5)
        self.socket.connect(str(path))
        self.file = self.socket.makefile("rb")

    def __call__(self, *words):
        encoded = [str(word).encode() for word in words]
        self.socket.sendall(b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(word), word) for word in encoded))
        return self.reply()

    def reply(self):
        line = self.file.readline().decode().rstrip()
        kind, rest = line[:1], line[1:]
        if kind == "-":
            raise Trouble(f"Redis says {rest}")
        if kind == "$":
            return None if rest == "-1" else self.file.read(int(rest) + 2)[:-2].decode(errors="replace")
        if kind == "*":
            return [self.reply() for _ in range(int(rest))]
        return int(rest) if kind == ":" else rest

    def info(self, section):
        return dict(line.split(":", 1) for line in self("INFO", section).splitlines() if ":" in line)

    def close(self):
        self.file.close()
        self.socket.close()

    def watch_begin(self):
        for name, value in (("slowlog-log-slower-than", SLOW_US), ("slowlog-max-len", 1000), ("latency-monitor-threshold", SLOW_US // 1000)):
            self("CONFIG", "SET", name, value)
        self("SLOWLOG", "RESET")
        self("LATENCY", "RESET")
        self.waited = waited_s(self.pid)

    def watch_end(self):
        slow = [{"us": entry[2], "command": " ".join(entry[3][:2])} for entry in self("SLOWLOG", "GET", 100)]
        events = {event[0]: event[3] for event in self("LATENCY", "LATEST")}
        waited, interrupted = (now - before for now, before in zip(waited_s(self.pid), self.waited))
        return {"slowlog": slow, "latency_ms_max": events, "memory_mb": int(self.info("memory")["used_memory"]) / 1e6,
                "waited_s": waited, "interrupted": interrupted}


def control(binaries, socket_path, *words):
    run = subprocess.run([program(binaries, "usherctl"), "-s", socket_path, *words, "--json"], capture_output=True, text=True, check=False)
    return json.loads(run.stdout) if run.returncode == 0 else None


def stats_of(binaries, socket_path):
    answer = control(binaries, socket_path, "stats")
    if not answer:
        raise Trouble(f"{socket_path} does not answer: usher-rm or a dispatcher has ended")
    return answer["stats"]


def pin(pid, cpus):
    for task in os.listdir(f"/proc/{pid}/task"):
        os.sched_setaffinity(int(task), cpus)


class Region:
    """usher-rm with its Redis, and dispatchers that follow it."""

    def __init__(self, stage, binaries, options):
        dispatchers = options.dispatchers
        self.binaries = binaries
        self.address, self.http = address_free(), address_free()
        self.control = stage.folder / "rm.sock"
        self.rm = stage.start("usher-rm", [program(binaries, "usher-rm"), "--listen", self.address, "--state-dir", stage.folder / "rm",
                                           "--admin", self.control, "--http", self.http])
        self.rm.wait_until("connected to its Redis", self.redis_is_up)
        status = control(binaries, self.control, "status")["redis"]
        self.redis_pid = status["pid"]
        if options.redis_apart:
            pin(self.redis_pid, {stage.cpus.load})
        if options.redis_first:
            put_first(self.redis_pid)
        self.redis = Redis(status["where"].split("unix:", 1)[1], self.redis_pid)
        self.dispatchers = []
        for number in range(dispatchers):
            path = stage.folder / f"d{number}.sock"
            process = stage.start(f"dispatcher-{number}", [
                program(binaries, "usher-dispatcher"), "--listen", address_free(), "--rm", self.address, "--no-jobs", "--threads", "1",
                "--state-dir", stage.folder / f"d{number}", "--admin", path, "--drain-accept", "0s"], {stage.cpus.load})
            self.dispatchers.append((process, path))
        for process, path in self.dispatchers:
            process.wait_until("following rm", lambda path=path: self.nodes_seen(path) >= dispatchers)

    def redis_is_up(self):
        status = control(self.binaries, self.control, "status")
        return status and status["redis"]["up"]

    def nodes_seen(self, path):
        status = control(self.binaries, path, "status")
        return status["directory"]["nodes"] if status else 0

    def memory(self):
        return {"rm": memory_bytes(self.rm.pid), "dispatcher": memory_bytes(self.dispatchers[0][0].pid) if self.dispatchers else 0,
                "redis": memory_bytes(self.redis_pid)}

    def cpu_s(self):
        return {"rm": cpu_ns(self.rm.pid) / 1e9, "redis": cpu_with_children_s(self.redis_pid),
                "dispatchers": sum(cpu_ns(process.pid) for process, _ in self.dispatchers) / 1e9}

    def ages(self):
        """What the dispatchers know, how old it is now: [(p50, p99, max)]."""
        name = "usher_directory_node_age_seconds"
        found = [stats_of(self.binaries, path) for _, path in self.dispatchers]
        return [tuple(stats[f'{name}{{share="{share}"}}'] for share in ("0.5", "0.99", "1")) for stats in found]


class Fleet:
    """bench-fleet: started, warm, counting, ended."""

    def __init__(self, stage, binaries, options, warmup_s, duration_s, *where):
        self.process = stage.start("bench-fleet", [program(binaries, "bench-fleet"), *where, "--nodes", options.nodes, "--services",
                                                   options.services, "--services-per-node", options.services_per_node, "--changes-per-s",
                                                   options.changes, "--warmup", f"{warmup_s:g}s", "--duration", f"{duration_s:g}s", "--json"],
                                   {stage.cpus.load})
        if options.redis_first:
            put_first(self.process.pid)  # its heartbeats are due, whatever else is going on
        self.process.wait_until("counting", lambda: "counting" in self.process.log())

    def is_running(self):
        return self.process.popen.poll() is None

    def result(self):
        self.process.popen.wait()
        try:
            return json.loads(self.process.log().splitlines()[-1])
        except (ValueError, IndexError):
            raise Trouble(f"bench-fleet failed: {self.process.log().strip()[-400:]}") from None


class Reader(threading.Thread):
    """curl, which asks rm for the list of all nodes again and again."""

    def __init__(self, region, interval_s, cpus):
        super().__init__(daemon=True)
        self.command = ["taskset", "-c", str(cpus.load), "curl", "-sS", "-o", "/dev/null", "-w", "%{time_total} %{size_download} %{http_code}",
                        f"http://{region.http}/v1/nodes"]
        self.interval_s = interval_s
        self.lists, self.trouble = [], None
        self.ended = threading.Event()

    def run(self):
        while not self.ended.is_set():
            began = time.monotonic()
            answer = subprocess.run(self.command, capture_output=True, text=True, check=False)
            if answer.stdout.endswith(" 503") and not self.lists:
                self.ended.wait(EARLY_S)
                continue
            if answer.returncode or not answer.stdout.endswith(" 200"):
                self.trouble = f"GET /v1/nodes: {answer.stdout} {answer.stderr.strip()}"
                return
            self.lists.append(tuple(float(part) for part in answer.stdout.split()[:2]))
            self.ended.wait(max(0, self.interval_s - (time.monotonic() - began)))

    def end(self):
        self.ended.set()
        self.join()
        if self.trouble or not self.lists:
            raise Trouble(self.trouble or "GET /v1/nodes was never answered")
        return {"count": len(self.lists), "s": statistics.median(each[0] for each in self.lists), "bytes": self.lists[-1][1]}


def measure_silence(region):
    """All nodes have just fallen silent: what rm and Redis have to do when they expire, and for how long rm answers nobody meanwhile."""
    region.redis.watch_begin()
    connection = http.client.HTTPConnection(region.http, timeout=10)
    began, stalls_s = time.monotonic(), []
    while time.monotonic() - began < SILENCE_S:
        asked = time.monotonic()
        connection.request("GET", "/healthz")
        connection.getresponse().read()
        stalls_s.append(time.monotonic() - asked)
        time.sleep(0.002)
    connection.close()
    beats = region.redis("ZCARD", "usher:1:beats")
    return {"stall_ms_max": max(stalls_s) * 1e3, "beats_left": beats, "redis": region.redis.watch_end()}


def measure_usher(options, binaries, cpus):
    with Stage(cpus) as stage, alone():
        region = Region(stage, binaries, options)
        before = region.memory()
        fleet = Fleet(stage, binaries, options, options.warmup, options.duration, "--rm", region.address)
        reader = Reader(region, options.list_every, cpus) if options.list_every else None
        if reader:
            reader.start()
        region.redis.watch_begin()
        used, began, counted = region.cpu_s(), time.monotonic(), stats_of(binaries, region.control)
        ages = []
        while fleet.is_running() and time.monotonic() - began < options.duration - 0.5:
            time.sleep(min(1.0, options.duration / 4))
            ages += region.ages()
        ended = time.monotonic()
        now_used, now_counted = region.cpu_s(), stats_of(binaries, region.control)
        watched = region.redis.watch_end()
        after, seconds = region.memory(), ended - began
        lists = reader.end() if reader else None
        result = fleet.result()
        silence = measure_silence(region) if options.silence else None
        region.redis.close()
    grown = {name: (now_counted[name] - counted[name]) / seconds for name in now_counted if name in counted}
    used = {name: (now_used[name] - used[name]) / seconds for name in used}
    return {
        "cores": {**used, "sum": used["rm"] + used["redis"]},
        "fleet": result,
        "redis": {**watched, "waited_share": watched["waited_s"] / seconds},
        "lists": lists,
        "silence": silence,
        "heartbeats_per_s": grown['usher_heartbeats_total{result="accepted"}'],
        "delta_mb_per_s": grown["usher_directory_bytes_total"] / 1e6,
        "redis_lost": now_counted["usher_redis_lost_total"],
        "mirrored_per_s": grown["usher_mirror_nodes_total"],
        "flush_interval_s": 1 / grown["usher_mirror_flushes_total"] if grown["usher_mirror_flushes_total"] else None,
        "age_s": {name: statistics.median(age[i] for age in ages) for i, name in enumerate(("p50", "p99", "max"))} if ages else None,
        "age_p99_worst_s": max(age[1] for age in ages) if ages else None,
        "bytes_per_node": {name: (after[name] - before[name]) / options.nodes for name in after},
        "void": result.get("void"),
    }


def measure_zadds(options, binaries, cpus):
    """The same server, set up as rm's, with two ZADDs for each heartbeat."""
    with Stage(cpus) as stage, alone():
        path = stage.folder / "redis.sock"
        process = stage.start("redis", [servers.peer_path("redis-server"), "--port", "0", "--unixsocket", path, "--dir", stage.folder, "--save",
                                        "", "--appendonly", "yes", "--appendfsync", "everysec", "--daemonize", "no"])
        process.wait_until("answering", path.exists)
        duration = max(1.0, options.duration / 2)
        fleet = Fleet(stage, binaries, options, min(2.5, options.warmup), duration, "--zadd", path)
        used, began = cpu_with_children_s(process.pid), time.monotonic()
        time.sleep(duration - 0.3)
        used, ended = cpu_with_children_s(process.pid) - used, time.monotonic()
        result = fleet.result()
    late = result["unanswered"] > options.nodes / 10 and "Redis does not keep up"
    return {"cores": used / (ended - began), "heartbeats_per_s": result["heartbeats"] / result["duration_s"],
            "void": result.get("void") or late or None}


# ---- what is said ----

def spread(values, unit="", digits=2):
    text = f"{statistics.median(values):.{digits}f}"
    return (text if len(values) == 1 else f"{text} ({min(values):.{digits}f} to {max(values):.{digits}f})") + unit


def report_text(options, rounds):
    usher = [pair["usher"] for pair in rounds if not pair["usher"]["void"]]
    pairs = [pair for pair in rounds if not pair["usher"]["void"] and pair["zadds"] and not pair["zadds"]["void"]]
    lines = [f"{options.nodes:,} nodes, a heartbeat a second each, {options.dispatchers} dispatchers, {len(rounds)} round(s) of "
             f"{options.duration:g} s; Redis on {'the CPU of the load' if options.redis_apart else 'the CPU of rm'}"
             f"{', before all others there but the nodes (SCHED_FIFO)' if options.redis_first else ''}"]
    for pair in rounds:
        for name in ("usher", "zadds"):
            if pair[name] and pair[name]["void"]:
                lines.append(f"VOID ({name}): {pair[name]['void']}")
    if not usher:
        return "\n".join(lines)

    def row(title, values, *more, **keywords):
        lines.append(f"  {title:<38} {spread(values, *more, **keywords)}")

    row("cores: rm", [each["cores"]["rm"] for each in usher])
    row("cores: Redis", [each["cores"]["redis"] for each in usher])
    row("cores: both (goal: below 1)", [each["cores"]["sum"] for each in usher])
    row("cores: each dispatcher", [each["cores"]["dispatchers"] / max(1, options.dispatchers) for each in usher])
    if pairs:
        row("cores: Redis with 2 ZADDs each", [pair["zadds"]["cores"] for pair in pairs])
        row("rm and Redis / that Redis alone", [pair["usher"]["cores"]["sum"] / pair["zadds"]["cores"] for pair in pairs])
    row("heartbeats accepted a second", [each["heartbeats_per_s"] for each in usher], digits=0)
    row("acknowledged within, p99", [each["fleet"]["ack_ms"]["p99"] for each in usher], " ms", digits=1)
    row("acknowledged within, longest", [each["fleet"]["ack_ms"]["max"] for each in usher], " ms", digits=1)
    row("not acknowledged", [each["fleet"]["lost"] for each in usher], digits=0)
    row("deltas", [each["delta_mb_per_s"] for each in usher], " MB/s", digits=1)
    row("nodes written to Redis a second", [each["mirrored_per_s"] for each in usher], digits=0)
    row("Redis given up (100 ms silent), times", [each["redis_lost"] for each in usher], digits=0)
    row("Redis ready, but others had its CPU", [each["redis"]["waited_share"] * 100 for each in usher], " % of the time", digits=1)
    row("Redis interrupted by others, times", [each["redis"]["interrupted"] for each in usher], digits=0)

    def slow(found):
        row("Redis blocked above 5 ms, times", [len(each["slowlog"]) for each in found], digits=0)
        for each in found:
            for entry in each["slowlog"][:5]:
                lines.append(f"    {entry['us'] / 1000:.1f} ms: {entry['command']}")
            if each["latency_ms_max"]:
                lines.append(f"    latency events, longest in ms: {each['latency_ms_max']}")

    slow([each["redis"] for each in usher])
    if options.list_every:
        row("lists of all nodes read", [each["lists"]["count"] for each in usher], digits=0)
        row("each within", [each["lists"]["s"] for each in usher], " s")
        row("each", [each["lists"]["bytes"] / 1e6 for each in usher], " MB", digits=1)
    if options.dispatchers and all(each["age_s"] for each in usher):
        row("age at the dispatchers, p50", [each["age_s"]["p50"] for each in usher], " s")
        row("age at the dispatchers, p99", [each["age_s"]["p99"] for each in usher], " s")
        row("the same, worst of all samples", [each["age_p99_worst_s"] for each in usher], " s")
        row("age at the dispatchers, oldest", [each["age_s"]["max"] for each in usher], " s")
    if options.silence:
        lines.append("then all nodes fell silent at once:")
        row("rm answered nobody for, longest", [each["silence"]["stall_ms_max"] for each in usher], " ms", digits=1)
        row("beats left in Redis", [each["silence"]["beats_left"] for each in usher], digits=0)
        slow([each["silence"]["redis"] for each in usher])
    for name in ("rm", "redis", "dispatcher"):
        row(f"bytes a node: {name}", [each["bytes_per_node"][name] for each in usher], digits=0)
    return "\n".join(lines)


def arguments_read():
    parser = argparse.ArgumentParser(
        prog="bench/scale", description="Measures the CPU that usher-rm and its Redis need for a fleet of nodes that heartbeat once a second "
        "with dispatchers following, Redis' slowlog, the age of what dispatchers know, and memory. docs/SCALE.md says what came of it.",
        epilog="Exit codes: 0 measured (goals missed are no error), 1 it could not be measured or every round was VOID, 2 wrong arguments.")
    parser.add_argument("--nodes", type=within(int, 1, 1_000_000), default=100_000, metavar="N", help="how many nodes (100000)")
    parser.add_argument("--dispatchers", type=within(int, 0, 16), default=3, metavar="N", help="how many dispatchers follow (3)")
    parser.add_argument("--services", type=within(int, 1, 65535), default=1, metavar="K", help="how many services there are (1)")
    parser.add_argument("--services-per-node", type=within(int, 1, 16), default=1, metavar="M", help="how many each node offers (1)")
    parser.add_argument("--changes", type=within(float, 0, 100_000), default=1, metavar="C", help="nodes that fall silent, and others that join, a second (1)")
    parser.add_argument("--rounds", type=within(int, 1, 100), default=2, metavar="N", help="how often everything is measured (2)")
    parser.add_argument("--duration", type=within(float, 0.5, 3600, "0.5 to 3600 seconds"), default=10, metavar="SECONDS", help="how long each run is counted (10)")
    parser.add_argument("--quick", action="store_true", help="one short round, to see that it works")
    parser.add_argument("--redis-apart", action="store_true", help="Redis works on the CPU of the nodes and dispatchers instead of rm's: where "
                        "both share one, each waits for the other whatever they need")
    parser.add_argument("--redis-first", action="store_true", help="Redis gets its CPU whenever it wants it (SCHED_FIFO; needs CAP_SYS_NICE), "
                        "as it would on a CPU of its own: what its slowlog tells then is its own work, not others' in between. The nodes that "
                        "are played get it likewise, so that dispatchers have what is left")
    parser.add_argument("--list-every", type=within(float, 0, 3600, "0 to 3600 seconds"), default=0, metavar="SECONDS", help="curl reads the list of all nodes from rm as often, on "
                        "the CPU of the nodes and dispatchers (0: never)")
    parser.add_argument("--silence", action="store_true", help="at the end all nodes fall silent at once: watch what that does to rm and Redis")
    parser.add_argument("--no-base", action="store_true", help="without the Redis that gets two ZADDs for each heartbeat")
    parser.add_argument("--bin", type=existing_folder, metavar="DIR", help="measure the programs of this folder; build nothing")
    parser.add_argument("--json", metavar="FILE", help="write all that was measured there too")
    options = parser.parse_args()
    if options.json and not pathlib.Path(options.json).resolve().parent.is_dir():
        parser.error(f"--json: there is no folder for {options.json}")
    options.warmup = START_S
    if options.quick:
        options.rounds, options.duration, options.warmup = 1, min(options.duration, 2), 2.5
    return options


def measure(options):
    binaries = servers.binaries_path(options.bin) if options.bin else machine.build(TARGETS)
    cpus = machine.Cpus()
    rounds = []
    for number in range(options.rounds):
        print(f"round {number + 1} of {options.rounds}", file=sys.stderr, flush=True)
        usher = measure_usher(options, binaries, cpus)
        rounds.append({"usher": usher, "zadds": None if options.no_base else measure_zadds(options, binaries, cpus)})
    if cpus.note:
        print(cpus.note, file=sys.stderr)
    print(report_text(options, rounds))
    if options.json:
        record = {"options": vars(options), "facts": machine.facts(binaries, cpus), "rounds": rounds}
        pathlib.Path(options.json).write_text(json.dumps(record, indent=1, default=str) + "\n")
    return 0 if any(not pair["usher"]["void"] for pair in rounds) else 1


def main():
    options = arguments_read()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(130))
    try:
        return measure(options)
    except Trouble as trouble:
        print(f"bench/scale: {trouble}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
