"""What sections of `propolis.yaml` are made of: their base, kinds of values, and references to secrets."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Self

# Other packages' plugins have no business with the configuration; to look for some takes a twentieth of the start.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from propolis.config.durations import parse_duration


def _absolute(path: Path) -> Path:
    """Refuse a relative path: Propolis also runs from timers, where the current folder is nobody's choice."""
    if not path.is_absolute():
        raise ValueError("must be an absolute path, beginning with /")
    return path


def _http(url: str) -> str:
    """Refuse what isn't a plain base URL; user names and passwords have keys of their own."""
    scheme, separator, rest = url.partition("://")
    if not separator or scheme not in ("http", "https") or not rest:
        raise ValueError("must be a URL that begins with http:// or https://")
    if "@" in rest:
        raise ValueError("must not contain a user name or password; these have their own keys")
    return url.rstrip("/")


def _duration(text: str) -> str:
    parse_duration(text)
    return text


Duration = Annotated[str, AfterValidator(_duration)]
AbsolutePath = Annotated[Path, AfterValidator(_absolute)]
HttpUrl = Annotated[str, AfterValidator(_http)]
Text = Annotated[str, Field(min_length=1)]


class Model(BaseModel):
    """Base of all sections: unknown keys are errors, values never change."""

    # Built with the whole, when that is used first: each by itself as well would take twice as long.
    model_config = ConfigDict(extra="forbid", frozen=True, defer_build=True)


class SecretRef(Model):
    """Where a secret is; never the secret itself. Exactly one of the four is set."""

    file: AbsolutePath | None = Field(default=None, description="A file that contains only the secret (0600)")
    env: Text | None = Field(default=None, description="An environment variable's name")
    credential: Text | None = Field(default=None, description="A systemd credential's name (LoadCredential=)")
    hocon: Text | None = Field(
        default=None,
        pattern=r"^/[^#]+#.+$",
        description="FILE#KEY in the stack's own configuration, e.g. /etc/thehive/secret.conf#play.http.secret.key",
    )

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if sum(value is not None for value in (self.file, self.env, self.credential, self.hocon)) != 1:
            raise ValueError("a secret reference has exactly one of file, env, credential, hocon")
        return self

    def __str__(self) -> str:
        for kind in ("file", "env", "credential", "hocon"):
            value = getattr(self, kind)
            if value is not None:
                return f"{kind} {value}"
        raise AssertionError("a SecretRef has exactly one field set")


class TlsConfig(Model):
    """TLS to a server: whom to trust, and what to show it. Files are PEM, or PKCS12 as Java's stores are."""

    ca: AbsolutePath | None = Field(
        default=None,
        description="Authorities that may sign the server's certificate: PEM or PKCS12 [default: the system's]",
    )
    ca_password: SecretRef | None = Field(default=None, description="Where to find the password of a PKCS12 ca")
    certificate: AbsolutePath | None = Field(
        default=None, description="Certificate to present if the server asks for one: PEM, or PKCS12 with its key"
    )
    key: AbsolutePath | None = Field(default=None, description="Private key (PEM) of a PEM certificate")
    key_password: SecretRef | None = Field(
        default=None, description="Where to find the password of the key or of a PKCS12 certificate"
    )
    verify_host: bool = Field(default=True, description="Refuse a certificate that doesn't name the server's address")

    @model_validator(mode="after")
    def _keys_belong_to_certificates(self) -> Self:
        if self.certificate is None and (self.key is not None or self.key_password is not None):
            raise ValueError("key and key_password need a certificate")
        if self.ca is None and self.ca_password is not None:
            raise ValueError("ca_password needs a ca")
        return self
