"""A Kubernetes cluster with KFP, Katib, KubeRay and KServe."""
