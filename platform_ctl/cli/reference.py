"""Write the pages that repeat what the code says: ``python -m platform_ctl.cli.reference``.

Commands come from click, settings and errors from their classes, the indexes
from the headings of the pages they list. The same tree gives the same bytes;
``tests/docs/test_reference.py`` fails when a committed page differs.
"""

from __future__ import annotations

import ast
import inspect
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

import click
import msgspec

from platform_ctl import errors, settings
from platform_ctl.cli import mlship
from platform_ctl.cli.app import LazyGroup, cli
from platform_ctl.cli.printing import print_line
from platform_ctl.errors import PlatformError
from platform_ctl.installation import components, rights

HELP_WIDTH = 88
PROGRAMS: dict[str, click.Command] = {"platform-ctl": cli, "mlship": mlship.cli}
"""Console script -> its root command."""

HEADER = "<!-- Written by `make docs`. Change the source, not this page. -->\n"

RUNBOOK_KINDS = {
    "alerts": "Something is wrong now",
    "errors": "A command ended with an error",
    "procedures": "How to do it",
    "postmortems": "Postmortems",
}


@click.command()
@click.argument(
    "folder", type=click.Path(path_type=Path, file_okay=False), default=Path("docs/reference")
)
def main(folder: Path) -> None:
    """Write the generated pages of the project that holds FOLDER."""
    for path, text in pages(settings.find_project_root(folder.resolve())).items():
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            print_line(f"wrote {path}")


def pages(root: Path) -> dict[Path, str]:
    """Every generated page of the project at ``root``, with the text it should have."""
    reference = root / "docs" / "reference"
    return {
        reference / "cli.md": cli_page(),
        reference / "settings.md": settings_page(),
        reference / "errors.md": errors_page(),
        reference / "runbooks.md": runbooks_page(root / "runbooks"),
        reference / "components.md": components_page(root),
        reference / "rights.md": rights_page(root),
        root / "runbooks" / "README.md": runbook_index(root / "runbooks"),
        root / "docs" / "decisions" / "README.md": decision_index(root / "docs" / "decisions"),
    }


# ---- commands -------------------------------------------------------------


def walk(
    name: str, command: click.Command, parent: click.Context | None = None
) -> Iterator[tuple[click.Context, click.Command]]:
    """The command and everything below it, in the order of its help."""
    context = click.Context(
        command,
        info_name=name,
        parent=parent,
        terminal_width=HELP_WIDTH,
        max_content_width=HELP_WIDTH,
        **command.context_settings,
    )
    yield context, command
    if isinstance(command, click.Group):
        for child in command.list_commands(context):
            subcommand = _child(command, context, child)
            if subcommand and not subcommand.hidden:
                yield from walk(child, subcommand, context)


def _child(command: click.Command, context: click.Context, name: str) -> click.Command | None:
    return command.get_command(context, name) if isinstance(command, click.Group) else None


def cli_page() -> str:
    lines = [HEADER, "# Commands\n"]
    lines.append("Every command that prints data takes `-o json`. Results go to standard output,")
    lines.append("everything else to standard error.\n")
    for name, root in PROGRAMS.items():
        for context, command in walk(name, root):
            depth = 2 if isinstance(command, LazyGroup) or context.parent is None else 3
            lines.append(f"{'#' * depth} {context.command_path}\n")
            lines.append(f"```text\n{command.get_help(context)}\n```\n")
    return _joined(lines)


# ---- settings -------------------------------------------------------------


def settings_page() -> str:
    """One row a key: type, default, environment variable, meaning."""
    defaults = settings.flatten(msgspec.to_builtins(settings.Settings()))
    documented = dict(_fields(settings.Settings))
    rows = []
    for key in settings.known_keys():
        kind, meaning = documented[key]
        default = defaults.get(key, {})
        shown = f"`{default!r}`" if default not in ("", [], {}) else "empty"
        rows.append((f"`{key}`", f"`{kind}`", shown, f"`{settings.env_name(key)}`", meaning))
    lines = [HEADER, "# Settings\n"]
    lines.append(
        f"Lowest to highest: the default, `{settings.TOML_NAME}` at the root of the project, the\n"
        "environment, flags. `platform-ctl config show --origin` says which one won.\n"
        "A key that nobody knows is an error, and so is a value of the wrong type. Secrets are\n"
        "references (`env:NAME`, `file:PATH`), never values.\n"
    )
    lines.append(_table(["key", "type", "default", "environment", "meaning"], rows))
    return _joined(lines)


