"""The compiled pipeline: values, checks, parameters, compilation, portability."""
