"""One frozen Settings; one visible cascade.

Lowest to highest: defaults in this file, ``platform-ctl.toml`` in the project
root, ``PLATFORM_CTL_*`` in the environment (``PLATFORM_HOME`` for the home),
flags. ``load`` takes the environment as an argument: nothing here looks it up.
Secrets are references (``env:NAME``, ``file:PATH``), never values.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin, get_type_hints

import msgspec

from platform_ctl.errors import ConfigError, HomeNotUsable, UnknownSetting, nearest
from platform_ctl.text import is_reference, visible

TOML_NAME = "platform-ctl.toml"
ENV_PREFIX = "PLATFORM_CTL_"
URL_CHARACTERS = "%#?"


class Section(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table of settings: unknown keys are errors."""


class ApprovalSettings(Section, frozen=True):
    approvers: list[str] = []
    """Who may approve; empty: the local single-user profile, where the local user may."""
    self_approval: bool = True
    """Whether who requested may approve. True only makes sense on a laptop."""
    second_person: bool = False
    """Whether two different people have to approve."""
    expires_h: float = 72.0
    """Hours until a pending request expires. Expired means no."""


class ServingSettings(Section, frozen=True):
    host: str = "127.0.0.1"
    """Address that InferenceServices listen on. They have no authentication: keep it loopback."""
    port: int = 0
    """Port of an InferenceService; 0 picks a free one at the first start and keeps it."""
    ready_timeout_s: float = 60.0
    """How long a revision may take until it answers."""
    canary_timeout_s: float = 2.0
    """How long a caller waits for the canary before production answers instead."""
    memory_mib: int = 4096
    """A revision's process that holds more is ended and started anew; a canary three times."""
    body_mib: float = 4.0
    """Larger requests are refused with 413. These four hold from a service's next start."""


class NotifySettings(Section, frozen=True):
    ntfy_url: str = ""
    """Topic URL; the token, if any, is a reference in ``ntfy_token``."""
    ntfy_token: str = ""
    """Reference to the access token: ``env:NAME`` or ``file:PATH``."""
    webhook_url: str = ""
    """Gets a JSON document for each notification."""


class LineageSettings(Section, frozen=True):
    config_file: str = ""
    """OpenLineage's own configuration file; empty: events are written to the home."""
    namespace: str = "platform"
    """OpenLineage namespace of jobs."""


class StorageSettings(Section, frozen=True):
    artifacts_uri: str = ""
    """Where artifacts, checkpoints and pinned files go: s3://BUCKET/PREFIX; empty: the home."""


class FeastSettings(Section, frozen=True):
    registry: str = ""
    """SQL URL of Feast's registry (postgresql+psycopg://…); empty: a file of the home."""
    online_store: str = ""
    """redis://HOST:PORT/DB or postgresql://USER@HOST:PORT/DATABASE; empty: SQLite in the home."""


class TrainingSettings(Section, frozen=True):
    kind: Literal["RayJob", "TrainJob", "PyTorchJob"] = "RayJob"
    """What a fit is on a cluster. TrainJob and PyTorchJob are a preview: no checkpoints."""
    worker_cpus: float = 1.0
    """CPUs of one worker; on a laptop the workers share what there is."""
    worker_memory_mib: int = 2048
    """Memory of one worker on a cluster, in MiB."""
    worker_gpus: int = 0
    """GPUs of one worker."""
    ray_address: str = ""
    """An existing Ray cluster: ray://HOST:10001 or HOST:6379; empty: one made for the run."""
    ray_token: str = ""
    """Reference to that cluster's token: ``env:NAME`` or ``file:PATH``; empty: it asks for none."""
    ray_checkpoints: str = ""
    """Folder that every node of that cluster can write, as s3://… or file://…; empty: no epoch is
    kept, and a step that dies starts its fit again."""
    head_cpus: float = 0.5
    """CPUs of Ray's head, which runs the function and no worker."""
    head_memory_mib: int = 2048
    """Memory of Ray's head, in MiB."""
    timeout_s: int = 3600
    """Time limit of one fit on a cluster, from its creation, in seconds."""
    start_timeout_s: int = 600
    """How long the pods of a fit may take to come up."""
    retries: int = 2
    """How often a fit whose head or workers died is started again, from its last checkpoint."""
    queue: str = ""
    """Kueue's LocalQueue that admits the fit; empty: it starts at once."""
    tolerations: list[str] = []
    """Taints that the pods tolerate: KEY=VALUE:EFFECT or KEY:EFFECT."""
    runtime: str = "torch-distributed"
    """ClusterTrainingRuntime of a TrainJob."""


