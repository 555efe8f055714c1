"""Pictures of a report: boxes never overlap, arrows run forward, ticks lie on their scale."""

from __future__ import annotations

import math
from itertools import combinations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from platform_ctl.report.layout import acyclic, draw, path_of, reduced
from platform_ctl.report.plots import (
    BOTTOM,
    TOP,
    Scale,
    fit,
    metric,
    money,
    number,
    spread,
    steps,
    vertical,
)

NODES = [f"n{i}" for i in range(9)]
GRAPHS = st.tuples(
    st.dictionaries(
        st.sampled_from(NODES), st.tuples(st.floats(20, 300), st.floats(10, 200)), min_size=1
    ),
    st.lists(st.tuples(st.sampled_from(NODES), st.sampled_from(NODES)), max_size=25),
)
FINITE = st.floats(-1e9, 1e9, allow_nan=False)


@given(GRAPHS)
def test_every_box_is_placed_apart_from_the_others_and_inside(graph):
    sizes, edges = graph
    drawn = draw(sizes, edges, gap_along=20, gap_across=10)
    assert {b.key: (b.width, b.height) for b in drawn.boxes} == dict(sizes)
    for box in drawn.boxes:
        assert box.x >= -1e-6 and box.x + box.width <= drawn.width + 1e-6
        assert box.y >= -1e-6 and box.y + box.height <= drawn.height + 1e-6
    for a, b in combinations(drawn.boxes, 2):
        apart_x = a.x + a.width <= b.x + 1e-6 or b.x + b.width <= a.x + 1e-6
        apart_y = a.y + a.height <= b.y + 1e-6 or b.y + b.height <= a.y + 1e-6
        assert apart_x or apart_y


@given(GRAPHS)
def test_arrows_run_forward_from_border_to_border(graph):
    sizes, edges = graph
    drawn = draw(sizes, edges, gap_along=20, gap_across=10)
    boxes = {b.key: b for b in drawn.boxes}
    for arrow in drawn.arrows:
        xs = [x for x, _ in arrow.spots]
        assert xs == sorted(xs) and xs[0] < xs[-1]
        assert xs[0] == pytest.approx(boxes[arrow.source].x + boxes[arrow.source].width)
        assert xs[-1] == pytest.approx(boxes[arrow.target].x)


@given(GRAPHS)
def test_no_connection_is_lost_by_leaving_implied_arrows_out(graph):
    sizes, edges = graph
    whole = acyclic(sizes, edges)
    kept = reduced(sizes, whole)

    def reach(pairs):
        found = {n: {b for a, b in pairs if a == n} for n in sizes}
        for _ in sizes:
            for n in sizes:
                found[n] |= {c for b in found[n] for c in found[b]}
        return found

    assert reach(kept) == reach(whole)
    for edge in kept:
        assert reach([e for e in kept if e != edge]) != reach(kept)


def test_a_long_arrow_goes_around_what_is_between():
    sizes = dict.fromkeys("abcd", (50.0, 30.0))
    drawn = draw(
        sizes, [("a", "b"), ("b", "c"), ("d", "c"), ("a", "d")], gap_along=20, gap_across=10
    )
    assert len(drawn.arrows) == 4
    turned = drawn.transposed()
    assert turned.down and (turned.width, turned.height) == (drawn.height, drawn.width)
    assert path_of(turned.arrows[0], down=True).startswith("M")


@given(st.lists(FINITE, min_size=1, max_size=20), st.sampled_from(["linear", "log", "log1p"]))
@example([1.0, 35.0], "log1p")
@example([6.9e-180], "linear")
def test_values_and_ticks_lie_inside_the_scale_and_in_order(values, kind):
    scale = fit(values, kind=kind)
    places = [scale.at(v) for v in sorted(values)]
    assert places == sorted(places)
    assert all(scale.start <= p <= scale.end for p in places)
    ticks = scale.ticks()
    assert [t.at for t in ticks] == sorted(t.at for t in ticks)
    assert all(scale.start <= t.at <= scale.end for t in ticks)
    assert len({t.label for t in ticks}) == len(ticks) <= 14


def test_the_y_axis_grows_upwards():
    scale = vertical([1.0, 2.0])
    assert BOTTOM > scale.at(1.0) > scale.at(2.0) > TOP


def test_ticks_are_round():
    assert [t.label for t in Scale(0, 10).ticks()] == ["0", "2", "4", "6", "8", "10"]
    assert [t.label for t in Scale(0.0005, 0.2, "log").ticks()] == ["0.001", "0.01", "0.1"]
    assert [t.label for t in Scale(0, 120, "log1p").ticks()] == ["0", "1", "3", "10", "30", "100"]
    assert [t.label for t in Scale(1.0853, 1.0859).ticks(3)] == ["1.0854", "1.0856", "1.0858"]


def test_counts_with_a_long_tail_get_a_logarithmic_axis():
    assert spread([0, 1, 2, 3, 500]) == "log1p"
    assert spread([10, 20, 30]) == spread([-1, 500]) == spread([]) == "linear"


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (None, "–"),
        (math.nan, "–"),
        (0, "0"),
        (1.0, "1"),
        (0.25, "0.25"),
        (12345.6, "12 346"),
        (0.00059, "0.00059"),
        (0.00000059, "5.9e-7"),
    ],
)
def test_numbers_for_people(value, text):
    assert number(value) == text


def test_figures_to_compare_have_the_same_decimals():
    assert [metric(v) for v in (1.0, 0.98765, 14.67, 25.0, None)] == [
        "1.000",
        "0.988",
        "14.7",
        "25.0",
        "–",
    ]
    assert (money(0), money(0.00002), money(1.5)) == ("0.0000", "< 0.0001", "1.5000")


def test_a_step_line_keeps_its_height():
    lines = steps([(0, 5), (1, 5), (2, 3)], "best")
    assert [(s.x1, s.y1, s.x2, s.y2) for s in lines] == [(0, 5, 1, 5), (1, 5, 2, 5), (2, 5, 2, 3)]
