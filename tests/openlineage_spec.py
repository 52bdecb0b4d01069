"""Judges events by OpenLineage's own definitions: the classes that its client generates from them.

The client has no schema files, but a class for every object and facet of the specification, and its
URL. From them come the JSON schemas here: closed ones, so that a misspelt field is an error.
"""

from __future__ import annotations

import datetime as dt
import enum
import functools
import importlib
import pkgutil
import types
import typing
from typing import Any
from urllib.parse import urlsplit

import attr
from jsonschema import Draft202012Validator, FormatChecker
from openlineage.client import facet_v2, generated
from openlineage.client.event_v2 import RunEvent
from openlineage.client.serde import Serde

_KINDS = {
    "Run": facet_v2.RunFacet,
    "Job": facet_v2.JobFacet,
    "Dataset": facet_v2.DatasetFacet,
    "InputDataset": facet_v2.InputDatasetFacet,
    "OutputDataset": facet_v2.OutputDatasetFacet,
}
_FORMATS = {"runId": "uuid", "eventTime": "date-time", "producer": "uri", "schemaURL": "uri",
            "nominalStartTime": "date-time", "nominalEndTime": "date-time",
            "_producer": "uri", "_schemaURL": "uri"}  # fmt: skip
_KEYS = {
    "datasetVersion": "version",
    "processingEngine": "processing_engine",
    "inputSubset": "subset",
    "outputSubset": "subset",
}
_FORMAT = FormatChecker(("uuid",))
_FORMAT.checks("uri", ValueError)(lambda text: bool(urlsplit(text).scheme))
_FORMAT.checks("date-time", ValueError)(
    lambda text: "T" in text and dt.datetime.fromisoformat(text).tzinfo is not None
)


@functools.cache
def facet_classes() -> dict[str, type]:
    """Every facet of the specification, by the URL of its definition."""
    names = [name for _, name, _ in pkgutil.iter_modules(generated.__path__)]
    modules = [importlib.import_module(f"{generated.__name__}.{name}") for name in names]
    found = [value for module in modules for value in vars(module).values()
             if isinstance(value, type) and issubclass(value, facet_v2.BaseFacet)]  # fmt: skip
    return {cls._get_schema(): cls for cls in found}


@functools.cache
def schema(cls: type) -> dict[str, Any]:
    """The JSON schema of a class of the client, and of all that its fields hold."""
    definitions: dict[str, Any] = {}
    found = {**_reference(cls, definitions), "$defs": definitions}
    Draft202012Validator.check_schema(found)
    return found


