"""Posts events to an endpoint of OpenLineage, one after the other, when a person asks for it."""

from __future__ import annotations

from collections.abc import Iterable
from http.client import HTTPException
from typing import IO, Any
from urllib import error, parse, request

from lineal.assets.errors import LinealError, UsageError

_PATH = "/api/v1/lineage"  # of Marquez, and of most others
_TIMEOUT = 30  # seconds


class NotSent(LinealError):
    """The endpoint can't be reached, or did not take an event."""

    kind = "not_sent"


class _NoRedirects(request.HTTPRedirectHandler):
    """An event would arrive elsewhere as a GET without a body, and so would the key."""

    def redirect_request(
        self,
        req: request.Request,
        fp: IO[bytes],
        code: int,
        msg: str,
        headers: Any,
        newurl: str,
    ) -> None:
        return None


class Endpoint:
    """Where events go. A URL without a path means the usual one.

    Args:
        key: a bearer token; it is sent, and never shown.
    """

    def __init__(self, url: str, key: str = "") -> None:
        self.url = _checked(url)
        if not (key.isascii() and key.isprintable()):
            raise UsageError("the key in OPENLINEAGE_API_KEY has characters that no key has")
        self._headers = {"Content-Type": "application/json", "User-Agent": "lineal"}
        if key:
            self._headers["Authorization"] = f"Bearer {key}"
        self._key = key
        self._opener = request.build_opener(_NoRedirects)

    def post(self, event: str) -> None:
        """Send one event, given as JSON.

        Raises:
            NotSent: it did not arrive, or was refused.
        """
        asked = request.Request(self.url, event.encode(), self._headers, method="POST")
        try:
            with self._opener.open(asked, timeout=_TIMEOUT) as answer:
                answer.read()
        except error.HTTPError as refused:
            with refused:
                told = refused.read(500).decode("utf-8", "replace").strip()
            if self._key:
                told = told.replace(self._key, "…")  # an endpoint may repeat what it refuses
            said = f": {told.splitlines()[0][:200]}" if told else ""
            raise NotSent(f"{self.url} answered {refused.code} {refused.reason}{said}") from None
        except (error.URLError, HTTPException, OSError) as trouble:
            why = getattr(trouble, "reason", trouble)
            raise NotSent(f"{self.url} can't be reached: {why}") from None


def send(endpoint: Endpoint, runs: Iterable[tuple[str, Iterable[str]]]) -> tuple[int, int]:
    """Send the events of each run: how many runs, how many events.

    Raises:
        NotSent: says how many arrived, and how to go on.
    """
    told = sent = 0
    for run, events in runs:
        for event in events:
            try:
                endpoint.post(event)
            except NotSent as trouble:
                arrived = "1 event was" if sent == 1 else f"{sent:,} events were"
                trouble.advice = (
                    f"{arrived} sent before; go on with `--since {run}`: "
                    "what arrives twice has the same ids"
                )
                raise
            sent += 1
        told += 1
    return told, sent


def _checked(url: str) -> str:
    try:
        parts = parse.urlsplit(url)
        port = parts.port
    except ValueError as error_:
        raise UsageError(f"`--url` is no URL: {error_}") from None
    if "@" in parts.netloc:
        raise UsageError(
            "`--url` holds a name or a password",
            advice="leave it out, and set OPENLINEAGE_API_KEY to the key",
        )
    if parts.scheme not in ("http", "https") or not parts.hostname or port == 0:
        raise UsageError(
            f"`{url}` is no URL of an endpoint", advice="such as http://localhost:5000"
        )
    if parts.path in ("", "/"):
        parts = parts._replace(path=_PATH)
    return parse.urlunsplit(parts)
