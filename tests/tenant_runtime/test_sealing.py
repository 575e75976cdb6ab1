"""Sealed values open at their place, under their key, for their tenant, and nowhere else."""

import base64
import os

import pytest

from tenant_runtime.engine.serde.sealing import Sealer, SealRefused, seal_keys_parse

K1, K2 = (base64.b64encode(bytes([n]) * 32).decode() for n in (1, 2))
PLACE = ("blob", "thread", "", "messages", "v1")


def sealer(keys: str = f"a:{K1}", tenant: str = "acme") -> Sealer:
    return Sealer(seal_keys_parse(keys), tenant=tenant)


@pytest.mark.parametrize("data", [b"", b"x", b"text " * 1000, os.urandom(5000)])
def test_what_is_sealed_opens_at_its_place(data: bytes) -> None:
    type_, sealed = sealer().seal("msgpack", data, PLACE)
    assert sealer().open(type_, sealed, PLACE) == ("msgpack", data)
    assert data == b"" or data not in sealed


def test_text_is_compressed_before_it_is_sealed() -> None:
    type_, sealed = sealer().seal("msgpack", b"text " * 1000, PLACE)
    assert type_ == "fh1:a:msgpack:z"
    assert len(sealed) < 500


@pytest.mark.parametrize(
    "place", [("blob", "thread", "", "messages", "v2"), ("write", *PLACE[1:]), PLACE[:-1]]
)
def test_elsewhere_it_is_refused(place: tuple[str, ...]) -> None:
    with pytest.raises(SealRefused, match="foreign"):
        sealer().open(*sealer().seal("msgpack", b"data", PLACE), place)


def test_another_type_another_tenant_and_another_key_are_refused() -> None:
    type_, sealed = sealer().seal("bytes", b"data", PLACE)
    assert type_ == "fh1:a:bytes"
    for opener, claimed, reason in (
        (sealer(), "fh1:a:msgpack", "foreign"),
        (sealer(tenant="globex"), type_, "foreign"),
        (sealer(f"a:{K2}"), type_, "foreign"),
        (sealer(f"b:{K1}"), type_, "unknown_key"),
        (sealer(), "msgpack", "plain"),
        (sealer(), "pickle", "plain"),
        (sealer(), "fh1:a", "malformed"),
        (sealer(), "fh1:a:bytes:zip", "malformed"),
    ):
        with pytest.raises(SealRefused, match=reason):
            opener.open(claimed, sealed, PLACE)
    for broken in (sealed[:-1], sealed[:10], bytes([sealed[0] ^ 1]) + sealed[1:]):
        with pytest.raises(SealRefused):
            sealer().open(type_, broken, PLACE)


def test_keys_are_rotated_and_another_tenants_rows_can_be_read() -> None:
    old = sealer().seal("bytes", b"old", PLACE)
    rotated = sealer(f"b:{K2},a:{K1}")
    assert rotated.open(*old, PLACE) == ("bytes", b"old")
    assert rotated.seal("bytes", b"new", PLACE)[0] == "fh1:b:bytes"
    restored = sealer(f"b:{K2},a@acme:{K1}", tenant="globex")
    assert restored.open(*old, PLACE) == ("bytes", b"old")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("nonsense", "entry 1 is not"),
        (f"a:{K1},b:short", "entry 2 "),
        (f"a:{K1},a:{K2}", "twice"),
        (f"a@globex:{K1}", "first key"),
    ],
)
def test_what_is_wrong_with_keys_is_said_without_the_key(text: str, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        seal_keys_parse(text)
    assert K1 not in str(caught.value)
