"""The predictor that every target runs: KServe's protocols over one MLflow model.

application.py      KServe's protocols as an ASGI application, with its known faults handled
model.py            the MLflow model as a KServe Model
front.py            canary split, limits, metrics, request log
request_timeout.py  the limit of one request
request_log.py      requests and predictions as JSON lines
"""
