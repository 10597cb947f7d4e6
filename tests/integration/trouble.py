#!/usr/bin/env python3
"""What happens when parts are killed, stopped or told to leave: clients go on, the lists tell the truth, and all recovers by itself."""
import contextlib
import json
import os
import pathlib
import shutil
import signal
import statistics
import subprocess
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support import independent as wire
from support.bounds import bounded
from support.cluster import (BIN, PATIENCE_S, SANITIZED, Cluster, Failure, address_new, check, http_get, main, metrics, redis_cli, run,
                     usher, wait_until)
from support.watch import Watch

VALID_S = 1.0
BEAT = ["--heartbeat", "250ms", "--load-window", "250ms", "--slots", "4"]


@contextlib.contextmanager
def one_region():
    with Cluster() as cluster:
        rm = address_new()
        cluster.http = {name: address_new() for name in ("rm", "d0", "d1")}
        cluster.rm(rm, "--heartbeat-valid", f"{VALID_S:.0f}s", "--http", cluster.http["rm"])
        cluster.dispatchers_at = [address_new() for _ in range(2)]
        cluster.workers_at = [address_new() for _ in range(4)]
        for i, address in enumerate(cluster.dispatchers_at):
            cluster.dispatcher(address, rm, *BEAT, "--http", cluster.http[f"d{i}"], name=f"d{i}")
        for i, address in enumerate(cluster.workers_at):
            cluster.worker(address, rm, *BEAT, name=f"w{i}")
        cluster.nodes_at = cluster.dispatchers_at + cluster.workers_at
        cluster.ask = ["--dispatchers", ",".join(cluster.dispatchers_at)]
        settle(cluster)
        yield cluster


def settle(cluster):
    """Everything runs, and both dispatchers have all nodes from a living rm, and no others."""
    for name in "left", "right":
        if name in cluster.processes:
            cluster.processes.pop(name).kill()
    for process in cluster.processes.values():
        process.signal(signal.SIGCONT) if process.running() else process.start()
    for name in "rm", "d0", "d1", "w0", "w1", "w2", "w3":
        wait_until(f"{name} answers", lambda: run("usherctl", "-s", cluster.socket(name), "status")[0] == 0)
    for node, row in cluster.nodes("rm").items():
        if row["state"] == "drained":
            cluster.ctl("rm", "ready", node)
    for name in "d0", "d1", "w0", "w1", "w2", "w3":
        wait_until(f"{name} is not drained", lambda: not cluster.ctl(name, "status")["node"]["admin_drain"])
    for name in "d0", "d1":
        wait_until(f"{name} follows rm and knows everybody", lambda: cluster.ctl(name, "status")["directory"]["state"] == "current" and
                   set(cluster.nodes(name)) == set(cluster.nodes_at) and
                   all(row["state"] == "ready" for row in cluster.nodes(name).values()))


def listed(cluster, node, names=("d0", "d1")):
    return [node in cluster.nodes(name) for name in names]


# ---- nodes ----

def a_killed_worker_leaves_and_returns(cluster):
    worker, node = cluster.processes["w3"], cluster.workers_at[3]
    worker.kill()
    took = wait_until("it has left both directories", lambda: not any(listed(cluster, node)))
    bounded(took, VALID_S + 0.5, "a killed worker is gone after")
    check(SANITIZED or took > 0.5, f"it was taken out after {took:.2f} s although its heartbeat was valid")
    check(redis_cli(cluster, "rm", "ZSCORE", "usher:1:faults", node) != "\n", "it is not in Redis' fault list")
    worker.start()
    bounded(wait_until("it is back", lambda: all(listed(cluster, node))), 0.5, "a restarted worker is back after")
    wait_until("Redis has heard", lambda: redis_cli(cluster, "rm", "ZSCORE", "usher:1:faults", node) == "\n" and
               redis_cli(cluster, "rm", "ZSCORE", "usher:1:beats", node) != "\n")


