"""TLS in front of a test's Postgres, whose build has none: answers the SSLRequest as a server does, with a certificate
of an authority made for the test, and passes on what comes decrypted.
"""

import datetime
import socket
import ssl
import struct
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.support.relay import listening, relayed

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)


@dataclass
class TlsProxy:
    port: int
    ca_file: Path
    refused: int = 0
    """Connections that did not ask for TLS."""


def _authority(folder: Path, host: str) -> tuple[Path, Path]:
    """The authority's certificate, and key and certificate of `host` in one file."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]) for name in ("test authority", host)]

    def certificate(subject: int, *extensions: x509.ExtensionType) -> x509.Certificate:
        builder = (
            x509.CertificateBuilder()
            .subject_name(names[subject])
            .issuer_name(names[0])
            .public_key(keys[subject].public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(hours=1))
            .not_valid_after(now + datetime.timedelta(days=1))
        )
        for extension in extensions:
            builder = builder.add_extension(extension, critical=isinstance(extension, x509.BasicConstraints))
        return builder.sign(keys[0], hashes.SHA256())

    authority = certificate(0, x509.BasicConstraints(ca=True, path_length=None))
    server = certificate(1, x509.SubjectAlternativeName([x509.DNSName(host)]))
    pem = serialization.Encoding.PEM
    ca_file, server_file = folder / "ca.pem", folder / "server.pem"
    ca_file.write_bytes(authority.public_bytes(pem))
    key = keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    server_file.write_bytes(key + server.public_bytes(pem))
    return ca_file, server_file


@contextmanager
def tls_proxy(folder: Path, upstream: int, *, host: str = "localhost") -> Iterator[TlsProxy]:
    """Listens on loopback for `host` until the end of the block; `upstream` is the server's port."""
    ca_file, server_file = _authority(folder, host)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(server_file)
    proxy = TlsProxy(0, ca_file)

    def serve(raw: socket.socket) -> None:
        with suppress(OSError), raw:
            if raw.recv(8, socket.MSG_WAITALL) != _SSL_REQUEST:
                proxy.refused += 1
                return
            raw.sendall(b"S")
            with (
                context.wrap_socket(raw, server_side=True) as inner,
                socket.create_connection(("127.0.0.1", upstream)) as outer,
            ):
                relayed(inner, outer)

    with listening(serve) as proxy.port:
        yield proxy
