"""Upload of committed pipelines to a KFP API server, one version a commit."""
