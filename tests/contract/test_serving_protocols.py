"""KServe's protocols on a real service: what its client expects, what callers get wrong."""

from __future__ import annotations

import asyncio
import http.client
import json
import struct
import time

import pytest
from kserve import InferenceRESTClient, InferInput, InferRequest, RESTConfig

from platform_ctl.serving.service import ServiceSpec
from tests.support import serving

V1 = "/v1/models/stub:predict"
V2 = "/v2/models/stub/infer"
NAN = float("nan")


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    home = tmp_path_factory.mktemp("protocols")
    model = serving.save_model(home / "models" / "v1")
    local = serving.local_serving(home, body_bytes=100_000, rows=100)
    spec = ServiceSpec(
        serving.revision(model),
        entity="repo",
        online_features="tests.support.serving:online_features",
    )
    yield local.apply("stub", spec), local
    local.stop("stub")


@pytest.fixture(scope="module")
def url(service):
    return service[0].url


def tensor(data, shape=(1, 2), datatype="FP32", **extra):
    inputs = [{"name": "input-0", "shape": list(shape), "datatype": datatype, "data": data}]
    return {"inputs": inputs, **extra}


def test_kserve_client_speaks_both_protocols(url):
    asyncio.run(both_protocols(url))


async def both_protocols(url):
    client = InferenceRESTClient(RESTConfig(protocol="v1", retries=0))
    assert await client.infer(url, {"instances": [[1.0, 2.0]]}, model_name="stub") == {
        "predictions": [5.0]
    }
    client = InferenceRESTClient(RESTConfig(protocol="v2", retries=0))
    assert await client.is_server_live(url)
    assert await client.is_server_ready(url)
    assert await client.is_model_ready(url, model_name="stub")
    for data in ([1.0, 2.0, 3.0, 4.0], [[1.0, 2.0], [3.0, 4.0]]):
        request = InferRequest("stub", [InferInput("input-0", [2, 2], "FP32", data)])
        answer = await client.infer(url, request, model_name="stub")
        assert answer.outputs[0].data == [5.0, 11.0]


def get(url, path):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=5)
    connection.request("GET", path)
    response = connection.getresponse()
    body = response.read().decode()
    connection.close()
    return response.status, body


def test_metadata_names_inputs_and_outputs(url):
    status, body = get(url, "/v2/models/stub")
    assert status == 200
    assert '"shape":[-1,2]' in body and '"datatype":"FP32"' in body
    assert '{"name":"repo","datatype":"BYTES","shape":[-1]}' in body


@pytest.mark.parametrize(
    "asked",
    [
        {"parameters": {"binary_data_output": True}},
        {"outputs": [{"name": "output-0", "parameters": {"binary_data": True}}]},
    ],
    ids=["every output", "one output"],
)
def test_outputs_are_binary_where_the_caller_asks(url, asked):
    connection = http.client.HTTPConnection(url.removeprefix("http://"), timeout=10)
    body = json.dumps(tensor([1, 2, 3, 4], shape=(2, 2), **asked))
    connection.request("POST", V2, body, {"content-type": "application/json"})
    response = connection.getresponse()
    answer = response.read()
    connection.close()
    head = int(response.getheader("inference-header-content-length"))
    (output,) = json.loads(answer[:head])["outputs"]
    assert (output["parameters"], "data" in output) == ({"binary_data_size": 16}, False)
    assert struct.unpack("<2d", answer[head:]) == (5.0, 11.0)


def test_an_output_that_is_asked_for_as_text_is_text(url):
    status, _, answer = serving.post(url, V2, tensor([1, 2], outputs=[{"name": "output-0"}]))
    assert (status, answer["outputs"][0]["data"]) == (200, [5.0])


