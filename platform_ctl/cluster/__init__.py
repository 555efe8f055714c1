"""The Kubernetes API server, as every room's ``kubernetes`` target uses it.

api.py   objects: get, list, apply, patch, delete, watch, log; its refusals as our errors
pods.py  why a pod does not run: typed reasons from its status, never from a message's words
refusals.py  why an object is not taken: a right, a quota, a webhook that nobody answers for
kfp.py   KFP's API server over kfp_server_api: one deadline a call, refusals by status
store.py objects that pods share, by URI: bytes, files and folders
outage.py  reading on while the API server or a webhook is away for a moment
owner.py the pod of this process: its image, and who owns what it makes
environment.py  the ConfigMap and the Secret that every pod of ours gets
"""