class KubernetesSettings(Section, frozen=True):
    kubeconfig: str = ""
    """Path of the kubeconfig; empty: KUBECONFIG, ~/.kube/config, or a pod's own account."""
    context: str = ""
    """Context of the kubeconfig; empty: its current one."""
    namespace: str = "kubeflow"
    """Where steps, trials, Ray clusters, services, approvals and releases live."""
    kfp_url: str = ""
    """Address of KFP's API server; empty: its Service inside the cluster."""
    kfp_token: str = ""
    """Reference to a bearer token for KFP: ``env:NAME`` or ``file:PATH``; empty: none is sent."""
    kfp_version: str = ""
    """Version of KFP's API server, for one whose healthz says ``unknown``."""
    allow_image_tags: bool = False
    """Whether an upload takes an image without digest, which may be another one tomorrow."""
    image: str = ""
    """Image of steps, trials, Ray and predictors, with its digest; empty: the pipeline's own."""
    images: dict[str, str] = {}
    """Other images for those that components name, or for all that begin with ``NAME/``."""
    service_account: str = "pipeline-runner"
    """ServiceAccount of a run's pods."""
    deployer_account: str = "deployer"
    """ServiceAccount of the pods of a run of promote, which alone may move traffic."""
    config_map: str = "platform-settings"
    """ConfigMap whose entries are the environment of every pod of ours: settings, addresses."""
    secret: str = "platform-secrets"
    """Secret whose entries are beside them: passwords and keys of the stores."""
    gateway_class: str = "envoy"
    """GatewayClass of the Gateway that `target install gateway-api` makes."""
    gateway: str = "platform"
    """Gateway that the services' HTTPRoutes attach to."""
    gateway_namespace: str = "gateway"
    """Namespace of that Gateway."""
    gateway_url: str = ""
    """Address at which callers reach the Gateway; empty: the one in its status."""
    predictor_replicas: int = 2
    """Pods of each revision; with one, a pod that is deleted leaves callers without an answer."""
    host_suffix: str = "platform.local"
    """A service answers at NAME.host_suffix."""


class Settings(Section, frozen=True):
    target: Literal["local", "kubernetes"] = "local"
    """Where pipelines run."""
    home: str = ".platform"
    """Folder of all state; relative to the root of the project."""
    recipes_package: str = "recipes"
    """Python package whose folders with a ``recipe.py`` are the recipes."""
    default_recipe: str = ""
    """The recipe that a command means when it names none; empty: the only one."""
    pipelines_package: str = "pipelines"
    """Python package that holds ``*_pipeline.py`` and ``compiled/``."""
    mlflow_tracking_uri: str = ""
    """Empty: SQLite in the home."""
    iceberg_catalog: dict[str, str] = {}
    """pyiceberg catalog properties; empty: a SQLite catalog in the home."""
    pseudonym_key_file: str = ""
    """File with the key of author pseudonyms; empty: one in the home, made at the first ingest, and
    none on a cluster. The variable ``PLATFORM_PSEUDONYM_KEY`` goes before it."""
    max_parallel_tasks: int = 0
    """0: one for each core, at least four."""
    money_per_cpu_hour: float = 0.05
    """Price of a CPU hour in the ledger, in your currency."""
    approval: ApprovalSettings = ApprovalSettings()
    serving: ServingSettings = ServingSettings()
    notify: NotifySettings = NotifySettings()
    lineage: LineageSettings = LineageSettings()
    storage: StorageSettings = StorageSettings()
    feast: FeastSettings = FeastSettings()
    training: TrainingSettings = TrainingSettings()
    kubernetes: KubernetesSettings = KubernetesSettings()
    project_root: str = "."
    """Found by ``load``: the nearest folder upwards with platform-ctl.toml. Cannot be set."""

    @property
    def database_urls(self) -> dict[str, str]:
        """URLs of shared databases and catalogs by the settings that name them; empty ones too."""
        return {
            "iceberg_catalog": self.iceberg_catalog.get("uri", ""),
            "feast.registry": self.feast.registry,
            "feast.online_store": self.feast.online_store,
        }

    @property
    def layout(self) -> HomeLayout:
        return HomeLayout(Path(self.home))


@dataclass(frozen=True)
class HomeLayout:
    """Where things are under PLATFORM_HOME. Paths only: nothing is created here."""

    root: Path

    @property
    def database(self) -> Path:
        return self.root / "platform.db"

    @property
    def runs(self) -> Path:
        return self.root / "runs"

    @property
    def cache(self) -> Path:
        return self.root / "cache"

    @property
    def secrets(self) -> Path:
        return self.root / "secrets"

    @property
    def iceberg(self) -> Path:
        return self.root / "iceberg"

    @property
    def feast(self) -> Path:
        return self.root / "feast"

    @property
    def mlflow(self) -> Path:
        return self.root / "mlflow"

    @property
    def golden(self) -> Path:
        return self.root / "golden"

    @property
    def torch_cache(self) -> Path:
        return self.root / "torch"

    @property
    def services(self) -> Path:
        return self.root / "services"

    @property
    def lineage(self) -> Path:
        return self.root / "lineage"

    @property
    def logs(self) -> Path:
        return self.root / "logs"

    @property
    def reports(self) -> Path:
        return self.root / "reports"

    @property
    def locks(self) -> Path:
        return self.root / "locks"


