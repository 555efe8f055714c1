"""KServe on this machine: one supervisor per InferenceService, one process per revision.

service.py      the port: finds, starts and asks supervisors
supervisor.py   the detached process: holds the listening socket, applies specs
fleet.py        its revision processes, kept as the spec says
succession.py   starting a supervisor, and a successor that takes the address over
lifeline.py     what a revision does when its supervisor was killed
process.py      one revision's process, as its supervisor sees it
revision.py     one revision's process, from the inside
application.py  KServe's protocols as an ASGI application, with its known faults handled
model.py        the MLflow model as a KServe Model
front.py        the front door: canary split, limits, metrics, request log
requestlog.py   requests and predictions as JSON lines
channel.py      what supervisor and revisions say to each other
records.py      the files of a service
"""