def _fields(
    section: type[msgspec.Struct], prefix: str = ""
) -> Iterator[tuple[str, tuple[str, str]]]:
    """(dotted key, (type, docstring)) of every field, from the source of the class."""
    source = ast.parse(inspect.getsource(section)).body[0]
    assert isinstance(source, ast.ClassDef)
    body = source.body
    for node, following in zip(body, [*body[1:], None], strict=True):
        if not (isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name)):
            continue
        name = node.target.id
        nested = getattr(settings, ast.unparse(node.annotation), None)
        if isinstance(nested, type) and issubclass(nested, msgspec.Struct):
            yield from _fields(nested, f"{prefix}{name}.")
            continue
        meaning = ""
        if isinstance(following, ast.Expr) and isinstance(following.value, ast.Constant):
            meaning = _plain(str(following.value.value))
        yield f"{prefix}{name}", (ast.unparse(node.annotation), meaning)


# ---- errors ---------------------------------------------------------------


def families() -> list[type[PlatformError]]:
    """The root (bugs) last, the families in the order of their exit codes."""
    direct = PlatformError.__subclasses__()
    return [*sorted(direct, key=lambda c: c.exit_code), PlatformError]


def leaves(family: type[PlatformError]) -> list[type[PlatformError]]:
    """The family and everything below it that shares its runbook, sorted by id."""
    classes = {family}
    pending = [] if family is PlatformError else [family]
    while pending:
        below = pending.pop().__subclasses__()
        classes.update(below)
        pending.extend(below)
    return sorted((c for c in classes if c.__module__ == errors.__name__), key=lambda c: c.id)


def errors_page() -> str:
    lines = [HEADER, "# Errors\n"]
    lines.append(
        "An error is four lines on standard error: what happened and its id, where, a command\n"
        "that fixes it, and the runbook. With `-o json` it is one JSON object. `--debug` adds the\n"
        "traceback. Ids never change their meaning and are never used again.\n"
    )
    codes = [("0", "it worked"), ("1", "the answer is no: a gate failed, drift was found, …")]
    codes += [(str(f.exit_code), _summary(f)) for f in families()]
    codes += [("130", "interrupted")]
    merged: dict[str, list[str]] = {}
    for code, meaning in codes:
        merged.setdefault(code, []).append(meaning)
    lines.append(_table(["exit code", "meaning"], [(c, " ".join(m)) for c, m in merged.items()]))
    for family in families():
        link = f"[{family.runbook}](../../{family.runbook})"
        again = " Trying again can help." if family.retryable else ""
        lines.append(f"## {family.__name__}\n")
        lines.append(f"{_summary(family)} Exit code {family.exit_code}.{again} Runbook: {link}\n")
        rows = [(f"`{c.id}`", c.__name__, _summary(c)) for c in leaves(family)]
        lines.append(_table(["id", "class", "meaning"], rows))
    return _joined(lines)


def components_page(root: Path) -> str:
    """What the kubernetes target consists of: versions, purpose, requests."""
    lines = [HEADER, "# Components of the kubernetes target\n"]
    lines.append(
        "In order of installation. `platform-ctl target install` without names installs the core;\n"
        "requests are the sum of all replicas as `infra/tier6` sets them.\n"
    )
    lock, digests = components.read_lock(root), components.read_digests(root)
    core = {c.name for c in components.read_components(root) if c.core}
    rows = []
    for c in components.read_components(root):
        size = lock.get(c.name)
        requests = f"{size.cpu_m}m, {size.memory_mib} MiB" if size else "not rendered"
        kind = "core" if c.core else "optional"
        rows.append((f"`{c.name}`", c.version, kind, c.does, c.without, requests, c.data))
    heads = ["component", "version", "", "what for", "without it", "requests", "lost on removal"]
    lines.append(_table(heads, rows))
    sums = (
        f"the core {_requests([r for name, r in lock.items() if name in core])}",
        f"all of it {_requests(list(lock.values()))}",
    )
    lines.append(f"Together, {' and '.join(sums)}.\n")
    images = sorted({image for rendered in lock.values() for image in rendered.images})
    lines.append("## Images\n")
    lines.append(
        "`infra/tier6/digests.yaml` pins an image where its digest is known. The others have\n"
        "their tag only, which a node resolves when it pulls; `make tier6-digests` writes what\n"
        "the nodes of an installed cluster have pulled.\n"
    )
    pinned = [(f"`{image}`", digests.get(image, "tag only")) for image in images]
    lines.append(_table(["image", "digest"], pinned))
    return _joined(lines)


def _requests(rendered: Sequence[components.Rendered]) -> str:
    cpu_m, memory_mib = sum(r.cpu_m for r in rendered), sum(r.memory_mib for r in rendered)
    return f"{cpu_m / 1000:.2f} CPUs and {memory_mib / 1024:.1f} GiB"


