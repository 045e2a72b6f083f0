"""The identity's token goes to ARM, however ARM writes its own address, and nowhere else."""

from __future__ import annotations

import pytest

from rebuilder.azure._places import host_of, is_of

ARM = "https://management.azure.com"


@pytest.mark.parametrize(
    "address",
    [
        f"{ARM}/subscriptions?$skiptoken=x",
        "https://management.azure.com:443/subscriptions",
        "https://Management.Azure.COM/subscriptions",
    ],
)
def test_arms_own_addresses(address: str) -> None:
    """With its port, and in any case."""
    assert is_of(address, ARM)
    assert is_of(address, f"{ARM}:443")


@pytest.mark.parametrize(
    ("address", "host"),
    [
        ("http://management.azure.com/x", "management.azure.com"),
        ("https://management.azure.com:8443/x", "management.azure.com"),
        ("https://management.azure.com.evil.example/x", "management.azure.com.evil.example"),
        ("https://management.azure.com@evil.example/x", "evil.example"),
        ("https://a:b@management.azure.com/x", "management.azure.com"),
        ("//management.azure.com/x", "management.azure.com"),
        ("https://[management.azure.com/x", "an address that is none"),
        ("https://management.azure.com:99999/x", "management.azure.com"),
        ("", "an address without a host"),
    ],
)
def test_addresses_of_others(address: str, host: str) -> None:
    """Another scheme, port or host, or a user in front of it."""
    assert not is_of(address, ARM)
    assert host_of(address) == host
