"""SD-JWTs by PyPI's `sd-jwt`, the reference implementation of RFC 9901's authors."""

from collections.abc import Mapping
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tallystick_ledger.encoding import to_base64url

try:
    from jwcrypto.jwk import JWK
    from sd_jwt.common import SDObj
    from sd_jwt.issuer import SDJWTIssuer
    from sd_jwt.verifier import SDJWTVerifier
except ImportError:
    INSTALLED = False
else:
    INSTALLED = True


class SdJwtKey:
    """A key that issues and verifies claims with `sd-jwt`."""

    def __init__(self, private_key: Ed25519PrivateKey, *, key_id: str) -> None:
        """Sign under the same key and header as ours, alg `Ed25519`."""
        public = to_base64url(private_key.public_key().public_bytes_raw())
        self._key = JWK(kty="OKP", crv="Ed25519", x=public, d=to_base64url(private_key.private_bytes_raw()))
        self._public = JWK(kty="OKP", crv="Ed25519", x=public)
        self._header = {"typ": "dc+sd-jwt", "kid": key_id}

    def issue(self, shown: Mapping[str, object], disclosed: Mapping[str, object]) -> str:
        """Return the token that shows some claims and discloses others."""
        claims = {**shown, **{SDObj(name): value for name, value in disclosed.items()}}
        issued = SDJWTIssuer(claims, self._key, sign_alg="Ed25519", extra_header_parameters=self._header)
        return str(issued.sd_jwt_issuance)

    def verify(self, token: str) -> dict[str, Any]:
        """Return what a token says; no time, audience or type is looked at."""
        return dict(SDJWTVerifier(token, lambda _issuer, _header: self._public).get_verified_payload())
