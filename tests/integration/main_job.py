#!/usr/bin/env python3
"""The main job while nothing breaks: a region with its own Redis, two dispatchers and four workers; clients ask and run jobs, operators
look and steer."""
import contextlib
import hashlib
import pathlib
import shutil
import subprocess
import sys
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support import independent as wire, prometheus
from support.cluster import BIN, SANITIZED, Cluster, address_new, check, http_get, main, redis_cli, run, usher, wait_until

POLICIES = ("finish-time", "two-choices", "below-average", "random", "round-robin")


@contextlib.contextmanager
def one_region():
    with Cluster() as cluster:
        cluster.rm_at = address_new()
        cluster.http = {name: address_new() for name in ("rm", "d0", "w0")}
        cluster.rm(cluster.rm_at, "--http", cluster.http["rm"])
        cluster.dispatchers_at = [address_new() for _ in range(2)]
        cluster.workers_at = [address_new() for _ in range(4)]
        for i, address in enumerate(cluster.dispatchers_at):
            cluster.dispatcher(address, cluster.rm_at, *node_options(cluster, f"d{i}"), name=f"d{i}")
        for i, address in enumerate(cluster.workers_at):
            cluster.worker(address, cluster.rm_at, *node_options(cluster, f"w{i}"), "--services", "echo,sleep,spin,digest,blob",
                           "--services", "exec:upper=tr a-z A-Z", "--services", "exec:time=echo $USHER_SERVICE_TIME_MS",
                           "--services", "exec:fail=echo out of luck >&2; exit 3",
                           "--services", "exec:family=sh -c 'trap \"\" TERM; sleep 61' & trap '' TERM; sleep 61; sleep 61", name=f"w{i}")
        cluster.nodes_at = cluster.dispatchers_at + cluster.workers_at
        cluster.ask = ["--dispatchers", ",".join(cluster.dispatchers_at), "--reply-timeout", "2s" if SANITIZED else "500ms"]
        for name in ("d0", "d1"):
            cluster.wait_nodes(name, cluster.nodes_at)
        yield cluster


def node_options(cluster, name):
    http = ["--http", cluster.http[name]] if name in cluster.http else []
    return ["--slots", "4", "--heartbeat", "200ms", "--load-window", "200ms", *http]


def text_of(*arguments, expect=0, stdin=None):
    code, out, err = run(*arguments, stdin=stdin)
    check(code == expect, f"{arguments}: exit {code} instead of {expect}: {out} {err}")
    return out


# ---- asking ----

def addresses_come_over_udp_and_tcp(cluster):
    for proto in "udp", "tcp":
        line = text_of("usher", "ask", *cluster.ask, "--proto", proto)
        check(line.strip() in cluster.nodes_at and line.endswith("\n"), f"usher ask --proto {proto} printed {line!r}")
        answer = usher("ask", *cluster.ask, "--proto", proto)
        check(answer["addresses"][0]["address"] in cluster.nodes_at and answer["region"] == 1, f"--proto {proto}: {answer}")


def five_addresses_are_five_nodes(cluster):
    for proto in ("udp", "tcp") * 5:
        lines = text_of("usher", "ask", *cluster.ask, "--count", 5, "--proto", proto).split()
        check(len(set(lines)) == 5 and set(lines) <= set(cluster.nodes_at), f"--count 5 printed {lines}")
    everybody = usher("ask", *cluster.ask, "--count", 16)["addresses"]
    check({row["address"]: row["dispatcher"] for row in everybody} == {a: a in cluster.dispatchers_at for a in cluster.nodes_at},
          f"--count 16: {everybody}")


def excluded_nodes_are_left_out(cluster):
    rest = ",".join(cluster.nodes_at[1:])
    check(text_of("usher", "ask", *cluster.ask, "--exclude", rest).split() == cluster.nodes_at[:1], "all but one were excluded")


def the_region_is_told(cluster):
    where = usher("where", *cluster.ask[2:], "--dispatchers", cluster.dispatchers_at[0])
    check(where["region"] == 1 and {d["address"] for d in where["dispatchers"]} == set(cluster.dispatchers_at), f"where: {where}")
    text = text_of("usher", "where", *cluster.ask)
    check(text.startswith("region 1,") and all(d in text for d in cluster.dispatchers_at), f"where as text: {text}")


