#!/usr/bin/env python3
"""What operators and their tools meet at a real daemon: usherctl's exit codes, slow clients at the sockets, /healthz, SIGHUP, SIGTERM."""

import signal
import socket
import sys
import time
import urllib.error
import urllib.request

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import Cluster, check, main, port_free, run, wait_until

NO_RM = "127.0.0.1:9"  # nobody answers there, which is no reason for a worker not to live


def worker_start(cluster, *options):
    http = port_free()
    worker = cluster.worker(f"127.0.0.1:{port_free()}", NO_RM, "--http", f"127.0.0.1:{http}", *options)
    wait_until("the worker has started", lambda: " started " in worker.log() or not worker.running())
    check(worker.running(), f"the worker did not start: {worker.log()}")
    return worker, http


def http_get(port, path):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=10) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


def usherctl_says_what_is_wrong():
    with Cluster() as cluster:
        worker, _ = worker_start(cluster)
        path = cluster.socket("worker")
        for words, code, text in (
            ((), 2, "say what to do"),
            (("-s", path, "statsu"), 2, "did you mean status?"),
            (("-s", path, "set", "queue", "5"), 2, "restart it with --queue"),
            (("-s", path, "set", "sleep-factor", "much"), 2, "is not a number"),
            (("-s", path, "set", "sleep-factor"), 2, "the command is: set NAME VALUE"),
            (("-s", cluster.folder / "none.sock", "status"), 3, "is the daemon running"),
            (("--state-dir", cluster.folder, "status"), 3, "no daemon has its admin socket"),
        ):
            got, out, err = run("usherctl", *words)
            check(got == code and text in err and not out, f"usherctl {words}: {got} {out} {err}")
        worker.signal(signal.SIGSTOP)
        got, _, err = run("usherctl", "-s", path, "status", "--timeout", "100ms")
        check(got == 3 and "no answer from" in err, f"a hanging daemon: {got} {err}")
        worker.signal(signal.SIGCONT)
        worker.kill()
        # The kernel takes a killed process's ring down a moment later; until then its sockets take connections.
        wait_until("a killed daemon is told from a slow one",
                   lambda: "its daemon has ended" in run("usherctl", "-s", path, "status")[2])
        check(run("usherctl", "-s", path, "status")[0] == 3, "exit code for a killed daemon")


def slow_clients_are_cut_off_and_hurt_nobody():
    with Cluster() as cluster:
        _, http = worker_start(cluster)
        with socket.create_connection(("127.0.0.1", http)) as web, socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(cluster.socket("worker")))
            begin = time.monotonic()
            web.send(b"GET /metrics HTTP/1.1\r\n")
            admin.send(b"sta")
            for _ in range(4):  # dripping does not help
                time.sleep(1)
                web.send(b"A: b\r\n")
                admin.send(b" ")
            check(http_get(http, "/metrics")[0] == 200, "a second client has to wait")
            check(cluster.ctl("worker", "status")["ok"], "a second operator has to wait")
            check(b" 408 " in web.recv(4096) and web.recv(4096) == b"", "no 408 and end")
            check(b"ETIMEDOUT" in admin.recv(4096) and admin.recv(4096) == b"", "no refusal and end")
            took = time.monotonic() - begin
            check(took >= 4.9, f"cut off already after {took:.1f} s")


def health_and_metrics_agree_with_status():
    with Cluster() as cluster:
        _, http = worker_start(cluster)
        code, text = http_get(http, "/healthz")
        status = cluster.ctl("worker", "status")
        check(code == 503 and text.strip() == status["reason"], f"without rm: {code} {text} {status}")
        page = http_get(http, "/metrics")[1]
        check("\nusher_healthy 0\n" in page, "usher_healthy")
        check(f'usher_io_backend_info{{backend="{status["io"]}"}} 1\n' in page, "usher_io_backend_info")
        names = [line.split()[2] for line in page.splitlines() if line.startswith("# TYPE")]
        check(len(names) == len(set(names)), "a TYPE appears twice")
        check(http_get(http, "/")[0] == 404, "not found")


def hangup_reads_the_configuration_again():
    with Cluster() as cluster:
        conf = cluster.folder / "worker.conf"
        conf.write_text("sleep-factor = 1\n")
        worker, _ = worker_start(cluster, "--config", conf)
        conf.write_text("sleep-factor = 2\nqueue = 7\n")
        worker.signal(signal.SIGHUP)
        wait_until("reloaded", lambda: "info reloaded" in worker.log())
        check("option-changed option=sleep-factor" in worker.log(), worker.log())
        check("option-needs-restart option=queue" in worker.log(), worker.log())
        conf.write_text("sleep-factor = fast\n")
        worker.signal(signal.SIGHUP)
        wait_until("refused", lambda: "reload-failed" in worker.log())
        check(f"{conf}:1: sleep-factor:" in worker.log(), worker.log())
        check(worker.running(), "a mistake ended the daemon")


def termination_announces_and_ends_with_0():
    with Cluster() as cluster:
        worker, http = worker_start(cluster)
        begin = time.monotonic()
        worker.signal(signal.SIGTERM)
        wait_until("draining", lambda: cluster.ctl("worker", "status")["state"] == "draining")
        check(http_get(http, "/healthz") == (503, "draining\n"), "healthz while draining")
        check(worker.popen.wait(30) == 0, "exit code")
        took = time.monotonic() - begin
        check(took >= 2, f"accepted work for {took:.1f} s only")
        check(not cluster.socket("worker").exists(), "the admin socket is left behind")
        worker.start()
        wait_until("started again", lambda: worker.log().count(" started ") == 2)
        worker.signal(signal.SIGTERM)
        wait_until("draining", lambda: worker.log().count(" draining ") == 2)
        begin = time.monotonic()
        check(worker.terminate() == 0, "exit code after the second signal")
        took = time.monotonic() - begin
        check(took < 1.9, f"a second signal did not hasten: {took:.1f} s")


def killed_daemon_starts_again_at_once():
    with Cluster() as cluster:
        worker, _ = worker_start(cluster)
        for count in range(2, 6):
            worker.kill()
            worker.start()
            wait_until("started again", lambda: worker.log().count(" started ") == count or not worker.running())
            check(worker.running(), f"after SIGKILL: {worker.log()[-500:]}")


if __name__ == "__main__":
    main(usherctl_says_what_is_wrong, slow_clients_are_cut_off_and_hurt_nobody, health_and_metrics_agree_with_status,
         hangup_reads_the_configuration_again, termination_announces_and_ends_with_0, killed_daemon_starts_again_at_once)