def a_hanging_worker_is_back_with_its_first_heartbeat(cluster):
    worker, node = cluster.processes["w2"], cluster.workers_at[2]
    worker.signal(signal.SIGSTOP)
    bounded(wait_until("it has left both directories", lambda: not any(listed(cluster, node))), VALID_S + 0.5, "a stopped worker is gone after")
    worker.signal(signal.SIGCONT)
    bounded(wait_until("it is back", lambda: all(listed(cluster, node))), 0.25 + 0.25, "a continued worker is back after")


def jobs_survive_a_killed_worker(cluster):
    jobs = run_start(cluster, "--service", "sleep", "--data", "50ms", "--repeat", 150, "--parallel", 10, "--idempotent")
    time.sleep(0.3)
    cluster.processes["w0"].kill()
    result = run_end(jobs)
    check(result["summary"]["ok"] == 150, f"idempotent jobs failed: {result['summary']}")


def a_list_never_becomes_empty(cluster):
    names = [f"w{i}" for i in range(4)] + ["d1"]
    with Watch(cluster, "d0") as watch:
        for name in names:
            cluster.processes[name].kill()
        time.sleep(2.5 * VALID_S)
        rows = cluster.nodes("d0")
        answer = usher("ask", "--dispatchers", cluster.dispatchers_at[0])
    check(not watch.failures and watch.fewest >= 1, f"{watch.fewest} nodes, {watch.failures[:1]}")
    check(set(rows) == set(cluster.nodes_at), f"five of six expired together, but they vanished: {sorted(rows)}")
    check(answer["addresses"][0]["address"] == cluster.dispatchers_at[0], f"a node that is alive comes first: {answer}")
    check(metrics(cluster.http["rm"])["usher_protection_active"] == 1, "the protection does not show in the metrics")


# ---- dispatchers ----

def a_stopped_dispatcher_costs_one_reply_timeout(cluster):
    cluster.processes["d1"].signal(signal.SIGSTOP)
    answers = [usher("ask", *cluster.ask) for _ in range(30)]
    slow = [a["elapsed_us"] / 1e6 for a in answers if a["attempts"] > 1]
    check(all(a["dispatcher"] == cluster.dispatchers_at[0] for a in answers) and slow, f"nobody met the stopped dispatcher: {answers}")
    bounded(statistics.median(slow), 0.15, "asking round a stopped dispatcher, median")
    result = usher("run", *cluster.ask, "--service", "echo", "--repeat", 100, "--parallel", 5, "--idempotent")
    check(result["summary"]["ok"] == 100, f"jobs failed: {result['summary']}")


def a_killed_dispatcher_is_not_noticed(cluster):
    cluster.processes["d0"].kill()
    for _ in range(20):
        check(usher("ask", *cluster.ask)["dispatcher"] == cluster.dispatchers_at[1], "who answered?")
    result = usher("run", *cluster.ask, "--service", "echo", "--repeat", 100, "--parallel", 5, "--idempotent")
    check(result["summary"]["ok"] == 100, f"jobs failed: {result['summary']}")


# ---- rm and Redis ----

def rm_is_not_missed(cluster):
    drained = cluster.workers_at[0]
    cluster.ctl("rm", "drain", drained)
    wait_until("it is drained", lambda: all(cluster.nodes(d)[drained]["state"] == "drained" for d in ("d0", "d1")))
    wait_until("Redis or the node knows", lambda: '"drain":true' in redis_cli(cluster, "rm", "HGET", "usher:1:admin", drained) or
               cluster.ctl("w0", "status")["node"]["admin_drain"])
    with Watch(cluster) as watch:
        cluster.processes["rm"].kill()
        for name in "d0", "d1":
            wait_until("status says so", lambda: cluster.ctl(name, "status")["directory"]["state"] != "current")
            check("serving the last directory" in cluster.ctl(name, "status")["reason"], f"{cluster.ctl(name, 'status')}")
            status, text = http_get(cluster.http[name], "/healthz")
            check(status == 200 and "does not answer: serving the last directory" in text, f"/healthz: {status} {text}")
            check(metrics(cluster.http[name])["usher_directory_old"] == 1, "the metrics say nothing")
        time.sleep(1.5 * VALID_S)
        summary = usher("run", *cluster.ask, "--service", "echo", "--repeat", 50, "--parallel", 5)["summary"]
        check(summary["ok"] == 50, f"jobs failed without rm: {summary}")
        cluster.processes["rm"].start()
        for name in "d0", "d1":
            wait_until("all is well again", lambda: http_get(cluster.http[name], "/healthz") == (200, "ok\n"))
        time.sleep(2.5 * VALID_S)
    watch.nothing_was_noticed(5)
    check(cluster.nodes("d0")[drained]["state"] == "drained", "rm has forgotten who was drained")
    cluster.ctl("rm", "ready", drained)


