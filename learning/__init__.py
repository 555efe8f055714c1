"""The fault lab: a scratch home and a scratch checkout in which things are broken for real."""
