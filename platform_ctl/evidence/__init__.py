"""The evidence pack of a promoted model: written, verified, reproduced."""
