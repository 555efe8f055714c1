"""``platform-ctl lineage``: what was made from what, as OpenLineage events tell it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from platform_ctl.cli import render
from platform_ctl.cli.context import load_settings
from platform_ctl.cli.group import Group
from platform_ctl.cli.printing import print_encoded, print_line

if TYPE_CHECKING:
    from platform_ctl.lineage.graph import Graph, Key, LineagePicture, PrintedTree
    from platform_ctl.settings import Settings


@click.group(cls=Group, help="Show, list and deliver OpenLineage events.")
def command() -> None:
    pass


@command.command()
@click.argument("what", metavar="RUN|DATASET|MODEL", default="latest")
@render.output_option
@click.pass_context
def show(ctx: click.Context, what: str, output: str) -> None:
    """Show what a RUN read and wrote, or the origin and uses of a DATASET or MODEL.

    A model may also be named by its alias: NAME@production. -o json gives nodes and edges.
    """
    from platform_ctl import targets
    from platform_ctl.errors import NothingYet, UnknownName
    from platform_ctl.lineage.find import find_dataset, not_in_lineage
    from platform_ctl.lineage.graph import Graph, label, picture, run_tree

    settings = load_settings(ctx)
    graph = Graph(targets.lineage_outbox(settings).ends())
    key = find_dataset(graph, _version(settings, what) if "@" in what else what)
    if key:
        _show(output, label(key), picture(graph.around(key)), _both(graph, key))
        return
    try:
        run = targets.run_reader(settings).get(what)
    except NothingYet:
        if not graph.names():
            raise
        raise not_in_lineage(what, graph) from None
    except UnknownName as exc:
        raise not_in_lineage(what, graph) from exc
    missing = targets.missing_events(settings, run)
    if missing:
        graph = Graph(itertools.chain(targets.lineage_outbox(settings).ends(), missing))
    tasks = graph.of_run(run.id)
    if not tasks:
        raise UnknownName(
            f"no lineage of run {run.id[:8]} is recorded",
            where=str(settings.layout.lineage),
            fix=f"platform-ctl lineage repair {run.id[:8]}",
        )
    title = f"run {run.id} ({run.pipeline}, {run.state})"
    _show(output, title, picture(tasks), [run_tree(graph, tasks, title)])


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def events(ctx: click.Context, run: str, output: str) -> None:
    """Print the OpenLineage events of RUN in order, one JSON document a line.

    With -o json all of them as one document, a list.
    """
    import msgspec

    from platform_ctl import targets

    settings = load_settings(ctx)
    recorded = targets.events_of(settings, targets.run_reader(settings).get(run))
    if output == "json":
        render.print_json(recorded)
        return
    for event in recorded:
        print_encoded(msgspec.json.encode(event).decode())


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def repair(ctx: click.Context, run: str, output: str) -> None:
    """Add lineage events of RUN that were lost (a killed run, a full disk)."""
    from platform_ctl import targets
    from platform_ctl.errors import DiskFull, HomeBusy

    settings = load_settings(ctx)
    record = targets.run_reader(settings).get(run)
    where, again = str(settings.layout.lineage), f"platform-ctl lineage repair {record.id[:8]}"
    try:
        added = targets.lineage_observer(settings).repair(record)
    except TimeoutError as exc:
        raise HomeBusy("another process repairs lineage", where=where, fix=again) from exc
    except OSError as exc:
        raise DiskFull(f"the events cannot be written: {exc}", where=where, fix="df -h") from exc
    if output == "json":
        render.print_json({"run": record.id, "added": added})
        return
    print_line(f"added {added} events to run {record.id[:8]}")


@command.command()
@click.option("--refused", is_flag=True, help="First send the refused events once more.")
@render.output_option
@click.pass_context
def deliver(ctx: click.Context, refused: bool, output: str) -> None:
    """Send waiting events to the endpoint of OpenLineage's configuration.

    Exit code 4 when the endpoint does not take them.

    Runs do this by themselves when they end; an endpoint that was down is
    caught up with here, or by the next run. What an endpoint refuses is set
    aside, so that it holds nothing up: --refused tries it again.
    """
    from platform_ctl import targets

    done = targets.deliver_lineage(load_settings(ctx), refused_too=refused)
    if output == "json":
        render.print_json(done)
    else:
        print_line(f"delivered {done.delivered}, refused {done.refused}, waiting {done.waiting}")


def _version(settings: Settings, reference: str) -> str:
    """NAME@alias as NAME/version. Raises UnknownName."""
    from platform_ctl import targets
    from platform_ctl.models.model import find_version

    return str(find_version(targets.registry(settings).models(), reference))


def _both(graph: Graph, key: Key) -> list[PrintedTree]:
    upstream, downstream = graph.upstream(key), graph.downstream(key)
    upstream.text, downstream.text = f"{upstream.text}: from", f"{downstream.text}: to"
    return [upstream, downstream]


def _show(output: str, subject: str, drawn: LineagePicture, trees: Sequence[PrintedTree]) -> None:
    if output == "json":
        render.print_json({"subject": subject, "nodes": drawn.nodes, "edges": drawn.edges})
        return
    for tree in trees:
        for line in _lines(tree):
            print_line(line)


def _lines(tree: PrintedTree, first: str = "", rest: str = "") -> list[str]:
    lines = [first + tree.text]
    for number, child in enumerate(tree.children, 1):
        last = number == len(tree.children)
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines
