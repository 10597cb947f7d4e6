#!/usr/bin/env python3
"""A client that knows docs/PROTOCOL.md alone (support/independent.py) gets addresses and runs jobs; what it sends wrongly is refused and
counted as the document says."""
import contextlib
import struct
import sys
import time

sys.path.insert(0, __file__.rsplit("/", 1)[0])
from support import independent as wire
from support.cluster import Cluster, check, main, metrics, port_free, wait_until


@contextlib.contextmanager
def one_region():
    """rm, one dispatcher, four workers; a worker "narrow" with one slot and a queue of one, which alone offers "fail" and "lines"."""
    with Cluster() as cluster:
        rm, cluster.dispatcher_at, cluster.http = (f"127.0.0.1:{port_free()}" for _ in range(3))
        cluster.rm(rm)
        cluster.dispatcher(cluster.dispatcher_at, rm, "--http", cluster.http)
        cluster.workers_at = [f"127.0.0.1:{port_free()}" for _ in range(4)]
        for i, address in enumerate(cluster.workers_at):
            cluster.worker(address, rm, "--slots", "4", name=f"worker{i}")
        cluster.narrow_at, cluster.narrow_http = f"127.0.0.1:{port_free()}", f"127.0.0.1:{port_free()}"
        cluster.worker(cluster.narrow_at, rm, "--slots", "1", "--queue", "1", "--http", cluster.narrow_http, "--services", "sleep",
                       "--services", "exec:fail=echo no such luck >&2; exit 3", "--services", "exec:lines=seq 3", name="narrow")
        cluster.wait_nodes("dispatcher", [cluster.dispatcher_at, cluster.narrow_at, *cluster.workers_at])
        yield cluster


def ask_udp(cluster, request):
    """The one answer to one request over UDP, which is never longer than the request."""
    frames = wire.datagram_exchange(cluster.dispatcher_at, request, 1)
    check(len(frames) == 1, "no answer to a request over UDP")
    check(frames[0].size <= len(request), f"{frames[0].size} bytes answer {len(request)}: {frames[0]}")
    return frames[0]


def addresses(frame):
    check(frame.kind == wire.ADDRESS, f"no ADDRESS: {frame}")
    return [address for address, _ in frame.entries]


def is_error(frame, code, started=0):
    check(frame and frame.kind == wire.ERROR and frame.code == code and frame.started == started,
          f"not ERROR {code}, started {started}: {frame}")


def an_address_comes_over_udp(cluster):
    request = wire.request_address("echo", request_id=77)
    answer = ask_udp(cluster, request)
    (node,) = addresses(answer)
    check(node in [cluster.dispatcher_at, *cluster.workers_at], f"{node} is no node that offers echo")
    check(answer.request_id == 77 and answer.region == 1 and answer.boot_id != 0 and answer.rest == b"", f"odd ADDRESS: {answer}")


def the_dispatcher_is_marked_as_one(cluster):
    (answer,) = wire.datagram_exchange(cluster.dispatcher_at, wire.request_address("echo", count=16, pad_to=400), 1)
    states = dict(answer.entries)
    check(states == {cluster.dispatcher_at: 1, **{worker: 0 for worker in cluster.workers_at}}, f"states: {states}")


def five_addresses_are_five_different_nodes(cluster):
    for _ in range(20):
        nodes = addresses(ask_udp(cluster, wire.request_address("echo", count=5, pad_to=76)))
        check(len(set(nodes)) == 5, f"--count 5 gave {nodes}")


def several_requests_share_a_datagram(cluster):
    requests = {wire.request_id_new(): None for _ in range(10)}
    datagram = b"".join(wire.request_address("echo", request_id=i) for i in requests)
    frames = wire.datagram_exchange(cluster.dispatcher_at, datagram, 10)
    check({f.request_id for f in frames} == set(requests) and all(len(addresses(f)) == 1 for f in frames),
          f"10 requests in one datagram got {len(frames)} answers: {frames}")


def short_requests_get_what_fits(cluster):
    got = ask_udp(cluster, wire.request_address("echo", pad_to=0))
    is_error(got, "TOO_LARGE")
    check(got.flags == wire.TRUNCATED, f"flags of the ERROR for 34 bytes: {got}")
    for pad_to, fitting in ((36, 0), (43, 0), (44, 1), (52, 2), (75, 4)):
        got = ask_udp(cluster, wire.request_address("echo", count=5, pad_to=pad_to))
        check(len(addresses(got)) == fitting and got.flags == wire.TRUNCATED, f"{pad_to} bytes got {got}")
    check(ask_udp(cluster, wire.request_address("echo", count=16, pad_to=200)).flags == 0, "all there are, but marked as truncated")


