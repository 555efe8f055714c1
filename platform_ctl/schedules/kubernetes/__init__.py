"""Schedules as recurring runs of KFP, fired by its scheduled-workflow controller."""
