"""Which URLs are those of an endpoint, and what is read from them."""

import pytest

from harness.connect.wire import Endpoint


@pytest.mark.parametrize(
    ("url", "host", "port", "tls", "authority"),
    [
        ("https://connect.us-east-1.amazonaws.com", "connect.us-east-1.amazonaws.com", 443, True, None),
        ("http://127.0.0.1:4566/", "127.0.0.1", 4566, False, "127.0.0.1:4566"),
        ("https://host:443", "host", 443, True, "host"),
        ("http://[::1]:8080", "::1", 8080, False, "[::1]:8080"),
        ("http://HOST", "host", 80, False, "host"),
    ],
)
def test_an_endpoint_is_read_from_its_url(url: str, host: str, port: int, tls: bool, authority: str | None) -> None:
    """Host, port and TLS come from the URL; the Host header leaves out a default port."""
    assert Endpoint.parse(url) == Endpoint(host, port, tls, authority or host)


@pytest.mark.parametrize(
    "url",
    [
        *("ftp://h", "h:80", "http://", "http://h/path", "http://h?q", "http://u@h", "http://@h", "http://h:99999"),
        *("http://[::1", "http://]::1[", "http://[::1].evil.example", "http://[::1]evil.example", "http://[::1]x:80"),
        *("http://127.0.0\t.1", "http://127.0.0.1\n", "http://127.0.0.1 .evil.example", "http://127.0.0.1%00.evil"),
        *("http://127.0.0.1;evil.example", "http://127.0.0.1,evil.example", "http://$(id)", "http://h\u200bh"),
        *("http://127.0.0.1\\.evil.example", "http://" + "a" * 300),
    ],
)
def test_what_is_no_endpoint_is_refused_with_the_mend(url: str) -> None:
    """A URL that has more or less than a host and a port is refused in a sentence that says what to give."""
    with pytest.raises(ValueError, match="give"):
        Endpoint.parse(url)
