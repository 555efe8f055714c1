"""Why a run or model is as it is, what changed between two, what a change will repeat."""