def nobody_vanishes_when_rm_starts_from_nothing(cluster):
    drained = cluster.workers_at[1]
    cluster.ctl("rm", "drain", drained)
    wait_until("the node knows", lambda: cluster.ctl("w1", "status")["node"]["admin_drain"])
    with Watch(cluster) as watch:
        redis = cluster.ctl("rm", "status")["redis"]["pid"]
        cluster.processes["rm"].kill()
        with contextlib.suppress(ProcessLookupError):
            os.kill(redis, signal.SIGKILL)
        shutil.rmtree(cluster.folder / "rm")
        cluster.processes["rm"].start()
        wait_until("dispatchers follow it", lambda: all(cluster.ctl(d, "status")["directory"]["state"] == "current" for d in ("d0", "d1")))
        time.sleep(2.5 * VALID_S)
    watch.nothing_was_noticed(5)
    check(set(cluster.nodes("rm")) == set(cluster.nodes_at), f"rm knows {sorted(cluster.nodes('rm'))}")
    check(cluster.nodes("rm")[drained]["state"] == "drained", "nobody told the new rm who was drained")
    cluster.ctl("rm", "ready", drained)
    wait_until("it is ready", lambda: all(cluster.nodes(d)[drained]["state"] == "ready" for d in ("d0", "d1")))


def redis_is_not_missed(cluster):
    with Watch(cluster) as watch:
        pid = cluster.ctl("rm", "status")["redis"]["pid"]
        os.kill(pid, signal.SIGSTOP)
        wait_until("rm says that Redis hangs", lambda: not cluster.ctl("rm", "status")["redis"]["up"])
        check(metrics(cluster.http["rm"])["usher_redis_up"] == 0, "the metrics say nothing")
        check("Redis does not answer" in http_get(cluster.http["rm"], "/healthz")[1], "/healthz says nothing")
        time.sleep(1.5 * VALID_S)
        os.kill(pid, signal.SIGCONT)
        wait_until("rm is connected again", lambda: cluster.ctl("rm", "status")["redis"]["up"])
        pid = cluster.ctl("rm", "status")["redis"]["pid"]
        os.kill(pid, signal.SIGKILL)
        wait_until("rm starts another one", lambda: cluster.ctl("rm", "status")["redis"]["pid"] not in (0, pid))
        wait_until("rm is connected again", lambda: cluster.ctl("rm", "status")["redis"]["up"])
    watch.nothing_was_noticed()
    beats_are_all_there(cluster)


def operators_words_survive_an_emptied_redis(cluster):
    """Heartbeats go on, so that all else stands there again at once."""
    drained, weighed = cluster.workers_at[:2]
    before = metrics(cluster.http["rm"])
    for emptying in ["FLUSHALL"], ["DEL", "usher:1:admin"], ["HSET", "usher:1:admin", drained, "garbage", weighed, "garbage"]:
        cluster.ctl("rm", "drain", drained, "--reason", "disk")
        cluster.ctl("rm", "weight", weighed, "5")
        time.sleep(2.5)  # they have been read there
        check(redis_cli(cluster, "rm", *emptying), "Redis did not answer")
        wait_until(f"the words are there again after {emptying[0]}", lambda: '"reason":"disk"' in redis_cli(
            cluster, "rm", "HGET", "usher:1:admin", drained) and '"weight":5' in redis_cli(cluster, "rm", "HGET", "usher:1:admin", weighed))
    after = metrics(cluster.http["rm"])
    if after["usher_redis_lost_total"] == before["usher_redis_lost_total"]:  # else all was written for that reason
        check(after["usher_redis_forgot_total"] > before["usher_redis_forgot_total"], "the metrics say nothing")
        check(" redis-forgot " in cluster.processes["rm"].log(), "the log says nothing")
    cluster.ctl("rm", "ready", drained)
    cluster.ctl("rm", "weight", weighed, "auto")