def rights_page(root: Path) -> str:
    """Who may do what in the namespace of runs, by the manifests of the platform."""
    lines = [HEADER, "# Rights\n"]
    lines.append(
        "What the Roles of `infra/tier6/platform` give, in the namespace of runs only.\n"
        "`pipeline-runner` has rights from KFP's own manifests beside these. What is not in the\n"
        "table is refused by the API server. One Secret may be read by these Roles: the key of\n"
        "KFP's own bucket, by the steps of a promotion.\n"
    )
    rows = [(r.who, _resource(r), ", ".join(r.verbs), r.role) for r in rights.granted(root)]
    lines.append(_table(["who", "resource", "may", "by the Role"], rows))
    return _joined(lines)


def _resource(right: rights.Right) -> str:
    name = f"`{right.resource}{'.' + right.group if right.group else ''}`"
    return f"{name}: {', '.join(right.names)}" if right.names else name


def _summary(cls: type) -> str:
    return _plain((inspect.getdoc(cls) or "").split("\n\n")[0])


# ---- runbooks and decisions -------------------------------------------------


def runbook_index(folder: Path) -> str:
    """What is in ``runbooks/``, by kind."""
    lines = [HEADER, "# Runbooks\n"]
    lines.append(
        "Every page has the same five parts: Meaning, Impact, Diagnosis, Mitigation, Verify.\n"
        "Commands can be copied as they stand: `latest` is the newest run or approval request\n"
        "(refused for a request while one of another model waits: type its id then).\n"
    )
    for kind, title in RUNBOOK_KINDS.items():
        files = sorted((folder / kind).glob("*.md"))
        if files:
            lines.append(f"## {title}\n")
            rows = [(f"[{p.stem}]({kind}/{p.name})", first_sentence(p)) for p in files]
            lines.append(_table(["runbook", "meaning"], rows))
    return _joined(lines)


def runbooks_page(folder: Path) -> str:
    """Error id -> runbook, and runbook -> the commands it uses."""
    lines = [HEADER, "# Which runbook\n"]
    lines.append("By kind: [runbooks/README.md](../../runbooks/README.md).\n")
    lines.append("## By error id\n")
    every = sorted({c for f in families() for c in leaves(f)}, key=lambda c: c.id)
    rows = [(f"`{c.id}`", f"[{Path(c.runbook).stem}](../../{c.runbook})") for c in every]
    lines.append(_table(["id", "runbook"], rows))
    lines.append("## By command\n")
    users: dict[str, list[str]] = {}
    for path in sorted(folder.glob("*/*.md")):
        link = f"[{path.stem}](../../runbooks/{path.parent.name}/{path.name})"
        for command in _commands_in(path):
            users.setdefault(command, []).append(link)
    lines.append(
        _table(["command", "runbooks"], [(f"`{c}`", ", ".join(users[c])) for c in sorted(users)])
    )
    return _joined(lines)


def decision_index(folder: Path) -> str:
    """The decisions in the order of their numbers."""
    files = sorted(folder.glob("[0-9]*.md"))
    lines = [HEADER, "# Decisions\n"]
    lines.append(
        "One page each: what was decided, what was measured, what it costs. A decision that no\n"
        "longer holds stays, and says what replaced it.\n"
    )
    rows = [(p.stem[:4], f"[{_title(p)}]({p.name})") for p in files]
    lines.append(_table(["number", "decision"], rows))
    return _joined(lines)


def first_sentence(page: Path) -> str:
    """The first sentence under the page's second heading."""
    _, _, body = page.read_text(encoding="utf-8").partition("\n## ")
    paragraph = body.partition("\n\n")[2].partition("\n\n")[0]
    text = " ".join(paragraph.split())
    return text.partition(". ")[0].rstrip(".") + "." if text else ""


def _title(page: Path) -> str:
    return page.read_text(encoding="utf-8").splitlines()[0].lstrip("# ").strip()


def _commands_in(page: Path) -> list[str]:
    """``platform-ctl NOUN [VERB]`` of the page's command lines, once each, in order."""
    commands: dict[str, None] = {}
    for line in page.read_text(encoding="utf-8").splitlines():
        words = line.removeprefix("$ ").split()
        if words[:1] and words[0] in PROGRAMS:
            commands[command_path(words)] = None
    return list(commands)


def command_path(words: Sequence[str]) -> str:
    """The part of a command line that names a command: ``platform-ctl run show``."""
    command, path = PROGRAMS[words[0]], [words[0]]
    for word in words[1:]:
        child = _child(command, click.Context(command), word)
        if child is None:
            break
        command, path = child, [*path, word]
    return " ".join(path)


# ---- Markdown ---------------------------------------------------------------


def _plain(docstring: str) -> str:
    """One line of Markdown of a docstring's paragraph."""
    return " ".join(docstring.split()).replace("``", "`")


def _table(columns: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [f"| {' | '.join(columns)} |", f"|{'---|' * len(columns)}"]
    lines += [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in rows]
    return "\n".join(lines) + "\n"


def _joined(lines: Iterable[str]) -> str:
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    main()
