"""Access control and security headers.

Middleware that checks every request before it reaches a route, limits the size of its body, and adds security headers
to the response. Host is checked against DNS rebinding, Origin against requests of other sites, the token against other
users.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
from collections.abc import Iterable
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import cookie_parser
from starlette.types import ASGIApp, Message, Receive, Scope, Send

COOKIE = "impasto_token"
API = "/api/"
_PAGE_POLICY = (
    "default-src 'self'; script-src 'self'{script}; style-src 'self' 'unsafe-inline'; img-src 'self' blob: data:; "
    "media-src 'self' blob:; font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
PAGE_POLICY = _PAGE_POLICY.format(script="")
CONTROLS_POLICY = _PAGE_POLICY.format(script=" 'unsafe-inline'")
API_POLICY = "default-src 'none'; frame-ancestors 'none'; sandbox"


@dataclass(frozen=True)
class AccessRules:
    """The access rules of the guard.

    Args:
        token: required from every client; None on loopback, which only this computer can reach.
        names: DNS names accepted as Host, besides localhost.
        any_address: whether any IP address is accepted as Host, or only loopback addresses. DNS rebinding always uses
            a name, never an address.
        body_bytes: the largest request body.
    """

    token: str | None = None
    names: tuple[str, ...] = ()
    any_address: bool = False
    body_bytes: int = 256 << 20


class Guard:
    """ASGI middleware around the whole app, including the page."""

    def __init__(self, app: ASGIApp, rules: AccessRules, loose: Iterable[str] = ()) -> None:
        self.app = app
        self.rules = rules
        self.loose = tuple(loose)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self.app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        refusal = self._refusal(scope, headers)
        if scope["type"] == "websocket":
            if refusal is not None:
                await send({"type": "websocket.close", "code": 1008})
            else:
                await self.app(scope, receive, send)
            return
        send = self._with_headers(scope, send)
        if refusal is not None:
            await _answer(scope, send, *refusal)
        elif (cleaned := self._token_in_address(scope)) is not None:
            cookie = f"{COOKIE}={self.rules.token}; HttpOnly; SameSite=Strict; Path=/"
            await _redirect(send, cleaned, cookie)
        else:
            await self.app(scope, self._capped(receive), send)

    def _refusal(self, scope: Scope, headers: Headers) -> tuple[int, str] | None:
        """Return status and reason if the request is refused."""
        host = headers.get("host", "")
        if not self._host_allowed(host):
            return 400, f"the host name {host!r} is not allowed; to allow it, start the studio with --allow-host"
        origin = headers.get("origin")
        if origin is not None and urlsplit(origin).netloc.lower() != host.lower():
            return 403, f"requests from {origin} are not allowed"
        if headers.get("sec-fetch-site") == "cross-site" and headers.get("sec-fetch-mode") != "navigate":
            return 403, "requests from other sites are not allowed"
        if self.rules.token is not None and not self._token_given(scope, headers):
            return (
                401,
                "a token is required: open the address that the studio printed, or send Authorization: Bearer",
            )
        try:
            length = int(headers.get("content-length", "0"))
        except ValueError:
            return 400, "Content-Length is not a number"
        if length > self.rules.body_bytes:
            return 413, f"the request has more than {self.rules.body_bytes >> 20} MiB"
        return None

    def _host_allowed(self, host: str) -> bool:
        name = host.rpartition(":")[0] if host.rpartition(":")[2].isdigit() else host
        name = name.strip("[]").rstrip(".").lower()
        if name == "localhost" or name in self.rules.names:
            return True
        try:
            address = ipaddress.ip_address(name)
        except ValueError:
            return False
        return self.rules.any_address or address.is_loopback

    def _token_given(self, scope: Scope, headers: Headers) -> bool:
        assert self.rules.token is not None
        candidates = []
        scheme, _, value = headers.get("authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            candidates.append(value.strip())
        # Cookies of other programs on this host may contain characters at which the standard library's parser stops.
        if COOKIE in (cookies := cookie_parser(headers.get("cookie", ""))):
            candidates.append(cookies[COOKIE])
        if scope.get("method") == "GET" and not scope["path"].startswith(API):
            candidates += [value for name, value in _query(scope) if name == "token"]
        expected = self.rules.token.encode()
        return any(hmac.compare_digest(candidate.encode(), expected) for candidate in candidates)

    def _token_in_address(self, scope: Scope) -> str | None:
        """Return the address without its token, to keep the token out of the history and of links."""
        if self.rules.token is None or scope["method"] != "GET" or scope["path"].startswith(API):
            return None
        query = _query(scope)
        rest = [(name, value) for name, value in query if name != "token"]
        if len(rest) == len(query):
            return None
        path = "/" + str(scope["path"]).lstrip("/")  # two slashes would redirect to another host
        return path + (f"?{urlencode(rest)}" if rest else "")

    def _capped(self, receive: Receive) -> Receive:
        """Limit a body without Content-Length."""
        seen = 0

        async def counting() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > self.rules.body_bytes:
                    raise HTTPException(413, f"the request has more than {self.rules.body_bytes >> 20} MiB")
            return message

        return counting

    def _with_headers(self, scope: Scope, send: Send) -> Send:
        path: str = scope["path"]
        policy = API_POLICY if path.startswith(API) else PAGE_POLICY
        if any(path.startswith(prefix) for prefix in self.loose):
            policy = CONTROLS_POLICY

        async def sending(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers["Content-Security-Policy"] = policy
                headers["X-Content-Type-Options"] = "nosniff"
                headers["X-Frame-Options"] = "SAMEORIGIN"
                headers["Referrer-Policy"] = "no-referrer"
                headers["Cross-Origin-Opener-Policy"] = "same-origin"
                headers["Cross-Origin-Resource-Policy"] = "same-origin"
                headers["Permissions-Policy"] = "camera=(self), microphone=(), geolocation=()"
                if path.startswith(API):
                    headers.setdefault("Cache-Control", "no-store")
            await send(message)

        return sending


def _query(scope: Scope) -> list[tuple[str, str]]:
    return parse_qsl(scope.get("query_string", b"").decode("latin-1"), keep_blank_values=True)


async def _answer(scope: Scope, send: Send, status: int, detail: str) -> None:
    """Send a problem document from the middleware."""
    problem = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": scope["path"],
        "errors": [],
    }
    headers = [(b"content-type", b"application/problem+json")]
    if status == HTTPStatus.UNAUTHORIZED:
        headers.append((b"www-authenticate", b"Bearer"))
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps(problem).encode()})


async def _redirect(send: Send, location: str, cookie: str) -> None:
    """Redirect the browser, with the token in a cookie."""
    headers = [(b"location", location.encode("ascii", "replace")), (b"set-cookie", cookie.encode("ascii"))]
    await send({"type": "http.response.start", "status": 303, "headers": headers})
    await send({"type": "http.response.body", "body": b""})