def the_plan_is_the_example_of_the_patent(_):
    plan = ("plan", "--clients", 10000, "--every", "5m..10m", "--dispatchers", 3)
    text = text_of("usher", *plan)
    check("5.56" in text and "11.11" in text, f"no 5.56 and 11.11 in: {text}")
    text = text_of("usher", *plan, "--per-core", 1000)
    check("0.56 % to 1.11 % of one core" in text, f"no share of a core in: {text}")
    numbers = usher(*plan, "--per-core", 1000)
    check(abs(numbers["rps_per_dispatcher_min"] - 5.5556) < 1e-3 and abs(numbers["rps_per_dispatcher_max"] - 11.1111) < 1e-3 and
          abs(numbers["core_share_max"] - 0.011111) < 1e-5, f"plan: {numbers}")


# ---- jobs ----

def every_service_does_its_work(cluster):
    def result(service, data="", *more):
        return text_of("usher", "run", *cluster.ask, "--service", service, "--data", data, "--service-time", "20s", *more)
    check(result("echo", "hello, usher") == "hello, usher", "echo")
    check(result("digest", "abc") == hashlib.blake2b(b"abc", digest_size=32).hexdigest(), "digest")
    check(result("upper", "hello") == "HELLO", "exec:upper")
    check(result("time", "", "--service-time", "4321ms") == "4321\n", "exec:time")
    check(result("sleep", "10ms") == "" and result("spin", "10ms") == "", "sleep and spin say nothing")
    for service in "sleep", "spin":
        job = usher("run", *cluster.ask, "--service", service, "--data", "150ms", "--service-time", "20s")["jobs"][0]
        check(job["ok"] and job["ran_us"] >= 150_000, f"{service} for 150 ms: {job}")


def failures_are_told(cluster):
    code, out, err = run("usher", "run", *cluster.ask, "--service", "fail")
    check(code == 1 and out == "" and "out of luck" in err and "3" in err and err.count("\n") == 1, f"exec:fail: {code} {out} {err}")
    job = usher("run", *cluster.ask, "--service", "sleep", "--data", "1m", "--service-time", "100ms", expect=1)["jobs"][0]
    check(job["error"] == "service-time-exceeded" and job["started"] and job["elapsed_us"] < 20_000_000, f"service time: {job}")


def programs_end_with_their_jobs(cluster):
    """A program that ignores SIGTERM and has children: none of them is left when the service time is up or the client has gone."""
    def family():
        found = 0
        for command_line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
            with contextlib.suppress(OSError):
                found += command_line.read_bytes() == b"sleep\0" b"61\0"
        return found
    job = usher("run", *cluster.ask, "--service", "family", "--service-time", "300ms", expect=1)["jobs"][0]
    check(job["error"] == "service-time-exceeded", f"{job}")
    wait_until("no program is left after its service time", lambda: family() == 0, 3 if not SANITIZED else 30)
    client = subprocess.Popen([BIN / "usher", "run", *cluster.ask, "--service", "family", "--service-time", "60s"], stderr=subprocess.DEVNULL)
    wait_until("the program runs", lambda: family() == 2)
    client.kill()
    client.wait()
    wait_until("no program is left without its client", lambda: family() == 0, 3 if not SANITIZED else 30)


