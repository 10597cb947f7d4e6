#!/usr/bin/env python3
"""Two rm of a region, each with a Redis of its own or both on one under Sentinel: one is killed, one stands still, Redis fails over.
Lookups never fail, lists become right, and what an operator has said stays said."""
import contextlib
import shutil
import signal
import subprocess
import sys
import threading
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.bounds import bounded
from support.cluster import Cluster, address_new, check, main, metrics, run, wait_until
from support.watch import Watch

VALID_S = 1.0
BEAT = ["--heartbeat", "250ms", "--load-window", "250ms", "--slots", "4", "--drain-accept", "100ms"]
RIGHT_S = 5.0  # from the fault to lists that tell the truth


class Clients:
    """Programs of users, one after the other: `usher ask` must always get an address."""

    def __init__(self, cluster):
        self.dispatchers = ",".join(cluster.dispatchers_at)
        self.asked, self.failures, self.over = 0, [], False
        self.thread = threading.Thread(target=self.ask)

    def ask(self):
        while not self.over:
            code, out, err = run("usher", "ask", "--dispatchers", self.dispatchers, "--service", "echo")
            self.asked += 1
            if code != 0:
                self.failures.append((code, out, err))
            time.sleep(0.05)

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.over = True
        self.thread.join()


@contextlib.contextmanager
def clients_all_the_while(cluster):
    with Watch(cluster) as watch, Clients(cluster) as clients:
        yield watch
    check(not watch.failures, f"{len(watch.failures)} of {watch.asked} lookups failed: {watch.failures[:3]}")
    check(not clients.failures, f"{len(clients.failures)} of {clients.asked} `usher ask` failed: {clients.failures[:3]}")
    check(watch.asked > 100 and clients.asked > 10, f"{watch.asked} lookups and {clients.asked} `usher ask` are too few")
    print(f"     0 of {watch.asked} lookups and 0 of {clients.asked} `usher ask` failed; {watch.fewest} nodes at least", flush=True)


def fleet(cluster, *redis):
    """rm0 and rm1, dispatchers d0 and d1, workers w0 … w3; everybody knows everybody."""
    cluster.known_to_one = []  # of the rm
    cluster.rms_at = [address_new() for _ in range(2)]
    cluster.rm_list = ",".join(cluster.rms_at)
    cluster.http = address_new()
    for i, address in enumerate(cluster.rms_at):
        cluster.rm(address, "--heartbeat-valid", f"{VALID_S:.0f}s", *redis, *(["--http", cluster.http] if i == 0 else []), name=f"rm{i}")
    cluster.dispatchers_at = [address_new() for _ in range(2)]
    for i, address in enumerate(cluster.dispatchers_at):
        cluster.dispatcher(address, cluster.rm_list, *BEAT, name=f"d{i}")
    cluster.at = {f"d{i}": address for i, address in enumerate(cluster.dispatchers_at)}
    for i in range(4):
        worker_join(cluster, f"w{i}")
    everybody_knows(cluster)


def worker_join(cluster, name):
    cluster.at[name] = address_new()
    cluster.worker(cluster.at[name], cluster.rm_list, *BEAT, name=name)


def worker_leave(cluster, name):
    """It says good-bye, and it is gone."""
    check(cluster.processes.pop(name).terminate() == 0, f"{name} did not end well")
    del cluster.at[name]


def everybody_knows(cluster, names=("d0", "d1", "rm0", "rm1")):
    """Who is alive, and nobody else; fit to be handed out unless an operator has said otherwise. Returns how long it took."""
    def true_at(name):
        rows = cluster.nodes(name)
        return {n for n, row in rows.items() if row["state"] in ("ready", "drained")} == set(cluster.at.values())
    return wait_until(f"{names} know just {sorted(cluster.at)}", lambda: all(map(true_at, names)))


def follows(cluster, dispatcher, rm):
    directory = cluster.ctl(dispatcher, "status")["directory"]
    return directory["following"] and directory["rm"] == rm and directory["state"] == "current"


def everybody_follows(cluster, rm):
    return wait_until(f"d0 and d1 follow {rm}", lambda: follows(cluster, "d0", rm) and follows(cluster, "d1", rm))


