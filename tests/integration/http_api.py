#!/usr/bin/env python3
"""Nodes and consumers that speak HTTP to rm (docs/HTTP.md): they register, heartbeat, are picked, go, and are told what they did wrong."""

import http.client
import json
import re
import signal
import socket
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.bounds import bounded
from support.cluster import BIN, PATIENCE_S, SANITIZED, Cluster, Process, address_new, check, main, run, usher, wait_until
from support.rm_api import Api, lists_wait, message, rm_start


def mistakes_are_told():
    with Cluster() as cluster:
        _, api = rm_start(cluster)
        lists_wait(api)
        node = "/v1/nodes/10.0.0.1:80"
        for verb, path, body, status, text in (
            ("PUT", node, "", 400, "the body is empty"),
            ("PUT", node, "{", 400, "not JSON: line 1"),
            ("PUT", node, {"sequence": 1}, 400, "boot"),
            ("PUT", node, {"boot": "0" * 16, "sequence": 1, "kind": 2, "flags": 0, "slots": 1, "services": ["a"]}, 400, "REGISTER"),
            ("PUT", node, "[]", 400, "must be a JSON object"),
            ("PUT", node, '{"instance":"a","instance":"b"}', 400, "the same name stands twice"),
            ("PUT", node, '{"instance":"a\\u0000b"}', 400, "texts may not contain"),
            ("PUT", node, '{"slots":99999999999999999999}', 400, "this number is too large"),
            ("PUT", "/v1/nodes/224.0.0.1:80", message("a", services=["web"]), 400, "multicast"),
            ("PUT", "/v1/nodes/255.255.255.255:80", message("a", services=["web"]), 400, "broadcast"),
            ("PUT", "/v1/nodes/[ff02::1]:80", message("a", services=["web"]), 400, "give IP:PORT"),
            ("PUT", "/v1/nodes/[::]:80", message("a", services=["web"]), 400, "give IP:PORT"),
            ("PUT", node, message("a"), 400, "services is missing"),
            ("PUT", node, {"instance": "a", "services": ["web"]}, 400, "timestamp is missing"),
            ("PUT", node, {"timestamp": 1700000000000, "services": ["web"]}, 400, "instance is missing"),
            ("PUT", node, message("a", services=["web"], colour=1), 400, '"colour" is no field here'),
            ("PUT", node, message("a", services="web"), 400, "a list of 1 to 16 names"),
            ("PUT", node, message("a", services=["no blanks"]), 400, "number 1 is not"),
            ("PUT", node, message("a", services=["web"], slots=0), 400, "slots: "),
            ("PUT", node, message("a", services=["web"], load=-1), 400, "load: a number"),
            ("PUT", node, message("a", services=["web"], metrics={"cpu_use": 37}), 400, "in percent?"),
            ("PUT", node, message("a", services=["web"], metrics={"cpu_use": "0.3"}), 400, "must be a number"),
            ("PUT", node, message("a", services=["web"], metrics={"9lives": 1}), 400, "cannot be a name"),
            ("PUT", node, message("a", services=["web"], metrics={"x" * 48: 1}), 400, "cannot be a name"),
            ("PUT", node, message("a", services=["web"], metrics={"colour": "blue"}), 400, "colour must be a number"),
            ("PUT", node, message("a", services=["web"], metrics={"queue_length": 1e30}), 400, "from 0 to 1e+09"),
            ("PUT", node, message("a", services=["web"], metrics={"far": -1.7e308}), 400, "1e+300 either way"),
            ("PUT", node, message("a", services=["web"], **{"a" + "é" * 60: 1}), 400, "is no field here"),
            ("PUT", node, message("a", services=["web"], metrics={"a" + "é" * 60: 1}), 400, "cannot be a name"),
            ("PUT", "/v1/nodes/%ff%fe:80", message("a", services=["web"]), 400, "s address: give"),
            ("PUT", node, message("a", services=["web"], metrics={f"m{i}": i for i in range(33)}), 422, "32 of its own"),
            ("PUT", node, message(7, services=["web"]), 400, "instance: a text"),
            ("PUT", node, message("a", services=["web"], timestamp="now"), 400, "milliseconds since 1970"),
            ("PUT", "/v1/nodes/somewhere:80", message("a", services=["web"]), 400, "s address: give"),
            ("PUT", "/v1/nodes/0.0.0.0:80", message("a", services=["web"]), 400, "s address: give"),
            ("POST", node + "/heartbeat", message("a"), 404, "has not registered"),
            ("POST", node + "/beat", message("a"), 404, "only /heartbeat"),
            ("POST", node, message("a"), 405, "GET, HEAD, PUT, DELETE"),
            ("DELETE", node, None, 404, "no such node"),
            ("GET", node, None, 404, "no such node"),
            ("GET", "/v1/pick", None, 400, "which service"),
            ("GET", "/v1/pick?service=web", None, 404, "ever offered"),
            ("GET", "/v1/pick?service=%00", None, 400, "names are"),
            ("GET", "/v1/pick?service", None, 400, "names are"),
            ("GET", "/v1/pick?service=a&service=b", None, 400, '"service" comes twice'),
            ("GET", "/v1/pick?svc=a", None, 400, '"svc" is no parameter here; there is service'),
            ("GET", "/v1/nodes?colour=blue&service=a", None, 400, '"colour" is no parameter here'),
            ("GET", "/sd?Service=a", None, 400, '"Service" is no parameter here'),
            ("GET", "/v1/services?service=a", None, 400, "there are none"),
            ("GET", node + "?full=1", None, 400, "there are none"),
            ("PUT", node + "?instance=a", message("a", services=["web"]), 400, "there is force"),
            ("PUT", node + "?force=perhaps", message("a", services=["web"]), 400, "true or false"),
            ("POST", node + "/heartbeat?force=true", message("a"), 400, "there are none"),
            ("DELETE", node + "?instances=a", None, 400, "there is instance, force"),
            ("GET", "/elsewhere", None, 404, "there are /v1/nodes"),
        ):
            got, answer = api(verb, path, raw=body if isinstance(body, str) or body is None else json.dumps(body))
            check(got == status and text in str(answer), f"{verb} {path} {body}: {got} {answer}")
        got, answer = api("PUT", node, raw=" " * 20000)
        check(got == 413 and "16384" in answer["error"], f"a body of 20 kB: {got} {answer}")


