"""``run report`` on real records: what it says, and that a browser shows it as it should."""

from __future__ import annotations

import json
import os
import re
import warnings
from collections.abc import Iterator
from dataclasses import replace
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from platform_ctl import targets
from platform_ctl.cli.app import main
from platform_ctl.recipe import scores
from platform_ctl.recipe.gate import decide
from platform_ctl.recipe.recipe import Budget
from platform_ctl.releases.local.releases import SqliteReleases
from platform_ctl.releases.release import ReleaseState
from platform_ctl.report.forest import gate_forest
from platform_ctl.report.gather import run_report
from platform_ctl.report.rows import criteria
from platform_ctl.report.value import Gate, RunReport
from platform_ctl.runs.local.artifacts import LocalArtifacts
from platform_ctl.runs.record import Artifact, Outputs, Run, RunState, Task, TaskState
from platform_ctl.settings import Settings
from platform_ctl.tuning.local.folder import FolderTuner
from recipes.train_deploy.recipe import GATE
from tests.support import chain as support
from tests.support.browser import DESKTOP, PHONE, Browser, chromium
from tests.support.chain import GROUP, SECOND, Chain, ago, task
from tests.support.experiments import choice, double, experiment
from tests.support.orchestration import Lab
from tests.support.programs import needs
from tests.support.trials import bowl

pytestmark = pytest.mark.e2e

SCRIPT = "<script>document.title='owned'</script>"
FAILED, RUNNING, LOOP, GONE, CACHED, BROKEN = (
    f"{c}1111111-0000-4000-8000-000000000000" for c in ("1", "2", "3", "4", "5", "6")
)
MOST_BYTES = 500_000


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Chain:
    """The home of the chain, with what a real run of train-deploy leaves in its folder."""
    made = support.build(tmp_path_factory.mktemp("report") / "home")
    made.record(made.run(SECOND), _trained(made))
    made.record(made.run(CACHED), _cached(made))
    _reused(made)
    made.record(made.run(FAILED, state=RunState.FAILED, epochs=SCRIPT), _failed(made), SCRIPT)
    alive = replace(made.run(RUNNING, state=RunState.RUNNING), pid=os.getpid())
    made.record(alive, _begun())
    made.record(replace(made.run(LOOP), pipeline="promote"), _loop())
    _compile("loop_dynamic", Path(made.run(LOOP).directory) / "pipeline.yaml")
    made.record(made.run(GONE), support.training(made.snapshot, "2"))
    (Path(made.run(GONE).directory) / "pipeline.yaml").unlink()
    _canary(made)
    return made


@pytest.fixture(scope="module")
def foreign(tmp_path_factory: pytest.TempPathFactory) -> tuple[Lab, Run]:
    """A pipeline that knows nothing of ours, really run."""
    folder = tmp_path_factory.mktemp("foreign")
    _compile("branches", folder / "branches.yaml")
    lab = Lab(folder, folder / "home")
    return lab, lab.run("branches")


@pytest.fixture(scope="module")
def pages(home: Chain, foreign: tuple[Lab, Run]) -> dict[str, Path]:
    """Name of a case -> its page."""
    reporting = targets.reporting(home.settings)
    cases = {
        "trained": SECOND,
        "cached": CACHED,
        "failed": FAILED,
        "running": RUNNING,
        "loop": LOOP,
        "gone": GONE,
        "promoted": support.PROMOTED,
    }
    found = {n: _written(run_report(reporting, r)) for n, r in cases.items()}
    lab, run = foreign
    reporting = targets.reporting(lab.settings)
    return {**found, "foreign": _written(run_report(reporting, run.id))}


def _written(report: RunReport) -> Path:
    return targets.write_report(report, targets.report_file(Settings(), report.run))