def words_are(cluster, words, names=("d0", "d1", "rm0", "rm1")):
    """words: {node's name: "drained" or "ready", or a weight}"""
    def said(name, node, word):
        row = cluster.nodes(name).get(cluster.at[node], {})
        if isinstance(word, str):
            return row.get("state") == word
        return not name.startswith("rm") or row.get("weights") == [word] * len(row.get("services", []))
    return wait_until(f"{names} have heard {words}", lambda: all(said(*one) for one in ((n, *w) for n in names for w in words.items())))


# ---- each rm with a Redis of its own ----

def each_with_its_own_redis():
    with Cluster() as cluster:
        fleet(cluster)
        with clients_all_the_while(cluster) as watch:
            operators_word_reaches_all(cluster)
            word_that_is_lost_is_logged(cluster)
            one_is_killed(cluster)
            one_comes_back_with_an_old_store_and_the_other_dies(cluster)
            one_stands_still(cluster)
            both_start_from_nothing(cluster)
        check(watch.fewest >= 4, f"only {watch.fewest} nodes were handed out at times")


def operators_word_reaches_all(cluster):
    cluster.ctl("rm0", "drain", cluster.at["w0"], "--reason", "disk")
    bounded(words_are(cluster, {"w0": "drained"}), 1.0, "a drain told to one rm is known to all after")
    cluster.ctl("rm1", "weight", cluster.at["w1"], "7")
    bounded(words_are(cluster, {"w1": 7}), 1.0, "a weight told to the other one is known to all after")


def word_that_is_lost_is_logged(cluster):
    """A node that hangs tells nobody of the drain, so that the weight does not follow on it: the later word counts, and who was told the drain
    says so."""
    node, rm0 = cluster.at["w3"], cluster.processes["rm0"]
    cluster.processes["w3"].signal(signal.SIGSTOP)
    cluster.ctl("rm0", "drain", node)
    time.sleep(0.01)  # versions are milliseconds
    cluster.ctl("rm1", "weight", node, "3")
    cluster.processes["w3"].signal(signal.SIGCONT)
    words_are(cluster, {"w3": 3})
    teller = cluster.ctl("rm1", "status")["rm_id"]
    lines = [line for line in rm0.log().splitlines() if f"node={node} " in line and "rm-node-overruled" in line]
    check(len(lines) == 1 and f"rm_id={teller} drained=no weight=3 " in lines[0], f"the lost drain is not told: {lines}")
    cluster.ctl("rm1", "weight", node, "auto")
    words_are(cluster, {"w3": "ready"})


def one_is_killed(cluster, joins="w4", leaves="w2"):
    killed = time.monotonic()
    cluster.processes["rm0"].kill()
    worker_join(cluster, joins)
    worker_leave(cluster, leaves)
    everybody_follows(cluster, cluster.rms_at[1])
    bounded(time.monotonic() - killed, 2.0, "the rm was killed; all follow the other one after")
    everybody_knows(cluster, ("d0", "d1", "rm1"))
    bounded(time.monotonic() - killed, RIGHT_S, "and know who joined and who left after")
    words_are(cluster, {"w0": "drained", "w1": 7}, ("d0", "d1", "rm1"))


def one_comes_back_with_an_old_store_and_the_other_dies(cluster):
    """Its Redis knows w2, which has left, and does not know w4."""
    time.sleep(VALID_S)
    cluster.processes["rm0"].start()
    wait_until("rm0 answers", lambda: run("usherctl", "-s", cluster.socket("rm0"), "status")[0] == 0)
    cluster.processes["rm1"].kill()
    killed = time.monotonic()
    def all_follow():
        for d in "d0", "d1":
            code, out, _ = run("usherctl", "-s", cluster.socket(d), "nodes", "--json")
            check(code != 0 or cluster.at["w4"] in out, "an rm with an old store has talked a dispatcher out of a node")
        return all(follows(cluster, d, cluster.rms_at[0]) for d in ("d0", "d1"))
    wait_until("all follow it", all_follow)
    everybody_knows(cluster, ("d0", "d1"))
    bounded(time.monotonic() - killed, RIGHT_S, "an rm with an old store is followed, and tells the truth, after")
    everybody_knows(cluster, ("rm0",))  # who left while it was away is forgotten after the grace
    words_are(cluster, {"w0": "drained", "w1": 7}, ("d0", "d1", "rm0"))
    check(cluster.nodes("rm0")[cluster.at["w0"]]["reason"] == "disk", "the reason is in its store")