def nobody_takes_a_node_over_by_mistake():
    """A worker, and the server attached to it, are left alone by those who speak HTTP, unless they say so; and then the worker says that
    it is not heard."""
    with Cluster() as cluster, socket.create_server(("127.0.0.1", 0)) as listening:
        rm, api = rm_start(cluster)
        worker, server = address_new(), "{}:{}".format(*listening.getsockname())
        process = cluster.worker(worker, rm, "--heartbeat", "100ms", "--attach", f"web={server}", "--attach-load", "none")
        cluster.wait_nodes("rm", [worker, server])
        for address in (worker, server):
            path = f"/v1/nodes/{address}"
            for verb, where, body in (
                ("PUT", path, message("a", services=["web"])),
                ("POST", path + "/heartbeat", message("a")),
                ("DELETE", path, None),
                ("DELETE", path + "?force=false", None),
            ):
                status, answer = api(verb, where, body)
                check(status == 409 and "of Usher's own" in answer["error"], f"{verb} {where}: {status} {answer}")
            check(api("GET", path)[1]["state"] == "ready", f"{address} is left alone")
        path = f"/v1/nodes/{server}"
        check(api("DELETE", path + "?force=true")[0] == 200, "DELETE by force")
        wait_until("its next heartbeat brings it back", lambda: api("GET", path)[1].get("state") == "ready")

        check(api("PUT", path + "?force=true", message("a", services=["web"], slots=7))[0] == 200, "PUT by force")
        begin = time.monotonic()
        while process.log().count("attach-unheard") == 0 and time.monotonic() - begin < PATIENCE_S:
            check(api("POST", path + "/heartbeat", message("a"))[0] == 200, "the new one heartbeats")
            time.sleep(0.1)
        check(process.log().count("attach-unheard") == 1, f"the worker says once that it is not heard: {process.log()}")
        check(api("GET", path)[1]["slots"] == 7, "the new one is believed")
        check(api("DELETE", path + "?instance=a")[0] == 200, "the new one goes")
        wait_until("the worker is heard again, and says so", lambda: "attach-heard" in process.log())
        check(api("GET", path)[1]["slots"] == 100, "the worker is believed again")