@dataclass(frozen=True)
class Loaded:
    """Settings and where each value came from (``section.key`` -> origin)."""

    settings: Settings
    origin: Mapping[str, str]


def _wrong_value(
    exc: msgspec.ValidationError,
    values: Mapping[str, Any],
    origin: Mapping[str, str],
    toml_path: Path,
) -> ConfigError:
    """Names the setting, its value and where that came from; msgspec says where, as ``$.a.b``."""
    problem, _, place = str(exc).partition(" - at `$.")
    key = place.rstrip("`")
    if key not in values:
        return ConfigError(
            f"a setting has the wrong type: {exc}",
            where=str(toml_path),
            fix="platform-ctl config show --origin",
        )
    source = origin[key]
    variable = env_name(key)
    place, fix = {
        "environment": (f"environment variable {variable}", f"unset {variable}"),
        "flag": ("the command line", "platform-ctl --help"),
    }.get(source, (str(toml_path), f"edit {toml_path}"))
    choices = _choices(key)
    expected = f"it is one of {', '.join(choices)}" if choices else _in_words(problem)
    value = shown(key, values[key])
    return ConfigError(f"setting {key} cannot be {value!r}: {expected}", where=place, fix=fix)


_TYPES = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "str": "text",
    "array": "a list",
    "object": "a table",
    "null": "nothing",
}


def _in_words(problem: str) -> str:
    """msgspec's ``Expected `int`, got `str` `` in words."""
    named = re.sub(r"`(\w+)(?: \| null)?`", lambda m: _TYPES.get(m[1], m[1]), problem)
    return named[:1].lower() + named[1:].replace("`", "")


def _choices(key: str) -> tuple[str, ...]:
    """What a setting may be, where that is a list; else nothing."""
    kind: Any = Settings
    for part in key.split("."):
        kind = get_type_hints(kind).get(part)
    return get_args(kind) if get_origin(kind) is Literal else ()


def find_project_root(start: Path) -> Path:
    """The nearest folder at or above ``start`` that holds platform-ctl.toml, else ``start``."""
    for folder in (start, *start.parents):
        if (folder / TOML_NAME).is_file():
            return folder
    return start


def load(*, cwd: Path, env: Mapping[str, str], flags: Mapping[str, Any] | None = None) -> Loaded:
    """Walk the cascade once.

    ``flags`` uses dotted keys (``serving.port``). Raises UnknownSetting for a
    key nobody knows (with the nearest one) and ConfigError for a wrong type.
    """
    root = find_project_root(cwd)
    values: dict[str, Any] = {}
    origin: dict[str, str] = {}

    def put(layer: Mapping[str, Any], source: str) -> None:
        for key, value in layer.items():
            _check_known(key, source)
            values[key] = value
            origin[key] = source

    toml_path = root / TOML_NAME
    if toml_path.is_file():
        put(flatten(_read_toml(toml_path)), TOML_NAME)
    put(_from_env(env), "environment")
    put({k: v for k, v in (flags or {}).items() if v is not None}, "flag")

    nested = _nest(values)
    try:
        settings = msgspec.convert(nested, Settings, strict=False)
    except msgspec.ValidationError as exc:
        raise _wrong_value(exc, values, origin, toml_path) from exc
    _refuse_passwords(settings)
    settings = _with_absolute_paths(settings, root, origin.get("home", "default"))
    _refuse_unusable_home(settings.home)
    return Loaded(settings, {key: origin.get(key, "default") for key in known_keys()})


def _with_absolute_paths(settings: Settings, root: Path, home_origin: str) -> Settings:
    """A relative home is below the project. Raises ConfigError for one that is empty text."""
    if not settings.home:
        raise ConfigError(
            "the home is empty text; no folder is meant by it",
            where=f"home, by {home_origin}",
            fix="export PLATFORM_HOME=$HOME/.platform",
        )
    home = Path(settings.home)
    return msgspec.structs.replace(
        settings,
        home=str(home if home.is_absolute() else (root / home).resolve()),
        project_root=str(root.resolve()),
    )


def _refuse_passwords(settings: Settings) -> None:
    """A URL with a password would be copied into records, registries and messages."""
    for key, url in settings.database_urls.items():
        scheme, _, rest = url.partition("://")
        if ":" in rest.partition("/")[0].rpartition("@")[0]:
            variable = "REDIS_PASSWORD" if scheme.startswith("redis") else "PGPASSWORD"
            raise ConfigError(
                f"the URL of {key} carries a password",
                where=key,
                fix=f"export {variable}=…, and leave the password out of the URL",
            )


