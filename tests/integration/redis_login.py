#!/usr/bin/env python3
"""rm and a Redis that wants a password: requirepass, ACL users, sentinels with a password of their own, and what is told when it is wrong."""

import pathlib
import shutil
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, address_new, check, main, run, wait_until

PASSWORD = "open sesame, please"
OTHER = "another-one"

# What docs/REDIS.md gives rm's user.
RIGHTS = ("~usher:*", "resetchannels", "-@all", "+ping", "+role", "+time", "+zadd", "+zrem", "+zcard", "+zscan", "+zrangebyscore",
          "+zremrangebyscore", "+hget", "+hset", "+hdel", "+hlen", "+hscan")
SENTINEL_RIGHTS = ("resetkeys", "resetchannels", "-@all", "+ping", "+sentinel|get-master-addr-by-name")


def ask(address, *words, password=PASSWORD):
    login = ["--no-auth-warning", "-a", password] if password else []
    return subprocess.run(["redis-cli", "-p", address.rsplit(":", 1)[1], *login, *words], capture_output=True, text=True, timeout=10,
                          check=False).stdout


def redis_start(cluster, name="redis"):
    address = address_new()
    folder = cluster.folder / name
    folder.mkdir()
    path = folder / "redis.conf"
    path.write_text(f'port {address.rsplit(":", 1)[1]}\nbind 127.0.0.1\ndir {folder}\nsave ""\nrequirepass "{PASSWORD}"\n')
    cluster.add(name, shutil.which("redis-server"), path)
    wait_until("Redis answers", lambda: ask(address, "PING") == "PONG\n")
    return address


def secret(cluster, name, text, mode=0o600):
    path = cluster.folder / name
    path.write_text(text)
    path.chmod(mode)
    return path


def redis_of(cluster):
    return cluster.ctl("rm", "status")["redis"]


def is_up(cluster):
    return redis_of(cluster)["up"]


def says(cluster, *parts):
    wait_until(f"rm says {parts}", lambda: all(part in redis_of(cluster)["reason"] for part in parts))
    check(not is_up(cluster), "it is not up all the same")


def nothing_tells_it(cluster, *passwords):
    """Neither what ps shows nor the log nor what rm says of itself."""
    pid = cluster.processes["rm"].popen.pid
    seen = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().decode() + pathlib.Path(f"/proc/{pid}/environ").read_bytes().decode()
    seen += cluster.processes["rm"].log() + str(cluster.ctl("rm", "status")) + str(cluster.ctl("rm", "stats"))
    check(not any(password in seen for password in passwords), "the password is shown")


def mistakes_are_told_at_once():
    with Cluster() as cluster:
        good = secret(cluster, "good", PASSWORD + "\n")
        for options, text in (
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", cluster.folder / "none"), "No such file"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", cluster.folder), "not a regular file"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", secret(cluster, "open", "x\n", 0o644)), "chmod 600"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", secret(cluster, "empty", "\n")), "it is empty"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", secret(cluster, "two", "a\nb\n")), "one line is expected"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-password-file", secret(cluster, "long", "x" * 513)), "at most 512 bytes"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-user", "usher"), "give --redis-password-file"),
            (("--redis", "tcp:127.0.0.1:6379", "--redis-user", "a b", "--redis-password-file", good), "is no user"),
            (("--redis-password-file", good), "nobody to say it to with --redis embedded"),
            (("--redis", "tcp:127.0.0.1:6379", "--sentinel-password-file", good), "nobody to say it to"),
            (("--redis", "sentinel:main@127.0.0.1:26379", "--sentinel-user", "usher"), "give --sentinel-password-file"),
        ):
            code, out, err = run("usher-rm", "--state-dir", cluster.folder / "state", *options, "-t")
            check(code == 1 or code == 2, f"{options}: exit {code} {out}")
            check(text in err and PASSWORD not in err, f"{options}: {err}")


