"""Approval requests as custom resources of a cluster.

resource.py    an Approval object as a request, and back
approvals.py   the store: etcd decides races, the API server says who answers
controller.py  starts the promote run of what was approved, whoever approved it and how
"""