def _compile(name: str, path: Path) -> None:
    """One of the test pipelines; kfp warns of its next default image."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        from kfp import compiler

        from tests.support.kfp_pipelines import source
    compiler.Compiler().compile(getattr(source, name), str(path))


def _evaluation(chain: Chain) -> Path:
    """The evaluation of version 2; a repository of its golden set has a hostile name."""
    folder = chain.home.parent / "candidate-2" / "evaluation"
    path = folder / "errors.parquet"
    table = pq.read_table(path)
    names = [SCRIPT, *table["row"].to_pylist()[1:]]
    column = table.column_names.index("row")
    pq.write_table(table.set_column(column, "row", pa.array(names)), path)
    return folder


def _trained(chain: Chain) -> list[Task]:
    folder = Path(chain.run(SECOND).directory)
    folder.mkdir(parents=True, exist_ok=True)
    evaluation, decision = _evaluation(chain), folder / "decision"
    decided = decide(*scores.read(evaluation), GATE)
    decision.write_text(json.dumps(decided.as_dict()))
    space = experiment(double("x", 0.1, 100.0), choice("size", "16", "32"), trials=8)
    FolderTuner(folder).run(space, trial=bowl, workdir=folder / "tuning", budget=Budget(), seed=1)
    made = {
        "evaluate": {"evaluation": (Artifact("evaluation", str(evaluation)),)},
        "gate": {"decision": (Artifact("decision", str(decision)),)},
    }
    return [
        replace(t, outputs=Outputs(t.outputs.parameters, made.get(t.name, {})))
        for t in support.training(chain.snapshot, "2")
    ]


def _cached(chain: Chain) -> list[Task]:
    tasks = support.training(chain.snapshot, "2")
    served = ("extract", "tune", "train", "evaluate", "gate")
    return [replace(t, state=TaskState.CACHED) if t.name in served else t for t in tasks]


def _reused(chain: Chain) -> None:
    """The cache gave the search of the run before; it had searched nothing itself."""
    targets.ledger(chain.settings).record(
        CACHED, "tune", "tune", wall_s=12.0, cpu_s=13.0, trials=8, saved_by_cache=True
    )
    chain.sql(
        "INSERT INTO cache_decisions (run_id, task, decision, reason, decided_at, source_run_id)"
        " VALUES (?, 'tune', 'HIT', 'the same key', ?, ?)",
        CACHED,
        ago(1),
        SECOND,
    )


def _failed(chain: Chain) -> list[Task]:
    folder = Path(chain.run(FAILED).directory) / "tasks" / "train"
    folder.mkdir(parents=True)
    (folder / "log.txt").write_text(f"Traceback\n{SCRIPT}\n")
    (folder / "error.json").write_text(json.dumps({"fix": "mend it", "see": "runbooks/x.md"}))
    broken = replace(task("train", TaskState.FAILED, SCRIPT), log="tasks/train/log.txt")
    skipped = [task(n, TaskState.SKIPPED, "train failed") for n in ("evaluate", "gate", GROUP)]
    before = support.training(chain.snapshot, "2")[:3]
    return [*before, broken, *(replace(t, started_at=None, ended_at=None) for t in skipped)]


def _begun() -> list[Task]:
    return [task("resolve"), Task("extract", "extract", "c", TaskState.RUNNING, ago(5))]


def _loop() -> list[Task]:
    tasks = [task(f"for-loop-1.{i}.add") for i in range(200)]
    tasks[3] = replace(tasks[3], state=TaskState.CACHED)
    return [task("numbers"), *tasks, task("total")]


def _canary(chain: Chain) -> None:
    """A held release of version 2, after two looks."""
    held = chain.release("2", ReleaseState.RUNNING)
    releases = SqliteReleases(targets.state(chain.settings))
    for look, (weight, verdict) in enumerate(((10, "successful"), (25, "inconclusive")), 1):
        held = releases.update(
            held,
            "analysed",
            look=look,
            weight_percent=weight,
            verdict=verdict,
            reasons=["400 requests, errors 0.00%"],
            figures={"canary_requests": 400},
            requests={"traffic": 10, "replay": 390},
        )
    releases.update(replace(held, state=ReleaseState.HELD, reason="too few labels"), "held")


# ---- what it says ------------------------------------------------------------------


class _Strict(HTMLParser):
    """Everything that could run, load or leave the page."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.active: list[str] = []

    def handle_starttag(self, tag, attrs):
        for name, value in attrs:
            if name == "id":
                self.ids.add(value)
            elif name in ("href", "src", "action"):
                self.links.append(value)
            elif name.startswith("on") or name == "style":
                self.active.append(f"{tag} {name}")
        if tag in ("script", "iframe", "object", "img", "form"):
            self.active.append(tag)


def text_of(page: Path) -> str:
    return page.read_text(encoding="utf-8")


def test_every_page_is_self_contained_small_and_without_anything_that_runs(pages):
    for name, page in pages.items():
        found = _Strict()
        found.feed(text_of(page))
        assert found.active == [], name
        assert {x for x in found.links if not x.startswith("#")} == {"data:,"}, name
        assert {x[1:] for x in found.links if x.startswith("#")} <= found.ids, name
        assert page.stat().st_size < MOST_BYTES, name
        assert "http://" not in re.sub(r"http://127\.0\.0\.1:\d+", "", text_of(page)), name


