"""The pages of a home: runs, models, services, approvals and cost, rendered on the server.

views.py     what the pages show, as values, and the functions that read them
identity.py  who asks: a token of this machine, or a verified OIDC token
app.py       the ASGI application: routes, guards, headers; no script, nothing from elsewhere
"""