def excluded_nodes_are_left_out(cluster):
    everybody = [cluster.dispatcher_at, *cluster.workers_at]
    for left_out in range(5):
        rest = everybody[:left_out] + everybody[left_out + 1:]
        (node,) = addresses(ask_udp(cluster, wire.request_address("echo", excludes=rest, pad_to=120)))
        check(node == everybody[left_out], f"{node} although all but {everybody[left_out]} were excluded")
    is_error(ask_udp(cluster, wire.request_address("echo", excludes=everybody, pad_to=120)), "NO_NODE")


def feedback_is_taken(cluster):
    request = wire.request_address("echo", feedback=(cluster.workers_at[0], 0, 1500), pad_to=64)
    check(len(addresses(ask_udp(cluster, request))) == 1, "no address for a request with feedback")


def addresses_come_over_tcp_in_any_number_at_a_time(cluster):
    with wire.Stream(cluster.dispatcher_at) as stream:
        check(len(set(addresses(stream.ask(wire.request_address("echo", count=5, pad_to=0))))) == 5, "count 5 over TCP")
        ids = [wire.request_id_new() for _ in range(50)]
        stream.send(b"".join(wire.request_address("echo", request_id=i, pad_to=0) for i in ids))
        check({stream.receive().request_id for _ in ids} == set(ids), "50 requests at once over TCP")


def requests_may_come_in_pieces(cluster):
    request = wire.request_address("echo")
    with wire.Stream(cluster.dispatcher_at) as stream:
        for byte in request:
            stream.send(bytes([byte]))
            time.sleep(0.005)
        check(len(addresses(stream.receive())) == 1, "a request byte by byte")


def the_location_is_told(cluster):
    over_udp = ask_udp(cluster, wire.location_request())
    with wire.Stream(cluster.dispatcher_at) as stream:
        over_tcp = stream.ask(wire.location_request(pad_to=0))
    for answer in over_udp, over_tcp:
        check(answer.kind == wire.LOCATION and answer.region == 1 and answer.own_region == 1, f"LOCATION: {answer}")
        check(answer.dispatchers == [(1, cluster.dispatcher_at)] and answer.total == 1 and answer.flags == 0, f"LOCATION: {answer}")
    check(ask_udp(cluster, wire.request_address("echo")).version == over_udp.version, "ADDRESS and LOCATION differ in the version")
    short = ask_udp(cluster, wire.location_request(pad_to=32))
    check(short.kind == wire.LOCATION and short.flags == wire.TRUNCATED and (short.total, short.dispatchers) == (1, []), f"{short}")


def nobody_offers_what_nobody_has_heard_of(cluster):
    is_error(ask_udp(cluster, wire.request_address("no-such-service")), "NO_SERVICE")
    with wire.Stream(cluster.workers_at[0]) as stream:
        is_error(stream.ask(wire.job("no-such-service")), "NO_SERVICE")


def a_worker_is_no_dispatcher(cluster):
    with wire.Stream(cluster.workers_at[0]) as stream:
        is_error(stream.ask(wire.request_address("echo")), "NOT_DISPATCHER")
        is_error(stream.ask(wire.location_request()), "NOT_DISPATCHER")
    frames = wire.datagram_exchange(cluster.workers_at[0], wire.request_address("echo"), 1)
    check(len(frames) == 1 and frames[0].size == 44 and frames[0].flags == wire.TRUNCATED, f"over UDP a worker says {frames}")
    is_error(frames[0], "NOT_DISPATCHER")


def jobs_run_where_the_address_says(cluster):
    for _ in range(20):
        answer = ask_udp(cluster, wire.request_address("echo"))
        with wire.Stream(addresses(answer)[0]) as stream:
            got, data = stream.run(wire.job("echo", b"hello, usher", job_id=9, boot_id=answer.boot_id, request_id=4711))
            check(got.kind == wire.RESULT and data == b"hello, usher" and got.job_id == 9 and got.request_id == 4711, f"echo: {got}")


def a_dispatcher_runs_jobs_too(cluster):
    with wire.Stream(cluster.dispatcher_at) as stream:
        check(len(addresses(stream.ask(wire.request_address("echo")))) == 1, "an address")
        got, data = stream.run(wire.job("digest", b"abc"))
        check(got.kind == wire.RESULT and data == b"bddd813c634239723171ef3fee98579b94964e3bb1cb3e427262c8c068d52319",
              f"BLAKE2b-256 of abc: {got} {data}")
        is_error(stream.ask(wire.request_address("echo")), "NOT_ACCEPTED_HERE")
        check(stream.run(wire.job("echo", b"again"))[1] == b"again", "a connection that has carried a job carries another one")


