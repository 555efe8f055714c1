"""The IR as data: unknown fields, references, names, numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml

from platform_ctl.errors import BadPipelineFile
from platform_ctl.ir import check
from platform_ctl.ir import file as ir_file
from platform_ctl.ir.pipeline import Pipeline, RetryPolicy, plain_numbers, planned_leaves
from tests.support import ir

FILE = Path("pipeline.yaml")


def parse(document: dict[str, Any]) -> Pipeline:
    return ir_file.parse(yaml.safe_dump(document).encode(), FILE)


def test_a_pipeline_is_read() -> None:
    pipeline = parse(ir.document())
    assert pipeline.name == "sample"
    assert planned_leaves(pipeline) == ["first", "second"]


def test_an_unknown_field_is_named() -> None:
    document = ir.document()
    document["root"]["dag"]["tasks"]["first"]["surprise"] = 1
    with pytest.raises(BadPipelineFile, match="surprise"):
        parse(document)


@pytest.mark.parametrize("name", ["../up", "a/b", "", ".hidden", "a\0b", "x" * 300])
def test_names_that_could_leave_the_folder_are_refused(name: str) -> None:
    document = ir.document()
    document["root"]["dag"]["tasks"][name] = document["root"]["dag"]["tasks"].pop("second")
    with pytest.raises(BadPipelineFile):
        parse(document)


def test_a_cycle_is_named() -> None:
    document = ir.document()
    document["root"]["dag"]["tasks"]["first"]["dependentTasks"] = ["second"]
    with pytest.raises(BadPipelineFile, match="wait for each other"):
        parse(document)


def test_a_component_may_not_contain_itself() -> None:
    document = ir.document()
    task = {"componentRef": {"name": "comp-add"}}
    document["components"]["comp-add"] = {"dag": {"tasks": {"again": task}}}
    with pytest.raises(BadPipelineFile, match="contains itself"):
        parse(document)


def test_missing_references_are_named() -> None:
    for broken in ("component", "producer", "executor"):
        document = ir.document()
        if broken == "component":
            document["root"]["dag"]["tasks"]["first"]["componentRef"]["name"] = "comp-gone"
        elif broken == "producer":
            document["root"]["dag"]["tasks"]["second"]["dependentTasks"] = ["gone"]
        else:
            document["components"]["comp-add"]["executorLabel"] = "exec-gone"
        with pytest.raises(BadPipelineFile, match="gone"):
            parse(document)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "just text",
        "a: !!python/name:os.system ",
        "pipelineInfo: {name: x}\n1: 2",
        "\x00",
        "&a [*a]",
        "pipelineInfo: &a {name: *a}",
        "[" * 200_000,
        "- " * 100_000,
    ],
    ids=range(9),
)
def test_other_files_are_refused(text: str) -> None:
    with pytest.raises(BadPipelineFile):
        ir_file.parse(text.encode(), FILE)


def test_whole_floats_are_ints_all_the_way_down() -> None:
    assert msgspec.json.encode(plain_numbers({"a": [1.0, 2.5, {"b": 3.0}], "c": True})) == (
        b'{"a":[1,2.5,{"b":3}],"c":true}'
    )


def test_back_off_is_bounded() -> None:
    policy = RetryPolicy(3, "10s", 2.0, "30s")
    assert [policy.delay_s(n) for n in (1, 2, 3)] == [10, 20, 30]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"a": {"componentInputParameter": "nosuch"}}, "'nosuch'"),
        ({}, "'a' has no value"),
        ({"a": {"componentInputParameter": "x"}, "zzz": {"componentInputParameter": "x"}}, "'zzz'"),
        (
            {"a": {"taskOutputParameter": {"producerTask": "first", "outputParameterKey": "Q"}}},
            "puts out no parameter 'Q'",
        ),
    ],
)
def test_a_reference_to_nothing_is_refused(change: dict, says: str) -> None:
    document = ir.document()
    document["root"]["dag"]["tasks"]["second"]["inputs"] = {"parameters": change}
    with pytest.raises(BadPipelineFile, match=says):
        check.check(msgspec.convert(document, Pipeline))


def test_an_output_of_the_pipeline_that_nobody_makes_is_refused() -> None:
    document = ir.document()
    document["root"]["outputDefinitions"] = {"parameters": {"o": {"parameterType": "STRING"}}}
    selector = {"producerSubtask": "second", "outputParameterKey": "nosuch"}
    document["root"]["dag"]["outputs"] = {"parameters": {"o": {"valueFromParameter": selector}}}
    with pytest.raises(BadPipelineFile, match="nosuch"):
        check.check(msgspec.convert(document, Pipeline))


def test_json_is_read_as_json(tmp_path: Path) -> None:
    document = ir.document()
    document["root"]["inputDefinitions"]["parameters"]["rate"]["defaultValue"] = 1e-05
    document["root"]["inputDefinitions"]["parameters"]["mode"]["description"] = "\U0001f680"
    path = tmp_path / "p.json"
    path.write_text(json.dumps(document))
    read = ir_file.read(path)
    assert read.root.input_definitions.parameters["rate"].default_value == 1e-05
    path.write_text(json.dumps(document).replace("1e-05", "NaN"))
    with pytest.raises(BadPipelineFile):
        ir_file.read(path)
    path.write_text('{"pipelineInfo": ' + '{"a": ' * 300 + "1" + "}" * 301)
    with pytest.raises(BadPipelineFile, match="deep"):
        ir_file.read(path)


def test_a_float_with_an_exponent_stays_a_float() -> None:
    assert repr(plain_numbers([1.0, 1e22, 3e20])) == "[1, 1e+22, 300000000000000000000]"


def test_steps_are_planned_in_the_order_of_the_flow() -> None:
    """The compiler writes tasks in alphabetical order."""
    document = ir.document()
    tasks = document["root"]["dag"]["tasks"]
    tasks["a-last"] = {**tasks["second"], "dependentTasks": ["second"]}
    document["root"]["dag"]["tasks"] = dict(sorted(tasks.items()))
    assert planned_leaves(parse(document)) == ["first", "second", "a-last"]
