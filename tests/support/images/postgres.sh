#!/bin/bash
# Debian's PostgreSQL started as the official image starts it, for a node that has no registry.
# Reads POSTGRES_USER, POSTGRES_PASSWORD and PGDATA.
set -euo pipefail
programs=(/usr/lib/postgresql/*/bin)
PATH="${programs[-1]}:$PATH"
if [ ! -s "$PGDATA/PG_VERSION" ]; then
  initdb --username="$POSTGRES_USER" --pwfile=<(echo "$POSTGRES_PASSWORD") \
    --auth-local=trust --auth-host=scram-sha-256 --encoding=UTF8 --locale=C "$PGDATA"
  echo "host all all all scram-sha-256" >>"$PGDATA/pg_hba.conf"
fi
exec postgres -c listen_addresses='*' -k /var/run/postgresql