def _refuse_unusable_home(home: str) -> None:
    """A path that means something else inside a URL (RFC 3986) would lead elsewhere.

    SQLAlchemy and MLflow read ``sqlite:///PATH`` and ``file://PATH`` as URLs; Python's parser of
    URLs drops line ends and tabs (https://url.spec.whatwg.org/#concept-basic-url-parser).
    """
    refused = [c for c in URL_CHARACTERS if c in home]
    refused += [visible(c) for c in sorted(set(home)) if visible(c) != c]
    if refused:
        raise HomeNotUsable(
            f"the home's path holds {' and '.join(refused)}, which a database URL cannot: {home}",
            where="setting home",
            fix="export PLATFORM_HOME=$HOME/.platform",
        )


SECRETS = frozenset(
    {"notify.ntfy_token", "notify.webhook_url", "kubernetes.kfp_token", "training.ray_token"}
)
"""Settings whose value is a secret where it is no reference."""
_SECRET_NAME = re.compile(
    r"token|credential|secret|password|passwd|(?:access|account)[-_.]?key|sas|connection-string",
    re.IGNORECASE,
)
MASK = "***"


def is_secret_property(name: str) -> bool:
    """Whether a property of a catalog holds a credential, by its name."""
    return bool(_SECRET_NAME.search(name))


def shown(key: str, value: Any) -> Any:
    """A setting's value as it may be printed: no credential but references to one."""
    if isinstance(value, Mapping):
        return {
            name: MASK
            if is_secret_property(name) and not is_reference(str(text))
            else shown("", text)
            for name, text in value.items()
        }
    if not isinstance(value, str) or not value or is_reference(value):
        return value
    if key in SECRETS:
        return MASK
    scheme, mark, rest = value.partition("://")
    user, at, host = rest.partition("/")[0].rpartition("@")
    if mark and at and ":" in user:
        tail = rest[len(user) + 1 + len(host) :]
        return f"{scheme}://{user.partition(':')[0]}:{MASK}@{host}{tail}"
    return value


def known_keys() -> list[str]:
    """Every dotted key, in the order of the class."""
    return [k for k in flatten(msgspec.to_builtins(Settings())) if k != "project_root"]


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as exc:
        raise ConfigError(
            f"{path.name} is not valid TOML: {exc}", where=str(path), fix=f"edit {path}"
        ) from exc


def env_name(key: str) -> str:
    """The environment variable that sets ``key``."""
    return "PLATFORM_HOME" if key == "home" else ENV_PREFIX + key.replace(".", "__").upper()


def _from_env(env: Mapping[str, str]) -> dict[str, Any]:
    """An empty variable counts as not set."""
    values = {
        name.removeprefix(ENV_PREFIX).lower().replace("__", "."): text
        for name, text in env.items()
        if name.startswith(ENV_PREFIX) and text
    }
    if env.get(env_name("home")):
        values["home"] = env[env_name("home")]
    return {key: _parsed(key, text) for key, text in values.items()}


def _parsed(key: str, text: str) -> Any:
    """Lists are comma-separated, tables are JSON; ``load`` converts the rest."""
    default = flatten(msgspec.to_builtins(Settings())).get(key)
    if isinstance(default, list):
        return [item.strip() for item in text.split(",") if item.strip()]
    if isinstance(default, dict):
        try:
            return msgspec.json.decode(text, type=dict[str, str])
        except (msgspec.DecodeError, msgspec.ValidationError) as exc:
            raise ConfigError(
                f"{env_name(key)} is not a JSON object of strings: {exc}",
                where="environment",
                fix=f"unset {env_name(key)}",
            ) from exc
    return text


_TABLES = frozenset({"iceberg_catalog", "kubernetes.images"})
"""Settings whose value is a table with keys of the user's own."""


def flatten(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        dotted = f"{prefix}{key}"
        if isinstance(value, Mapping) and dotted not in _TABLES:
            flat.update(flatten(value, f"{dotted}."))
        else:
            flat[dotted] = value
    return flat


def _nest(flat: Mapping[str, Any]) -> dict[str, Any]:
    tree: dict[str, Any] = {}
    for dotted, value in flat.items():
        *parents, leaf = dotted.split(".")
        node = tree
        for part in parents:
            node = node.setdefault(part, {})
        node[leaf] = value
    return tree


def _check_known(key: str, source: str) -> None:
    keys = known_keys()
    if key in keys:
        return
    near = nearest(key, keys)
    hint = f"did you mean {near}?" if near else "platform-ctl config show lists them"
    raise UnknownSetting(
        f"unknown setting {key!r}; {hint}", where=source, fix="platform-ctl config show --origin"
    )
