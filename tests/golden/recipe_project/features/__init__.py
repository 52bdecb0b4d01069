from features.shapes import Shape
from features.text import *

__all__ = ["Shape", "star"]
