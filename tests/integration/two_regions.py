#!/usr/bin/env python3
"""The main job: two regions on one machine, mixed jobs in parallel, while a dispatcher, a worker, a Redis and a whole region are killed
and brought back. At least 99 % of the jobs end in results (idempotent ones: all), the others say whether they were started, and the
clients return to their own region by themselves."""
import json
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, check, main, port_free, run, usher, wait_until

JOBS = 1000
PARALLEL = 20
# A job that may not be run twice is lost with the node it runs on, so few of them are under way at any time.
PARALLEL_ONCE = 4


class Region:
    """rm with a Redis of its own, two dispatchers, three workers."""

    def __init__(self, cluster, number):
        self.cluster, self.number, self.ip = cluster, number, f"127.0.{number - 1}.1"
        self.rm = f"{self.ip}:{port_free(self.ip)}"
        self.dispatchers = [f"{self.ip}:{port_free(self.ip)}" for _ in range(2)]
        self.workers = [f"{self.ip}:{port_free(self.ip)}" for _ in range(3)]

    def names(self):
        return [name for name in self.cluster.processes if name.startswith(f"r{self.number}-")]

    def start(self, regions_file):
        self.cluster.rm(self.rm, "--region", self.number, "--regions", regions_file, name=f"r{self.number}-rm")
        for i, address in enumerate(self.dispatchers):
            self.cluster.dispatcher(address, self.rm, "--region", self.number, name=f"r{self.number}-d{i}")
        for i, address in enumerate(self.workers):
            self.cluster.worker(address, self.rm, "--region", self.number, "--slots", "8", "--services",
                                "echo,sleep,spin,digest,blob,exec:upper=sleep 0.1; tr a-z A-Z", name=f"r{self.number}-w{i}")

    def wait_ready(self):
        for i in range(2):
            self.cluster.wait_nodes(f"r{self.number}-d{i}", self.dispatchers + self.workers)


def regions_write(cluster, regions):
    path = cluster.folder / "regions"
    lines = [f"region {r.number} {' '.join(r.dispatchers)}" for r in regions]
    lines += [f"client 127.0.{r.number - 1}.0/24 {r.number}" for r in regions]
    path.write_text("\n".join(lines) + "\n")
    return path


def jobs_of(client_ip, dispatchers, results, key, *options):
    parallel = PARALLEL if "--idempotent" in options else PARALLEL_ONCE
    code, out, err = run("usher", "run", "--dispatchers", dispatchers, "--bind", client_ip, *options, "--parallel", parallel,
                         "--service-time", "2s..5s", "--wait", "20s", "--fault-time", "1s", "--json", limit_s=200)
    if code in (0, 1): # 1: not all jobs ended in results, which judge() looks at
        results[key] = json.loads(out)
    else:
        print(f"     {key}: exit {code}: {err}")


def repeat_of(key):
    """How many jobs of a kind: the sleeping ones, and those that may not run twice, last through all that happens."""
    return {"sleep": JOBS, "upper": JOBS // 4}.get(key.split("-")[1], JOBS // 10)


def jobs_start(regions, results):
    everybody = ",".join(f"{r.number}@{d}" for r in regions for d in r.dispatchers)
    kinds = [
        ("sleep", ["--service", "sleep", "--data", "250ms"]),
        ("echo", ["--service", "echo", "--data", "hello"]),
        ("digest", ["--service", "digest", "--data", "hello"]),
        ("upper", ["--service", "upper", "--data", "hello"]),
    ]
    threads = []
    for client, ip in (("1", "127.0.0.2"), ("2", "127.0.1.2")):
        for kind, options in kinds:
            idempotent = ["--idempotent"] if kind != "upper" else []
            key = f"{client}-{kind}"
            threads.append(threading.Thread(target=jobs_of, args=(ip, everybody, results, key, *options, *idempotent, "--repeat",
                                                                  repeat_of(key))))
    for thread in threads:
        thread.start()
    return threads


def redis_pid(cluster, rm_name):
    parent = cluster.processes[rm_name].popen.pid
    out = subprocess.run(["pgrep", "-P", str(parent), "redis-server"], capture_output=True, text=True).stdout.split()
    return int(out[0]) if out else 0


def chaos(cluster, regions):
    """Each part dies and comes back; then the whole of region 1 does."""
    one = regions[0]
    for name in ("r1-d0", "r1-w0"):
        time.sleep(0.5)
        cluster.processes[name].kill()
        time.sleep(0.5)
        cluster.processes[name].start()
    pid = redis_pid(cluster, "r1-rm")
    check(pid, "rm has no redis-server of its own")
    subprocess.run(["kill", "-KILL", str(pid)], check=True)
    wait_until("rm has started another redis-server", lambda: redis_pid(cluster, "r1-rm") not in (0, pid))
    for name in one.names():
        cluster.processes[name].kill()
    time.sleep(1.5)
    for name in one.names():
        cluster.processes[name].start()


def judge(results):
    done = asked = 0
    for key, result in results.items():
        summary = result["summary"]
        done += summary["ok"]
        asked += repeat_of(key)
        check(summary["ok"] + summary["failed"] == repeat_of(key), f"{key}: jobs without an end: {summary}")
        if "upper" not in key:
            check(summary["failed"] == 0, f"{key}: idempotent jobs failed: {summary}")
        for job in result["jobs"]:
            # started: true, false, or null where only the lost node could know; the message says so in words.
            check(job["ok"] or ("started" in job and "started" in job["message"]), f"{key}: was it started? {job}")
    print(f"     {done} of {asked} jobs done; " + ", ".join(f"{k}: {r['summary']['retries']}" for k, r in results.items()))
    check(done >= 0.99 * asked, f"only {done} of {asked} jobs ended in results")


def judge_returned(result):
    """One client lived through the loss of its region: it went elsewhere and came back by itself."""
    regions = [job["region"] for job in result["jobs"] if job["ok"]]
    check(2 in regions, "nobody was served by the other region while the own one was dead")
    check(regions[:20] == [1] * 20 and regions[-20:] == [1] * 20, f"not at home at the beginning or in the end: {regions[-20:]}")


def the_main_job_survives_the_loss_of_every_part():
    with Cluster() as cluster:
        regions = [Region(cluster, 1), Region(cluster, 2)]
        path = regions_write(cluster, regions)
        for region in regions:
            region.start(path)
        for region in regions:
            region.wait_ready()
        where = usher("where", "--dispatchers", regions[0].dispatchers[0], "--bind", "127.0.1.2")
        check(where["region"] == 2, f"a client of 127.0.1.2 belongs to region 2: {where}")
        results = {}
        threads = jobs_start(regions, results)
        chaos(cluster, regions)
        for thread in threads:
            thread.join()
        check(len(results) == 8, f"only {sorted(results)} of 8 runs ended by themselves")
        judge(results)
        judge_returned(results["1-sleep"])
        for region in regions:
            region.wait_ready()


main(the_main_job_survives_the_loss_of_every_part)