def queues_are_told_apart():
    """Of what a server says that it has, its slots are what runs and the rest waits; without a load of its own its load counts all of it."""
    with Cluster() as cluster:
        _, api = rm_start(cluster, "--heartbeat-valid", "10m")
        for number, (metrics, running, queued, load) in enumerate((
            ({}, 0, 0, 0),
            ({"queue_length": 3}, 3, 0, 0.5 * 3 / 4),
            ({"queue_length": 4}, 4, 0, 0.5),
            ({"queue_length": 9.7}, 4, 5, 0.5 * 9.7 / 4),  # jobs are whole, the load counts a mean as it is
            ({"queue_length": 1e9}, 4, 10 ** 9 - 4, 1e6),
            ({"queue_length": 2, "cpu_use": 0.5, "memory_use": 0.25, "disk_use": 1}, 2, 0, 0.3 * 0.5 + 0.1 * 0.25 + 0.1 + 0.5 * 2 / 4),
        )):
            address = f"10.0.0.{number + 1}:80"
            body = message("a", services=["web"], slots=4, metrics=metrics)
            check(api("PUT", f"/v1/nodes/{address}", body)[0] == 200, f"registering {metrics}")
            node = api("GET", f"/v1/nodes/{address}")[1]
            got = node["jobs_running"], node["jobs_queued"]
            check(got == (running, queued), f"{metrics}: {got} run and wait, not {(running, queued)}")
            check(abs(node["load_index"] - load) <= 1e-5 * max(load, 1), f"{metrics}: load {node['load_index']} instead of {load}")
        node = "/v1/nodes/10.0.0.2:80"
        for change, running, queued, load in (({"metrics": {"queue_length": 6}}, 4, 2, 0.5 * 6 / 4), ({"slots": 8}, 6, 0, 0.5 * 6 / 8),
                                              ({"load": 0.2}, 6, 0, 0.2)):
            check(api("POST", node + "/heartbeat", message("a", **change))[0] == 200, f"heartbeat with {change}")
            got = api("GET", node)[1]
            check((got["jobs_running"], got["jobs_queued"]) == (running, queued) and abs(got["load_index"] - load) < 1e-5, f"{change}: {got}")


def conflicts_are_refused():
    """409: who is older than what was heard already, or no longer the one that speaks."""
    with Cluster() as cluster:
        _, api = rm_start(cluster, "--heartbeat-valid", "10m")
        node, now_ms = "/v1/nodes/10.0.0.1:80", int(time.time() * 1000)

        def say(instance, at_ms, status, text="", verb="POST"):
            body = {"instance": instance, "timestamp": at_ms, **({"services": ["web"]} if verb == "PUT" else {})}
            got, answer = api(verb, node + ("/heartbeat" if verb == "POST" else ""), body)
            check(got == status and text in str(answer), f"{verb} of {instance}: {got} {answer}")
        say("a", now_ms, 200, verb="PUT")
        say("a", now_ms, 200)
        say("a", now_ms - 1, 409, "has sent a later one")
        say("a", now_ms + 3_600_000, 200)
        say("a", now_ms, 200)  # its clock was set back: what counts is when its messages arrive
        check(cluster.processes["rm"].log().count(" rm-node-set-back ") == 1, "which the log says")
        say("a", now_ms - 1, 409, "has sent a later one")
        say("b", now_ms - 60_000, 200, verb="PUT")  # another instance's clock is another clock
        say("a", now_ms + 1, 409, "another one that began later speaks for this node")
        say("a", now_ms + 1, 409, "another one that began later", verb="PUT")
        say("b", now_ms, 200)
        check(api("DELETE", node + "?instance=a")[0] == 409, "the one before takes the node away")
        check(api("GET", node)[1]["state"] == "ready", "and it is away")
        check(api("DELETE", node + "?instance=b")[0] == 200, "deregistering")


