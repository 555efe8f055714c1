"""Releases as custom resources of a cluster.

resource.py  a Release object as a record, and back
releases.py  the store: one object a release, named so that a service has one open at a time
"""
