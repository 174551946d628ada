"""Certificate signing requests (RFC 2986), for machines whose key is never to leave them."""

from __future__ import annotations

from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.serialization import Encoding
from cryptography.x509.oid import NameOID

from shared.errors import BadInputError
from shared.pki import files
from shared.pki.identity import Identity
from shared.pki.keys import load_or_create_key


def write_request(folder: Path, identity: Identity) -> Path:
    """A request in `folder` for the key there, which is made when there is none. Raises BadInputError."""
    key = load_or_create_key(folder / files.KEY)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, str(identity))])
    request = x509.CertificateSigningRequestBuilder().subject_name(name).sign(key, None)
    path = folder / files.REQUEST
    files.replace_file(path, request.public_bytes(Encoding.PEM))
    return path


def read_request(path: Path, identity: Identity) -> Ed25519PublicKey:
    """The public key of a request that its holder signed, and that names `identity`. Raises BadInputError."""
    try:
        request = x509.load_pem_x509_csr(files.read_file(path))
        genuine = request.is_signature_valid
        key = request.public_key()
        names = request.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    except files.MALFORMED as error:
        raise BadInputError(f"{path}: not a certificate request in PEM: {str(error)[:120]}") from None
    if not genuine or not isinstance(key, Ed25519PublicKey):
        raise BadInputError(f"{path}: not signed by the Ed25519 key that it is for")
    if [name.value for name in names] != [str(identity)]:
        raise BadInputError(f"{path}: asks for {', '.join(str(name.value) for name in names)[:80]}, not for {identity}")
    return key
