"""Shared state as pods of a test's namespace: S3, PostgreSQL, Redis and an MLflow server.

All four run from the image of the checkout. PostgreSQL and Redis are Debian's programs: an
image without them cannot hold the state of a test, and ``missing_programs`` says so.
"""

from __future__ import annotations

import json
from typing import Any

from platform_ctl.cluster.api import DEPLOYMENT, SERVICE, Cluster, Object
from tests.support.cluster import image
from tests.support.in_cluster import KEYS
from tests.support.waiting import eventually

DATABASES = ("iceberg", "feast", "mlflow")
SECRETS = {
    **KEYS,
    "PGPASSWORD": "not-asked-for",
    "PLATFORM_PSEUDONYM_KEY": "of-a-test",
    "REDIS_PASSWORD": "redis-secret",
}
READY_S = 240
_S3 = f"""
cat > /data/s3.json <<'END'
{
    json.dumps(
        {
            "identities": [
                {
                    "name": "platform",
                    "credentials": [
                        {
                            "accessKey": KEYS["AWS_ACCESS_KEY_ID"],
                            "secretKey": KEYS["AWS_SECRET_ACCESS_KEY"],
                        }
                    ],
                    "actions": ["Admin", "Read", "Write", "List", "Tagging"],
                }
            ]
        }
    )
}
END
exec weed server -dir=/data -ip=127.0.0.1 -ip.bind=0.0.0.0 -s3 -s3.port=9000 \
  -s3.config=/data/s3.json -s3.port.iceberg=0 -s3.port.lance=0 \
  -volume.max=20 -master.volumeSizeLimitMB=64
"""
_SQL = f"""
bin=$(ls -d /usr/lib/postgresql/*/bin | tail -1)
"$bin/initdb" -D /data/sql --username=platform --auth=trust --encoding=UTF8 --locale=C >/dev/null
"$bin/pg_ctl" -D /data/sql -o "-k '' -c listen_addresses=127.0.0.1" -w start
for name in {" ".join(DATABASES)}; do "$bin/createdb" -h 127.0.0.1 -U platform $name; done
"$bin/pg_ctl" -D /data/sql -w stop
echo "host all all all trust" >> /data/sql/pg_hba.conf
exec "$bin/postgres" -D /data/sql -k '' -c listen_addresses='*' -c fsync=off
"""
_REDIS = 'exec redis-server --save "" --dir /data --requirepass "$REDIS_PASSWORD"'
_MLFLOW = """
python - <<'END'
import s3fs
store = s3fs.S3FileSystem()
if not store.exists("platform"):
    store.mkdir("platform")
END
exec mlflow server --host=0.0.0.0 --port=5000 --workers=1 --no-serve-artifacts \
  --backend-store-uri=postgresql+psycopg://platform@postgres:5432/mlflow \
  --default-artifact-root=s3://platform/mlflow --allowed-hosts='*'
"""


def settings(namespace: str) -> dict[str, str]:
    """The addresses of the servers, as entries of the ConfigMap of every pod."""
    sql = f"postgresql+psycopg://platform@postgres.{namespace}:5432"
    store = f"http://s3.{namespace}:9000"
    catalog = {
        "name": "platform",
        "type": "sql",
        "uri": f"{sql}/iceberg",
        "warehouse": "s3://platform/warehouse",
        "s3.endpoint": store,
        "s3.region": "us-east-1",
    }
    return {
        "PLATFORM_CTL_STORAGE__ARTIFACTS_URI": "s3://platform/artifacts",
        "PLATFORM_CTL_ICEBERG_CATALOG": json.dumps(catalog),
        "PLATFORM_CTL_MLFLOW_TRACKING_URI": f"http://mlflow.{namespace}:5000",
        "PLATFORM_CTL_FEAST__REGISTRY": f"{sql}/feast",
        "PLATFORM_CTL_FEAST__ONLINE_STORE": f"redis://redis.{namespace}:6379/0",
        "AWS_ENDPOINT_URL": store,
        "AWS_REGION": "us-east-1",
    }


def start(cluster: Cluster) -> None:
    """Bring all four up in the namespace of ``cluster``, and wait until they answer."""
    namespace = cluster.namespace
    cluster.apply(_named("v1", "Secret", "state", namespace, stringData=SECRETS))
    for name, script, port in (
        ("s3", _S3, 9000),
        ("postgres", _SQL, 5432),
        ("redis", _REDIS, 6379),
        ("mlflow", _MLFLOW, 5000),
    ):
        cluster.apply(_service(name, namespace, port))
        cluster.apply(_deployment(name, namespace, script, port))
    eventually(lambda: _all_ready(cluster), seconds=READY_S)


def _all_ready(cluster: Cluster) -> bool:
    found = [cluster.get(DEPLOYMENT, n) or {} for n in ("s3", "postgres", "redis", "mlflow")]
    return all(d.get("status", {}).get("readyReplicas") for d in found)


def _named(version: str, kind: str, name: str, namespace: str, **rest: Any) -> Object:
    metadata = {"name": name, "namespace": namespace}
    return {"apiVersion": version, "kind": kind, "metadata": metadata, **rest}


def _service(name: str, namespace: str, port: int) -> Object:
    spec = {"selector": {"app": name}, "ports": [{"port": port, "targetPort": port}]}
    return _named(SERVICE.group_version, SERVICE.kind, name, namespace, spec=spec)


def _deployment(name: str, namespace: str, script: str, port: int) -> Object:
    container = {
        "name": "main",
        "image": image(),
        "imagePullPolicy": "IfNotPresent",
        "command": ["sh", "-ec", script],
        "env": [
            {"name": "AWS_ENDPOINT_URL", "value": "http://s3:9000"},
            {"name": "AWS_REGION", "value": "us-east-1"},
            {"name": "MLFLOW_DISABLE_TELEMETRY", "value": "true"},
            {"name": "MLFLOW_SERVER_ENABLE_JOB_EXECUTION", "value": "false"},
        ],
        "envFrom": [{"secretRef": {"name": "state"}}],
        "readinessProbe": {"tcpSocket": {"port": port}, "periodSeconds": 2},
        "resources": {"requests": {"cpu": "20m", "memory": "128Mi"}},
        "volumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    spec = {
        "enableServiceLinks": False,
        "containers": [container],
        "volumes": [{"name": "data", "emptyDir": {}}],
    }
    template = {"metadata": {"labels": {"app": name}}, "spec": spec}
    selector = {"matchLabels": {"app": name}}
    return _named(
        DEPLOYMENT.group_version,
        DEPLOYMENT.kind,
        name,
        namespace,
        spec={"replicas": 1, "selector": selector, "template": template},
    )