def big_results_come_in_parts(cluster):
    with wire.Stream(cluster.workers_at[0]) as stream:
        got, data = stream.run(wire.job("blob", b"300000"))
        check(got.kind == wire.RESULT and data == bytes(i % 251 for i in range(300000)), f"{len(data)} bytes instead of 300,000: {got}")
        got, data = stream.run(wire.job("echo", bytes(1 << 20)))
        check(got.kind == wire.RESULT and data == bytes(1 << 20), f"1 MiB there and back: {got}")
        is_error(stream.ask(wire.job("echo", bytes((1 << 20) + 1))), "TOO_LARGE")
        check(stream.receive() is None, "the connection is closed behind a frame that is too large")


def jobs_share_a_connection(cluster):
    with wire.Stream(cluster.workers_at[1]) as stream:
        slow, fast = wire.request_id_new(), wire.request_id_new()
        stream.send(wire.job("sleep", b"1s", request_id=slow) + wire.job("echo", b"x", request_id=fast))
        ends = [stream.receive(), stream.receive()]
        check([f.request_id for f in ends] == [fast, slow] and all(f.kind == wire.RESULT for f in ends), f"ends: {ends}")
        check(ends[1].ran_us >= 1_000_000, f"slept for 1 s, but ran for {ends[1].ran_us} us")


def closing_the_connection_cancels(cluster):
    running = 'usher_jobs_running'
    with wire.Stream(cluster.narrow_at) as stream:
        stream.send(wire.job("sleep", b"60s", service_time_ms=60_000))
        wait_until("the job runs", lambda: metrics(cluster.narrow_http)[running] == 1)
        stream.send(wire.job("sleep", b"60s", service_time_ms=60_000))
        wait_until("another one waits", lambda: metrics(cluster.narrow_http)["usher_jobs_queued"] == 1)
    wait_until("both have gone", lambda: metrics(cluster.narrow_http)[running] + metrics(cluster.narrow_http)["usher_jobs_queued"] == 0, 10)
    wait_until("both are counted", lambda: metrics(cluster.narrow_http)['usher_jobs_total{result="client_gone"}'] == 2)


def service_time_ends_a_job_and_its_connection(cluster):
    with wire.Stream(cluster.narrow_at) as stream:
        is_error(stream.ask(wire.job("sleep", b"60s", service_time_ms=200)), "SERVICE_TIME_EXCEEDED", started=1)
        check(stream.receive() is None, "the connection ends with the service time")


def waiting_too_long_and_full_queues_are_refused(cluster):
    with wire.Stream(cluster.narrow_at) as first, wire.Stream(cluster.narrow_at) as second, wire.Stream(cluster.narrow_at) as third:
        first.send(wire.job("sleep", b"3s"))
        wait_until("the slot is taken", lambda: metrics(cluster.narrow_http)["usher_jobs_running"] == 1)
        second.send(wire.job("sleep", b"1ms", wait_ms=1500))
        wait_until("the queue is full", lambda: metrics(cluster.narrow_http)["usher_jobs_queued"] == 1)
        got = third.ask(wire.job("sleep", b"1ms", job_id=5))
        check(got.kind == wire.BUSY and got.job_id == 5 and got.queued == 1 and got.retry_after_ms > 0, f"no BUSY: {got}")
        is_error(second.receive(), "WAIT_EXCEEDED")
        check(first.receive().kind == wire.RESULT, "the first job was disturbed")


def a_job_runs_once(cluster):
    with wire.Stream(cluster.workers_at[2]) as stream:
        check(stream.run(wire.job("echo", b"1", client_id=1, job_id=2))[1] == b"1", "the first of two")
        is_error(stream.ask(wire.job("echo", b"1", client_id=1, job_id=2)), "DUPLICATE_JOB", started=1)
        check(stream.run(wire.job("echo", b"1", client_id=1, job_id=3))[1] == b"1", "another job ID")


def programs_run_and_fail(cluster):
    with wire.Stream(cluster.narrow_at) as stream:
        check(stream.run(wire.job("lines"))[1] == b"1\n2\n3\n", "output of exec:lines")
        got = stream.ask(wire.job("fail"))
        is_error(got, "JOB_FAILED", started=1)
        check("3" in got.text and "no such luck" in got.text, f"the text says neither status nor reason: {got.text}")


def refused(cluster, reason, act):
    """act() makes the dispatcher count one refusal for this reason."""
    name = f'usher_malformed_total{{reason="{reason}"}}'
    before = metrics(cluster.http)[name]
    result = act()
    wait_until(f"{name} counts", lambda: metrics(cluster.http)[name] == before + 1)
    return result


def datagram_refused(cluster, reason, datagram, code):
    """A datagram that is refused with an ERROR of that code, or without any answer (None)."""
    frames = refused(cluster, reason, lambda: wire.datagram_exchange(cluster.dispatcher_at, datagram, 1, limit_s=0.3 if code is None else 10))
    if code is None:
        check(frames == [], f"{reason} must not be answered: {frames}")
    else:
        check(len(frames) == 1 and frames[0].size <= len(datagram), f"{reason}: {frames}")
        is_error(frames[0], code)


