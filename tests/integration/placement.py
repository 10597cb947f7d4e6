#!/usr/bin/env python3
"""Placement with real processes: a pick can be explained, and what clients say of their jobs is heard."""

import json
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, address_new, check, main, run, wait_until


def cluster_start(cluster, workers, *options):
    """rm, a dispatcher that takes no jobs, workers; returns the dispatcher's address."""
    rm, dispatcher = address_new(), address_new()
    addresses = [address_new() for _ in range(workers)]
    cluster.rm(rm)
    cluster.dispatcher(dispatcher, rm, "--no-jobs", *options)
    for index, address in enumerate(addresses):
        cluster.worker(address, rm, "--services", "sleep,echo", "--slots", "2", name=f"worker{index}")
    cluster.wait_nodes("dispatcher", [dispatcher, *addresses])
    return dispatcher


def policies_built():
    code, out, _ = run("usher-dispatcher", "--help")
    return [name for name in ("two-choices", "below-average", "random", "round-robin", "weighted") if code == 0 and name in out]


def a_pick_is_explained_under_every_policy():
    with Cluster() as cluster:
        cluster_start(cluster, 3)
        path = cluster.socket("dispatcher")
        picks = {address: node["picks"] for address, node in cluster.nodes("dispatcher").items()}
        for policy in policies_built():
            cluster.ctl("dispatcher", "set", "policy", policy)
            code, out, err = run("usherctl", "-s", path, "pick", "sleep", "--explain", "--json")
            check(code == 0, f"{policy}: {err}")
            answer = json.loads(out)
            chosen = [row for row in answer["candidates"] if row["chosen"]]
            check(answer["policy"] == policy and answer["why"] and answer["offered_by"] == 3, f"{policy}: {out}")
            check(len(chosen) == 1 and chosen[0]["address"] == answer["node"], f"{policy}: {out}")
            code, out, _ = run("usherctl", "-s", path, "pick", "sleep")
            check(code == 0 and "why" in out and "candidates" not in out, f"{policy}: {out}")
        after = {address: node["picks"] for address, node in cluster.nodes("dispatcher").items()}
        check(picks == after, "a dry run was counted")


def wrong_questions_get_clear_answers():
    with Cluster() as cluster:
        cluster_start(cluster, 1)
        path = cluster.socket("dispatcher")
        for words, code, text in (
            (("-s", path, "pick"), 2, "the command is: pick SERVICE [--explain]"),
            (("-s", path, "pick", "sleep", "why"), 2, "only --explain may follow"),
            (("-s", path, "pick", "sl eep"), 2, "cannot be a service"),
            (("-s", path, "pick", "slep"), 4, "has ever offered slep"),
            (("-s", cluster.socket("rm"), "pick", "sleep"), 2, "usher-rm picks no nodes, dispatchers do"),
            (("-s", cluster.socket("worker0"), "pick", "sleep", "--explain"), 2, "usher-worker picks no nodes, dispatchers do"),
        ):
            got, out, err = run("usherctl", *words)
            check(got == code and text in err and not out, f"usherctl {words}: {got} {out} {err}")
        for address in cluster.nodes("rm"):
            cluster.ctl("rm", "drain", address)
        wait_until("the drained node is not picked any more", lambda: run("usherctl", "-s", path, "pick", "sleep")[0] == 4)
        check("no eligible node" in run("usherctl", "-s", path, "pick", "sleep")[2], "what is wrong")


def what_clients_say_is_heard():
    with Cluster() as cluster:
        dispatcher = cluster_start(cluster, 1)
        code, _, err = run("usher", "run", "--dispatchers", dispatcher, "--service", "echo", "--data", "hi", "--repeat", "5")
        check(code == 0, err)
        code, _, err = run("usher-load", "run", "--dispatcher", dispatcher, "--service", "echo", "--depth", "4", "--requests", "100",
                           "--warmup", "0")
        check(code == 0, err)
        stats = cluster.ctl("dispatcher", "stats")["stats"]
        heard = stats['usher_feedback_total{outcome="ok"}']
        check(heard > 50, f"{heard} of 105 jobs were told of")


if __name__ == "__main__":
    main(a_pick_is_explained_under_every_policy, wrong_questions_get_clear_answers, what_clients_say_is_heard)
