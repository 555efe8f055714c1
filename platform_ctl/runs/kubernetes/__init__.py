"""Runs on a cluster: KFP's API server and the pods that Argo makes of a run."""
