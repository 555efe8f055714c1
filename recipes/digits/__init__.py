"""Is a handwritten digit odd? A convolutional network in PyTorch, on N workers of Ray Train."""
