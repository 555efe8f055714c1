"""InferenceServices on a cluster: one predictor a revision, behind one weighted HTTPRoute."""
