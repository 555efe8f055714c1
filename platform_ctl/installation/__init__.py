"""What the kubernetes target consists of in a cluster: its components and what to do with them.

components.py    infra/tier6/versions.yaml and versions.lock.yaml as values
rendering.py     what a component's kustomization renders to, with the settings filled in
digests.py       digests of images as nodes pulled them
lint.py          what no manifest may have
install.py       puts components into a cluster; can be repeated
certificates.py  certificates of webhooks
remove.py        takes one out, after saying what goes with it
stores.py        servers of shared state that the settings name
preflight.py     what else a run needs: volumes, Gateway, settings, rights
room.py          what a fit requests, against quotas and nodes
webhooks.py      admission webhooks without a server, or that stop their own
probe.py         what only a pod can say: image, libraries, stores
check.py         a cluster against the table; reads only
"""
