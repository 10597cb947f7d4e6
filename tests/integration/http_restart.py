#!/usr/bin/env python3
"""What those who speak HTTP to rm (docs/HTTP.md) find after it was killed or restarted."""

import json
import shutil
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, address_new, check, main, redis_cli, run, wait_until
from support.rm_api import Api, message


def restart_publishes_nothing_empty():
    """Whoever follows a list over HTTP never sees one that lacks those that live, though rm was killed, with and without its Redis."""
    with Cluster() as cluster:
        rm, http_address = address_new(), address_new()
        process = cluster.rm(rm, "--http", http_address, "--heartbeat-valid", "4s")
        workers = sorted(address_new() for _ in range(4))
        for number, worker in enumerate(workers):
            cluster.worker(worker, rm, "--heartbeat", "300ms", "--services", "echo", name=f"worker-{number}")
        alive_early = []

        def follow():
            """Until the list is told."""
            status = None
            while status != 200:
                try:
                    answers = {path: Api(http_address)("GET", path)
                               for path in ("/healthz", "/sd?service=echo", "/v1/pick?service=echo", "/v1/nodes", "/v1/services")}
                except OSError:
                    continue  # rm is not there
                health, (status, groups) = answers.pop("/healthz")[0], answers["/sd?service=echo"]
                alive_early.append(health == 200 and status == 503)
                if status == 200:
                    check(sorted(group["targets"][0] for group in groups) == workers, f"a list without those that live: {groups}")
                for path, (code, answer) in answers.items():
                    check(code == 200 or (code == 503 and "just started" in answer["error"]), f"{path}: {code} {answer}")
                time.sleep(0.01)

        def early_answer():
            code, out, _ = run("usherctl", "-s", cluster.socket("rm"), "nodes", "--json")
            return json.loads(out) if code == 0 else {}

        wait_until("rm knows all", lambda: set(workers) <= set(cluster.nodes("rm")))
        follow()
        process.kill()
        process.start()
        follow()
        process.kill()
        wait_until("its Redis has ended", lambda: not cluster.processes_left(f"{cluster.folder / 'rm'}/"))
        shutil.rmtree(cluster.folder / "rm")
        process.start()
        wait_until("usherctl says that nodes may be missing", lambda: "just started" in early_answer().get("note", ""))
        follow()
        check(any(alive_early), "without its Redis rm has to wait for heartbeats, and is alive")
        check("note" not in early_answer(), "then all is told")


def operators_weight_survives_a_restart():
    with Cluster() as cluster:
        rm, http_address = address_new(), address_new()
        process = cluster.rm(rm, "--http", http_address)
        wait_until("rm is up", lambda: " started " in process.log())
        api = Api(http_address)
        check(api("PUT", "/v1/nodes/10.0.0.1:80", message("a", services=["web"]))[0] == 200, "registering")
        cluster.ctl("rm", "weight", "10.0.0.1:80", "7")
        wait_until("Redis knows", lambda: '"weight":7' in redis_cli(cluster, "rm", "HGET", "usher:1:admin", "10.0.0.1:80") and
                   redis_cli(cluster, "rm", "HLEN", "usher:1:nodes") == "1\n")
        process.terminate()
        process.start()
        wait_until("rm has read what it knew", lambda: cluster.nodes("rm"))
        api = Api(http_address)
        answer = api("POST", "/v1/nodes/10.0.0.1:80/heartbeat", message("a"))
        check(answer[0] == 200 and answer[1]["weight"] == 7, f"after a restart: {answer}")
        cluster.ctl("rm", "weight", "10.0.0.1:80", "auto")
        answer = api("POST", "/v1/nodes/10.0.0.1:80/heartbeat", message("a"))
        check(answer[1]["weight"] == 1, f"after auto: {answer}")


def weights_survive_a_kill_of_rm():
    """Capacities that were told once, with PUT, count again after kill -9 and a start, though heartbeats tell nothing but the CPU's use."""
    with Cluster() as cluster:
        rm, http_address = address_new(), address_new()
        process = cluster.rm(rm, "--http", http_address, "--heartbeat-valid", "1m")
        wait_until("rm is up", lambda: " started " in process.log())
        api = Api(http_address)
        capacities = {"10.0.0.1:80": 16, "10.0.0.2:80": 8, "10.0.0.3:80": 4}
        for address, cores in capacities.items():
            told = message("a", services=["web"], slots=4, metrics={"cpu_cores": cores, "cpu_use": 0.2})
            check(api("PUT", f"/v1/nodes/{address}", told)[0] == 200, f"registering {address}")

        def is_written():
            return int(redis_cli(cluster, "rm", "HLEN", "usher:1:nodes")) == len(capacities)

        wait_until("Redis knows them", is_written)
        process.kill()
        process.start()
        wait_until("rm has read what it knew", lambda: len(cluster.nodes("rm")) == len(capacities))
        api = Api(http_address)
        for address, cores in capacities.items():
            got = api("GET", f"/v1/nodes/{address}")[1]["weights"][0]
            check(abs(got - cores * 0.8 / 8) < 1e-4, f"before its first heartbeat {address} weighs {got}")
        for address in ("10.0.0.1:80", "10.0.0.2:80"):  # the third one has died meanwhile
            got, answer = api("POST", f"/v1/nodes/{address}/heartbeat", message("a", metrics={"cpu_use": 0.5}))
            check(got == 200 and abs(answer["weight"] - capacities[address] * 0.5 / 8) < 1e-4, f"{address}: {got} {answer}")
        [row] = [row for row in api("GET", "/v1/services")[1]["services"] if row["service"] == "web"]
        check(row["weight_terms"]["cpu"] == "counts", f"the term counts: {row}")


main(restart_publishes_nothing_empty, operators_weight_survives_a_restart, weights_survive_a_kill_of_rm)