def beats_are_all_there(cluster):
    for key in "usher:1:beats", "usher:1:loads":
        wait_until(f"{key} has all nodes", lambda: set(redis_cli(cluster, "rm", "ZRANGE", key, "0", "-1").split()) == set(cluster.nodes_at))


def nobody_vanishes_when_redis_comes_back_empty(cluster):
    socket = cluster.folder / "redis-alone.sock"
    redis = cluster.add("redis", shutil.which("redis-server"), "--port", "0", "--unixsocket", socket, "--save", "", "--appendonly", "no",
                        "--dir", cluster.folder)
    wait_until("Redis listens", socket.exists)
    rm = cluster.processes["rm"]
    rm.terminate()
    rm.arguments += ["--redis", f"unix:{socket}"]
    rm.start()
    settle(cluster)
    beats_are_all_there(cluster)
    with Watch(cluster) as watch:
        redis.kill()
        wait_until("rm knows", lambda: not cluster.ctl("rm", "status")["redis"]["up"])
        redis.start()
        wait_until("rm is connected again", lambda: cluster.ctl("rm", "status")["redis"]["up"])
        beats_are_all_there(cluster)
        time.sleep(2.5 * VALID_S)
    watch.nothing_was_noticed()


def another_rm_takes_over(_):
    """Two rm, none of them a leader; one dispatcher is pushed changes, the other one asks for them."""
    with Cluster() as cluster:
        rms = [address_new(), address_new()]
        for i, rm in enumerate(rms):
            cluster.rm(rm, "--heartbeat-valid", f"{VALID_S:.0f}s", name=f"rm{i}")
        cluster.dispatchers_at = [address_new() for _ in range(2)]
        cluster.dispatcher(cluster.dispatchers_at[0], ",".join(rms), *BEAT, name="d0")
        cluster.dispatcher(cluster.dispatchers_at[1], ",".join(rms), *BEAT, "--no-push", "--refresh", "100ms", "--no-jobs", name="d1")
        nodes = [*cluster.dispatchers_at, address_new(), address_new()]
        for i, address in enumerate(nodes[2:]):
            cluster.worker(address, ",".join(rms), *BEAT, name=f"w{i}")
        for name in "d0", "d1", "rm0", "rm1":
            cluster.wait_nodes(name, nodes)
        with Watch(cluster) as watch:
            cluster.processes["rm0"].kill()
            for name in "d0", "d1":
                wait_until("it follows the other one", lambda: cluster.ctl(name, "status")["directory"]["rm"] == rms[1] and
                           cluster.ctl(name, "status")["directory"]["state"] == "current")
            time.sleep(2.5 * VALID_S)
        watch.nothing_was_noticed(3)
        cluster.processes["w1"].kill()
        wait_until("what the other one says counts", lambda: not any(listed(cluster, nodes[3])))


# ---- leaving ----

