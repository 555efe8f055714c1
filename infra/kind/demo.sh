#!/usr/bin/env bash
# The main job on a cluster of its own in Docker: kind, the components, our image, one run.
#
#   infra/kind/demo.sh [--dry-run]     --dry-run prints the commands and runs none
#
# Needs docker, kind and kubectl, 4 CPUs, 12 GiB of memory and 40 GB of disk. Every step can be
# repeated; `kind delete cluster --name platform` takes all of it away.
set -euo pipefail
cd "$(dirname "$0")/../.."

IMAGE=${IMAGE:-localhost/platform-ctl/platform:demo}
GATEWAY_MANIFEST=https://github.com/envoyproxy/gateway/releases/download/v1.8.1/install.yaml
dry_run=
case ${1:-} in
  --dry-run) dry_run=1 ;;
  '') ;;
  *) echo "usage: $0 [--dry-run]" >&2; exit 2 ;;
esac

# Print a command; run it unless this is a dry run.
step() {
  printf '+ %s\n' "$*"
  [ -n "$dry_run" ] || "$@"
}

for program in docker kind kubectl; do
  [ -n "$dry_run" ] || command -v "$program" >/dev/null ||
    { echo "kind-demo: $program is not installed" >&2; exit 3; }
done

if [ -n "$dry_run" ] || ! kind get clusters 2>/dev/null | grep -qx platform; then
  step kind create cluster --config infra/kind/cluster.yaml --wait 120s
fi
step kubectl config use-context kind-platform

step docker build --file infra/image/Containerfile --tag "$IMAGE" .
step kind load docker-image "$IMAGE" --name platform
export PLATFORM_CTL_KUBERNETES__IMAGE=$IMAGE

step platform-ctl target install gateway-api
step kubectl apply --server-side --force-conflicts --filename "$GATEWAY_MANIFEST"
step kubectl -n envoy-gateway-system rollout status deployment/envoy-gateway --timeout=180s
step kubectl apply --server-side --filename infra/kind/gateway-port.yaml
step platform-ctl target install
step platform-ctl target check --probe

# KFP, MLflow and the stores have names that only pods know: the main job is typed in one.
desk() { step kubectl -n kubeflow exec desk -- platform-ctl "$@"; }
step sh -c "sed 's|platform-ctl/platform:setting-kubernetes.image|$IMAGE|' infra/dev/desk.yaml | kubectl apply --filename -"
step kubectl -n kubeflow wait --for=condition=Ready pod/desk --timeout=180s
desk pipeline run ingest -p source=sample
desk pipeline run train-deploy -p max_trials=4 -p epochs=3
desk run show latest
desk approval list