def big_data_goes_both_ways(cluster):
    payload = cluster.folder / "payload"
    payload.write_bytes(bytes(i * 7 % 256 for i in range(1 << 20)))
    for data, stdin in (f"@{payload}", None), ("@-", payload.open("rb")):
        done = subprocess.run([BIN / "usher", "run", *cluster.ask, "--service", "echo", "--service-time", "30s", "--data", data],
                              stdin=stdin, capture_output=True, timeout=60)
        check(done.returncode == 0 and done.stdout == payload.read_bytes(), f"1 MiB as {data}: {done.returncode} {done.stderr}")
    done = subprocess.run([BIN / "usher", "run", *cluster.ask, "--service", "blob", "--service-time", "60s", "--data", "20MB"],
                          capture_output=True, timeout=90)
    wanted = bytes(range(251)) * ((20 << 20) // 251 + 1)
    check(done.returncode == 0 and done.stdout == wanted[:20 << 20], f"20 MB: {done.returncode}, {len(done.stdout)} bytes, {done.stderr}")


def service_times_spread_as_asked_for(cluster):
    jobs = usher("run", *cluster.ask, "--service", "echo", "--service-time", "1s..5s", "--repeat", 400, "--parallel", 10)["jobs"]
    times = [job["service_time_ms"] for job in jobs]
    check(all(job["ok"] for job in jobs) and min(times) >= 1000 and max(times) <= 5000, f"out of range: {min(times)}..{max(times)}")
    bins = [sum(1000 + 500 * i <= t < 1500 + 500 * i + (i == 7) for t in times) for i in range(8)]
    chi_square = sum((n - 50) ** 2 / 50 for n in bins)
    check(chi_square < 40, f"not uniform (chi-square {chi_square:.1f} with 7 degrees of freedom): {bins}")


def mixed_jobs_run_in_parallel(cluster):
    kinds = [("echo", "x"), ("sleep", "20ms"), ("spin", "2ms"), ("digest", "x"), ("blob", "100K"), ("upper", "x")]
    results = {}

    def jobs_run(service, data):
        results[service] = usher("run", *cluster.ask, "--service", service, "--data", data, "--service-time", "30s", "--wait", "60s",
                                 "--repeat", 60, "--parallel", 6)["summary"]
    threads = [threading.Thread(target=jobs_run, args=kind) for kind in kinds]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    check(len(results) == 6 and all(s["ok"] == 60 and s["failed"] == 0 for s in results.values()), f"mixed jobs: {results}")


# ---- policies ----

def policy_set(cluster, policy):
    for name in "d0", "d1":
        cluster.ctl(name, "set", "policy", policy)
        check(cluster.ctl(name, "status")["policy"] == policy, f"policy {policy} is not shown")


def picks_count(cluster, count, service="echo"):
    """How often each node is named in `count` answers."""
    picks = dict.fromkeys(cluster.nodes_at, 0)
    with wire.Stream(cluster.dispatchers_at[0]) as stream:
        for _ in range(count // 50):
            stream.send(wire.request_address(service, pad_to=0) * 50)
            for _ in range(50):
                picks[stream.receive().entries[0][0]] += 1
    return picks


def every_policy_gives_different_nodes_and_runs_jobs(cluster):
    for policy in POLICIES:
        policy_set(cluster, policy)
        five = [row["address"] for row in usher("ask", *cluster.ask, "--count", 5)["addresses"]]
        check(len(set(five)) == 5, f"{policy}: --count 5 gave {five}")
        summary = usher("run", *cluster.ask, "--service", "echo", "--data", "x", "--repeat", 30, "--parallel", 5)["summary"]
        check(summary["ok"] == 30, f"{policy}: {summary}")


def jobs_by_kind(cluster, count):
    """Jobs for each dispatcher and for each worker, on average. Two thirds of the slots are busy: were all, each would get what it can do."""
    nodes = usher("run", *cluster.ask, "--service", "sleep", "--data", "50ms", "--service-time", "30s", "--wait", "60s", "--repeat", count,
                  "--parallel", 16)["summary"]["nodes"]
    jobs = [nodes.get(address, 0) for address in cluster.nodes_at]
    return sum(jobs[:2]) / 2, sum(jobs[2:]) / 4


def dispatchers_get_less_work_than_workers(cluster):
    for policy in POLICIES:
        policy_set(cluster, policy)
        dispatcher, worker = jobs_by_kind(cluster, 1000)
        if dispatcher >= 0.9 * worker:  # below-average goes by heartbeats alone and varies most: look twice as long again
            dispatcher, worker = (a + b for a, b in zip((dispatcher, worker), jobs_by_kind(cluster, 2000)))
        print(f"     {policy}: {dispatcher:.0f} jobs for each dispatcher, {worker:.0f} for each worker")
        check(dispatcher < worker, f"{policy}: dispatchers get as much as workers")


def below_average_leaves_out_the_loaded(cluster):
    loaded = cluster.workers_at[0]
    policy_set(cluster, "below-average")
    with wire.Stream(loaded) as stream:
        stream.send(b"".join(wire.job("sleep", b"60s", service_time_ms=60_000, wait_ms=60_000) for _ in range(12)))
        wait_until("rm hears of eight waiting jobs", lambda: cluster.nodes("rm")[loaded]["jobs_queued"] == 8)
        wait_until("rm counts the node as loaded", lambda: cluster.nodes("rm")[loaded]["below_average"] == 0)
        wait_until("it is not handed out", lambda: picks_count(cluster, 500)[loaded] == 0)
        policy_set(cluster, "random")
        check(picks_count(cluster, 500)[loaded] > 0, "policy random looks at load")
    wait_until("its jobs end with their connection", lambda: cluster.ctl("w0", "status")["node"]["jobs_running"] == 0)
    policy_set(cluster, "finish-time")


# ---- operators ----

def drained_nodes_get_nothing_until_they_are_ready(cluster):
    node = cluster.workers_at[1]
    cluster.ctl("rm", "drain", node, "--reason", "a new disk")
    wait_until("rm says drained", lambda: cluster.nodes("rm")[node]["state"] == "drained")
    for name in "d0", "d1":
        wait_until("the dispatcher says drained", lambda: cluster.nodes(name)[node]["state"] == "drained")
    check(picks_count(cluster, 500)[node] == 0, "a drained node was handed out")
    check(usher("run", *cluster.ask, "--service", "echo", "--repeat", 50)["summary"]["nodes"].get(node) is None, "it got jobs")
    wait_until("the node knows", lambda: cluster.ctl("w1", "status")["node"]["admin_drain"])
    wait_until("Redis knows", lambda: '"drain":true' in redis_cli(cluster, "rm", "HGET", "usher:1:admin", node))
    cluster.ctl("rm", "ready", node)
    wait_until("it is handed out again", lambda: picks_count(cluster, 500)[node] > 0)
    wait_until("the node knows that too", lambda: not cluster.ctl("w1", "status")["node"]["admin_drain"])


def sleep_factor_makes_slow_nodes(cluster):
    cluster.ctl("w2", "set", "sleep-factor", "3")
    with wire.Stream(cluster.workers_at[2]) as stream:
        ran_us = stream.run(wire.job("sleep", b"100ms", service_time_ms=20_000))[0].ran_us
    cluster.ctl("w2", "set", "sleep-factor", "1")
    check(ran_us >= 300_000, f"100 ms at factor 3 took {ran_us} us")


def everybody_agrees_on_the_nodes(cluster):
    def view(name):
        return {a: (row["kind"], row["slots"]) for a, row in cluster.nodes(name).items()}
    wanted = {a: ("dispatcher" if a in cluster.dispatchers_at else "worker", 4) for a in cluster.nodes_at}
    for name in "rm", "d0", "d1":
        check(view(name) == wanted, f"{name} knows {view(name)}")
    upper = run("usherctl", "-s", cluster.socket("d0"), "nodes", "upper")[1]
    check(all(a in upper for a in cluster.workers_at) and not any(a in upper for a in cluster.dispatchers_at), f"nodes upper: {upper}")


def redis_shows_the_truth(cluster):
    def scores(key):
        words = redis_cli(cluster, "rm", "ZRANGE", key, "0", "-1", "WITHSCORES").split()
        return dict(zip(words[::2], map(float, words[1::2])))

    def now_ms():
        seconds, micros = redis_cli(cluster, "rm", "TIME").split()
        return int(seconds) * 1000 + int(micros) // 1000

    def loads_agree():
        theirs, ours = scores("usher:1:loads"), cluster.nodes("rm")
        return all(abs(theirs[a] - ours[a]["load_index"]) < 0.05 for a in cluster.nodes_at)
    beats, now = scores("usher:1:beats"), now_ms()
    check(set(beats) == set(cluster.nodes_at) == set(scores("usher:1:loads")), f"members: {beats}, {scores('usher:1:loads')}")
    check(all(-2000 < now - ms < 3500 for ms in beats.values()), f"beats are not of now, which is {now}: {beats}")
    wait_until("all beats go on", lambda: all(ms > beats[a] for a, ms in scores("usher:1:beats").items()))
    wait_until("loads are those that rm knows", loads_agree)
    check(len(redis_cli(cluster, "rm", "HKEYS", "usher:1:nodes").split()) == 6, "metadata of six nodes")
    keys = redis_cli(cluster, "rm", "KEYS", "*").split()
    check(all(key.startswith("usher:1:") for key in keys), f"keys outside of usher:1: {keys}")


def stats_count_what_happened(cluster):
    def count():
        return cluster.ctl("d0", "stats")["stats"]['usher_picks_total{result="ok"}']
    before = count()
    picks_count(cluster, 200)
    check(count() == before + 200, f"200 requests, but {count() - before} picks counted")


def metrics_are_what_prometheus_reads(cluster):
    for name, address in cluster.http.items():
        status, text = http_get(address, "/metrics")
        check(status == 200, f"{name}: GET /metrics: {status}")
        for complaint in prometheus.complaints(text):
            check(False, f"{name}: {complaint}")
        if shutil.which("promtool"):
            done = subprocess.run(["promtool", "check", "metrics"], input=text, capture_output=True, text=True)
            check(done.returncode == 0, f"{name}: promtool: {done.stdout} {done.stderr}")
        check(http_get(address, "/healthz") == (200, "ok\n"), f"{name}: GET /healthz: {http_get(address, '/healthz')}")


# ---- the same over IPv6, and over each backend ----

def io_cluster(ip, io):
    """One rm, a dispatcher and a worker of each backend, so that all pairs of backends talk to each other."""
    with Cluster() as cluster:
        rm = address_new(ip)
        cluster.rm(rm, "--io", io)
        nodes = []
        for kind in "uring", "epoll":
            nodes += [address_new(ip), address_new(ip)]
            cluster.dispatcher(nodes[-2], rm, "--io", kind, name=f"dispatcher-{kind}")
            cluster.worker(nodes[-1], rm, "--io", kind, name=f"worker-{kind}")
        for kind in "uring", "epoll":
            cluster.wait_nodes(f"dispatcher-{kind}", nodes)
            for program in "dispatcher", "worker":
                shown = cluster.ctl(f"{program}-{kind}", "status")["io"]
                check(shown == kind, f"--io {kind} is shown as {shown}")
        check(cluster.ctl("rm", "status")["io"] == io, "rm's backend")
        for dispatcher in nodes[0], nodes[2]:
            ask = ["--dispatchers", dispatcher, "--reply-timeout", "2s"]
            for proto in "udp", "tcp":
                check(len(usher("ask", *ask, "--count", 4, "--proto", proto)["addresses"]) == 4, f"four nodes by {dispatcher}")
            check(usher("where", *ask)["region"] == 1, "the region")
        summary = usher("run", *ask, "--service", "digest", "--data", "x" * 1000, "--repeat", 100, "--parallel", 8)["summary"]
        check(summary["ok"] == 100 and set(summary["nodes"]) == set(nodes), f"{summary}")


def every_pair_of_backends_works_together(_):
    io_cluster("127.0.0.1", "uring")


def ipv6_works_as_well(_):
    io_cluster("[::1]", "epoll")


main(addresses_come_over_udp_and_tcp, five_addresses_are_five_nodes, excluded_nodes_are_left_out, the_region_is_told,
     the_plan_is_the_example_of_the_patent, every_service_does_its_work, failures_are_told, programs_end_with_their_jobs, big_data_goes_both_ways,
     service_times_spread_as_asked_for, mixed_jobs_run_in_parallel, every_policy_gives_different_nodes_and_runs_jobs,
     dispatchers_get_less_work_than_workers, below_average_leaves_out_the_loaded, drained_nodes_get_nothing_until_they_are_ready,
     sleep_factor_makes_slow_nodes, everybody_agrees_on_the_nodes, redis_shows_the_truth, stats_count_what_happened,
     metrics_are_what_prometheus_reads, every_pair_of_backends_works_together, ipv6_works_as_well, stage=one_region)