def run_start(cluster, *options):
    return subprocess.Popen([BIN / "usher", "run", *map(str, [*cluster.ask, "--wait", "60s", "--service-time", "60s", *options]), "--json"],
                            stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def run_end(popen):
    out, err = popen.communicate(timeout=100)
    try:
        return json.loads(out)
    except ValueError:
        raise Failure(f"usher run: exit {popen.returncode}: {out} {err}") from None


def two_workers(cluster, *options):
    """Two workers with one slot each and a service of their own, "work"; their names."""
    rm = cluster.processes["rm"].arguments[2]
    for name in "left", "right":
        cluster.worker(address_new(), rm, "--heartbeat", "250ms", "--slots", "1", *options, "--services", "sleep", "--services",
                       "exec:work=sleep 0.6", name=name)
    wait_until("both are known", lambda: all(cluster.ctl(d, "status")["directory"]["nodes"] == 8 for d in ("d0", "d1")))
    return cluster.processes["left"], cluster.processes["right"]


def a_leaving_worker_finishes_what_runs_and_returns_the_rest(cluster):
    left, _ = two_workers(cluster, "--drain-accept", "1s")
    jobs = run_start(cluster, "--service", "work", "--repeat", 10, "--parallel", 10)
    wait_until("jobs wait at the worker", lambda: cluster.ctl("left", "status")["node"]["jobs_queued"] >= 2)
    code = left.terminate(60)
    result = run_end(jobs)
    check(code == 0, f"the worker ended with {code}: {left.log()}")
    check(result["summary"]["ok"] == 10 and result["summary"]["retries"] >= 1, f"{result['summary']}")
    check("shutting-down" not in result["summary"]["failed_by_reason"], f"{result['summary']}")


def a_second_sigterm_hastens(cluster):
    left, _ = two_workers(cluster)
    jobs = run_start(cluster, "--service", "work", "--repeat", 2, "--parallel", 2)
    with wire.Stream(left.arguments[2]) as stream:
        stream.send(wire.job("sleep", b"60s", service_time_ms=60_000, wait_ms=60_000))
        wait_until("the job is there", lambda: sum(cluster.ctl("left", "status")["node"][f"jobs_{k}"] for k in ("running", "queued")) >= 1)
        begin = time.monotonic()
        left.signal(signal.SIGTERM)
        wait_until("it says that it leaves", lambda: cluster.ctl("left", "status")["state"] == "draining")
        check(left.terminate(60) == 0, f"exit code: {left.log()}")
        took = time.monotonic() - begin
        got = stream.receive()
        check(got.kind == wire.ERROR and got.code in ("CANCELLED", "SHUTTING_DOWN"), f"the job's client hears: {got}")
    bounded(took, 1.5, "leaving after a second SIGTERM")
    run_end(jobs)


def a_leaving_dispatcher_loses_no_job(cluster):
    dispatcher = cluster.processes["d1"]
    jobs = run_start(cluster, "--service", "sleep", "--data", "20ms", "--repeat", 600, "--parallel", 8)
    time.sleep(0.3)
    code = dispatcher.terminate(60)
    summary = run_end(jobs)["summary"]
    check(code == 0, f"the dispatcher ended with {code}: {dispatcher.log()}")
    check(summary["ok"] == 600, f"jobs were lost: {summary}")


def a_node_that_left_is_gone_at_once(cluster):
    worker, node = cluster.processes["w1"], cluster.workers_at[1]
    worker.signal(signal.SIGTERM)
    with wire.Stream(cluster.dispatchers_at[0]) as stream:
        def handed_out():
            stream.send(wire.request_address("echo", count=16, pad_to=0))
            return node in [a for a, _ in stream.receive().entries]
        wait_until("it is not handed out any more", lambda: not handed_out(), 1.9 if not SANITIZED else PATIENCE_S)
        check(worker.running(), "it left before everybody had heard of it")
    check(worker.popen.wait(PATIENCE_S) == 0, "exit code")
    check("rm-node-expired node=" + node not in cluster.processes["rm"].log(), "rm calls a node dead that said good-bye")


# ---- clients ----

def full_queues_are_tried_again_elsewhere(cluster):
    two_workers(cluster, "--queue", "1")
    result = usher("run", *cluster.ask, "--service", "work", "--service-time", "30s", "--wait", "60s", "--repeat", 10, "--parallel", 10)
    summary = result["summary"]
    busy = sum(cluster.ctl(n, "stats")["stats"]['usher_jobs_refused_total{reason="busy"}'] for n in ("left", "right"))
    check(summary["ok"] == 10 and summary["retries"] > 0 and busy > 0, f"{busy} times busy: {summary}")
    check(usher("run", *cluster.ask, "--service", "work", "--service-time", "30s", "--wait", "300ms", "--repeat", 10, "--parallel", 10,
                expect=1)["summary"]["failed_by_reason"].keys() <= {"busy", "wait-exceeded"}, "what becomes of jobs that find no room")


def jobs_of(cluster):
    return sum(row["jobs_running"] + row["jobs_queued"]
               for row in (cluster.ctl(name, "status")["node"] for name in ("d0", "d1", "w0", "w1", "w2", "w3")))


def ctrl_c_cancels_and_sums_up(cluster):
    for json_wanted in False, True:
        words = ["run", *cluster.ask, "--service", "sleep", "--data", "60s", "--service-time", "60s", "--repeat", "50", "--parallel", "30"]
        client = subprocess.Popen([BIN / "usher", *words, *(["--json"] if json_wanted else [])], stdout=subprocess.PIPE,
                                  stderr=subprocess.PIPE, text=True)
        wait_until("30 jobs are on their nodes", lambda: jobs_of(cluster) == 30)
        client.send_signal(signal.SIGINT)
        out, err = client.communicate(timeout=PATIENCE_S)
        check(client.returncode == 1, f"Ctrl-C: exit {client.returncode}: {err}")
        if json_wanted:
            result = json.loads(out)
            check(result["summary"]["failed_by_reason"] == {"cancelled": 30} and len(result["jobs"]) == 30, f"{result['summary']}")
        else:
            check("30 failed" in out and "cancelled" in out, f"the summary after Ctrl-C: {out}")
        bounded(wait_until("the jobs are cancelled", lambda: jobs_of(cluster) == 0), 1.0, "cancelling 30 jobs")


def jobs_of_a_killed_client_are_cancelled(cluster):
    client = run_start(cluster, "--service", "sleep", "--data", "60s", "--repeat", 30, "--parallel", 30)
    wait_until("30 jobs are on their nodes", lambda: jobs_of(cluster) == 30)
    client.kill()
    client.communicate()
    bounded(wait_until("the jobs are cancelled", lambda: jobs_of(cluster) == 0), 1.0, "cancelling the jobs of a killed client")


def cpu_s(pid):
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def nobody_burns_cpu_while_waiting(cluster):
    client = run_start(cluster, "--service", "sleep", "--data", "4s", "--parallel", 4, "--repeat", 4)
    wait_until("the jobs run", lambda: jobs_of(cluster) == 4)
    pids = {name: p.popen.pid for name, p in cluster.processes.items()} | {"client": client.pid}
    before = {name: cpu_s(pid) for name, pid in pids.items()}
    time.sleep(2)
    used = {name: cpu_s(pid) - before[name] for name, pid in pids.items()}
    check(run_end(client)["summary"]["ok"] == 4, "the jobs")
    print(f"     CPU seconds in 2 s: {', '.join(f'{n} {s:.2f}' for n, s in used.items())}")
    limit = 1.0 if SANITIZED else 0.2
    check(all(s < limit for s in used.values()), f"more than {limit} s of CPU in 2 s of waiting: {used}")


def then_settle(test):
    """The test, and after it, whatever it has left, a region in which all is well."""
    def settled(cluster):
        try:
            test(cluster)
        except Exception:
            with contextlib.suppress(Exception):
                settle(cluster)
            raise
        settle(cluster)
    settled.__name__ = test.__name__
    return settled


main(*map(then_settle, (
    a_killed_worker_leaves_and_returns, a_hanging_worker_is_back_with_its_first_heartbeat, jobs_survive_a_killed_worker,
    a_stopped_dispatcher_costs_one_reply_timeout, a_killed_dispatcher_is_not_noticed, a_leaving_worker_finishes_what_runs_and_returns_the_rest,
    a_second_sigterm_hastens, a_leaving_dispatcher_loses_no_job, a_node_that_left_is_gone_at_once, full_queues_are_tried_again_elsewhere,
    ctrl_c_cancels_and_sums_up, jobs_of_a_killed_client_are_cancelled, nobody_burns_cpu_while_waiting, rm_is_not_missed,
    nobody_vanishes_when_rm_starts_from_nothing, operators_words_survive_an_emptied_redis, redis_is_not_missed,
    nobody_vanishes_when_redis_comes_back_empty, another_rm_takes_over, a_list_never_becomes_empty)),
    stage=one_region)
