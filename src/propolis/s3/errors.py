"""What an S3 client's error means, in one sentence with what to do.

The client (obstore) tells a server's answer as `status code: 403 Forbidden: <Error><Code>…`, and after
`Debug source:` how a connection failed. Bucket and object names stand in the text too, so only these forms are
looked at, never the text as a whole. Codes are those of the S3 API's list of error responses, and MinIO's and
versitygw's own. Another client (`s3api`) tells the same as an `AnswerError`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from obstore import exceptions

from propolis.errors import RepositoryError

S3_ERRORS = (exceptions.BaseError, OSError, ValueError)
"""What obstore raises when a request fails."""

_KEYS = ("the access key or secret key is wrong", "Correct access_key and secret_key")
_RIGHTS = (
    "the access key may not do this",
    "Give it the permissions it needs. If hosts have a credential that can only add, use the maintenance credential",
)
_BUCKET = ("there is no such bucket", "Create the bucket, or correct its name")
_CLOCK = (
    "this host's clock and the storage's differ by more than it allows",
    "Set both clocks, e.g. with chrony",
)
_FULL = (
    "the storage is full",
    "Free some space there, then run the command again: data stored so far is not stored again",
)
_BUSY = ("it is overloaded or out of order", "Check the storage server, then try again")
_LOCKED = ("the object is locked", "Wait until its retention has passed")
NOT_LOCKABLE = (
    "the bucket was made without Object Lock",
    "Create a bucket with Object Lock (see the user guide on storage), or leave object_lock out",
)
_NO_ROLE = (
    "there are no access keys for it: none are configured, and AWS gives this host none (no IAM role)",
    "Give the host a role that may use the bucket, or set access_key and secret_key",
)
_METADATA = re.compile(r"Generic S3 error: Error performing (PUT|GET) https?://[^/\s]+/latest/(api/token|meta-data/)")
"""How the client begins to tell that it asked the host's own service for keys, in vain."""
_REASONS = {
    "ObjectLockConfigurationNotFoundError": NOT_LOCKABLE,
    "NoSuchBucket": _BUCKET,
    "InvalidBucketName": _BUCKET,
    "InvalidAccessKeyId": _KEYS,
    "SignatureDoesNotMatch": _KEYS,
    "XAdminUserNotFound": _KEYS,
    "InvalidTokenId": _KEYS,
    "InvalidToken": _KEYS,
    "ExpiredToken": _KEYS,
    "AccessDenied": _RIGHTS,
    "AllAccessDisabled": _RIGHTS,
    "RequestTimeTooSkewed": _CLOCK,
    "RequestExpired": _CLOCK,
    "AuthorizationHeaderMalformed": ("the region is wrong", "Correct region"),
    "InvalidRegion": ("the region is wrong", "Correct region"),
    "IllegalLocationConstraintException": ("the region is wrong", "Correct region"),
    "PermanentRedirect": ("the bucket is in another region", "Correct region and endpoint"),
    "TemporaryRedirect": ("the bucket is in another region", "Correct region and endpoint"),
    "XMinioStorageFull": _FULL,
    "QuotaExceeded": _FULL,
    "XMinioAdminBucketQuotaExceeded": _FULL,
    "ObjectLocked": _LOCKED,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
}
_STATUSES = {
    301: _REASONS["PermanentRedirect"],
    401: _KEYS,
    403: _RIGHTS,
    507: _FULL,
    500: _BUSY,
    502: _BUSY,
    503: _BUSY,
    504: _BUSY,
}
_CONNECTION = (
    (r"\bUnknownIssuer\b", "no known authority signed its TLS certificate", "Set ca to the authority's file"),
    (
        r"\bNotValidForName",
        "its TLS certificate is for another name",
        "Set endpoint to the name in the certificate",
    ),
    (r"\b(Expired|NotValidYet)", "its TLS certificate is not valid at this time", "Renew it, or set the clock"),
    (
        r"\bInvalidCertificate\b|\bCaUsedAsEndEntity\b",
        "its TLS certificate can't be trusted",
        "Check the certificate",
    ),
    (r"\bInvalidContentType\b", "it doesn't speak TLS", "Use http:// in the endpoint, or make it serve TLS"),
    (r"\bInvalidMessage\b|\bAlertReceived\b|\bPeerIncompatible\b", "TLS can't be agreed on", "Check its TLS set-up"),
    (r'"dns error"', "its host name is not known", "Correct the endpoint, or the name service"),
    (r"\bkind: Connect\b", "it doesn't answer", "Check the endpoint and the network"),
    (r"\bkind: Timeout\b|\bTimedOut\b", "it didn't answer in time", "Check the network and the storage server"),
    (
        r"\bHttpError\b|\bhyper::Error\b|\breqwest::Error\b",
        "the connection broke",
        "Check the network, then run the command again",
    ),
)