ACCEPTED = {
    "v1 rows": (V1, {"instances": [[1, 2], [3, 4]]}, {}),
    "v1 by name": (V1, {"instances": [{"b": 2, "a": 1}]}, {}),
    "v1 replayed, with what another revision takes": (
        V1,
        {"instances": [{"b": 2, "a": 1, "c": 3}]},
        {"x-platform-replay": "1"},
    ),
    "v1 by entity": (V1, {"instances": [{"repo": "abc"}]}, {}),
    "v1 without content type": (V1, b'{"instances": [[1, 2]]}', {}),
    "v1 as curl -d sends it": (
        V1,
        b'{"instances": [[1, 2]]}',
        {"content-type": "application/x-www-form-urlencoded"},
    ),
    "v1 with charset": (
        V1,
        b'{"instances": [[1, 2]]}',
        {"content-type": "application/json; charset=utf-8"},
    ),
    "v2 without id": (V2, tensor([1, 2]), {}),
    "v2 with id": (V2, tensor([1, 2], id="42"), {}),
    "v2 nested data": (V2, tensor([[1, 2]]), {}),
    "v2 an input for each feature": (
        V2,
        {
            "inputs": [
                {"name": "a", "shape": [1], "datatype": "FP64", "data": [1]},
                {"name": "b", "shape": [1], "datatype": "FP64", "data": [2]},
            ]
        },
        {},
    ),
    "v2 by entity": (
        V2,
        {"inputs": [{"name": "repo", "shape": [1], "datatype": "BYTES", "data": ["abc"]}]},
        {},
    ),
}


@pytest.mark.parametrize("case", ACCEPTED.values(), ids=ACCEPTED.keys())
def test_answers(url, case):
    path, body, headers = case
    if not isinstance(body, bytes):
        headers = {"content-type": "application/json", **headers}
    status, given, answer = serving.post(url, path, body, headers=headers)
    assert status == 200, answer
    first = answer["predictions"][0] if path == V1 else answer["outputs"][0]["data"][0]
    assert first == 5.0
    assert given["x-served-by"] == "v1"
    if "id" in (body if isinstance(body, dict) else {}):
        assert answer["id"] == body["id"]


REFUSED = {
    "empty body": (V1, b"", 400, "format"),
    "not JSON": (V1, b"{", 400, "format"),
    "a list": (V1, [[1, 2]], 400, "instances"),
    "no instances": (V1, {}, 400, "instances"),
    "no rows": (V1, {"instances": []}, 400, "1 to 100"),
    "too many rows": (V1, {"instances": [[1, 2]] * 101}, 400, "1 to 100"),
    "ragged rows": (V1, {"instances": [[1, 2], [1]]}, 400, "2 features"),
    "too deep": (V1, {"instances": [[[1, 2], [1, 2]]]}, 400, "numbers"),
    "numbers, not rows": (V1, {"instances": [1, 2]}, 400, "2 features"),
    "text": (V1, {"instances": [["1", 2]]}, 400, "numbers"),
    "booleans": (V1, {"instances": [[True, 2]]}, 400, "numbers"),
    "null": (V1, {"instances": [[None, 2]]}, 400, "numbers"),
    "NaN": (V1, {"instances": [[NAN, 2]]}, 400, ""),
    "beyond float32": (V1, {"instances": [[1e300, 2]]}, 400, "too large"),
    "feature missing": (V1, {"instances": [{"a": 1}]}, 400, "'b'"),
    "feature unknown": (V1, {"instances": [{"a": 1, "b": 2, "c": 3}]}, 400, "'c'"),
    "entity unknown": (V1, {"instances": [{"repo": "unknown"}]}, 400, "unknown"),
    "features fail": (V1, {"instances": [{"repo": "broken"}]}, 503, "no such table: features"),
    "feature empty": (V1, {"instances": [{"repo": "hollow"}]}, 503, "b of repo hollow is None"),
    "entity not text": (V1, {"instances": [{"repo": 7}]}, 400, "repo"),
    "entity and features": (V1, {"instances": [{"repo": "a", "a": 1}]}, 400, "repo"),
    "mixed rows": (V1, {"instances": [{"repo": "a"}, [1, 2]]}, 400, ""),
    "larger than the limit": (V1, {"instances": [[1, 2]], "x": "y" * 200_000}, 413, "100000"),
    "unknown model": ("/v1/models/other:predict", {"instances": [[1, 2]]}, 404, "other"),
    "v2 empty body": (V2, b"", 400, ""),
    "v2 not JSON": (V2, b"{", 400, ""),
    "v2 no inputs": (V2, {"inputs": []}, 400, "input"),
    "v2 wrong width": (V2, tensor([1, 2, 3], (1, 3)), 400, "[n, 2]"),
    "v2 shape and data differ": (V2, tensor([1, 2, 3]), 400, ""),
    "v2 negative shape": (V2, tensor([1, 2], (-1, -2)), 400, ""),
    "v2 unknown datatype": (V2, tensor([1, 2], datatype="FP99"), 400, ""),
    "v2 text in FP32": (V2, tensor(["a", "b"]), 400, ""),
    "v2 NaN": (V2, tensor([NAN, 2]), 400, ""),
    "v2 features fail": (
        V2,
        {"inputs": [{"name": "repo", "shape": [1], "datatype": "BYTES", "data": ["broken"]}]},
        503,
        "no such table: features",
    ),
    "v2 BYTES of another name": (V2, tensor(["abc"], (1,), "BYTES"), 400, "repo"),
    "v2 unknown model": ("/v2/models/other/infer", tensor([1, 2]), 404, "other"),
    "v2 fraction as INT32": (V2, tensor([1.5, 2], datatype="INT32"), 400, "fractions"),
    "v2 booleans as FP32": (V2, tensor([True, 2 > 1]), 400, "numbers"),
    "v2 entity that is no text": (
        V2,
        {"inputs": [{"name": "repo", "shape": [1], "datatype": "BYTES", "data": [None]}]},
        400,
        "text",
    ),
    "v2 version": ("/v2/models/stub/versions/7/infer", tensor([1, 2]), 404, "version"),
    "explain": ("/v1/models/stub:explain", {"instances": [[1, 2]]}, 404, "explain"),
    "v2 unknown output": (V2, tensor([1, 2], outputs=[{"name": "probability"}]), 400, "output-0"),
    "load of another": ("/v2/repository/models/other/load", {}, 404, "other"),
    "unload": ("/v2/repository/models/stub/unload", {}, 400, "service stop"),
    "unload of another": ("/v2/repository/models/other/unload", {}, 404, "other"),
}


