"""The cache key: upstream's golden fingerprints, and what must and must not change it."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.runs.cache.diff import diff
from platform_ctl.runs.cache.key import (
    CacheKeyInputs,
    CodeDigest,
    KeyedArtifact,
    OutputArtifactSpec,
    cluster_document,
    cluster_fingerprint,
    compute,
    custom_fingerprint,
)

MODEL_SCHEMA = (
    "title: kfp.Model\ntype: object\nproperties:\n"
    "  framework:\n    type: string\n  framework_version:\n    type: string\n"
)
GOLDEN = CacheKeyInputs(
    component="comp-test",
    image="python:3.11",
    command=("sh", "ec", "test"),
    parameters={"message": "Some string value", "num_steps": 5},
    artifacts={
        "dataset_one": (KeyedArtifact(digest="1"),),
        "dataset_two": (KeyedArtifact(digest="2"),),
    },
    output_artifacts={
        "model": OutputArtifactSpec(
            type={"instanceSchema": MODEL_SCHEMA}, metadata={"name": "model"}
        ),
        "metrics": OutputArtifactSpec(
            type={"schemaTitle": "kfp.Metrics"}, metadata={"name": "metrics"}
        ),
    },
    output_parameters={"output_parameter_one": "STRING", "output_parameter_two": "INT"},
)
OTHER_GOLDEN = CacheKeyInputs(
    component="comp-test",
    image="python:3.11",
    command=("sh", "ec", "run"),
    artifacts={"dataset": (KeyedArtifact(digest="10"),)},
    output_parameters={"output_parameter": "DOUBLE"},
)
SOURCE = (
    "\nimport kfp\n\ndef train(rows: str):\n    from recipes.x import train\n    train.fit(rows)\n"
)
STEP = CacheKeyInputs(
    component="comp-train",
    image="image:1",
    command=("sh", "-ec", "run it", SOURCE),
    args=("--executor_input", "{{$}}", "--function_to_execute", "train"),
    env={"SEED": "1"},
    parameters={"epochs": 30, "rate": 0.1},
    artifacts={"rows": (KeyedArtifact(digest="aa", metadata={"weeks": 3}),)},
    output_artifacts={"model": OutputArtifactSpec(type={"schemaTitle": "system.Model"})},
    output_parameters={"summary": "STRING"},
    code=CodeDigest(modules={"recipes.x.train": "11"}, packages={"torch": "2.13"}),
)


# ---- the part shared with the cluster (figures of cacheutils/cache_test.go, driver/cache_test.go)


@pytest.mark.parametrize(
    ("inputs", "fingerprint"),
    [
        (GOLDEN, "b498530c9016917298999ec0b01f364a180f8a3862bea0fa672a383ca3f22e4e"),
        (OTHER_GOLDEN, "3d9a2a778fa3174c6cfc6e639c507c265b5f21ef6e5b1dd70b236462cc6da464"),
    ],
)
def test_fingerprint_is_the_drivers(inputs, fingerprint):
    assert compute(inputs).fingerprint == fingerprint


@pytest.mark.parametrize(
    ("component", "fingerprint"),
    [
        ("my-component", "ad05e747b67b95e4fc4ce080cdb5850f89744360a85753b90a1a434d46dedd2e"),
        ("other-component", "3b3a067cac2d9161742542c6afa8a1291699e27c637dd0d5d66cd8b2bdc5ab76"),
    ],
)
def test_custom_key_fingerprint_is_the_drivers(component, fingerprint):
    assert custom_fingerprint(component, "my-custom-cache-key") == fingerprint
    inputs = replace(STEP, component=component, cache_key="my-custom-cache-key")
    assert compute(inputs).fingerprint == fingerprint


def test_claims_count_once_and_in_any_order():
    with_claims = replace(GOLDEN, pvc_names=("workspace", "data", "data"))
    same = replace(GOLDEN, pvc_names=("data", "workspace"))
    assert compute(with_claims).fingerprint == compute(same).fingerprint
    assert compute(with_claims).fingerprint != compute(GOLDEN).fingerprint


def test_fingerprint_ignores_what_the_driver_does_not_see():
    unseen = replace(STEP, env={}, code=CodeDigest())
    assert compute(unseen).fingerprint == compute(STEP).fingerprint
    assert compute(unseen).digest != compute(STEP).digest


# ---- what changes the key, and what does not


CHANGES = {
    "image": {"image": "image:2"},
    "args": {"args": (*STEP.args, "--more")},
    "command": {"command": ("bash", *STEP.command[1:])},
    "component source": {"command": (*STEP.command[:-1], SOURCE.replace("fit", "fit_all"))},
    "env.SEED": {"env": {"SEED": "2"}},
    "parameters.epochs": {"parameters": {"epochs": 31, "rate": 0.1}},
    "artifacts.rows.digest": {
        "artifacts": {"rows": (KeyedArtifact(digest="bb", metadata={"weeks": 3}),)}
    },
    "artifacts.rows.metadata.weeks": {
        "artifacts": {"rows": (KeyedArtifact(digest="aa", metadata={"weeks": 4}),)}
    },
    "artifacts.rows.type": {
        "artifacts": {"rows": (KeyedArtifact(digest="aa", type="x@1", metadata={"weeks": 3}),)}
    },
    "artifacts.rows": {"artifacts": {"rows": STEP.artifacts["rows"] * 2}},
    "outputs.summary": {"output_parameters": {"summary": "LIST"}},
    "outputs.model": {
        "output_artifacts": {"model": OutputArtifactSpec(type={"schemaTitle": "system.Artifact"})}
    },
    "code.modules.recipes.x.train": {
        "code": CodeDigest(modules={"recipes.x.train": "12"}, packages={"torch": "2.13"})
    },
    "code.packages.torch": {
        "code": CodeDigest(modules={"recipes.x.train": "11"}, packages={"torch": "2.14"})
    },
    "pvc_names": {"pvc_names": ("data",)},
    "cache_key": {"cache_key": "mine"},
}


@pytest.mark.parametrize("field", CHANGES)
def test_each_part_changes_the_key_and_is_named(field):
    changed = replace(STEP, **CHANGES[field])
    assert compute(changed).digest != compute(STEP).digest
    assert [c.field for c in diff(STEP, changed)] == [field]


def test_one_one_point_zero_and_true_are_three_values():
    values = [replace(STEP, parameters={"x": v}) for v in (1, 1.0, True, 2**53, 2**53 + 1)]
    assert len({compute(v).digest for v in values}) == len(values)
    assert str(diff(values[0], values[1])[0]) == "parameters.x: 1 -> 1.0"


def test_a_suffix_of_the_compiler_does_not_count():
    assert compute(replace(STEP, component="comp-train-2")).digest == compute(STEP).digest


def test_a_custom_key_replaces_everything_but_the_function_and_its_outputs():
    a = replace(STEP, cache_key="k")
    b = replace(a, component="comp-train-3", image="other", parameters={}, code=CodeDigest())
    assert compute(a).digest == compute(b).digest
    assert compute(replace(a, args=(*a.args[:-1], "other"))).digest != compute(a).digest
    assert compute(replace(a, output_parameters={})).digest != compute(a).digest


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


def reordered(value):
    if isinstance(value, dict):
        return {k: reordered(value[k]) for k in reversed(value)}
    return [reordered(v) for v in value] if isinstance(value, list) else value


@given(st.dictionaries(st.text(), json_values, max_size=5))
def test_the_order_of_keys_does_not_count(parameters):
    a = replace(STEP, parameters=parameters)
    b = replace(STEP, parameters=reordered(parameters))
    assert compute(a).digest == compute(b).digest
    assert diff(a, b) == ()


@given(st.binary(min_size=1, max_size=64), st.data())
def test_any_changed_byte_of_an_input_changes_the_key(content, data):
    import hashlib

    at = data.draw(st.integers(0, len(content) - 1))
    flip = data.draw(st.integers(1, 255))
    changed = content[:at] + bytes([content[at] ^ flip]) + content[at + 1 :]

    def key(content):
        artifact = KeyedArtifact(digest=hashlib.sha256(content).hexdigest())
        return compute(replace(STEP, artifacts={"rows": (artifact,)})).digest

    assert key(content) != key(changed)


# ---- the words of a difference


def test_a_changed_source_is_summarised_by_lines():
    (change,) = diff(STEP, replace(STEP, command=(*STEP.command[:-1], SOURCE + "    print(1)\n")))
    assert str(change) == "component source: 5 lines -> component source changed (lines 6)"


def test_long_values_are_cut_around_the_difference():
    a = replace(STEP, parameters={"text": "x" * 500 + "old" + "y" * 500})
    b = replace(STEP, parameters={"text": "x" * 500 + "new" + "y" * 500})
    (change,) = diff(a, b)
    assert "old" in change.old and "new" in change.new
    assert len(change.old) < 70


def test_a_text_and_a_number_that_look_alike_are_told_apart():
    (change,) = diff(replace(STEP, parameters={"x": 1}), replace(STEP, parameters={"x": "1"}))
    assert str(change) == 'parameters.x: 1 -> "1"'


def test_added_and_removed_fields():
    changed = replace(STEP, env={"OTHER": "1"})
    assert [str(c) for c in diff(STEP, changed)] == [
        "env.OTHER: added 1",
        "env.SEED: removed 1",
    ]


def test_empty_parts_are_left_out_as_protojson_does():
    bare = CacheKeyInputs(component="c")
    assert cluster_document(bare) == {"containerSpec": {}}
    assert len(cluster_fingerprint(cluster_document(bare))) == 64
