#!/usr/bin/env python3
"""usher-load against small fakes: protocols, replies that are none or never come, addresses without a port left."""

import contextlib
import json
import os
import socket
import subprocess
import sys
import tempfile
import threading

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support.cluster import BIN, check, main, port_free, run
from support.load_report import check_losses, check_sums


@contextlib.contextmanager
def fake(kind, answer):
    """A server on its own thread: bytes → answer(bytes) → bytes, per datagram or per read of a stream. Its address."""
    with socket.socket(socket.AF_INET, kind) as server:
        server.bind(("127.0.0.1", 0))
        server.settimeout(0.05)
        done = threading.Event()

        def datagrams():
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    data, peer = server.recvfrom(65536)
                    server.sendto(answer(data), peer)

        def streams():
            server.listen()
            peers = []
            while not done.is_set():
                with contextlib.suppress(TimeoutError):
                    peers.append(server.accept()[0])
                    peers[-1].settimeout(0.005)
                for peer in peers:
                    with contextlib.suppress(TimeoutError, ConnectionError):
                        data = peer.recv(1 << 20)
                        peer.sendall(answer(data))
            for peer in peers:
                peer.close()

        thread = threading.Thread(target=datagrams if kind == socket.SOCK_DGRAM else streams)
        thread.start()
        try:
            yield f"127.0.0.1:{server.getsockname()[1]}"
        finally:
            done.set()
            thread.join()


def load(*options, dispatcher, expect=0):
    code, out, err = run("usher-load", "ask", "--dispatcher", dispatcher, "--json", *options)
    check(code == expect, f"usher-load {' '.join(options)}: exit {code} instead of {expect}: {out} {err}")
    return json.loads(out)


def echoes_are_compared():
    options = ("--echo", "--warmup", "0", "--duration", "200ms", "--reply-timeout", "100ms")
    for kind, proto in ((socket.SOCK_DGRAM, ("udp",)), (socket.SOCK_DGRAM, ("udp", "--pack", "8", "--depth", "16")),
                        (socket.SOCK_DGRAM, ("udp", "--gso", "--depth", "16")), (socket.SOCK_STREAM, ("tcp", "--depth", "16"))):
        with fake(kind, lambda data: data) as address:
            report = load("--proto", *proto, *options, dispatcher=address)
        check_sums(report)
        check(report["errors"] == 0 and report["answered"] == report["sent"], f"{proto}: {report}")
    with fake(socket.SOCK_DGRAM, lambda data: data[:-1] + b"x") as address:
        report = load("--proto", "udp", *options, dispatcher=address, expect=3)
    check(report["answered"] == 0 and report["errors"] > 0, f"other bytes were taken for an echo: {report}")


def dns_is_asked_and_checked():
    options = ("--proto", "dns", "--query", "www.example", "--depth", "4", "--warmup", "0", "--duration", "200ms")
    record = b"\xc0\x0c\0\1\0\1\0\0\0\1\0\4\xc0\0\2\1"
    def answer(flags, answers):
        return lambda query: query[:2] + flags + query[4:6] + bytes([0, answers]) + query[8:] + record * answers
    with fake(socket.SOCK_DGRAM, answer(b"\x84\0", 1)) as address:
        report = load(*options, dispatcher=address)
    check_sums(report)
    check(report["errors"] == 0 and report["answered"] == report["sent"], f"sound answers: {report}")
    for flags, answers, name in ((b"\x84\3", 0, "dns-no-such-name"), (b"\x86\0", 1, "dns-truncated"), (b"\x84\0", 0, "dns-no-answer")):
        with fake(socket.SOCK_DGRAM, answer(flags, answers)) as address:
            report = load(*options, dispatcher=address, expect=1)
        check(report["answered"] == 0 and report["errors_by_name"] == {name: report["received"]}, f"{name}: {report}")


def redis_is_asked_and_checked():
    request = b"*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
    for reply, name in ((b"$5\r\nvalue\r\n", None), (b"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", None), (b"-ERR no\r\n", "resp-error"),
                        (b"$-1\r\n", "resp-nil")):
        rest = bytearray()

        def answer(data, reply=reply, rest=rest):
            rest.extend(data)
            count = len(rest) // len(request)
            check(rest[:count * len(request)] == request * count, "not the command")
            del rest[:count * len(request)]
            return reply * count

        with fake(socket.SOCK_STREAM, answer) as address:
            report = load("--proto", "resp", "--command", "GET key", "--depth", "8", "--warmup", "0", "--duration", "200ms",
                          dispatcher=address, expect=1 if name else 0)
        if name:
            check(report["answered"] == 0 and report["errors_by_name"] == {name: report["received"]}, f"{name}: {report}")
        else:
            check_sums(report)
            check(report["errors"] == 0 and report["answered"] == report["sent"], f"sound replies: {report}")


