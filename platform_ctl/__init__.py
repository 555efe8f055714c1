"""platform-ctl: train, register and deploy models on a laptop or on Kubeflow."""

__version__ = "0.1.0"
