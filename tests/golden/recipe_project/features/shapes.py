# ruff: noqa: RUF012
# fmt: off
import abc
import functools
import math


class Shape(abc.ABC):
    registry = {}

    def __init_subclass__(cls, **kwargs):
        Shape.registry[cls.__name__] = cls

    @abc.abstractmethod
    def area(self): ...

    @classmethod
    def unit(cls):
        return cls(1)


class Circle(Shape):
    __slots__ = ("radius",)

    def __init__(self, radius):
        self.radius = radius

    def area(self):
        return self.scale(math.pi)

    @staticmethod
    def half(x):
        return x / 2

    @functools.cached_property
    def perimeter(self):
        return 2 * math.pi * self.radius

    def scale(self, by):
        return by * self.radius**2

    double = functools.partialmethod(scale, 2)