def picks_are_fair():
    """R7: rm itself hands out ten servers in proportion to their weights."""
    with Cluster() as cluster:
        _, api = rm_start(cluster, "--heartbeat-valid", "10s")
        lists_wait(api)
        addresses = [f"10.0.0.{i + 1}:80" for i in range(10)]

        def all_beat():
            for index, address in enumerate(addresses):
                got, answer = api("PUT", f"/v1/nodes/{address}", message(f"boot-{index}", services=["web"], slots=4,
                                                                         metrics={"cpu_cores": 2 * (index + 1), "cpu_use": 0.5}))
                check(got == 200 and abs(answer["weight"] - (index + 1) / 8) < 1e-5, f"the weight of {index}: {got} {answer}")

        all_beat()
        counts = dict.fromkeys(addresses, 0)
        for pick in range(5500):
            if pick % 100 == 0:
                all_beat()
            counts[api("GET", "/v1/pick?service=web")[1]["address"]] += 1
        for index, address in enumerate(addresses):
            check(0.6 < counts[address] / (100 * (index + 1)) < 1.5, f"picks are not in proportion: {counts}")
        check(api("DELETE", f"/v1/nodes/{addresses[1]}")[0] == 200, "deregistering")
        targets = [group["targets"][0] for group in api("GET", "/sd?service=web")[1]]
        check(sorted(targets) == sorted(addresses[:1] + addresses[2:]), f"who is discovered: {targets}")
        api("PUT", f"/v1/nodes/{addresses[1]}", message("boot-1", services=["web"]))
        check(api("GET", f"/v1/nodes/{addresses[1]}")[1]["state"] == "ready", "who registers again is back")