def test_hostile_text_is_only_ever_text(pages):
    shown = text_of(pages["trained"]) + text_of(pages["failed"])
    assert "<script" not in shown
    assert shown.count("&lt;script&gt;") >= 5  # repository, parameter, error, log, state


def test_the_headline_comes_first_and_says_what_to_do(pages):
    for name, title, command in (
        ("trained", "is held: a person must decide", "platform-ctl release continue"),
        ("failed", "Failed in train", "mend it"),
        ("running", "Still running", "run watch"),
        ("foreign", "Succeeded", ""),
        ("promoted", "is in production, and a link is broken", "mlship deploy"),
    ):
        page = text_of(pages[name])
        assert title in re.search(r"<h1>(.*?)</h1>", page)[1], name
        assert page.index("<h1>") < page.index("<h2>")
        assert command in page.partition('id="next"')[2].partition("</section>")[0], name


def test_the_evidence_is_there(pages):
    page = text_of(pages["trained"])
    for section in ("chain", "quality", "gate", "approval", "canary", "search", "lineage"):
        assert (f'<section class="card" id="{section}">' in page) is (section != "lineage")
    for words in ("mean_4w", "a perfect forecast", "best so far", "10 + 390", "inconclusive"):
        assert words in page
    assert "<strong>lineage</strong>: no lineage event" in page


def test_a_cached_run_shows_the_search_that_it_reused_and_what_it_saved(pages):
    page = text_of(pages["cached"])
    assert f"Run {SECOND[:8]} made it." in page and "best so far" in page
    assert "the cache saved" in page and f"made by run {SECOND[:8]}" in page
    assert "1 of 1" in page.partition("From the cache")[2][:200]


def test_what_there_is_nothing_of_is_named_with_the_reason(pages):
    failed = text_of(pages["failed"]).partition("Not in this report")[2]
    assert "gate is SKIPPED: train failed" in failed
    assert "no step searched" in failed
    foreign = text_of(pages["foreign"])
    assert "no step wrote an evaluation" in foreign and 'id="chain"' not in foreign
    assert "arrows are missing" in text_of(pages["gone"])


def test_two_hundred_iterations_are_one_node_one_lane_and_one_row(pages):
    page = text_of(pages["loop"])
    assert "200 of 200 ok" in page and "for each:" in page
    assert page.count('class="lane" role="listitem"') == 3
    assert "for-loop-1.add × 200" in page and "Every task as a table" in page


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "[1]",
        '{"verdict": "failed"}',
        '{"verdict": "x", "reasons": [], "figures": {}}',
        '{"verdict": "failed", "reasons": [], "figures": [1]}',
        '{"verdict": "failed", "reasons": [], "figures": {"a": {"point": NaN, "baseline": 3}}}',
    ],
)
def test_whatever_a_gate_left_as_its_decision_the_report_is_written(text, tmp_path):
    (tmp_path / "decision").write_text(text)
    outputs = Outputs({}, {"d": (Artifact("d", str(tmp_path / "decision")),)})
    found = Gate(
        "gate",
        "failed",
        (),
        tuple(criteria(replace(task("gate"), outputs=outputs), LocalArtifacts())),
    )
    assert gate_forest(found) is None


def test_a_broken_evaluation_is_named_and_the_rest_is_shown(home, tmp_path):
    bad = tmp_path / "evaluation"
    bad.mkdir()
    (bad / "evaluation.json").write_text("{")
    tasks = [
        replace(t, outputs=Outputs({}, {"e": (Artifact("e", str(bad)),)}))
        if t.name == "evaluate"
        else t
        for t in [*_begun(), task("evaluate")]
    ]
    home.record(home.run(BROKEN), tasks)
    found = run_report(targets.reporting(home.settings), BROKEN)
    assert found.evaluation is None and "cannot be read" in found.absent["evaluation"]
    assert "evaluate" in targets.report_page(found)


# ---- command -----------------------------------------------------------------------


def command(home: Chain, monkeypatch, *words: str) -> int:
    monkeypatch.setenv("PLATFORM_HOME", str(home.home))
    monkeypatch.chdir(support.ROOT)
    with pytest.raises(SystemExit) as left:
        main(["run", "report", *words])
    return left.value.code or 0


