"""The traffic split and what a spec must be."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from platform_ctl.errors import HomeDamaged, UsageError
from platform_ctl.serving.service import Revision, ServiceSpec, check_spec, takes_canary
from tests.support import serving

ONE, OTHER = Revision("v1", "/models/1"), Revision("v2", "/models/2")


@given(st.binary(), st.integers(0, 99))
def test_a_key_is_never_taken_from_the_canary_when_its_weight_grows(key, weight):
    assert takes_canary(key, weight + 1) >= takes_canary(key, weight)


def test_the_ends_of_the_split():
    keys = [str(i).encode() for i in range(500)]
    assert not any(takes_canary(k, 0) for k in keys)
    assert all(takes_canary(k, 100) for k in keys)


@pytest.mark.parametrize("weight", [1, 10, 50])
def test_the_share_is_the_weight(weight):
    taken = sum(takes_canary(str(i).encode(), weight) for i in range(20_000)) / 200
    assert taken == pytest.approx(weight, abs=1.5)


@pytest.mark.parametrize(
    ("name", "spec", "why"),
    [
        ("Upper", ServiceSpec(ONE), "not a name"),
        ("../up", ServiceSpec(ONE), "not a name"),
        ("ok", ServiceSpec(None), "no revision"),
        ("ok", ServiceSpec(ONE, OTHER, 101), "0 to 100"),
        ("ok", ServiceSpec(ONE, ONE, 10), "in production already"),
    ],
)
def test_bad_specs_are_refused(name, spec, why):
    with pytest.raises(UsageError, match=why):
        check_spec(name, spec)


@pytest.mark.parametrize("content", [b"", b'{"spec": {"produ', b"[]"])
def test_a_damaged_record_of_a_service_is_named(tmp_path, content):
    local = serving.local_serving(tmp_path)
    spec = tmp_path / "services" / "shop" / "spec.json"
    spec.parent.mkdir(parents=True)
    spec.write_bytes(content)
    for ask in (local.list, lambda: local.get("shop"), lambda: local.start("shop")):
        with pytest.raises(HomeDamaged, match=r"spec\.json of InferenceService shop") as caught:
            ask()
        assert caught.value.where == str(spec)
