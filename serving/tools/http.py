"""The operator's own tool, by HTTP."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

import aiohttp

from router.errors import ConfigurationError
from router.tools import MAX_RESULT_CHARACTERS, failed, shortened

MAX_REPLY_BYTES = 64 << 10
"""Of a longer reply the rest is not read."""


@dataclass(frozen=True, slots=True)
class Http:
    """Posts ``{"argument": ...}`` to a URL and gives the body of the reply to the model.

    url: where. describe: what the model is told about it, in a line. argument: what its argument is.
    timeout_s: for one use as a whole. api_key: sent as a bearer token, and told to nobody else. Redirects are
    not followed, so that the key goes where it should. Raises ``ConfigurationError`` where one is wrong.
    """

    name: ClassVar[str] = "http"
    summary: ClassVar[str] = "the operator's own tool: posts the argument to a URL"

    url: str
    describe: str
    argument: str = "the input"
    timeout_s: float = 10.0
    api_key: str | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not isinstance(self.url, str) or not self.url.startswith(("http://", "https://")):
            raise ConfigurationError(f"url = {self.url!r} must begin with http:// or https://.")
        if not isinstance(self.describe, str) or not self.describe.strip():
            raise ConfigurationError("describe must tell the model what the tool does.")
        if not isinstance(self.timeout_s, int | float) or not 0 < self.timeout_s < float("inf"):
            raise ConfigurationError(f"timeout_s = {self.timeout_s!r} must be above 0.")

    @property
    def description(self) -> str:
        """What the model is told about it."""
        return self.describe

    @property
    def schema(self) -> Mapping[str, Any]:
        """A text of which the operator says what it is."""
        return {"type": "string", "description": self.argument}

    async def use(self, argument: str) -> str:
        """The reply's body; ``error: ...`` where the tool fails, is late or cannot be reached."""
        try:
            async with self._session() as session:
                return await self._post(session, argument)
        except TimeoutError:
            return failed(f"the tool did not answer within {self.timeout_s:g} s")
        except (aiohttp.ClientError, OSError, asyncio.IncompleteReadError):
            return failed("the tool cannot be reached")  # the library's own words hold the address

    def _session(self) -> aiohttp.ClientSession:
        headers = {"accept-encoding": "identity"}  # a small reply cannot become a huge one
        if self.api_key:
            headers["authorization"] = f"Bearer {self.api_key.strip()}"
        timeout = aiohttp.ClientTimeout(total=self.timeout_s)
        return aiohttp.ClientSession(headers=headers, timeout=timeout, cookie_jar=aiohttp.DummyCookieJar())

    async def _post(self, session: aiohttp.ClientSession, argument: str) -> str:
        body = {"argument": argument}
        async with session.post(self.url, json=body, allow_redirects=False) as response:
            text = (await _beginning(response)).decode(errors="replace").strip()
        if not 200 <= response.status < 300:
            return failed(f"the tool answered {response.status}: {text[: MAX_RESULT_CHARACTERS // 4]}")
        return shortened(text) or "(the tool answered nothing)"


async def _beginning(response: aiohttp.ClientResponse) -> bytes:
    try:
        return await response.content.readexactly(MAX_REPLY_BYTES)
    except asyncio.IncompleteReadError as error:
        return error.partial