def one_stands_still(cluster):
    cluster.processes["rm1"].start()
    everybody_knows(cluster, ("rm1",))
    stopped = time.monotonic()
    cluster.processes["rm0"].signal(signal.SIGSTOP)
    worker_join(cluster, "w5")
    worker_leave(cluster, "w3")
    everybody_follows(cluster, cluster.rms_at[1])
    bounded(time.monotonic() - stopped, 2.0, "the rm was stopped; all follow the other one after")
    everybody_knows(cluster, ("d0", "d1", "rm1"))
    bounded(time.monotonic() - stopped, RIGHT_S, "and know who joined and who left after")
    cluster.ctl("rm1", "ready", cluster.at["w0"])
    wait_until("the node knows, which will tell the other rm", lambda: not cluster.ctl("w0", "status")["node"]["admin_drain"])
    cluster.processes["rm0"].signal(signal.SIGCONT)
    wait_until("rm0 notices", lambda: " rm-resumed " in cluster.processes["rm0"].log())
    cluster.processes["rm1"].signal(signal.SIGSTOP)
    stopped = time.monotonic()
    everybody_follows(cluster, cluster.rms_at[0])
    everybody_knows(cluster, ("d0", "d1", "rm0"))
    bounded(time.monotonic() - stopped, RIGHT_S, "an rm that was stopped is followed again, and tells the truth, after")
    words_are(cluster, {"w0": "ready", "w1": 7}, ("d0", "d1", "rm0"))
    cluster.processes["rm1"].signal(signal.SIGCONT)
    cluster.ctl("rm0", "drain", cluster.at["w0"])
    words_are(cluster, {"w0": "drained", "w1": 7})


def both_start_from_nothing(cluster):
    """What operators have said is still known to the nodes."""
    for name in "rm0", "rm1":
        cluster.processes[name].kill()
    for name in "rm0", "rm1":
        wait_until("its Redis has ended", lambda: not cluster.processes_left(f"{cluster.folder / name}/"))
        shutil.rmtree(cluster.folder / name)
        cluster.processes[name].start()
    bounded(everybody_knows(cluster), RIGHT_S, "both have started from nothing; lists are right after")
    words_are(cluster, {"w0": "drained", "w1": 7})


# ---- both on one Redis, under Sentinel ----

# What Sentinel and a replica may take is theirs: Sentinel does nothing for 30 s when it sees the machine stand still for 2 s (its TILT mode).
SENTINEL_S = 100

# Longer than what TILT sees, so that a machine that stands still never looks like a dead server: a fail-over that nobody asked for makes
# the server the master that the test is to kill as the replica.
SENTINEL_DOWN_MS = 3000


def redis_ask(address, *words):
    port = address.rsplit(":", 1)[1]
    return subprocess.run(["redis-cli", "-p", port, *words], capture_output=True, text=True, timeout=10).stdout


def redis_start(cluster, name, *options):
    address = address_new()
    folder = cluster.folder / name
    folder.mkdir()
    cluster.add(name, shutil.which("redis-server"), *options, "--port", address.rsplit(":", 1)[1], "--bind", "127.0.0.1", "--dir", folder,
                "--save", "", "--appendonly", "no")
    wait_until(f"{name} answers", lambda: redis_ask(address, "PING") == "PONG\n")
    return address


def sentinel_start(cluster, name, master):
    address = address_new()
    path = cluster.folder / f"{name}.conf"
    path.write_text(f"port {address.rsplit(':', 1)[1]}\nbind 127.0.0.1\ndir {cluster.folder}\n"
                    f"sentinel monitor main 127.0.0.1 {master.rsplit(':', 1)[1]} 2\n"
                    f"sentinel down-after-milliseconds main {SENTINEL_DOWN_MS}\nsentinel failover-timeout main 2000\n")
    cluster.add(name, shutil.which("redis-server"), path, "--sentinel")
    return address


def sentinels_are_ready(sentinels):
    def ready(address):
        words = redis_ask(address, "SENTINEL", "MASTER", "main").split()
        told = dict(zip(words[::2], words[1::2]))
        return told.get("num-slaves") == "1" and told.get("num-other-sentinels") == "2" and told.get("flags") == "master"
    wait_until("the sentinels know each other and the replica", lambda: all(map(ready, sentinels)),
               limit_s=SENTINEL_S)


