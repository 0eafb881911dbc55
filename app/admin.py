"""Who may run the service: whoever holds ADMIN_TOKEN."""

import hmac
from typing import Annotated

from fastapi import HTTPException, Request, Security, status
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic import SecretStr

from app.settings import Settings

bearer = HTTPBearer(auto_error=False, scheme_name="Admin token", description="The ADMIN_TOKEN of the service.")


async def admit_admin(request: Request, sent: Annotated[HTTPAuthorizationCredentials | None, Security(bearer)]) -> None:
    """Let a request in that has the admin token.

    Raises:
        HTTPException: 401, the token is missing or wrong; 403, the service has none.
    """
    settings: Settings = request.app.state.settings
    if settings.admin_token is None:
        raise HTTPException(status.HTTP_403_FORBIDDEN, "This service issues no keys: ADMIN_TOKEN is not set.")
    if sent is None or not is_token(sent.credentials, settings.admin_token):
        raise unauthorized("This needs the admin token: Authorization: Bearer …")


def is_token(sent: str, token: SecretStr) -> bool:
    """Compare in a time that tells nothing about how much of it was right."""
    return hmac.compare_digest(sent.encode(), token.get_secret_value().encode())


def unauthorized(detail: str) -> HTTPException:
    """Give the error for who has no credentials, or wrong ones."""
    return HTTPException(status.HTTP_401_UNAUTHORIZED, detail, {"WWW-Authenticate": "Bearer"})