def wrong_and_missing_passwords_are_told_and_mended_without_a_restart():
    with Cluster() as cluster:
        redis = redis_start(cluster)
        path = secret(cluster, "password", OTHER + "\n")
        cluster.rm(address_new(), "--redis", f"tcp:{redis}", "--redis-password-file", path)
        wait_until("rm answers", lambda: run("usherctl", "-s", cluster.socket("rm"), "status")[0] == 0)
        says(cluster, "WRONGPASS", "--redis-password-file")
        path.chmod(0o640)
        says(cluster, "chmod 600")
        path.chmod(0o600)
        path.write_text(PASSWORD + "\n")
        wait_until("rm is let in", lambda: is_up(cluster))
        nothing_tells_it(cluster, PASSWORD, OTHER)

        ask(redis, "CONFIG", "SET", "requirepass", OTHER)
        ask(redis, "CLIENT", "KILL", "TYPE", "normal", password=OTHER)
        says(cluster, "WRONGPASS")
        path.write_text(OTHER)
        wait_until("rm is let in again", lambda: is_up(cluster))
    with Cluster() as cluster:
        cluster.rm(address_new(), "--redis", f"tcp:{redis_start(cluster)}")
        wait_until("rm answers", lambda: run("usherctl", "-s", cluster.socket("rm"), "status")[0] == 0)
        says(cluster, "NOAUTH", "--redis-password-file")


def user_with_few_rights_is_enough():
    with Cluster() as cluster:
        redis = redis_start(cluster)
        check(ask(redis, "ACL", "SETUSER", "usher", "on", f">{OTHER}", *RIGHTS) == "OK\n", "the user is made")
        rm, worker = address_new(), address_new()
        cluster.rm(rm, "--redis", f"tcp:{redis}", "--redis-user", "usher", "--redis-password-file", secret(cluster, "password", OTHER),
                   "--heartbeat-valid", "600ms")
        cluster.worker(worker, rm, "--heartbeat", "100ms")
        wait_until("the worker is written", lambda: ask(redis, "ZCARD", "usher:1:beats") == "1\n")
        cluster.ctl("rm", "drain", worker)
        check(ask(redis, "HLEN", "usher:1:admin") == "1\n", "an operator's word is written")
        cluster.processes["worker"].kill()
        wait_until("its beat has expired", lambda: ask(redis, "ZCARD", "usher:1:beats") == "0\n")
        cluster.processes["rm"].terminate()
        cluster.processes["rm"].start()
        wait_until("rm is up again", lambda: run("usherctl", "-s", cluster.socket("rm"), "status")[0] == 0 and is_up(cluster))
        check("drained" in str(cluster.nodes("rm")), "rm has read what it wrote")
        check("NOPERM" not in cluster.processes["rm"].log(), "Redis refused something")
        nothing_tells_it(cluster, OTHER)


def sentinels_have_a_password_of_their_own():
    with Cluster() as cluster:
        redis = redis_start(cluster)
        sentinel = address_new()
        path = cluster.folder / "sentinel.conf"
        path.write_text(f"port {sentinel.rsplit(':', 1)[1]}\nbind 127.0.0.1\ndir {cluster.folder}\nrequirepass {OTHER}\n"
                        f"sentinel monitor main 127.0.0.1 {redis.rsplit(':', 1)[1]} 1\nsentinel auth-pass main \"{PASSWORD}\"\n")
        cluster.add("sentinel", shutil.which("redis-server"), path, "--sentinel")
        wait_until("the sentinel answers", lambda: ask(sentinel, "PING", password=OTHER) == "PONG\n")
        where = ("--redis", f"sentinel:main@{sentinel}", "--redis-password-file", secret(cluster, "password", PASSWORD))
        sentinel_password = secret(cluster, "sentinel-password", PASSWORD)
        cluster.rm(address_new(), *where, name="lost")
        wait_until("it is said what is missing", lambda: run("usherctl", "-s", cluster.socket("lost"), "status")[0] == 0 and
                   "--sentinel-password-file" in cluster.ctl("lost", "status")["redis"]["reason"])
        check(ask(sentinel, "ACL", "SETUSER", "usher", "on", f">{OTHER}", *SENTINEL_RIGHTS, password=OTHER) == "OK\n", "a user is made there")
        cluster.rm(address_new(), *where, "--sentinel-user", "usher", "--sentinel-password-file", sentinel_password)
        wait_until("rm answers", lambda: run("usherctl", "-s", cluster.socket("rm"), "status")[0] == 0)
        says(cluster, "WRONGPASS", "--sentinel-password-file")
        sentinel_password.write_text(OTHER)
        wait_until("rm is let in by both", lambda: is_up(cluster))
        check(redis_of(cluster)["server"] == f"tcp:{redis}", f"{redis_of(cluster)}")
        nothing_tells_it(cluster, PASSWORD, OTHER)


main(mistakes_are_told_at_once, wrong_and_missing_passwords_are_told_and_mended_without_a_restart, user_with_few_rights_is_enough,
     sentinels_have_a_password_of_their_own)