def lost_requests_count_as_timeouts():
    """A socket that never answers: everything is lost, in every percentile."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        report = load("--proto", "udp", "--rate", "200", "--warmup", "0", "--duration", "500ms", "--reply-timeout", "100ms",
                      dispatcher=f"127.0.0.1:{silent.getsockname()[1]}", expect=3)
    check(report["sent"] == report["lost"] == 100 and report["received"] == 0, f"not all lost: {report}")
    check(report["losses_by_cause"] == {"timeout": 100} and report["verdict"] == "unanswered" and "advice" in report, f"by cause: {report}")
    check(abs(report["latency_us"]["p50"] - 100_000) < 1_000, f"a lost request is no timeout: {report}")


def nobody_listening_is_no_valid_run():
    """What ICMP says is why the requests were lost, and the report says what to do."""
    for command, loop in (("ask", ()), ("ask", ("--connections", "3", "--rate", "500")), ("run", ("--service-time", "1ms", "--rate", "200")),
                          ("run", ("--proto", "tcp", "--rate", "200"))):
        arguments = [command, "--dispatcher", f"127.0.0.1:{port_free()}", *loop, "--warmup", "0", "--duration", "300ms", "--reply-timeout", "50ms"]
        code, out, err = run("usher-load", *arguments, "--json")
        check(code == 3, f"{arguments}: exit {code}: {out} {err}")
        report = json.loads(out)
        check(not report["valid"] and report["verdict"] in ("unanswered", "disconnected"), f"{arguments}: {report}")
        check(report["errors_by_name"].get("ECONNREFUSED", 0) > 0 and report["answered"] == 0, f"{arguments}: {report}")
        check(report["sent"] == 0 or report["losses_by_cause"].get("ECONNREFUSED", 0) > 0, f"{arguments}: {report}")
        check_losses(report)
        code, out, err = run("usher-load", *arguments)
        check(code == 3 and "VOID" in out and "valid " not in out and "ECONNREFUSED" in out, f"{arguments}: exit {code}: {out} {err}")
        if report["sent"] > 0:
            check("start the server, or mend --dispatcher" in out, f"{arguments}: it does not say what to do: {out}")


def connections_that_are_closed_are_a_cause():
    """A server that hangs up on every request."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        done = threading.Event()

        def hang_up():
            while not done.is_set():
                with contextlib.suppress(TimeoutError), server.accept()[0] as peer:
                    peer.recv(65536)

        server.settimeout(0.05)
        thread = threading.Thread(target=hang_up)
        thread.start()
        try:
            report = load("--proto", "tcp", "--connections", "3", "--rate", "100", "--warmup", "0", "--duration", "10s", "--reply-timeout", "200ms",
                          dispatcher=f"127.0.0.1:{server.getsockname()[1]}", expect=3)
        finally:
            done.set()
            thread.join()
    check(not report["valid"] and set(report["losses_by_cause"]) <= {"connection-lost", "ECONNRESET", "EPIPE"} and report["losses"] > 0,
          f"closed connections: {report}")
    check_losses(report)
    check("closed" in report["advice"], f"what to do: {report}")


def garbage_is_no_answer():
    """A server that answers with other bytes: counted as errors and as lost, never as answered."""
    with fake(socket.SOCK_DGRAM, lambda data: bytes(len(data))) as address:
        report = load("--rate", "100", "--warmup", "0", "--duration", "300ms", "--reply-timeout", "100ms", dispatcher=address, expect=3)
    check(report["answered"] == 0 and report["errors"] > 0 and report["lost"] == report["sent"], f"garbage was taken: {report}")
    check(report["losses_by_cause"] == {"timeout": report["sent"]} and report["verdict"] == "unanswered", f"garbage was taken: {report}")


# A network of its own in which an address has a hundred ports; a bare echo serves there.
FEW_PORTS = """
ip link set lo up && echo 40000 40099 > /proc/sys/net/ipv4/ip_local_port_range || exit 77
"$1" --path "$2" --listen 127.0.0.1:30000 > "$3" &
until grep -q listening "$3" || ! kill -0 $!; do sleep 0.05; done
shift 3
"$@"
code=$?
kill $! && wait $!
exit $code
"""


def load_with_few_ports(path, command, *options):
    """Exit code, what is printed, what is complained about; None where no network may be made."""
    with tempfile.NamedTemporaryFile() as log:
        done = subprocess.run(["unshare", "-n" if os.geteuid() == 0 else "-rn", "sh", "-c", FEW_PORTS, "sh", BIN / "bench-limit", path, log.name,
                               BIN / "usher-load", command, "--dispatcher", "127.0.0.1:30000", "--proto", path[:3], "--connections", "150",
                               "--rate", "1500", "--warmup", "0", "--duration", "100ms", "--json", *options],
                              capture_output=True, text=True, timeout=30, check=False)
    if done.returncode == 77 or "unshare" in done.stderr:
        print(f"skip this needs the right to make a network: {done.stderr}")
        return None
    return done.returncode, done.stdout, done.stderr


def more_sockets_than_an_address_has_ports():
    for path, command, options in (("udp-recvmmsg", "ask", ("--echo",)), ("tcp-epoll", "ask", ("--echo",)), ("udp-recvmmsg", "run", ())):
        done = load_with_few_ports(path, command, *options)
        if not done:
            return
        code, out, err = done
        check(code == 1 and "has 100 here: give more addresses with --bind" in err and err.count("\n") == 1, f"{path} {command}: {code}: {err}")
        if command == "ask":
            code, out, err = load_with_few_ports(path, command, *options, "--bind", "127.0.0.2,127.0.0.3")
            report = json.loads(out)
            check(code == 0 and report["sent"] == report["answered"] == 150, f"{path}: {code}: {report} {err}")


main(echoes_are_compared, dns_is_asked_and_checked, redis_is_asked_and_checked, lost_requests_count_as_timeouts, garbage_is_no_answer,
     nobody_listening_is_no_valid_run, connections_that_are_closed_are_a_cause,
     more_sockets_than_an_address_has_ports)
