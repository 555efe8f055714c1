"""KServe on this machine: one supervisor per InferenceService, one process per revision.

service.py       the port: finds, starts and asks supervisors
supervisor.py    the detached process: holds the listening socket, applies specs
replica_set.py   its revision processes, kept as the spec says
handover.py      starting a supervisor, and a successor that takes the address over
parent_death.py  what a revision does when its supervisor was killed
process.py       one revision's process, as its supervisor sees it
revision.py      one revision's process, from the inside
channel.py       what supervisor and revisions say to each other
records.py       the files of a service
"""