def on_one_redis_that_fails_over():
    with Cluster() as cluster:
        cluster.redis_at = {"first": redis_start(cluster, "first")}
        cluster.redis_at["second"] = redis_start(cluster, "second", "--replicaof", *cluster.redis_at["first"].split(":"))
        sentinels = [sentinel_start(cluster, f"sentinel{i}", cluster.redis_at["first"]) for i in range(3)]
        sentinels_are_ready(sentinels)
        fleet(cluster, "--redis", f"sentinel:main@{','.join(sentinels)}")
        redis_is_right(cluster, "first")
        with clients_all_the_while(cluster) as watch:
            operators_word_reaches_all(cluster)
            words_told_to_two_at_once_stand_beside_each_other(cluster)
            redis_is_emptied(cluster)
            redis_fails_over(cluster)
            redis_fails_over_while_one_stands_still(cluster)
            word_of_a_killed_rm_is_known(cluster)
            killed_rm_is_back_at_once(cluster)
            one_is_killed(cluster, joins="w6", leaves="w5")
            two_rm_that_disagree_do_not_fight(cluster)
        check(watch.fewest >= 4, f"only {watch.fewest} nodes were handed out at times")


def redis_is_right(cluster, name, rms=("rm0", "rm1")):
    """The server of that name is in use, and says of who is alive, who is faulty and who is drained what is true."""
    def used(rm):
        status = cluster.ctl(rm, "status")["redis"]
        return status["up"] and status["server"] == f"tcp:{cluster.redis_at[name]}"

    return wait_until(f"{rms} use {name}", lambda: all(map(used, rms))) + \
        wait_until(f"{name} tells the truth", lambda: redis_tells_the_truth(cluster, name))


def redis_tells_the_truth(cluster, name):
    def members(key, *words):
        return set(redis_ask(cluster.redis_at[name], *words, f"usher:1:{key}", *(("0", "-1") if words[0] == "ZRANGE" else ())).split())
    alive = set(cluster.at.values()) | set(cluster.known_to_one)
    return members("beats", "ZRANGE") == alive == members("loads", "ZRANGE") and not members("faults", "ZRANGE") & alive and \
        alive <= members("nodes", "HKEYS")


def words_told_to_two_at_once_stand_beside_each_other(cluster):
    """A drain and a weight are one word; who is told one of them before it has read the other reads it first."""
    node = cluster.at["w2"]
    first = cluster.ctl("rm0", "drain", node, "--reason", "disk")
    second = cluster.ctl("rm1", "weight", node, "3")
    if first["stored"] and second["stored"]:
        words_are(cluster, {"w2": "drained"})
        words_are(cluster, {"w2": 3}, ("rm0", "rm1"))
    cluster.ctl("rm1", "weight", node, "auto")
    third = cluster.ctl("rm0", "ready", node)
    if third["stored"]:
        wait_until("w2 is ready, and weighs what it weighs", lambda: all(
            cluster.nodes(rm)[node]["state"] == "ready" and cluster.nodes(rm)[node]["weights"] != [3] for rm in ("rm0", "rm1")))


def redis_is_emptied(cluster):
    """Both write what they know; neither wins over the other."""
    def word(node):
        return redis_ask(cluster.redis_at["first"], "HGET", "usher:1:admin", cluster.at[node])
    redis_ask(cluster.redis_at["first"], "FLUSHALL")
    bounded(wait_until("both words stand there", lambda: '"reason":"disk"' in word("w0") and '"weight":7' in word("w1")), RIGHT_S,
            "Redis was emptied while all are connected; operators' words are there again after")
    words_are(cluster, {"w0": "drained", "w1": 7})
    redis_is_right(cluster, "first")