def malformed_datagrams_are_refused_and_counted(cluster):
    good = wire.request_address("echo")
    body = good[20:]
    for reason, datagram, code in (
            ("short_header", good[:19], None),
            ("bad_magic", b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", None),
            ("version", wire.frame(wire.REQUEST_ADDRESS, 1, body, major=2), "UNSUPPORTED_VERSION"),
            ("bad_length", wire.frame(wire.REQUEST_ADDRESS, 1, body, length=19), None),
            ("bad_length", wire.frame(wire.REQUEST_ADDRESS, 1, body, length=45), "MALFORMED"),
            ("wrong_transport", wire.padded(wire.JOB, 1, wire.job("echo")[20:], 60), "NOT_ACCEPTED_HERE"),
            ("bad_flags", wire.frame(wire.REQUEST_ADDRESS, 1, body, flags=wire.MORE), "MALFORMED"),
            ("short_fields", wire.frame(wire.REQUEST_ADDRESS, 1, body[:10]), "MALFORMED"),
            ("bad_count", wire.request_address("echo", count=0), "MALFORMED"),
            ("bad_count", wire.request_address("echo", count=17), "MALFORMED"),
            ("short_excludes", wire.frame(wire.REQUEST_ADDRESS, 1, body[:13] + b"\x02" + wire.compact("10.0.0.1:1")), "MALFORMED"),
            ("padding", good[:-1] + b"\x01", "MALFORMED"),
            ("bad_family", wire.frame(wire.REQUEST_ADDRESS, 1, body[:13] + b"\x01\x05" + bytes(20)), "MALFORMED"),
            ("reserved", wire.frame(wire.LOCATION_REQUEST, 1, struct.pack("!II", 0, 1) + bytes(100)), "MALFORMED")):
        datagram_refused(cluster, reason, datagram, code)


def replies_are_never_answered(cluster):
    for kind in (wire.ERROR, wire.ADDRESS, 0x80F0):
        frames = wire.datagram_exchange(cluster.dispatcher_at, wire.frame(kind, 1, bytes(40)), 1, limit_s=0.3)
        check(frames == [], f"a reply of type {kind:#x} was answered: {frames}")


def unknown_types_and_later_minors_are_skipped(cluster):
    unknown, good = wire.frame(0x0123, 1, bytes(40)), wire.request_address("echo", request_id=2)
    frames = refused(cluster, "unknown_type", lambda: wire.datagram_exchange(cluster.dispatcher_at, unknown + good, 2, limit_s=1))
    check([f.request_id for f in frames] == [2] and frames[0].kind == wire.ADDRESS, f"behind a frame of an unknown type: {frames}")
    later = wire.frame(wire.REQUEST_ADDRESS, 3, good[20:] + b"\xff" * 8, minor=1)
    check(len(addresses(ask_udp(cluster, later))) == 1, "a later minor version may add fields")


def streams_that_are_none_are_closed(cluster):
    def http():
        with wire.Stream(cluster.dispatcher_at) as stream:
            stream.send(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
            check(stream.receive() is None, "HTTP on the service port was answered")
    refused(cluster, "bad_magic", http)
    with wire.Stream(cluster.dispatcher_at) as stream:
        is_error(stream.ask(wire.frame(wire.REQUEST_ADDRESS, 1, b"", length=5000)), "TOO_LARGE")
        check(stream.receive() is None, "a stream goes on behind a wrong length")
    for address in (cluster.dispatcher_at, cluster.workers_at[3]):
        with wire.Stream(address) as stream:
            begin = time.monotonic()
            stream.send(wire.job("echo", b"the rest never comes")[:-3])
            check(stream.receive() is None, "an unfinished frame was answered")
            check(4 < time.monotonic() - begin < 20, f"an unfinished frame ended after {time.monotonic() - begin:.1f} s instead of 5")


main(an_address_comes_over_udp, the_dispatcher_is_marked_as_one, five_addresses_are_five_different_nodes, several_requests_share_a_datagram,
     short_requests_get_what_fits, excluded_nodes_are_left_out, feedback_is_taken, addresses_come_over_tcp_in_any_number_at_a_time,
     requests_may_come_in_pieces, the_location_is_told, nobody_offers_what_nobody_has_heard_of, a_worker_is_no_dispatcher,
     jobs_run_where_the_address_says, a_dispatcher_runs_jobs_too, big_results_come_in_parts, jobs_share_a_connection,
     closing_the_connection_cancels, service_time_ends_a_job_and_its_connection, waiting_too_long_and_full_queues_are_refused, a_job_runs_once,
     programs_run_and_fail, malformed_datagrams_are_refused_and_counted, replies_are_never_answered, unknown_types_and_later_minors_are_skipped,
     streams_that_are_none_are_closed, stage=one_region)
