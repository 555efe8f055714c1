"""Upload of the committed pipelines to KFP's API server: a version where something changed.

checkout.py   facts of git: the commit, its time, its ancestors, what it holds
candidate.py  what one pipeline would become: bytes with the image's digest, name, marks
marks.py      a version's name, tags and description, and the way back from them
plan.py       decisions: unchanged, superseded, new version, suffix, conflict, repair
preflight.py  what is checked of all pipelines before the first write
port.py       the API server as the upload needs it
kfp.py        that over kfp_server_api
upload.py     the sequence of all this, safe to be killed after any request
"""