def redis_fails_over(cluster):
    cluster.processes["first"].kill()
    killed = time.monotonic()
    worker_join(cluster, "w4")
    worker_leave(cluster, "w2")
    wait_until("the replica is the master", lambda: redis_ask(cluster.redis_at["second"], "ROLE").startswith("master"),
               limit_s=SENTINEL_S)
    print(f"     Sentinel failed over after {time.monotonic() - killed:.2f} s", flush=True)
    bounded(redis_is_right(cluster, "second"), RIGHT_S, "Redis has failed over; it is right again after")
    bounded(everybody_knows(cluster), RIGHT_S, "and lists are right after")
    words_are(cluster, {"w0": "drained", "w1": 7})
    # An rm that heard the word from the node alone knows no reason, and may have been the last to write; the other one writes it again.
    wait_until("the reason stands there", lambda: '"reason":"disk"' in redis_ask(
        cluster.redis_at["second"], "HGET", "usher:1:admin", cluster.at["w0"]))
    where = f'usher_redis_server{{server="tcp:{cluster.redis_at["second"]}"}}'
    check(metrics(cluster.http)[where] == 1, "the metrics do not name the master")
    check(f"redis-up server=tcp:{cluster.redis_at['second']}" in cluster.processes["rm1"].log(), "the log does not name the master")


def redis_fails_over_while_one_stands_still(cluster):
    """Back to the first one, which has come back as a replica. An operator speaks to the rm that is there."""
    first = cluster.processes["first"]
    first.arguments += ["--replicaof", *cluster.redis_at["second"].split(":")]
    first.start()
    wait_until("the first is a replica", lambda: redis_ask(cluster.redis_at["first"], "ROLE").split()[::3] == ["slave", "connected"],
               limit_s=SENTINEL_S)
    cluster.processes["rm0"].signal(signal.SIGSTOP)
    cluster.processes["second"].kill()
    worker_join(cluster, "w5")
    cluster.ctl("rm1", "drain", cluster.at["w1"])
    wait_until("the first is the master again", lambda: redis_ask(cluster.redis_at["first"], "ROLE").startswith("master"),
               limit_s=SENTINEL_S)
    cluster.processes["rm0"].signal(signal.SIGCONT)
    bounded(redis_is_right(cluster, "first"), RIGHT_S, "Redis has failed over while one rm stood still; it is right again after")
    bounded(everybody_knows(cluster), RIGHT_S, "and lists are right after")
    words_are(cluster, {"w0": "drained", "w1": "drained"})
    cluster.ctl("rm0", "ready", cluster.at["w1"])
    words_are(cluster, {"w0": "drained", "w1": 7})


def word_of_a_killed_rm_is_known(cluster):
    """The node hangs, so that it tells nobody; the rm dies as soon as it has answered; Redis has it."""
    cluster.processes["w3"].signal(signal.SIGSTOP)
    answer = cluster.ctl("rm0", "drain", cluster.at["w3"])
    cluster.processes["rm0"].kill()
    check(answer["stored"], f"rm did not wait for Redis: {answer}")
    words_are(cluster, {"w3": "drained"}, ("rm1",))
    cluster.processes["w3"].signal(signal.SIGCONT)
    words_are(cluster, {"w3": "drained"}, ("rm1", "d0", "d1"))  # who hangs for longer than its heartbeats are valid is in no list
    cluster.ctl("rm1", "ready", cluster.at["w3"])
    words_are(cluster, {"w3": "ready"}, ("rm1", "d0", "d1"))


def killed_rm_is_back_at_once(cluster):
    cluster.processes["rm0"].start()
    bounded(everybody_knows(cluster, ("rm0",)), 1.0, "an rm that shares its store knows everybody after")
    words_are(cluster, {"w0": "drained", "w1": 7, "w3": "ready"})


def two_rm_that_disagree_do_not_fight(cluster):
    """A node that reaches rm1 alone. rm0 knows it from their Redis, misses its heartbeats, and calls it faulty."""
    half = address_new()
    cluster.worker(half, cluster.rms_at[1], *BEAT, name="half")
    cluster.known_to_one.append(half)
    redis_is_right(cluster, "first", ("rm1",))
    cluster.processes["rm0"].start()
    wait_until("rm0 calls it faulty", lambda: cluster.nodes("rm0").get(half, {}).get("state") == "faulty")
    bounded(redis_is_right(cluster, "first"), RIGHT_S, "two rm disagree; Redis says that the node lives after")
    looks = []
    for _ in range(40):
        looks.append(redis_tells_the_truth(cluster, "first"))
        time.sleep(0.1)
    # What rm0 has just noticed it may have yet to write, and rm1 to write over; then there is peace.
    began = sum(before and not now for before, now in zip(looks, looks[1:]))
    check(began <= 2, f"they fight: Redis became wrong {began} times in {len(looks)} looks")
    redis_is_right(cluster, "first")


main(each_with_its_own_redis, on_one_redis_that_fails_over)
