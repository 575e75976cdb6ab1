"""A URL that somebody writes reaches public addresses over https, and nothing inside."""

import pytest

from contracts.destinations import AddressRefused, Policy, destination_of
from controlplane.core.errors import ValidationFailed
from controlplane.core.outbound.addresses import url_check

STRICT = Policy()
PUBLIC = "93.184.215.14"


@pytest.mark.parametrize(
    "address",
    [
        "127.0.0.1", "10.1.2.3", "172.16.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1",
        "0.0.0.0",  # noqa: S104 - nothing is bound to it
        "255.255.255.255", "224.0.0.1", "240.0.0.1", "192.0.2.1", "198.18.0.1", "::1", "::", "fe80::1",
        "fe80::1%eth0", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1",
        "64:ff9b::7f00:1", "64:ff9b:1::a00:1", "2002:7f00:1::", "2002:a00:1::1", "2001:db8::1",
        "2001:0:4136:e378:8000:63bf:80ff:fffe", "::127.0.0.1", "fec0::1", "5f00::1", "3fff::1", "168.63.129.16",
        "192.88.99.1", "2002:a9fe:a9fe::", "64:ff9b::a9fe:a9fe", "100.100.100.200", "fd00:ec2::254",
    ],
)  # fmt: skip
def test_a_name_that_leads_inside_is_refused(address: str) -> None:
    with pytest.raises(AddressRefused):
        destination_of("https://hooks.example.com/x", policy=STRICT, resolve=lambda *_: [address])
    with pytest.raises(AddressRefused):
        # One good address does not excuse a bad one: the connection might go to either.
        destination_of("https://hooks.example.com/x", policy=STRICT, resolve=lambda *_: [PUBLIC, address])


@pytest.mark.parametrize(
    "url",
    [
        "http://hooks.example.com/", "ftp://hooks.example.com/", "//hooks.example.com/", "hooks.example.com",
        "https://", "https:///path", "https://user:password@hooks.example.com/", "https://user@hooks.example.com/",
        "https://hooks.example.com/#part", "https://hooks.example.com:99999/", "https://hooks.example.com:0/",
        "https://hooks.example.com/a b", "https://hooks.example.com/\r\nX: y", "https://127.0.0.1/",
        "https://[::1]/", "https://[::ffff:127.0.0.1]/", "https://169.254.169.254/latest/meta-data",
        "https://ex\u00e4mple.com/", "https://[::1",
    ],
)  # fmt: skip
def test_a_url_that_can_be_seen_to_be_wrong_is_refused_when_it_is_set(url: str) -> None:
    with pytest.raises(ValidationFailed) as caught:
        url_check(url, policy=STRICT, field="webhook_url")
    assert caught.value.errors[0]["pointer"] == "/webhook_url"


@pytest.mark.parametrize(
    "url", ["https://2130706433/", "https://0x7f.1/", "https://localhost/", "https://127.1/"]
)
def test_other_spellings_of_inside_are_judged_by_what_they_resolve_to(url: str) -> None:
    with pytest.raises(AddressRefused):
        destination_of(url, policy=STRICT)


def test_the_connection_goes_to_the_address_that_was_checked() -> None:
    asked = []

    def resolve(host: str, port: int) -> list[str]:
        asked.append((host, port))
        return [PUBLIC]

    found = destination_of("https://hooks.example.com:8443/in?a=1", policy=STRICT, resolve=resolve)
    assert asked == [("hooks.example.com", 8443)], "the name is resolved once"
    assert (found.url, found.host, found.host_header) == (
        f"https://{PUBLIC}:8443/in?a=1", "hooks.example.com", "hooks.example.com:8443",
    )  # fmt: skip
    plain = destination_of("https://hooks.example.com", policy=STRICT, resolve=resolve)
    assert (plain.url, plain.host_header) == (f"https://{PUBLIC}:443/", "hooks.example.com")


@pytest.mark.parametrize("address", ["93.184.215.14", "2606:4700::1111", "2001:4860:4860::8888"])
def test_public_addresses_of_both_kinds_pass(address: str) -> None:
    found = destination_of("https://hooks.example.com/x", policy=STRICT, resolve=lambda *_: [address])
    assert found.address == address


def test_the_installation_may_allow_more() -> None:
    open_ = Policy(http=True, private=True)
    assert destination_of("http://127.0.0.1:8000/", policy=open_).url == "http://127.0.0.1:8000/"
    with pytest.raises(AddressRefused):
        destination_of("http://127.0.0.1:8000/", policy=Policy(http=True))
    with pytest.raises(AddressRefused):
        destination_of("https://x/", policy=open_, resolve=lambda *_: ["224.0.0.1"])


def test_a_name_without_an_address_says_so() -> None:
    def nowhere(host: str, port: int) -> list[str]:
        raise OSError

    with pytest.raises(AddressRefused, match="has no address"):
        destination_of("https://nowhere.example/", policy=STRICT, resolve=nowhere)