def _reference(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    name = f"{cls.__module__.rpartition('.')[2]}.{cls.__name__}"
    if name not in definitions:
        definitions[name] = {}  # a class may hold itself
        definitions[name] = _object(cls, definitions)
    return {"$ref": f"#/$defs/{name}"}


def _object(cls: type, definitions: dict[str, Any]) -> dict[str, Any]:
    hints = typing.get_type_hints(cls)
    fields = attr.fields(cls)
    needed = [field.name for field in fields if field.default is attr.NOTHING]
    if issubclass(cls, facet_v2.BaseFacet):
        needed += ["_producer", "_schemaURL"]
    if cls is RunEvent:
        needed += ["producer", "schemaURL", "eventType"]
    return {
        "type": "object",
        "properties": {f.name: _type(hints[f.name], f.name, definitions) for f in fields},
        "required": needed,
        "additionalProperties": cls in _KINDS.values(),  # facets of lineal's own hold anything
    }


def _type(hint: Any, name: str, definitions: dict[str, Any]) -> dict[str, Any]:
    origin, inner = typing.get_origin(hint), typing.get_args(hint)
    if origin in (typing.Union, types.UnionType):
        found = [each for each in inner if each is not type(None)]
        return {"anyOf": [_type(each, name, definitions) for each in found]}
    if origin is list:
        return {"type": "array", "items": _type(inner[0], "", definitions)}
    if origin is dict:
        if _is_facet(inner[1]):
            return {"type": "object"}  # each of them is looked at by itself
        return {"type": "object", "additionalProperties": _type(inner[1], "", definitions)}
    if hint is Any:
        return {}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return {"enum": [each.value for each in hint]}
    if isinstance(hint, type) and attr.has(hint):
        return _reference(hint, definitions)
    plain = {str: "string", int: "integer", float: "number", bool: "boolean"}[hint]
    return {"type": plain, **({"format": _FORMATS[name]} if name in _FORMATS else {})}


def _is_facet(hint: Any) -> bool:
    return isinstance(hint, type) and issubclass(hint, facet_v2.BaseFacet)


def errors(event: dict[str, Any]) -> list[str]:
    """Where an event is not what the specification says; nothing if it is."""
    found = [f"{e.json_path}: {e.message}" for e in _checked(event, RunEvent)]
    if event["schemaURL"] != RunEvent._get_schema():
        found.append(f"schemaURL: {event['schemaURL']}")
    for place, kind, facets in _all_facets(event):
        for key, facet in facets.items():
            found += [f"{place}.{key}: {text}" for text in _facet_errors(key, facet, kind)]
    return found


def _checked(value: Any, cls: type) -> list[Any]:
    return list(Draft202012Validator(schema(cls), format_checker=_FORMAT).iter_errors(value))


def _facet_errors(key: str, facet: dict[str, Any], kind: str) -> list[str]:
    cls = facet_classes().get(facet.get("_schemaURL", ""))
    if cls is None:
        return [f"{facet.get('_schemaURL')} is no definition of this version"]
    found = [f"{e.json_path}: {e.message}" for e in _checked(facet, cls)]
    if not issubclass(cls, _KINDS[kind]):
        found.append(f"{cls.__name__} is no facet of {kind}")
    if cls in _KINDS.values():
        return (
            found if key.startswith("lineal_") else [*found, "is not told apart from official ones"]
        )
    for suffix in ("Facet", *sorted((f"{k}" for k in _KINDS), key=len, reverse=True)):
        name = cls.__name__.removesuffix("Facet").removesuffix(suffix)
        if name != cls.__name__.removesuffix("Facet"):
            break
    name = name[:1].lower() + name[1:] if name != "SQL" else "sql"
    return (
        found if _KEYS.get(name, name) == key else [*found, f"the key of {cls.__name__} is {name}"]
    )


def _all_facets(event: dict[str, Any]) -> list[tuple[str, str, dict[str, Any]]]:
    found = [("run", "Run", event["run"].get("facets", {})),
             ("job", "Job", event["job"].get("facets", {}))]  # fmt: skip
    for side, kind in (("inputs", "Input"), ("outputs", "Output")):
        for dataset in event[side]:
            place = f"{side}.{dataset['name']}"
            found.append((place, "Dataset", dataset.get("facets", {})))
            found.append((place, f"{kind}Dataset", dataset.get(f"{kind.lower()}Facets", {})))
    return found


# -------------------------------------------------------------------------- as the client's objects


def through_the_client(event: dict[str, Any]) -> Any:
    """What the official client would send of the same event: built of its classes, by its serde."""
    return without_nothing(Serde.to_dict(_built(RunEvent, event)))


def without_nothing(value: Any) -> Any:
    """Null and empty fields left out: the client fills in some that nobody gave."""
    if isinstance(value, list):
        return [without_nothing(each) for each in value]
    if not isinstance(value, dict):
        return value
    found = {key: without_nothing(each) for key, each in value.items()}
    return {key: each for key, each in found.items() if each not in (None, {}, [])}


def _built(cls: type, value: Any) -> Any:
    hints = typing.get_type_hints(cls)
    given = {}
    for field in attr.fields(cls):
        if field.name in value and field.init:
            given[field.alias] = _built_as(hints[field.name], value[field.name])
    known = {field.name for field in attr.fields(cls)}
    built = cls(**given)
    more = {name: each for name, each in value.items() if name not in known}
    return built.with_additional_properties(**more) if more else built


def _built_as(hint: Any, value: Any) -> Any:
    inner = [each for each in typing.get_args(hint) if each is not type(None)]
    if typing.get_origin(hint) in (typing.Union, types.UnionType):
        return _built_as(_fitting(inner, value), value)
    if typing.get_origin(hint) is list:
        return [_built_as(inner[0], each) for each in value]
    if typing.get_origin(hint) is dict:
        if _is_facet(inner[1]):
            return {
                k: _built(facet_classes()[each["_schemaURL"]], each) for k, each in value.items()
            }
        return {key: _built_as(inner[1], each) for key, each in value.items()}
    if isinstance(hint, type) and issubclass(hint, enum.Enum):
        return hint(value)
    return _built(hint, value) if isinstance(hint, type) and attr.has(hint) else value


def _fitting(classes: list[Any], value: Any) -> Any:
    """Of several classes the one whose `type` the value says."""
    for each in classes:
        fields = attr.fields_dict(each) if attr.has(each) else {}
        if "type" in fields and fields["type"].default == value.get("type"):
            return each
    return classes[0]
