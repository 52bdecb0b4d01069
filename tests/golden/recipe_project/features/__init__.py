# ruff: noqa: F403, F405
# fmt: off
from features.shapes import Shape
from features.text import *

__all__ = ["Shape", "star"]
