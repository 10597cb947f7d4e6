#!/usr/bin/env python3
"""Every mistake a person can make with the command lines gets one clear line on stderr that says what to do, and the exit code of the
documents; it leaves no process and no file behind."""
import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import BIN, PATIENCE_S, Cluster, address_new, check, main, usher, wait_until

FAILED, USAGE, UNREACHABLE, NO_NODE = 1, 2, 3, 4
NOBODY = "127.0.0.1:9"  # nobody listens there


@contextlib.contextmanager
def a_folder():
    """A region with one worker and one dispatcher, and a folder of files that are wrong."""
    with Cluster() as cluster:
        cluster.rm_at, cluster.dispatcher_at, cluster.worker_at = address_new(), address_new(), address_new()
        cluster.rm(cluster.rm_at)
        cluster.dispatcher(cluster.dispatcher_at, cluster.rm_at, "--no-jobs")
        cluster.worker(cluster.worker_at, cluster.rm_at)
        cluster.wait_nodes("dispatcher", [cluster.dispatcher_at, cluster.worker_at])
        yield cluster


def wrong(cluster, program, words, code, *remedies, environment=None):
    """Runs the program with these arguments: exit code, nothing on stdout, one line on stderr that has all remedies in it."""
    folder = cluster.folder / "mistake"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    daemon = program in ("usher-rm", "usher-dispatcher", "usher-worker")
    words = [str(w) for w in words] + (["--state-dir", str(folder / "state")] if daemon and "--state-dir" not in words else [])
    shown = f"{program} {' '.join(words)}"
    process = subprocess.Popen([BIN / program, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True,
                               cwd=folder, env=environment)
    try:
        out, err = process.communicate(timeout=PATIENCE_S)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        check(False, f"{shown}: does not end: {err}")
    check(process.returncode == code, f"{shown}: exit {process.returncode} instead of {code}: {out} {err}")
    check(out == "", f"{shown}: prints on stdout: {out}")
    check(1 <= err.count("\n") <= 2 and err.endswith("\n"), f"{shown}: not one line: {err}")
    for remedy in remedies:
        check(remedy in err, f"{shown}: no {remedy!r} in: {err}")
    check(not cluster.processes_left(folder), f"{shown}: leaves processes {cluster.processes_left(folder)}")
    # State folders may stay, and the identity of an rm: it is made before the address is tried, and found again by the next try.
    files = sorted(str(p.relative_to(folder)) for p in folder.rglob("*") if not p.is_dir() and p.name != "identity")
    check(not files, f"{shown}: leaves files {files}")


def daemons(cluster, words, code, *remedies):
    for program in "usher-rm", "usher-dispatcher", "usher-worker":
        rm = ["--rm", cluster.rm_at] if program != "usher-rm" else []
        wrong(cluster, program, [*rm, *words], code, *remedies)


def options_that_are_none(cluster):
    daemons(cluster, ["--lisen", "127.0.0.1:1"], USAGE, "--lisen", "did you mean --listen?")
    daemons(cluster, ["--frobnicate"], USAGE, "unknown option --frobnicate;", "--help")
    daemons(cluster, ["--liaison"], USAGE, "unknown option --liaison;", "--help")
    daemons(cluster, ["--listen"], USAGE, "--listen", "needs a value")
    daemons(cluster, ["start"], USAGE, 'unexpected "start"', "--help")
    for command in "ask", "run", "where", "plan":
        wrong(cluster, "usher", [command, "--jason"], USAGE, "--jason", "did you mean --json?")
        wrong(cluster, "usher", [command, "-x"], USAGE, "-x", "--help")
    wrong(cluster, "usher", ["rum"], USAGE, "did you mean run?")
    wrong(cluster, "usher", [], USAGE, "--help")
    wrong(cluster, "usherctl", ["--sokcet", "x", "status"], USAGE, "did you mean --socket?")
    for program, option in (("usher-rm", "--redis"), ("usher-rm", "--listen"), ("usher-worker", "--rm"), ("usher-worker", "--services"),
                            ("usher-dispatcher", "--policy")):
        wrong(cluster, program, [option, ""], USAGE, option)
    wrong(cluster, "usher-worker", [], USAGE, "--rm", "is missing")
    wrong(cluster, "usher-dispatcher", [], USAGE, "--rm", "is missing")


def addresses_that_are_none(cluster):
    for text in "nonsense", "127.0.0.1", "127.0.0.1:99999", "localhost:80", "[::1:80", ":80", "127.0.0.1:-1", "1.2.3:80":
        daemons(cluster, ["--listen", text], USAGE, "--listen", text, "ip:port")
        wrong(cluster, "usher", ["ask", "--dispatchers", text], USAGE, "--dispatchers", text)
        wrong(cluster, "usher-worker", ["--rm", text], USAGE, "--rm", text, "ip:port")
    for command in ["ask"], ["run", "--service", "echo"], ["where"]:
        wrong(cluster, "usher", [*command, "--dispatchers", "7@"], USAGE, "--dispatchers")
        wrong(cluster, "usher", [*command, "--dispatchers", NOBODY, "--bind", "home"], USAGE, "--bind", "home")
        wrong(cluster, "usher", command, USAGE, "--dispatchers", "USHER_DISPATCHERS",
              environment={k: v for k, v in os.environ.items() if k != "USHER_DISPATCHERS"})
        wrong(cluster, "usher", [*command, "--dispatchers", cluster.dispatcher_at, "--bind", "192.0.2.1"], FAILED, "give one of its own (--bind)")


def addresses_that_nobody_has(cluster):
    for text, flaw in (("127.0.0.1:0", "port 0"), ("0.0.0.0:80", "wildcard"), ("[::]:80", "wildcard"), ("239.1.2.3:80", "multicast"),
                       ("[ff05::2]:80", "multicast"), ("255.255.255.255:80", "broadcast")):
        for program in "usher-worker", "usher-dispatcher":
            wrong(cluster, program, ["--rm", text], USAGE, "--rm", text, flaw, "usher-rm's --listen")
            wrong(cluster, program, ["--rm", f"http://{text}"], USAGE, "--rm", text, flaw)
            for where in text, f"http://{text}/":
                wrong(cluster, program, ["--rm", cluster.rm_at, "--attach", f"web={where}"], USAGE, "--attach", text, flaw, "the server's IP and port")
        wrong(cluster, "usher", ["ask", "--dispatchers", text], USAGE, text, flaw)


def listening_where_everybody_can_hear(cluster):
    for text in "0.0.0.0:7777", "[::]:7777", "192.0.2.1:7777":
        daemons(cluster, ["--listen", text], USAGE, text, "--insecure")
        daemons(cluster, ["--listen", address_new(), "--http", text], USAGE, "--http", text, "--insecure")
    for text, flaw in (("224.0.0.1:7777", "multicast"), ("[ff02::1]:7777", "multicast"), ("255.255.255.255:7777", "broadcast")):
        daemons(cluster, ["--insecure", "--listen", text], USAGE, "--listen", text, flaw, "of this machine")
        daemons(cluster, ["--insecure", "--http", text], USAGE, "--http", text, flaw, "of this machine")
        daemons(cluster, ["--advertise", text], USAGE, "--advertise", text, flaw, "of this machine")
    daemons(cluster, ["--listen", "192.0.2.1:7777", "--insecure"], FAILED, "192.0.2.1:7777", "does not have this address")
    daemons(cluster, ["--listen", "0.0.0.0:7777", "--insecure"], USAGE, "--advertise")
    for text in "0.0.0.0:1", "127.0.0.1:0", "[::]:1":
        daemons(cluster, ["--advertise", text], USAGE, "--advertise", text)
        daemons(cluster, ["-t", "--advertise", text], FAILED, "--advertise", text)


def ports_in_use(cluster):
    with socket.socket() as tcp, socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as udp:
        tcp.bind(("127.0.0.1", 0))
        tcp.listen()
        udp.bind(("127.0.0.1", 0))
        for taken in tcp, udp:
            daemons(cluster, ["--listen", f"127.0.0.1:{taken.getsockname()[1]}"], FAILED, "--listen", "in use")
        daemons(cluster, ["--listen", address_new(), "--http", f"127.0.0.1:{tcp.getsockname()[1]}"], FAILED, "--http", "in use")
    # Of another daemon of ours, too, which shares its ports among its own threads.
    daemons(cluster, ["--listen", cluster.dispatcher_at], FAILED, "--listen", "in use")
    daemons(cluster, ["--listen", address_new(), "--admin", cluster.socket("worker")], FAILED, "--admin", "worker.sock")
    check(usher("ask", "--dispatchers", cluster.dispatcher_at)["addresses"], "the dispatcher was disturbed")


def redis_that_is_not_there(cluster):
    empty = cluster.folder / "no-programs"
    empty.mkdir()
    wrong(cluster, "usher-rm", ["--listen", address_new()], FAILED, "redis-server", "install it", "--redis unix:PATH",
          environment={**os.environ, "PATH": str(empty)})
    wrong(cluster, "usher-rm", ["--redis", "sentinel:main"], USAGE, "--redis", "sentinel:NAME@HOST:PORT")
    for text in "memcached:x", "unix:", "tcp:", "tcp:127.0.0.1":
        wrong(cluster, "usher-rm", ["--redis", text], USAGE, "--redis", "unix:PATH")


def policies_that_are_none(cluster):
    node = ["--rm", cluster.rm_at]
    wrong(cluster, "usher-dispatcher", [*node, "--policy", "fastest"], USAGE, '"fastest" is not known', "two-choices")
    code = subprocess.run([BIN / "usherctl", "-s", cluster.socket("dispatcher"), "set", "policy", "fastest"], capture_output=True, text=True)
    check(code.returncode == USAGE and '"fastest" is not known' in code.stderr, f"usherctl set policy fastest: {code}")


def servers_that_cannot_be_attached(cluster):
    for program in "usher-dispatcher", "usher-worker":
        def attach(*words, says):
            wrong(cluster, program, ["--rm", cluster.rm_at, "--attach", *words], USAGE, "--attach", *says)
        attach("web", says=["NAME=IP:PORT"])
        attach("web=localhost:80", says=["numbers, not names"])
        attach("web=127.0.0.1:0", says=["no address that clients can reach"])
        attach("web=https://127.0.0.1:80/", says=["http:// only"])
        attach("web=127.0.0.1:80", "--attach", "web=http://127.0.0.1:80/", says=["given twice"])
        attach("web=192.0.2.1:80", says=["another machine", "metric:/PATH#NAME"])
        attach("web=192.0.2.1:80", "--attach-load", "connections", says=["another machine"])
        attach("web=127.0.0.1:80", "--attach-load", "metric:/metrics", says=["metric:/PATH#NAME"])
        own = address_new()
        wrong(cluster, program, ["--rm", cluster.rm_at, "--listen", own, "--attach", f"web={own}"], USAGE, "own address")


def services_that_are_none(cluster):
    def node(*words):
        wrong(cluster, "usher-worker", ["--rm", cluster.rm_at, *words], USAGE, words[0])
    node("--services", "ehco")
    node("--services", "echo,echo")
    node("--services", "exec:x")
    node("--services", "exec:=true")
    node("--services", "exec:bad name=true")
    node("--services", "")


def files_that_are_wrong(cluster):
    def file(name, text):
        path = cluster.folder / name
        path.write_text(text)
        return path
    missing = cluster.folder / "missing"
    daemons(cluster, ["--config", missing], USAGE, str(missing), "No such file")
    daemons(cluster, ["--config", cluster.folder], USAGE, str(cluster.folder))
    for text, line, remedy in (("# fine\nlissten = 127.0.0.1:1\n", 2, "did you mean listen?"), ("\n\nlisten\n", 3, "value"),
                               ("listen = nonsense\n", 1, "ip:port"), ("listen =\n", 1, "empty"), ("listen 127.0.0.1:1\n", 1, "write listen = 127.0.0.1:1"), ("what is this\n", 1, "name = value"), ("= 1\n", 1, "no name"), ("io = auto\nio = epoll\n", 2, "twice"),
                               ("config = x\n", 1, "config")):
        path = file("config", text)
        daemons(cluster, ["--config", path], USAGE, f"{path}:{line}:", remedy)
        daemons(cluster, ["-t", "--config", path], FAILED, f"{path}:{line}:", remedy)
    fifo = cluster.folder / "fifo"
    os.mkfifo(fifo)
    daemons(cluster, ["--config", fifo], USAGE, str(fifo), "no regular file")
    wrong(cluster, "usher-rm", ["--regions", fifo], USAGE, str(fifo), "pipe")
    daemons(cluster, ["--help=3"], USAGE, "--help takes no value")
    wrong(cluster, "usher-rm", ["--regions", missing], USAGE, str(missing), "No such file")
    for text, line, remedy in (("region one 127.0.0.1:1\n", 1, "one"), ("region 1 127.0.0.1:1\nclient 10.0.0.0/33 1\n", 2, "/33"),
                               ("region 1 127.0.0.1\n", 1, "ip:port"), ("regoin 1 127.0.0.1:1\n", 1, "region"),
                               ("region 1 127.0.0.1:1\n\nclient 10.0.0.0/8 2\n", 3, "2")):
        path = file("regions", text)
        wrong(cluster, "usher-rm", ["--regions", path], USAGE, f"{path}:{line}:", remedy)
        wrong(cluster, "usher-rm", ["-t", "--regions", path], FAILED, f"{path}:{line}:", remedy)
    wrong(cluster, "usher", ["run", "--dispatchers", NOBODY, "--service", "echo", "--data", f"@{missing}"], USAGE, str(missing), "No such file")
    big = cluster.folder / "big"
    big.write_bytes(bytes((1 << 20) + 1))
    wrong(cluster, "usher", ["run", "--dispatchers", NOBODY, "--service", "echo", "--data", f"@{big}"], USAGE, "1048576 bytes")
    daemons(cluster, ["--listen", address_new(), "--state-dir", "/proc/usher"], FAILED, "/proc/usher")


def values_that_are_wrong(cluster):
    for option, texts in {"--heartbeat": ("1", "1ms", "2h", "-1s", "soon"), "--slots": ("-1", "1025", "many", "1.5"), "--queue": ("0", "x"),
                          "--load-samples": ("0", "1001"), "--load-weights": ("cpu", "cpu=x", "cpus=1", "cpu=-1", ""), "--load-disk": ("full",),
                          "--queue-factor": ("-1", "x"), "--sleep-factor": ("-1", "nan"), "--freshness-budget": ("-1", "1001", "1.5"), "--region": ("0", "65536", "one"), "--io": ("kqueue",),
                          "--log-format": ("xml",), "--log-level": ("loud",), "--drain-limit": ("2h",), "--http": ("80",)}.items():
        for text in texts:
            wrong(cluster, "usher-worker", ["--rm", cluster.rm_at, option, text], USAGE, option)
    for option, text in (("--threads", "65"), ("--request-queue", "63"), ("--refresh", "1ms"), ("--no-push", "no"), ("--no-jobs", "yes")):
        wrong(cluster, "usher-dispatcher", ["--rm", cluster.rm_at, option, text], USAGE, option if "no-" not in option else text)
    for option, text in (("--heartbeat-valid", "3"), ("--heartbeat-valid", "0s"), ("--region", "0")):
        wrong(cluster, "usher-rm", [option, text], USAGE, option)


def values_that_clients_get_wrong(cluster):
    common = {"--proto": ("sctp",), "--reply-timeout": ("50", "0s", "2m")}
    ask = {**common, "--count": ("0", "17", "x"), "--service": ("", "no good", "x" * 64), "--exclude": ("x", ",".join([NOBODY] * 17))}
    run = {**common, "--service-time": ("0s", "1", "5s..1s", "25h", "1s..", "..1s"), "--wait": ("0s", "x"), "--repeat": ("0", "x"),
           "--parallel": ("0", "60001"), "--fault-time": ("0s", "x"), "--service": ("", "no good", "x" * 64)}
    plan = {"--clients": ("0", "x", "-5"), "--every": ("0s", "10m..5m", "x"), "--dispatchers": ("0", NOBODY), "--per-core": ("x", "-1")}
    for command, options, words in (("ask", ask, ["--dispatchers", NOBODY]), ("where", common, ["--dispatchers", NOBODY]),
                                    ("run", run, ["--dispatchers", NOBODY, "--service", "echo"]), ("plan", plan, ["--clients", "5"])):
        for option, texts in options.items():
            for text in texts:
                wrong(cluster, "usher", [command, *words, option, text], USAGE, option.lstrip("-"))
    wrong(cluster, "usher", ["run", "--dispatchers", NOBODY], USAGE, "--service")
    wrong(cluster, "usher", ["plan"], USAGE, "--clients")


def nobody_who_answers(cluster):
    for command in ["ask"], ["run", "--service", "echo"], ["where"]:
        for proto in "udp", "tcp":
            wrong(cluster, "usher", [*command, "--dispatchers", NOBODY, "--proto", proto], UNREACHABLE, "no dispatcher answered", NOBODY)
            wrong(cluster, "usher", [*command, "--dispatchers", cluster.worker_at, "--proto", proto], FAILED, cluster.worker_at,
                  "is a worker, not a dispatcher", "give a dispatcher's address")
    wrong(cluster, "usherctl", ["-s", cluster.folder / "none.sock", "status"], UNREACHABLE, "is the daemon running")


def nodes_that_are_not_there(cluster):
    for command in ["ask"], ["run", "--wait", "500ms"]:
        words = [*command, "--dispatchers", cluster.dispatcher_at, "--service"]
        wrong(cluster, "usher", [*words, "no-such-service"], NO_NODE, "no node has ever offered this service", "is its name right?")
        cluster.ctl("rm", "drain", cluster.worker_at)
        wrong_until_drained(cluster, [*words, "echo"])
        cluster.ctl("rm", "ready", cluster.worker_at)
        while not usher("ask", "--dispatchers", cluster.dispatcher_at, expect=None).get("addresses"):
            pass


def wrong_until_drained(cluster, words):
    """No eligible node as soon as the dispatcher has heard that the only one is drained."""
    while usher("ask", "--dispatchers", cluster.dispatcher_at, expect=None).get("addresses"):
        pass
    wrong(cluster, "usher", words, NO_NODE, "no eligible node")


def json_wanted_is_json_got(cluster):
    for words, code, error in ((["ask", "--dispatchers", NOBODY], UNREACHABLE, "unreachable"),
                               (["ask", "--dispatchers", cluster.dispatcher_at, "--service", "none"], NO_NODE, "unknown-service"),
                               (["where", "--dispatchers", cluster.worker_at], FAILED, "not-dispatcher")):
        answer = usher(*words, expect=code)
        check(answer["error"] == error and answer["message"], f"usher {words} --json: {answer}")


def configurations_are_tried_without_starting(cluster):
    state = cluster.folder / "tried"
    for program, words in (("usher-rm", []), ("usher-dispatcher", ["--rm", cluster.rm_at]), ("usher-worker", ["--rm", cluster.rm_at])):
        done = subprocess.run([BIN / program, "-t", *words, "--listen", cluster.dispatcher_at, "--state-dir", state], capture_output=True,
                              text=True, timeout=PATIENCE_S)
        check(done.returncode == 0 and done.stderr.count("\n") + done.stdout.count("\n") == 1, f"{program} -t: {done}")
        check(not state.exists(), f"{program} -t makes files")
        wrong(cluster, program, ["-t", *words, "--listen", "x"], FAILED, "--listen")
        for place in "/dev/null", "/dev/null/state", "/proc/none" if os.geteuid() != 0 else "/dev/null/x":
            wrong(cluster, program, ["-t", *words, "--state-dir", place], FAILED, place, "give another one with --state-dir")


def what_operators_get_wrong(cluster):
    def ctl(name, *words, code=USAGE, remedy):
        wrong(cluster, "usherctl", ["-s", cluster.socket(name), *words], code, remedy)
    ctl("worker", "set", "sleep-factor", "-1", remedy="write a number of 0..")
    for name in "rm", "dispatcher":
        ctl(name, "nodes", "no-such-service", code=NO_NODE, remedy="is its name right?")
        check(cluster.ctl(name, "nodes", "echo")["nodes"], f"{name}: nobody offers echo")
    for path in "/etc/passwd", cluster.folder:
        wrong(cluster, "usherctl", ["-s", path, "status"], USAGE, "is no socket", "-s")
    drained = cluster.ctl("rm", "drain", cluster.worker_at)
    check(drained["drained"] and drained["state"] == "drained" and drained["now"] == "dispatchers do not hand it out", f"drain: {drained}")
    ready = cluster.ctl("rm", "ready", cluster.worker_at)
    check(not ready["drained"] and ready["state"] == "ready" and ready["now"] == "dispatchers hand it out", f"ready: {ready}")


def state_in_odd_places(cluster):
    """A relative folder means the same to rm and to its Redis; that of a port that nobody chose goes with the process."""
    def started(*words, folder):
        process = subprocess.Popen([BIN / "usher-rm", *words, "--admin", cluster.socket("odd")], cwd=folder, stderr=subprocess.PIPE, text=True)
        try:
            wait_until("Redis is up", lambda: cluster.socket("odd").exists() and cluster.ctl("odd", "status")["redis"]["up"])
            return cluster.ctl("odd", "status")
        finally:
            process.terminate()
            check(process.wait(PATIENCE_S) == 0, f"usher-rm {words}: exit {process.returncode}: {process.stderr.read()}")
            process.stderr.close()
    folder = cluster.folder / "odd"
    folder.mkdir()
    listen = address_new()
    status = started("--listen", listen, "--state-dir", "here", folder=folder)
    check(status["state_dir"] == str(folder / "here" / f"usher-rm-{listen.split(':')[1]}"), f"relative: {status}")
    check((folder / "here").is_dir(), "the folder of a chosen port must stay")
    status = started("--listen", "127.0.0.1:0", "--state-dir", "there", folder=folder)
    check(f"usher-rm-pid{status['pid']}" in status["state_dir"], f"port 0: {status}")
    check(not list((folder / "there").iterdir()), f"port 0 leaves {list((folder / 'there').iterdir())}")
    wrong(cluster, "usher-rm", ["--listen", "127.0.0.1:0", "--state-dir", folder / "there", "--http", cluster.dispatcher_at], FAILED, "--http", "in use")
    check(not list((folder / "there").iterdir()), f"a failed start leaves {list((folder / 'there').iterdir())}")


def output_that_cannot_be_written(cluster):
    """A full disk or a closed stream ends with 1 and one line, whatever was printed."""
    to = ["--dispatchers", cluster.dispatcher_at]
    ctl = ["usherctl", "-s", cluster.socket("rm")]
    for words in (["usher", "ask", *to], ["usher", "ask", *to, "--json"], ["usher", "where", *to], ["usher", "plan", "--clients", "5"],
                  ["usher", "run", *to, "--service", "echo", "--data", "x"], ["usher", "run", *to, "--service", "echo", "--repeat", "3"],
                  [*ctl, "status"], [*ctl, "--json", "nodes"], ["usher", "--help"], ["usher", "ask", "--help"], ["usher", "--version"],
                  ["usherctl", "--help"], ["usher-rm", "--help"], ["usher-worker", "--version"],
                  ["usher-rm", "-t", "--state-dir", cluster.folder]):
        shown = [str(w) for w in words]
        for shell, reason in (('exec "$0" "$@" >/dev/full', "No space left on device"), ('exec "$0" "$@" >&-', "Bad file descriptor")):
            done = subprocess.run(["sh", "-c", shell, BIN / words[0], *shown[1:]], capture_output=True, text=True, timeout=PATIENCE_S)
            check(done.returncode == FAILED and done.stderr.count("\n") == 1 and f"cannot write to stdout: {reason}" in done.stderr,
                  f"{shown} {shell}: {done}")


def killed_daemons_leave_room_for_the_next(cluster):
    """The socket file and the ports that a killed daemon has left are no obstacle."""
    for name in "worker", "dispatcher", "rm":
        process = cluster.processes[name]
        process.signal(signal.SIGKILL)
        process.popen.wait()
        process.start()
    cluster.wait_nodes("dispatcher", [cluster.dispatcher_at, cluster.worker_at])
    check(all(p.running() for p in cluster.processes.values()), "a daemon does not start again after kill -9")


main(options_that_are_none, addresses_that_are_none, addresses_that_nobody_has, listening_where_everybody_can_hear, ports_in_use, redis_that_is_not_there,
     policies_that_are_none, servers_that_cannot_be_attached, services_that_are_none, files_that_are_wrong, values_that_are_wrong,
     values_that_clients_get_wrong,
     nobody_who_answers, nodes_that_are_not_there, json_wanted_is_json_got, configurations_are_tried_without_starting,
     what_operators_get_wrong, state_in_odd_places, output_that_cannot_be_written, killed_daemons_leave_room_for_the_next, stage=a_folder)
