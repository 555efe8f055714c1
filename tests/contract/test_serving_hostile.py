"""What a stranger may send: always an answer in time, never 500, and the service lives on."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from platform_ctl.serving.service import ServiceSpec
from tests.support import serving

V1 = b"/v1/models/stub:predict"
V2 = b"/v2/models/stub/infer"
GOOD = b'{"instances": [[1, 2]]}'
REQUEST_TIMEOUT_S = 2.0


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("hostile")
    model = serving.save_model(home / "models" / "v1")
    local = serving.local_serving(
        home, body_bytes=100_000, rows=100, request_timeout_s=REQUEST_TIMEOUT_S
    )
    spec = ServiceSpec(
        serving.revision(model),
        entity="repo",
        online_features="tests.support.serving:online_features",
    )
    yield local.apply("stub", spec), local
    local.stop("stub")


@pytest.fixture(scope="module")
def port(service):
    return int(service[0].url.rsplit(":", 1)[1])


def request(method, path, body=b"", *headers, length=True, close=True):
    lines = [b"%s %s HTTP/1.1" % (method, path), b"host: x", *headers]
    if length:
        lines.append(b"content-length: %d" % len(body))
    if close:
        lines.append(b"connection: close")
    return b"\r\n".join(lines) + b"\r\n\r\n" + body


def talk(port, data, *, end=False):
    """Everything that is answered until the server closes; fails when it does not."""
    said = b""
    with socket.create_connection(("127.0.0.1", port), timeout=REQUEST_TIMEOUT_S + 5) as connection:
        try:
            connection.sendall(data)
            if end:
                connection.shutdown(socket.SHUT_WR)
            while chunk := connection.recv(65536):
                said += chunk
        except ConnectionError:  # it has answered, and does not read the rest
            pass
    return said


def status_of(said):
    assert said.startswith(b"HTTP/1.1 "), said[:200]
    return int(said[9:12])


def chunked(*chunks):
    return b"".join(b"%x\r\n%s\r\n" % (len(c), c) for c in (*chunks, b""))


TE = b"transfer-encoding: chunked"
RAW = {
    "HEAD": (request(b"HEAD", V1), 405),
    "OPTIONS": (request(b"OPTIONS", V1), 405),
    "OPTIONS *": (request(b"OPTIONS", b"*"), 404),
    "no such method": (request(b"FROB", V1, GOOD), 400),
    "no such path": (request(b"GET", b"/admin"), 404),
    "a proxy's request": (request(b"CONNECT", b"elsewhere:80"), 400),
    "another protocol": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
    "bytes that are no text in the path": (request(b"POST", b"/v1/models/\xff:predict", GOOD), 400),
    "chunked": (request(b"POST", V1, chunked(GOOD[:5], GOOD[5:]), TE, length=False), 200),
    "chunked, malformed": (request(b"POST", V1, b"zz\r\n", TE, length=False), 400),
    "chunked, too large": (
        request(b"POST", V1, chunked(*[b"x" * 9_999] * 15), TE, length=False),
        413,
    ),
    "chunked, too large, elsewhere": (
        request(
            b"POST", b"/v1/models/stub:explain", chunked(*[b"x" * 9_999] * 15), TE, length=False
        ),
        413,
    ),
    "two lengths": (request(b"POST", V1, GOOD, b"content-length: 3"), 400),
    "length and chunks": (request(b"POST", V1, GOOD, TE), 400),
    "negative length": (request(b"POST", V1, GOOD, b"content-length: -1", length=False), 400),
    "endless length": (
        request(b"POST", V1, GOOD, b"content-length: " + b"9" * 30, length=False),
        400,
    ),
    "endless head": (request(b"GET", b"/", b"", b"x: " + b"a" * 200_000), 431),
    "many headers": (request(b"GET", b"/", b"", *[b"h%d: 1" % i for i in range(60_000)]), 431),
    "NUL in a header": (request(b"POST", V1, GOOD, b"x-request-key: a\x00b"), 400),
    "expects to be told to go on": (request(b"POST", V1, GOOD, b"expect: 100-continue"), 100),
    "compressed": (request(b"POST", V1, b"\x1f\x8b\x08\x00", b"content-encoding: gzip"), 400),
    "UTF-16": (request(b"POST", V1, GOOD.decode().encode("utf-16")), 400),
    "half a pair of UTF-16": (request(b"POST", V1, b'{"instances": [{"repo": "\\ud800"}]}'), 400),
    "deep": (request(b"POST", V1, b'{"instances": ' + b"[" * 40_000 + b"]" * 40_000 + b"}"), 400),
    "a number of 5000 digits": (
        request(b"POST", V1, b'{"instances": [[%s, 1]]}' % (b"9" * 5_000)),
        400,
    ),
    "half a binary tensor": (
        request(b"POST", V2, GOOD, b"inference-header-content-length: -1"),
        400,
    ),
}


@pytest.mark.parametrize("case", RAW.values(), ids=RAW.keys())
def test_is_answered_at_once(port, case):
    data, expected = case
    started = time.monotonic()
    assert status_of(talk(port, data)) == expected
    assert time.monotonic() - started < REQUEST_TIMEOUT_S


def test_a_refusal_of_the_front_gives_its_reason(port):
    for case in ("HEAD", "chunked, too large, elsewhere", "endless head", "no such path"):
        said = talk(port, RAW[case][0])
        body = said.partition(b"\r\n\r\n")[2]
        assert case == "HEAD" or json.loads(body)["error"], said


def test_keep_alive_pipelined_requests_are_answered_in_order(port):
    bodies = [b'{"instances": [[%d, 0]]}' % i for i in range(20)]
    asked = b"".join(request(b"POST", V1, b, close=b is bodies[-1]) for b in bodies)
    said = talk(port, asked)
    answered = [json.loads(p.partition(b"\r\n\r\n")[2]) for p in said.split(b"HTTP/1.1 ")[1:]]
    assert answered == [{"predictions": [float(i)]} for i in range(20)]


@pytest.mark.parametrize(
    "sent",
    [
        request(b"POST", V1, GOOD)[:30],
        request(b"POST", V1, GOOD)[:-5],
        request(b"POST", V1, b"5\r\n{", TE, length=False),
    ],
    ids=["half a head", "half a body", "half a chunk"],
)
def test_half_a_request_has_an_end(port, sent):
    said = talk(port, sent)
    assert status_of(said) == 408 and b"not complete in 2 s" in said
    assert talk(port, sent, end=True) == b""  # who hangs up gets no answer


def test_a_connection_without_a_request_is_closed(port):
    assert talk(port, b"") == b""


def test_slow_callers_hold_up_nobody(port, service):
    slow = [socket.create_connection(("127.0.0.1", port), timeout=20) for _ in range(200)]
    try:
        for i, connection in enumerate(slow):
            connection.sendall(request(b"POST", V1, GOOD)[: 10 + i % 60])
        for _ in range(20):
            assert serving.post(service[0].url, V1.decode(), GOOD, timeout=1.0)[0] == 200
        with ThreadPoolExecutor(20) as pool:
            ended = list(pool.map(lambda c: c.recv(100), slow))
        assert all(said.startswith(b"HTTP/1.1 408") for said in ended)
    finally:
        for connection in slow:
            connection.close()


# ---- anything at all --------------------------------------------------------------

SCALARS = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats(allow_nan=True, allow_infinity=True)
    | st.text(max_size=8)
    | st.sampled_from(["FP32", "BYTES", "INT8", "input-0", "repo", "a", "b", "unknown"])
)
FIELDS = """instances inputs outputs name shape datatype data id parameters binary_data_size
repo a b specversion type source time"""
DATATYPES = "FP16 FP32 FP64 INT8 INT64 UINT8 BOOL BYTES"
KEYS = st.sampled_from(FIELDS.split()) | st.text(max_size=4)
JSON = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(KEYS, inner, max_size=4),
    max_leaves=12,
)
TENSOR = st.fixed_dictionaries(
    {},
    optional={
        "name": st.sampled_from(["input-0", "a", "b", "repo"]) | SCALARS,
        "shape": st.lists(st.integers(-2, 3) | SCALARS, max_size=3) | SCALARS,
        "datatype": st.sampled_from(
            ["FP16", "FP32", "FP64", "INT8", "INT64", "UINT8", "BOOL", "BYTES"]
        )
        | SCALARS,
        "data": st.lists(SCALARS | st.lists(SCALARS, max_size=3), max_size=4) | SCALARS,
        "parameters": st.dictionaries(KEYS, SCALARS, max_size=2) | SCALARS,
    },
)
BODY = st.one_of(
    JSON,
    st.fixed_dictionaries({"instances": JSON}),
    st.fixed_dictionaries(
        {"inputs": st.lists(TENSOR, max_size=3)},
        optional={"id": SCALARS, "outputs": JSON, "parameters": JSON},
    ),
).map(lambda value: json.dumps(value).encode())
HEADERS = st.lists(
    st.sampled_from(
        [
            b"content-type: application/json",
            b"content-type: application/octet-stream",
            b"content-type: application/cloudevents+json",
            b"ce-specversion: 1.0",
            b"inference-header-content-length: 5",
            b"inference-header-content-length: x",
            b"x-request-key: \xe9",
            b"x-platform-revision: canary",
            b"x-platform-hop: 1",
        ]
    ),
    max_size=3,
    unique_by=lambda h: h.partition(b":")[0],
)
FUZZ = settings(
    max_examples=400, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@FUZZ
@given(path=st.sampled_from([V1, V2]), body=BODY | st.binary(max_size=60), headers=HEADERS)
def test_whatever_is_sent_is_answered_with_200_or_a_reason(port, path, body, headers):
    said = talk(port, request(b"POST", path, body, *headers))
    status = status_of(said)
    answer = json.loads(said.partition(b"\r\n\r\n")[2])
    assert status == 200 or (400 <= status < 500 and answer["error"]), said


@FUZZ
@given(st.binary(max_size=200))
def test_whatever_comes_instead_of_http_is_refused(port, data):
    said = talk(port, data, end=True)
    assert said == b"" or 400 <= status_of(said) < 500


def test_nothing_of_this_left_a_traceback(service, port):
    status, local = service
    with open(status.log_file, encoding="utf-8") as log:
        assert "Traceback" not in log.read()
    assert [r.restarts for r in local.get("stub").revisions] == [0]
