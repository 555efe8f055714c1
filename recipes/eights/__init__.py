"""Is a handwritten digit an eight? LightGBM, with class imbalance."""
