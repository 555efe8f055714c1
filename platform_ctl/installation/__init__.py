"""What the kubernetes target consists of in a cluster: the table of components, its check.

components.py  infra/tier6/versions.yaml as values
stores.py      servers of shared state that the settings name
check.py       a cluster against that table; reads only
"""