def test_the_command_writes_the_page_and_prints_where(home, monkeypatch, capsys, tmp_path):
    assert command(home, monkeypatch, SECOND[:8]) == 0
    assert Path(capsys.readouterr().out.strip()) == home.home / "runs" / SECOND / "report.html"
    there = tmp_path / "page.html"
    assert command(home, monkeypatch, SECOND[:8], "--to", str(there)) == 0
    assert capsys.readouterr().out == f"{there}\n"
    assert os.listdir(tmp_path) == ["page.html"]
    assert command(home, monkeypatch, SECOND[:8], "--to", "-") == 0
    assert capsys.readouterr().out.lstrip().startswith("<!doctype html>")


def test_the_command_gives_the_figures_to_machines(home, monkeypatch, capsys):
    assert command(home, monkeypatch, SECOND[:8], "-o", "json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["run"]["id"] == SECOND and found["headline"]["tone"] == "waiting"
    assert len(found["search"]["trials"]) == 8 and found["evaluation"]["metric"] == "mase"
    assert [look["weight_percent"] for look in found["canary"]["looks"]] == [10, 25]


@pytest.mark.parametrize("words", [("nope",), (SECOND[:8], "--to", "/nowhere/x.html")])
def test_bad_input_is_an_error_and_leaves_nothing(home, monkeypatch, capsys, words):
    assert command(home, monkeypatch, *words) == 2
    told = capsys.readouterr()
    assert told.out == "" and "fix:" in told.err and "Traceback" not in told.err


# ---- in a browser ------------------------------------------------------------------

OUTSIDE_ITS_BOX = """[...document.querySelectorAll('g.node')].filter(g => {
  const box = g.querySelector('rect').getBoundingClientRect();
  return box.width && [...g.querySelectorAll('text')].some(t => {
    const words = t.getBoundingClientRect();
    return words.right > box.right + 1 || words.left < box.left - 1;
  });
}).map(g => g.textContent.trim())"""
COVERED = """(() => {
  const words = [...document.querySelectorAll('.chart text')].filter(t => t.textContent.trim());
  const boxes = words.map(t => [t, t.getBoundingClientRect()]);
  const hits = [];
  for (const [a, p] of boxes) for (const [b, q] of boxes)
    if (a !== b && a.parentNode === b.parentNode && p.left < q.right - 1 && q.left < p.right - 1
        && p.top < q.bottom - 2 && q.top < p.bottom - 2)
      hits.push(a.textContent + ' / ' + b.textContent);
  return hits;
})()"""
BACKGROUND = "getComputedStyle(document.body).backgroundColor"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with chromium() as made:
        yield made


@needs("chromedriver")
@pytest.mark.parametrize("case", ["trained", "failed", "running", "loop", "foreign", "promoted"])
def test_a_page_opens_quietly_and_fits_every_screen(browser, pages, case):
    browser.requests()
    browser.screen(DESKTOP)
    browser.open(pages[case].as_uri())
    assert browser.console() == []
    assert set(browser.requests()) == {pages[case].as_uri()}
    assert browser.driver.title != "owned"
    light = browser.ask(BACKGROUND)
    for size, dark in ((DESKTOP, False), (PHONE, False), (PHONE, True)):
        browser.screen(size, dark=dark)
        assert browser.overflow_px() == 0, size
        assert browser.ask(OUTSIDE_ITS_BOX) == [], size
        assert browser.ask(COVERED) == [], size
    assert browser.ask(BACKGROUND) != light


@needs("chromedriver")
def test_details_open_without_script_and_the_page_prints(browser, pages):
    browser.screen(PHONE)
    browser.open(pages["trained"].as_uri())
    summary = browser.find("#search summary")
    browser.ask("arguments[0].scrollIntoView()", summary)
    summary.click()
    assert browser.find("#search details table").is_displayed()
    assert browser.overflow_px() == 0
    browser.screen((720, 1000), media="print")
    assert browser.overflow_px() == 0
    assert not browser.find("nav").is_displayed()
    assert browser.pdf().startswith(b"%PDF")


@needs("chromedriver")
def test_every_picture_has_a_name_and_headings_follow_one_another(browser, pages):
    browser.screen(DESKTOP)
    browser.open(pages["trained"].as_uri())
    assert all(s.get_attribute("aria-label") for s in browser.all("svg[role=img]"))
    levels = [int(h.tag_name[1]) for h in browser.all("h1, h2, h3")]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(b - a <= 1 for a, b in pairwise(levels))