@pytest.mark.parametrize("case", REFUSED.values(), ids=REFUSED.keys())
def test_refuses_with_a_reason(url, case):
    path, body, expected, reason = case
    status, _, answer = serving.post(url, path, body)
    assert status == expected, answer
    assert reason in answer["error"]


def test_truncated_binary_tensor_is_refused(url):
    headers = {
        "content-type": "application/octet-stream",
        "inference-header-content-length": "9999",
    }
    status, _, answer = serving.post(url, V2, b'{"inputs": [{"name": 1}]}', headers=headers)
    assert status == 400, answer


def test_serves_only_its_model_on_loopback(service):
    status, body = get(service[0].url, "/v1/models")
    assert (status, body) == (200, '{"models":["stub"]}')
    assert service[0].url.startswith("http://127.0.0.1:")


def test_metrics_count_statuses_for_each_revision(url):
    serving.post(url, V1, {"instances": [[1, 2]]})
    serving.post(url, V1, {})
    _, body = get(url, "/metrics")
    assert 'inference_requests_total{code="200",revision="v1",service="stub"}' in body
    assert 'inference_requests_total{code="400",revision="v1",service="stub"}' in body
    assert 'inference_request_seconds_count{revision="v1",service="stub"}' in body
    assert 'request_predict_seconds_count{model_name="stub"}' in body


def test_requests_and_predictions_are_logged(service):
    status, local = service
    since = time.time()
    headers = {"x-request-key": "caller-1", "x-platform-replay": "1"}
    serving.post(status.url, V1, {"instances": [[1, 2]]}, headers=headers)
    serving.post(status.url, V2, tensor([3, 4], id="42"))
    deadline = time.monotonic() + 5
    while len(seen := local.observations("stub", since=since)) < 2 and time.monotonic() < deadline:
        time.sleep(0.05)
    assert [(o.revision, o.status, o.source, o.predictions) for o in seen] == [
        ("v1", 200, "replay", [5.0]),
        ("v1", 200, "traffic", [11.0]),
    ]
    assert seen[0].key == "caller-1" and seen[0].request == {"instances": [[1, 2]]}
    assert seen[1].id == "42" and seen[1].latency_ms > 0
