"""Names of the standard library and others that the identity of code has to know."""

from __future__ import annotations

import re
from types import MappingProxyType

INTROSPECTS = frozenset(
    {
        "__doc__", "__annotations__", "__annotate__", "get_type_hints", "get_annotations",
        "signature", "getdoc", "getsource", "getsourcelines", "getfullargspec", "__signature__",
        "getcomments", "from_callable", "Signature", "__code__", "create_function", "validate_call",
        "validate_arguments", "beartype", "typechecked",
    }
)  # fmt: skip
NAMES = frozenset({"__name__", "__qualname__", "__module__", "co_name", "co_qualname"})
REFLECTS = frozenset({"__subclasses__", "__globals__", "f_globals", "f_builtins"})
# What lineal hands to a library: whoever reaches it depends on the library.
BEHIND = MappingProxyType({"lineal.study": "optuna", "lineal.tuning.study": "optuna"})
DYNAMIC = frozenset(
    {
        "builtins.eval", "builtins.exec", "builtins.compile", "builtins.globals", "sys.modules",
        "runpy.run_path", "runpy.run_module", "importlib.reload", "builtins.__builtins__",
        "importlib.import_module", "builtins.__import__", "importlib.__import__",
        "pkgutil.resolve_name", "pydoc.locate", "gc.get_objects", "zipimport.zipimporter",
        # code of files whose names can't be known
        "importlib.util.spec_from_file_location", "importlib.machinery.SourceFileLoader",
        "importlib.machinery.SourcelessFileLoader", "importlib.machinery.FileFinder",
        # classes and functions that a file names
        "pickle.load", "pickle.loads", "pickle.Unpickler", "_pickle.load", "_pickle.loads",
        "joblib.load", "dill.load", "dill.loads", "dill.load_session", "dill.load_module",
        "skops.io.load", "skops.io.loads",
        "cloudpickle.load", "cloudpickle.loads", "pandas.read_pickle", "torch.load", "shelve.open",
        "pandas.io.pickle.read_pickle",
    }
)  # fmt: skip
IMPORTERS = frozenset({"importlib.import_module", "builtins.__import__", "importlib.__import__"})
ATTRIBUTES = frozenset(
    {"builtins.getattr", "builtins.hasattr", "builtins.setattr", "builtins.delattr"}
)
_ENVIRONMENTS = ("os.environ", "os.environb", "posix.environ")
_READ_ALL = frozenset({"os.path.expandvars", "posixpath.expandvars", "ntpath.expandvars"})
ENVIRON = frozenset(
    {
        "os.getenv",
        "os.getenvb",
        "os.environ.get",
        "os.environ.pop",
        "os.environ.setdefault",
        "os.environb.get",
    }
)
CLOCK = frozenset(
    {
        "time.time", "time.time_ns", "time.localtime", "time.gmtime", "time.ctime",
        "datetime.datetime.now", "datetime.datetime.utcnow", "datetime.datetime.today",
        "datetime.date.today", "pandas.Timestamp.now", "pandas.Timestamp.today",
        "pandas.Timestamp.utcnow",
    }
)  # fmt: skip
DRAWN = frozenset({"uuid.uuid1", "uuid.uuid4", "os.urandom", "random.SystemRandom"})
SEEDABLE = frozenset(
    {"random.Random", "random.seed", "numpy.random.default_rng", "numpy.random.RandomState",
     "numpy.random.SeedSequence", "numpy.random.seed"}
)  # fmt: skip
NOT_DRAWN = frozenset(
    {"random.getstate", "random.setstate", "numpy.random.Generator", "numpy.random.PCG64",
     "numpy.random.get_state", "numpy.random.set_state", "numpy.random.BitGenerator"}
)  # fmt: skip
QUERIES = frozenset({"query", "eval", "sql", "execute", "from_query", "query_df", "assign"})
_IN_QUERY = re.compile(r"@?\b[A-Za-z_][\w.]*")
_PATH = re.compile(r"[^\n\r\t\0<>|*?\"{}]{1,240}\Z")
_SUFFIX = re.compile(r".*[^./\\\s]\.[A-Za-z][A-Za-z0-9]{0,9}\Z", re.S)


def draws(found: str) -> bool:
    """Is this a function that draws at random from a generator that the code does not seed?"""
    if found in DRAWN or found.startswith("secrets."):
        return True
    module, _, function = found.rpartition(".")
    return (
        module in ("random", "numpy.random")
        and function[:1].islower()
        and found not in SEEDABLE | NOT_DRAWN
    )


def looks_like_path(text: str) -> bool:
    """Could this text name a file: no odd characters, and a suffix or a slash in it?"""
    if "://" in text or not _PATH.match(text) or text != text.strip():
        return False
    return "/" in text.strip("/") or bool(_SUFFIX.match(text))


def introspects(found: str) -> bool:
    """Does this function, by its import path, look at docstrings, annotations or source?"""
    module, _, name = found.rpartition(".")
    if module.partition(".")[0] == "pydoc":
        return True
    return name in INTROSPECTS and module != "builtins"


def reads_environ(found: str) -> bool:
    """Is this the environment as a whole, or one of its readers as a value?"""
    return found in ENVIRON or found in _READ_ALL or found.startswith(_ENVIRONMENTS)


def names_in_query(text: str) -> list[str]:
    """The names in the text of a query; with its `@` where that is how it says them."""
    return list(dict.fromkeys(match.group().rstrip(".") for match in _IN_QUERY.finditer(text)))
