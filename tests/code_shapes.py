"""Ways in which Python code reaches other code: each shape hides a number that an edit changes.

A shape adds helpers for the asset `owner` to the project's modules and returns an expression over
`v`, a Series of integers, in which `pipeline.py` uses them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.generated_project import Builder

S, K, N, L = "shaping.py", "kinds.py", "lib/numbers.py", "lib/late.py"


def helper_of_a_helper(b: Builder, owner: str, i: str) -> str:
    b.helper(N, f"deep{i}", f"v + {b.number('helper two modules down', owner)}")
    b.block(S, f"RATE{i} = {b.number('constant', owner)}{b.comment()}\n")
    body = b.number("helper body", owner)
    b.helper(S, f"scale{i}", f"lib.numbers.deep{i}(v) * {body} + RATE{i}")
    return f"scale{i}(v)"


def inherited_method(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("base class method", "class attribute", "class method")]
    b.block(
        K,
        f"class Base{i}:\n    def weight(self):\n        return {n[0]}\n\n\n"
        f'class Kind{i}(Base{i}):\n    """{b.doc()}"""\n\n    factor = {n[1]}\n\n'
        f"    def weight(self):{b.comment()}\n        return super().weight() * 2\n\n"
        f"    def apply(self, v):\n        return v * self.factor + self.weight() + {n[2]}\n",
    )
    return f"kinds.Kind{i}().apply(v)"


def closure(b: Builder, owner: str, i: str) -> str:
    inner, value = b.number("closure body", owner), b.number("closure value", owner)
    b.block(
        S,
        f"def make{i}(n):\n    def inner(v):\n        return v + n * {inner}\n\n"
        f"    return inner\n\n\n"
        f"add{i} = make{i}({value})\n",
    )
    return f"shaping.add{i}(v)"


def decorator(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("decorator body", "decorator argument", "decorated body")]
    b.block(
        S,
        f"def twist{i}(plus):\n    def wrap(f):\n        @functools.wraps(f)\n"
        f"        def turned(*args):\n            return f(*args) + plus + {n[0]}\n\n"
        f"        return turned\n\n    return wrap\n\n\n"
        f"@twist{i}({n[1]})\ndef turned{i}(v):\n    return v * {n[2]}\n",
    )
    return f"turned{i}(v)"


def partial(b: Builder, owner: str, i: str) -> str:
    body, bound = b.number("body under a partial", owner), b.number("partial argument", owner)
    b.block(N, f"def two{i}(n, v):\n    return v * n + {body}\n\n\n"
               f"part{i} = functools.partial(two{i}, {bound})\n")  # fmt: skip
    return f"lib.numbers.part{i}(v)"


def default_argument(b: Builder, owner: str, i: str) -> str:
    constant, default = b.number("constant as a default", owner), b.number("default", owner)
    b.block(S, f"START{i} = {constant}\n\n\ndef begin{i}(v, n=START{i}, *, m={default}):\n"
               f"    return v + n * m\n")  # fmt: skip
    return f"begin{i}(v)"


def table_of_constants(b: Builder, owner: str, i: str) -> str:
    order = b.slot("order of a dict", "changing", (f"1: {i}, 0: 17", f"0: 17, 1: {i}"), owner)
    value = b.number("value in a dict", owner)
    b.block(
        S, f"TABLE{i} = {{{order}, 2: {value}}}\nDERIVED{i} = [n * 2 for n in TABLE{i}.values()]\n"
    )
    return f"v + DERIVED{i}[0] + TABLE{i}[2]"


def mutual_recursion(b: Builder, owner: str, i: str) -> str:
    n = [b.number("mutual recursion", owner) for _ in range(2)]
    ways = (
        f"def down{i}(n):\n    return {n[0]} if n <= 0 else up{i}(n - 1) + 1\n",
        f"def up{i}(n):\n    return {n[1]} if n <= 0 else down{i}(n - 1) + 2\n",
    )
    b.block(N, b.either_way("order of functions", "\n\n".join(ways), "\n\n".join(ways[::-1])))
    return f"v + lib.numbers.down{i}(3) * lib.numbers.up{i}(3)"


def import_in_a_body(b: Builder, owner: str, i: str) -> str:
    b.block(L, f"def late{i}(v):\n    return v + {b.number('module imported in a body', owner)}\n")
    b.block(
        S, f"def soon{i}(v):\n    from lib.late import late{i} as found\n\n    return found(v)\n"
    )
    return f"soon{i}(v)"


def re_export(b: Builder, owner: str, i: str) -> str:
    b.block(N, f"def again{i}(v):\n    return v * {b.number('re-exported helper', owner)}\n")
    b.block(S, f"from lib.numbers import again{i} as other{i}\n")
    return f"shaping.other{i}(v)"


def dataclass_and_enum(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("dataclass default", "enum member", "dataclass argument")]
    b.block(
        S,
        f"@dataclass(frozen=True)\nclass Setting{i}:\n    plus: int\n    rate: int = {n[0]}\n\n\n"
        f"class Level{i}(enum.IntEnum):\n    LOW = 1\n    HIGH = {n[1]}\n\n\n"
        f"SETTING{i} = Setting{i}({n[2]})\n",
    )
    return f"v * SETTING{i}.rate + Level{i}.HIGH + SETTING{i}.plus"


def lambda_and_generator(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("lambda", "generator")]
    b.block(
        S, f"plus{i} = lambda v: v + {n[0]}\n\n\ndef pieces{i}():\n    yield 3\n    yield {n[1]}\n"
    )
    return f"plus{i}(v) + sum(pieces{i}())"


def global_built_in_steps(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("appended constant", "item assigned", "branch at the top")]
    b.block(
        S,
        f"LIST{i} = []\nLIST{i}.append({n[0]})\nCONF{i} = {{}}\nCONF{i}['rate'] = {n[1]}\n"
        f"if len(LIST{i}) > 0:\n    CHOSEN{i} = {n[2]}\nelse:\n    CHOSEN{i} = 1\n",
    )
    return f"v + LIST{i}[0] * CONF{i}['rate'] + CHOSEN{i}"


def registry_of_functions(b: Builder, owner: str, i: str) -> str:
    n = b.number("function in a registry", owner)
    b.block(
        S,
        f"REGISTRY{i} = {{}}\n\n\ndef register{i}(f):\n    REGISTRY{i}[f.__name__] = f\n"
        f"    return f\n\n\n"
        f"@register{i}\ndef step{i}(v):\n    return v + {n}\n\n\n"
        f"def registered{i}(v):\n    return REGISTRY{i}['step{i}'](v)\n",
    )
    return f"registered{i}(v)"


def single_dispatch(b: Builder, owner: str, i: str) -> str:
    n = b.number("function registered by singledispatch", owner)
    b.block(
        S,
        f"@functools.singledispatch\ndef sized{i}(n):\n    return 1\n\n\n"
        f"@sized{i}.register\ndef _(n: int):\n    return {n}\n",
    )
    return f"v + sized{i}(3)"


def cached_function(b: Builder, owner: str, i: str) -> str:
    b.block(N, f"@functools.cache\ndef kept{i}(n):\n    return n + {b.number('cached', owner)}\n")
    return f"v + lib.numbers.kept{i}(3)"


def class_features(b: Builder, owner: str, i: str) -> str:
    names = ("property", "static method", "class method body", "__call__", "nested class")
    n = [b.number(w, owner) for w in names]
    b.block(
        K,
        f"class Many{i}:\n    class Inner:\n        size = {n[4]}\n\n"
        f"    @property\n    def low(self):\n        return {n[0]}\n\n"
        f"    @staticmethod\n    def high():\n        return {n[1]}\n\n"
        f"    @classmethod\n    def made(cls):\n        return cls().low + {n[2]}\n\n"
        f"    def __call__(self, v):\n        return v * {n[3]} + self.Inner.size\n",
    )
    return f"kinds.Many{i}()(v) + kinds.Many{i}.made() * kinds.Many{i}.high()"


def patched_class(b: Builder, owner: str, i: str) -> str:
    n = b.number("method assigned later", owner)
    b.block(
        K,
        f"class Bare{i}:\n    pass\n\n\ndef _apply{i}(self, v):\n    return v + {n}\n\n\n"
        f"Bare{i}.apply = _apply{i}\n",
    )
    return f"kinds.Bare{i}().apply(v)"


def registered_subclass(b: Builder, owner: str, i: str) -> str:
    n = b.number("subclass found by __init_subclass__", owner)
    b.block(
        K,
        f"class Plugin{i}:\n    known = []\n\n    def __init_subclass__(cls):\n"
        f"        Plugin{i}.known.append(cls)\n\n\nclass One{i}(Plugin{i}):\n    rate = {n}\n",
    )
    return f"v + sum(p.rate for p in kinds.Plugin{i}.known)"


def documentation_as_data(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)  # where code looks at a docstring, every one it reaches counts
    words = b.slot("docstring that is read", "changing", ("short", "longer", "the longest"), owner)
    kind = b.slot("annotation that is read", "changing", ("int", "float", "complex"), owner)
    b.block(S, f'def said{i}(v):\n    """{words}"""\n    return v + len(said{i}.__doc__)\n\n\n'
               f'class Typed{i}:\n    rate: "{kind}"\n')  # fmt: skip
    return f"said{i}(v) + len(shaping.Typed{i}.__annotations__['rate'])"


def set_from_elsewhere(b: Builder, owner: str, i: str) -> str:
    n = b.number("constant set from another module", owner)
    b.block(S, f"lib.numbers.OUTSIDE{i} = {n}\n")
    return f"v + lib.numbers.OUTSIDE{i}"


def attribute_by_variable(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)
    n = b.number("function found by getattr", owner)
    b.block(N, f"def chosen{i}(v):\n    return v + {n}\n")
    b.block(
        S, f"def by_name{i}(v, name='cho' + 'sen{i}'):\n    return getattr(lib.numbers, name)(v)\n"
    )
    return f"by_name{i}(v)"


def module_by_variable(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)
    n = b.number("function of a module found by name", owner)
    b.block(L, f"def hidden{i}(v):\n    return v + {n}\n")
    b.block(S, f"def somewhere{i}(v, part='late'):\n"
               f"    return importlib.import_module('lib.' + part).hidden{i}(v)\n")  # fmt: skip
    return f"somewhere{i}(v)"


def evaluated_text(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)
    n = b.number("function called in eval", owner)
    b.block(S, f"def inside{i}(v):\n    return v + {n}\n\n\n"
               f"def evaluated{i}(v):\n    return eval('inside' + '{i}(v)')\n")  # fmt: skip
    return f"shaping.evaluated{i}(v)"


def module_globals(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)
    n = b.number("function found in globals()", owner)
    b.block(N, f"def there{i}(v):\n    return v + {n}\n\n\n"
               f"def looked_up{i}(v):\n    return globals()['there' + '{i}'](v)\n")  # fmt: skip
    return f"lib.numbers.looked_up{i}(v)"


def metaclass(b: Builder, owner: str, i: str) -> str:
    n = b.number("metaclass method", owner)
    b.block(
        K,
        f"class Meta{i}(type):\n    def rate(cls):\n        return {n}\n\n\n"
        f"class Made{i}(metaclass=Meta{i}):\n    pass\n",
    )
    return f"v + kinds.Made{i}.rate()"


def method_passed_on(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("bound method in a constant", "function in a tuple")]
    b.block(
        K,
        f"class Bound{i}:\n    @classmethod\n    def apply(cls, v):\n"
        f"        return v + {n[0]}\n\n\n"
        f"def other{i}(v):\n    return v * {n[1]}\n\n\nSTEPS{i} = (Bound{i}.apply, other{i})\n",
    )
    return f"[step(v) for step in kinds.STEPS{i}][0] + kinds.STEPS{i}[1](v)"


def library_constants(b: Builder, owner: str, i: str) -> str:
    what = ("regex", "array", "decimal", "date", "frozenset")
    n = [b.number(f"constant {w}", owner) for w in what]
    b.block(
        S,
        f"PATTERN{i} = re.compile('{n[0]}')\nARRAY{i} = np.array([1, {n[1]}])\n"
        f"MONEY{i} = decimal.Decimal('{n[2]}.5')\n"
        f"DAY{i} = datetime.date(2026, 1, {n[3]} % 28 + 1)\nSOME{i} = frozenset({{{n[4]}, 1}})\n",
    )
    return (
        f"v + int(PATTERN{i}.pattern) + int(ARRAY{i}[1]) "
        f"+ int(MONEY{i}) + DAY{i}.day + max(SOME{i})"
    )


def bound_in_a_loop(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("default bound in a loop", "method made by a loop")]
    b.block(
        S,
        f"STEPS{i} = [lambda v, n=n: v + n for n in (1, {n[0]})]\n\n\n"
        f"class Many{i}:\n    pass\n\n\n"
        f"for _name, _rate in (('low', 2), ('high', {n[1]})):\n"
        f"    setattr(Many{i}, _name, lambda self, rate=_rate: rate)\n",
    )
    return f"STEPS{i}[1](v) + shaping.Many{i}().high()"


def names_in_a_query(b: Builder, owner: str, i: str) -> str:
    n = b.number("constant named in a query text", owner)
    b.block(
        S,
        f"LIMIT{i} = {n}\n\n\ndef queried{i}(v):\n"
        f"    return pd.DataFrame({{'v': v}}).eval('v + @LIMIT{i}')\n",
    )
    return f"shaping.queried{i}(v)"


def more_class_features(b: Builder, owner: str, i: str) -> str:
    what = (
        "named tuple default",
        "abstract base",
        "cached property",
        "default factory",
        "enum method",
    )
    n = [b.number(w, owner) for w in what]
    b.block(
        K,
        f"class Pair{i}(typing.NamedTuple):\n    left: int = {n[0]}\n\n\n"
        f"class Shape{i}(abc.ABC):\n    @abc.abstractmethod\n    def area(self): ...\n\n"
        f"    def double(self):\n        return self.area() * {n[1]}\n\n\n"
        f"def filled{i}():\n    return [{n[3]}]\n\n\n"
        f"@dataclasses.dataclass\nclass Box{i}(Shape{i}):\n"
        f"    items: list = dataclasses.field(default_factory=filled{i})\n\n"
        f"    @functools.cached_property\n    def size(self):\n        return {n[2]}\n\n"
        f"    def area(self):\n        return self.size + self.items[0]\n\n\n"
        f"class Grade{i}(enum.Enum):\n    LOW = 1\n\n"
        f"    def rate(self):\n        return self.value + {n[4]}\n",
    )
    return f"v + kinds.Pair{i}().left * kinds.Box{i}().double() + kinds.Grade{i}.LOW.rate()"


def conditional_and_relative_imports(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("relative import", "import that falls back")]
    b.block(
        L,
        f"def near{i}(v):\n    return v + {n[0]}\n\n\ndef instead{i}(v):\n    return v * {n[1]}\n",
    )
    b.block(
        N,
        f"try:\n    from not_installed import instead{i}\nexcept ImportError:\n"
        f"    from .late import instead{i}\n\n\n"
        f"def around{i}(v):\n    from . import late as nearby\n\n"
        f"    return nearby.near{i}(instead{i}(v))\n",
    )
    return f"lib.numbers.around{i}(v)"


def passed_to_a_library(b: Builder, owner: str, i: str) -> str:
    n = [b.number(w, owner) for w in ("function given to map", "function given to pipe", "key")]
    b.block(
        S,
        f"def each{i}(n):\n    return n + {n[0]}\n\n\ndef whole{i}(v, plus):\n"
        f"    return v * {n[1]} + plus\n\n\ndef key{i}(n):\n    return -n if {n[2]} > 50 else n\n",
    )
    return f"v.map(each{i}).pipe(whole{i}, plus=3) + sorted([1, 2], key=key{i})[0]"


def looked_up_in_vars(b: Builder, owner: str, i: str) -> str:
    b.project.loose.add(owner)
    n = [b.number(w, owner) for w in ("found in vars()", "found by attrgetter", "run by exec")]
    b.block(
        N,
        f"HERE{i} = {n[0]}\nTHERE{i} = {n[1]}\n\n\ndef executed{i}():\n    return {n[2]}\n\n\n"
        f"def run{i}(v):\n    found = {{}}\n    exec('x = ' + 'executed{i}()', globals(), found)\n"
        f"    return v + found['x']\n",
    )
    b.block(
        S,
        f"def varied{i}(v):\n    return v + vars(lib.numbers)['HERE' + '{i}'] + "
        f"operator.attrgetter('THERE' + '{i}')(lib.numbers)\n",
    )
    return f"lib.numbers.run{i}(varied{i}(v))"


def function_in_a_pickle(b: Builder, owner: str, i: str) -> str:
    """A transformer holds a project function: predictions follow an edit of it."""
    n = b.number("function held by a transformer", owner)
    b.block(N, f"def bent{i}(v):\n    return v * {n}\n")
    return f"FunctionTransformer(lib.numbers.bent{i}).fit_transform(v.to_frame())['x']"


SHAPES: tuple[Callable[[Builder, str, str], str], ...] = (
    helper_of_a_helper, inherited_method, closure, decorator, partial, default_argument,
    table_of_constants, mutual_recursion, import_in_a_body, re_export, dataclass_and_enum,
    lambda_and_generator, global_built_in_steps, registry_of_functions, single_dispatch,
    cached_function, class_features, patched_class, registered_subclass, documentation_as_data,
    set_from_elsewhere, attribute_by_variable, module_by_variable, evaluated_text, module_globals,
    metaclass, method_passed_on, library_constants, bound_in_a_loop, names_in_a_query,
    more_class_features,
    conditional_and_relative_imports, passed_to_a_library, looked_up_in_vars, function_in_a_pickle,
)  # fmt: skip
