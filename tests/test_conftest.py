"""The guards around the tests hold."""

from __future__ import annotations

import socket

import pytest


@pytest.mark.parametrize("address", [("192.0.2.1", 80), ("2001:db8::1", 80)])
def test_connecting_elsewhere_is_refused(address: tuple[str, int]) -> None:
    family = socket.AF_INET6 if ":" in address[0] else socket.AF_INET
    with socket.socket(family) as plug, pytest.raises(RuntimeError, match="mark it `network`"):
        plug.connect(address)


def test_looking_up_a_name_is_refused() -> None:
    with pytest.raises(RuntimeError, match=r"look up example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_this_machine_is_in_reach() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as plug:
        assert plug.getpeername() == server.getsockname()
