"""One fault a module: NAME, SYMPTOM, CAUSE, HINTS, RUNBOOK, inject(), is_repaired().

The docstring of a module is what the learner reads when the fault is solved.
"""
