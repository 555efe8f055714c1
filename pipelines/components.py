"""How a step becomes a KFP component. Each pipeline has its own: ``*_components.py``.

A component is one import and one call. Lightweight Python components carry only
their own source: everything they need is imported inside.
``install_kfp_package=False``: the image (or, locally, the environment) already
holds what runs. Steps that change something outside the run are idempotent and
their tasks switch caching off in the pipeline.
"""

from functools import partial

from kfp import dsl

IMAGE = "platform-ctl/python-recipe:0.1.0"
"""Fixed at compile time; a release replaces it by a digest."""

component = partial(dsl.component, base_image=IMAGE, install_kfp_package=False)