class CurlFleet:
    """Servers that nothing but curl speaks for: what docs/HTTP.md tells people to type."""

    def __init__(self, rm_http, servers):
        self.url = f"http://{rm_http}/v1/nodes"
        self.servers = servers  # {address: metrics}
        self.beating = set(servers)
        self.stopped = threading.Event()
        self.refusals = []
        self.thread = threading.Thread(target=self.beat)

    def __enter__(self):
        self.speak("PUT", self.servers, services=["web"], slots=4)
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()

    def speak(self, verb, addresses, **more):
        command = ["curl", "--silent", "--show-error"]
        for address in addresses:
            body = message(f"boot of {address}", metrics=self.servers[address], **more)
            path = f"{self.url}/{address}" + ("/heartbeat" if verb == "POST" else "")
            command += ["--next"] if len(command) > 3 else []
            command += ["--write-out", "%{http_code}\n", "-X", verb, "-d", json.dumps(body), path]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=PATIENCE_S)
        lines = done.stdout.split("\n")[:-1]
        wrong = [line for i, line in enumerate(lines) if i % 2 and line != "200"]
        if done.returncode or wrong or len(lines) != 2 * len(addresses):
            self.refusals.append(f"curl {verb}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return [json.loads(line) for line in lines[::2]]

    def beat(self):
        while not self.stopped.wait(0.3):
            self.speak("POST", sorted(self.beating))


def curl_alone_runs_a_fleet():
    """Ten servers with different metrics, registered and kept alive by curl alone: dispatchers place requests on them in proportion to
    their weights, and one that falls silent is gone within the time that rm promises at its start."""
    with Cluster() as cluster:
        rm, http_address = address_new(), address_new()
        process = cluster.rm(rm, "--http", http_address)
        health = ["curl", "--silent", f"http://{http_address}/healthz"]
        wait_until("rm serves HTTP", lambda: subprocess.run(health, capture_output=True, check=False).stdout.startswith(b"ok"))
        bound_s = int(re.search(r"worst_ms=(\d+)", process.log())[1]) / 1000
        dispatcher = address_new()
        cluster.dispatcher(dispatcher, rm, "--no-jobs", "--policy", "weighted")
        servers = {f"10.0.0.{i + 1}:80": {"cpu_cores": 4 + 2 * i, "cpu_use": 0.05 * i, "memory_gb": 64, "memory_use": 0.9 - 0.08 * i}
                   for i in range(10)}
        with CurlFleet(http_address, servers) as fleet:
            # W = αcpu · cores · (1 − cpu use) + αmemory · GB · (1 − memory use), with α = 1/8 and 1/32
            weights = [(4 + 2 * i) * (1 - 0.05 * i) / 8 + 64 * (0.1 + 0.08 * i) / 32 for i in range(10)]
            told = [answer["weight"] for answer in fleet.speak("POST", servers)]
            check(all(abs(got - weight) < 1e-4 for got, weight in zip(told, weights)), f"weights {told} instead of {weights}")
            wait_until("the dispatcher knows all ten", lambda: set(servers) <= set(cluster.nodes("dispatcher")))
            Placing(cluster, dispatcher, list(servers)).check(weights)
            [silent, *others] = servers
            fleet.beating.discard(silent)
            begin = time.monotonic()
            wait_until("the silent one is gone", lambda: silent not in cluster.nodes("dispatcher"))
            bounded(time.monotonic() - begin, bound_s + 0.3, "a server that curl no longer speaks for is gone after")
            check(set(others) <= set(cluster.nodes("dispatcher")), "others went too")
            check(not fleet.refusals, "\n".join(fleet.refusals[:3]))


class Placing:
    """Where a dispatcher places requests."""

    def __init__(self, cluster, dispatcher, addresses):
        self.cluster = cluster
        self.dispatcher = dispatcher
        self.addresses = addresses

    def picks(self):
        nodes = self.cluster.nodes("dispatcher")
        return [nodes[address]["picks"] for address in self.addresses]

    def picks_of(self, requests):
        """How often each was picked for so many requests."""
        before = self.picks()
        code, out, err = run("usher-load", "ask", "--dispatcher", self.dispatcher, "--service", "web", "--requests", requests,
                             "--duration", "1m", "--warmup", "0", "--json")
        check(code == 0, f"usher-load: exit {code}: {out[-2000:]} {err[-2000:]}")
        return [now - then for then, now in zip(before, self.picks())]

    def check(self, weights, limit=45.1):  # of 9 degrees of freedom: exceeded once in a million runs
        """100,000 requests go to the nodes in proportion to their weights."""

        def is_taken_in():
            counts = self.picks_of(2000)
            return all(abs(count / sum(counts) - weight / sum(weights)) < 0.06 for count, weight in zip(counts, weights))

        wait_until(f"the dispatcher knows the weights {weights}", is_taken_in)
        time.sleep(0.5)  # nothing old is on its way any more
        counts = self.picks_of(100000)
        check(sum(counts) >= 100000, f"picks: {counts}")
        expected = [sum(counts) * weight / sum(weights) for weight in weights]
        check(all(count == 0 for count, weight in zip(counts, weights) if weight == 0), f"picks of weight 0: {counts}")
        chi_squared = sum((count - wanted) ** 2 / wanted for count, wanted in zip(counts, expected) if wanted)
        check(chi_squared < limit, f"χ² {chi_squared:.1f} of {counts}, expected {expected}")


def dispatchers_place_by_weight():
    """Policy weighted: 100,000 picks of ten servers in proportion to what rm computes, or an operator says, of each."""
    with Cluster() as cluster:
        rm, api = rm_start(cluster, "--heartbeat-valid", "10m")
        dispatcher = address_new()
        cluster.dispatcher(dispatcher, rm, "--no-jobs", "--policy", "weighted")
        addresses = [f"10.0.0.{i + 1}:80" for i in range(10)]
        for index, address in enumerate(addresses):
            metrics = {"cpu_cores": 2 * (index + 1), "cpu_use": 0.5}
            got, answer = api("PUT", f"/v1/nodes/{address}", message(f"boot-{index}", services=["web"], metrics=metrics))
            check(got == 200, f"registering {address}: {got} {answer}")
        wait_until("the dispatcher knows all ten", lambda: set(addresses) <= set(cluster.nodes("dispatcher")))

        place = Placing(cluster, dispatcher, addresses).check
        weights = [(index + 1) / 8 for index in range(10)]
        place(weights)
        cluster.ctl("rm", "weight", addresses[0], "7")
        cluster.ctl("rm", "weight", addresses[9], "0")
        place([7, *weights[1:9], 0])
        cluster.ctl("dispatcher", "set", "policy", "random")
        place([1] * 10)
        cluster.ctl("dispatcher", "set", "policy", "weighted")
        for address in (addresses[0], addresses[9]):
            cluster.ctl("rm", "weight", address, "auto")
        place(weights)
        cluster.ctl("rm", "drain", addresses[9])
        place([*weights[:9], 0])
        for address in addresses:
            cluster.ctl("rm", "weight", address, "0")
        place([1] * 9 + [0])


def our_own_nodes_heartbeat_over_http():
    """A worker that knows rm's --http address alone, and a server attached to it; a dispatcher that heartbeats both ways."""
    with Cluster() as cluster:
        rm, http_address, dispatcher, worker = (address_new() for _ in range(4))
        process = cluster.rm(rm, "--http", http_address)
        wait_until("rm is up", lambda: " started " in process.log())
        cluster.dispatcher(dispatcher, f"{rm},http://{http_address}")
        cluster.worker(worker, f"http://{http_address}", "--heartbeat", "200ms", "--slots", "3", "--attach", f"web={http_address}",
                       "--attach-check-interval", "200ms")
        cluster.wait_nodes("dispatcher", [dispatcher, worker, http_address])
        api = Api(http_address)

        def node():
            return api("GET", f"/v1/nodes/{worker}")[1]

        def log_of(name, word):
            return cluster.processes[name].log().count(word)

        check(usher("ask", "--dispatchers", dispatcher, "--service", "web")["addresses"][0]["address"] == http_address, "the attached server")
        usher("run", "--dispatchers", dispatcher, "--service", "sleep", "--data", "10ms", "--repeat", "40", "--parallel", "8")
        check(cluster.ctl("worker", "stats")["stats"]["usher_jobs_accepted_total"] > 0, "the worker gets jobs")
        check(node()["slots"] == 3 and "echo" in node()["services"] and node()["metadata"]["cpu_cores"] > 0, f"rm knows: {node()}")
        wait_until("status says how rm is reached", lambda: [("http", "reached", 1)] == [
            (r["over"], r["state"], r["region"]) for r in cluster.ctl("worker", "status")["node"]["rms"]])
        rms = cluster.ctl("dispatcher", "status")["node"]["rms"]
        check([r["over"] for r in rms] == ["datagrams", "http"], f"status: {rms}")
        wait_until("both ways are acknowledged", lambda: all(r["state"] == "reached" for r in cluster.ctl("dispatcher", "status")["node"]["rms"]))
        status, answer = api("DELETE", f"/v1/nodes/{worker}")
        check(status == 409 and "drain" in answer["error"], f"DELETE: {status} {answer}")

        cluster.ctl("rm", "drain", worker)
        wait_until("the worker knows", lambda: cluster.ctl("worker", "status")["node"]["admin_drain"])
        cluster.ctl("rm", "ready", worker)
        wait_until("the worker knows", lambda: not cluster.ctl("worker", "status")["node"]["admin_drain"])

        process.kill()
        wait_until("the worker misses rm", lambda: log_of("worker", "heartbeats-unanswered"))
        process.start()
        wait_until("the worker is acknowledged again", lambda: log_of("worker", "heartbeats-acknowledged") == 2)
        api = Api(http_address)
        wait_until("rm knows the worker again", lambda: "echo" in (node().get("services") or []) and node()["state"] == "ready")
        check(log_of("dispatcher", "heartbeats-refused") == 0, "nothing is refused")
        check(log_of("rm", "rm-node-rebooted") == 0, "one boot in both ways of speaking")
        cluster.processes["worker"].terminate()
        check(node()["state"] == "leaving", f"after SIGTERM: {node()}")

        code, _, err = run("usher-dispatcher", "--rm", f"http://{http_address}", "--state-dir", cluster.folder / "x")
        check(code == 2 and "without it too" in err, f"a dispatcher without a list: {code} {err}")


def long_lists_hold_nobody_up():
    """Thousands of nodes that come and go while lists of them are read, by some who read and one who does not."""
    count = 2000 if SANITIZED else 10_000
    with Cluster() as cluster:
        rm, api = rm_start(cluster)
        lists_wait(api)
        host, port = api.connection.host, api.connection.port
        cluster.processes["fleet"] = fleet = Process(cluster, "fleet", [
            BIN / "bench-fleet", "--rm", rm, "--nodes", count, "--changes-per-s", 300, "--warmup", "3s", "--duration", "60s", "--json"])
        wait_until("all nodes are known", lambda: len(api("GET", "/v1/nodes")[1]["nodes"]) >= count)
        idle = socket.create_connection((host, port))
        idle.sendall(b"GET /v1/nodes HTTP/1.1\r\nHost: rm\r\n\r\n")
        for _ in range(2):
            for path in ("/v1/nodes", "/v1/nodes?service=echo"):
                addresses = [node["address"] for node in api("GET", path)[1]["nodes"]]
                check(len(addresses) >= count and len(set(addresses)) == len(addresses), f"{path}: {len(addresses)}, twice some")
            targets = [group["targets"][0] for group in api("GET", "/sd")[1]]
            check(len(targets) >= count * 0.9 and len(set(targets)) == len(targets), f"/sd: {len(targets)}")
            code, out, err = run("usherctl", "-s", cluster.socket("rm"), "nodes", "--json")
            check(code == 0 and len(json.loads(out)["nodes"]) >= count, f"usherctl nodes: {code} {err}")
        old = http.client.HTTPConnection(host, port, timeout=PATIENCE_S)
        old._http_vsn, old._http_vsn_str = 10, "HTTP/1.0"
        old.request("GET", "/v1/nodes")
        check(len(json.loads(old.getresponse().read())["nodes"]) >= count, "HTTP/1.0 gets all of them")
        idle.close()
        check(fleet.running(), f"the fleet ended: {fleet.log()[-400:]}")
        fleet.signal(signal.SIGTERM)
        fleet.popen.wait(PATIENCE_S)
        result = json.loads(fleet.log().splitlines()[-1])
        check(result["lost"] <= result["heartbeats"] / 10, f"heartbeats were not acknowledged: {result}")


main(mistakes_are_told, queues_are_told_apart, conflicts_are_refused, nobody_takes_a_node_over_by_mistake, long_lists_hold_nobody_up, picks_are_fair, our_own_nodes_heartbeat_over_http, curl_alone_runs_a_fleet,
     dispatchers_place_by_weight)
