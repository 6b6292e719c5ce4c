"""Accounts: who is calling, by API key, and what they may spend."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from router.configuration import Configuration
from router.errors import ConfigurationError, Unauthorized
from router.ledger import Allowance
from router.query import DEFAULT_ACCOUNT


@dataclass(frozen=True, slots=True)
class Accounts:
    """by_key: SHA-256 of an API key -> allowance. Where no key is configured, everybody is ``anyone``."""

    by_key: Mapping[str, Allowance]
    anyone: Allowance | None

    @classmethod
    def of(cls, configuration: Configuration) -> Accounts:
        """The configured accounts. One without keys may only stand alone: it is then everybody's."""
        by_key: dict[str, Allowance] = {}
        keyless: list[Allowance] = []
        for section in configuration.accounts:
            allowance = Allowance.of_usd(section.name, section.allowance_usd, section.window)
            keyless += [] if section.api_keys_sha256 else [allowance]
            for digest in section.api_keys_sha256:
                if digest in by_key:
                    raise ConfigurationError(
                        f"accounts: {section.name!r} shares an API key with another account."
                    )
                by_key[digest] = allowance
        if by_key and keyless:
            raise ConfigurationError(
                f"accounts: {keyless[0].account!r} has no api_keys_sha256, but others have."
            )
        if len(keyless) > 1:
            raise ConfigurationError("accounts: several accounts need api_keys_sha256 to tell callers apart.")
        anyone = None if by_key else (keyless or [Allowance(DEFAULT_ACCOUNT)])[0]
        return cls(by_key, anyone)

    @property
    def allowances(self) -> list[Allowance]:
        """One for each account."""
        known = [] if self.anyone is None else [self.anyone]
        return list(dict.fromkeys([*known, *self.by_key.values()]))

    def of_header(self, authorization: bytes | None) -> Allowance:
        """The caller's allowance, from an ``Authorization: Bearer`` header; ``Unauthorized`` else."""
        if self.anyone is not None:
            return self.anyone
        scheme, _, key = (authorization or b"").partition(b" ")
        allowance = self.by_key.get(hashlib.sha256(key.strip()).hexdigest())
        if scheme.lower() != b"bearer" or allowance is None:
            raise Unauthorized("Incorrect or missing API key. Send one as 'Authorization: Bearer <key>'.")
        return allowance
