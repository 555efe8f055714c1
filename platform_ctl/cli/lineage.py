"""``platform-ctl lineage``: what was made from what, as OpenLineage events tell it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from platform_ctl.cli import render
from platform_ctl.cli.app import load_settings

if TYPE_CHECKING:
    from platform_ctl.domain.lineage_graph import Graph, Tree


@click.group(help="Show, list and deliver OpenLineage events.")
def command() -> None:
    pass


@command.command()
@click.argument("what", metavar="RUN|DATASET|MODEL", default="latest")
@render.output_option
@click.pass_context
def show(ctx: click.Context, what: str, output: str) -> None:
    """What a RUN read and wrote; what a DATASET or MODEL[/version] came from and led to."""
    from platform_ctl import targets
    from platform_ctl.domain.lineage_graph import Graph, run_tree
    from platform_ctl.errors import UnknownName

    settings = load_settings(ctx)
    graph = Graph(targets.lineage_spool(settings).events())
    found = graph.find(what)
    if found:
        _print(*(t for k in found[-1:] for t in _both(graph, k)), output=output)
        return
    try:
        run = targets.orchestrator(settings).get(what)
    except UnknownName as exc:
        raise _unknown(what, graph) from exc
    tasks = graph.of_run(run.id)
    if not tasks:
        raise UnknownName(
            f"no lineage was recorded of run {run.id[:8]}",
            where=str(settings.layout.lineage),
            fix=f"platform-ctl lineage repair {run.id[:8]}",
        )
    _print(run_tree(tasks, f"run {run.id} ({run.pipeline}, {run.state})"), output=output)


@command.command()
@click.argument("run", default="latest")
@click.pass_context
def events(ctx: click.Context, run: str) -> None:
    """The OpenLineage events of RUN, one JSON document a line, in the order they happened."""
    import json

    from platform_ctl import targets

    settings = load_settings(ctx)
    run_id = targets.orchestrator(settings).get(run).id
    for event in targets.lineage_spool(settings).of_run(run_id):
        click.echo(json.dumps(event))


@command.command()
@click.argument("run", default="latest")
@render.output_option
@click.pass_context
def repair(ctx: click.Context, run: str, output: str) -> None:
    """Add the events that RUN's records say are missing (a killed run, a full disk)."""
    from platform_ctl import targets

    settings = load_settings(ctx)
    found = targets.orchestrator(settings).get(run)
    added = targets.lineage_observer(settings).repair(found)
    if output == "json":
        render.print_json({"run": found.id, "added": added})
        return
    click.echo(f"added {added} events to run {found.id[:8]}")


@command.command()
@render.output_option
@click.pass_context
def deliver(ctx: click.Context, output: str) -> None:
    """Send what waits to where OpenLineage's configuration says; exit code 4 when it cannot.

    Runs do this by themselves when they end; an endpoint that was down is
    caught up with here, or by the next run.
    """
    from platform_ctl import targets

    done = targets.deliver_lineage(load_settings(ctx))
    if output == "json":
        render.print_json(done)
    else:
        click.echo(f"delivered {done.delivered}, refused {done.refused}, waiting {done.waiting}")


def _both(graph: Graph, key: tuple[str, str, str]) -> list[Tree]:
    upstream, downstream = graph.upstream(key), graph.downstream(key)
    upstream.text, downstream.text = f"{upstream.text}: from", f"{downstream.text}: to"
    return [upstream, downstream]


def _print(*trees: Tree, output: str) -> None:
    if output == "json":
        render.print_json(trees if len(trees) > 1 else trees[0])
        return
    for tree in trees:
        for line in _lines(tree):
            click.echo(line)


def _lines(tree: Tree, first: str = "", rest: str = "") -> list[str]:
    lines = [first + tree.text]
    for number, child in enumerate(tree.children, 1):
        last = number == len(tree.children)
        lines += _lines(child, rest + ("└─ " if last else "├─ "), rest + ("   " if last else "│  "))
    return lines


def _unknown(what: str, graph: Graph) -> Any:
    import difflib

    from platform_ctl.errors import UnknownName

    near = difflib.get_close_matches(what, graph.names(), n=1, cutoff=0.4)
    hint = f"; did you mean {near[0]}?" if near else ""
    return UnknownName(
        f"no run, dataset or model {what!r} in the lineage of this home{hint}",
        where="lineage",
        fix=f"platform-ctl lineage show {near[0]}" if near else "platform-ctl run list",
    )
