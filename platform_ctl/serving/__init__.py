"""InferenceServices: spec and status; the port, the predictor and its targets."""
