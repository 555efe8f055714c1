"""Whether the shared stores that the settings name let us in, and hold what is named there.

A wrong password, a bucket or a database that nobody has made: each library says it by an exception
of its own, some by a bare OSError. So a command that failed in a way nobody foresaw asks every
store here, as its library does, and repeats what the store answers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from urllib.parse import urlsplit

from platform_ctl.settings import Settings

ASK_TIMEOUT_S = 5
CREDENTIALS = {
    "the Iceberg catalog": "among its properties, or the keys of the object store",
    "the object store": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "PostgreSQL": "PGPASSWORD or ~/.pgpass",
    "Redis": "REDIS_PASSWORD",
}
"""Kind of store -> where its credentials come from."""


@dataclass(frozen=True)
class Refusal:
    """What one store answers to a request that it should grant."""

    kind: str
    setting: str
    answer: str


def refusals(
    settings: Settings, catalog: Mapping[str, str], env: Mapping[str, str]
) -> list[Refusal]:
    """Of the stores that answer, those that let us not in. ``catalog``: its properties, with the
    secrets that the settings refer to. One request a store, each within ``ASK_TIMEOUT_S``."""
    found = [*_sql(settings), *_redis(settings, env), *_buckets(settings, env)]
    if settings.iceberg_catalog.get("type") == "rest":
        found += _rest_catalog(catalog)
    return found


def sentence(found: Sequence[Refusal]) -> str:
    """Each answer once, with the settings that it is about and where the credentials are."""
    settings: dict[tuple[str, str], list[str]] = {}
    for refusal in found:
        answer = " ".join(refusal.answer.split()).rstrip(".")
        settings.setdefault((refusal.kind, answer), []).append(refusal.setting)
    return "; ".join(
        f"{kind} ({', '.join(named)}) answers {answer!r}; its credentials are {CREDENTIALS[kind]}"
        for (kind, answer), named in settings.items()
    )


def _sql(settings: Settings) -> Iterator[Refusal]:
    for setting, url in settings.database_urls.items():
        scheme, _, rest = url.partition("://")
        if scheme.partition("+")[0] not in ("postgresql", "postgres"):
            continue
        import psycopg

        try:
            psycopg.connect(f"postgresql://{rest}", connect_timeout=ASK_TIMEOUT_S).close()
        except psycopg.Error as exc:
            yield Refusal("PostgreSQL", setting, str(exc).partition("\n")[0])


def _redis(settings: Settings, env: Mapping[str, str]) -> Iterator[Refusal]:
    url = settings.feast.online_store
    if urlsplit(url).scheme not in ("redis", "rediss"):
        return
    import redis

    password = env.get("REDIS_PASSWORD") or None
    client = redis.Redis.from_url(url, password=password, socket_timeout=ASK_TIMEOUT_S)
    try:
        client.ping()
    except redis.RedisError as exc:
        yield Refusal("Redis", "feast.online_store", str(exc))
    finally:
        client.close()


def _buckets(settings: Settings, env: Mapping[str, str]) -> Iterator[Refusal]:
    """The bucket of artifacts, and that of the warehouse where it is none of the catalog's own."""
    catalog, endpoint = settings.iceberg_catalog, env.get("AWS_ENDPOINT_URL", "")
    named = [("storage.artifacts_uri", settings.storage.artifacts_uri, endpoint)]
    if catalog.get("type") != "rest":
        warehouse = catalog.get("warehouse", "")
        named.append(("iceberg_catalog", warehouse, catalog.get("s3.endpoint", endpoint)))
    for setting, uri, address in named:
        parts = urlsplit(uri)
        if parts.scheme in ("s3", "s3a") and (answer := _of_bucket(parts.netloc, address)):
            yield Refusal("the object store", setting, answer)


def _of_bucket(bucket: str, endpoint: str) -> str:
    """Why the bucket cannot be listed; "" when it can."""
    import s3fs
    from botocore.exceptions import BotoCoreError

    patience = {"connect_timeout": ASK_TIMEOUT_S, "read_timeout": ASK_TIMEOUT_S}
    store = s3fs.S3FileSystem(
        endpoint_url=endpoint or None, config_kwargs=patience, skip_instance_cache=True
    )
    try:
        store.call_s3("list_objects_v2", Bucket=bucket, MaxKeys=1)
    except (OSError, BotoCoreError) as exc:
        return str(exc)
    return ""


def _rest_catalog(properties: Mapping[str, str]) -> Iterator[Refusal]:
    from pyiceberg.catalog import load_catalog
    from pyiceberg.exceptions import NoSuchNamespaceError, RESTError

    rest = dict(properties)
    try:
        load_catalog(rest.pop("name"), **rest).list_namespaces()
    except (RESTError, NoSuchNamespaceError) as exc:
        yield Refusal("the Iceberg catalog", "iceberg_catalog", str(exc))