@dataclass(frozen=True)
class Told:
    """What a failed request says of itself."""

    status: int | None
    """The server's answer; None when there was none."""
    code: str
    message: str
    details: str
    """The client's own account of how the connection failed."""

    @property
    def passing(self) -> bool:
        """Whether the same request may well succeed a moment later."""
        if self.status is None:
            broken = re.search(r"\bHttpError\b", self.details)
            return bool(broken) and not re.search(r"\bInvalidCertificate\b|\bInvalidMessage\b", self.details)
        return self.status in (408, 409, 429) or 500 <= self.status <= 504


class AnswerError(OSError):
    """A request that failed, and what is known of it."""

    def __init__(self, told: Told) -> None:
        super().__init__(told.message or told.code or told.details)
        self.told = told


def told(error: Exception) -> Told:
    """Read a client's error."""
    if isinstance(error, AnswerError):
        return error.told
    text, _, details = str(error).partition("\n\nDebug source:")
    status = re.search(r" status code: (\d{3})\b[^:]*:?(.*)", text, re.DOTALL)
    code = re.search(r"<Code>(\w+)</Code>", text) or re.search(r" \(code: (\w+)\)", text)
    message = re.search(r"<Message>(.*?)</Message>", text, re.DOTALL)
    shown = text
    if message:
        import html

        shown = html.unescape(message[1])
    elif status:
        shown = re.sub(r"<[^>]*>", " ", status[2])
    return Told(
        int(status[1]) if status else None,
        code[1] if code else "",
        " ".join(shown.split())[:300],
        re.sub(r"uri: Some\(.*?\)", "", details, flags=re.DOTALL),
    )


def is_missing(error: Exception) -> bool:
    """Whether the object isn't there, in a bucket that is; HEAD tells no more than that something isn't."""
    if isinstance(error, AnswerError):
        # 405: the newest version marks a deletion.
        return error.told.code in ("NoSuchKey", "NoSuchVersion", "MethodNotAllowed")
    if not isinstance(error, exceptions.NotFoundError | FileNotFoundError):
        return False
    return told(error).code in ("", "NoSuchKey", "NoSuchVersion")


def explain(error: Exception, what: str, failed: str) -> RepositoryError:
    """The error to raise: `what` can't `failed`, for which reason."""
    found = told(error)
    if _METADATA.match(str(error)):
        return RepositoryError(f"{what} can't {failed}: {_NO_ROLE[0]}", next=_NO_ROLE[1])
    reason = _LOCKED if "protected by object lock" in found.message else _REASONS.get(found.code)
    if reason is None and found.status is not None:
        if "HTTP request to an HTTPS server" in found.message:
            reason = ("it speaks TLS only", "Use https:// in the endpoint")
        elif re.search(r"missing Object ?Lock ?Configuration", found.message):
            reason = NOT_LOCKABLE
        elif "WORM protected" in found.message:
            reason = _LOCKED
        elif found.message:
            reason = (f"it answers {found.status}: {found.message}", _STATUSES.get(found.status, ("", ""))[1])
        else:
            reason = _STATUSES.get(found.status)
    if reason is None and found.status is None:
        for pattern, why, advice in _CONNECTION:
            if re.search(pattern, found.details):
                reason = (why, advice)
                break
    why, advice = reason or (f"it answers {found.status}" if found.status else found.message, "")
    return RepositoryError(f"{what} can't {failed}: {why}", next=advice)
