import os
import subprocess
import sys

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora_mcp.addresses import check_public_link, is_public_address, origin
from sora_mcp.errors import UrlNotAllowed

API = "https://toapis.com"

NOT_PUBLIC = [
    "0.0.0.0",
    "0.1.2.3",
    "10.0.0.1",
    "100.64.0.1",
    "100.100.100.200",
    "127.0.0.1",
    "127.255.255.254",
    "168.63.129.16",
    "169.254.169.254",
    "172.16.0.1",
    "172.31.255.255",
    "192.0.0.1",
    "192.0.0.9",
    "192.0.0.192",
    "192.0.2.1",
    "192.88.99.1",
    "192.168.1.1",
    "198.18.0.1",
    "198.51.100.1",
    "203.0.113.1",
    "224.0.0.1",
    "239.255.255.250",
    "240.0.0.1",
    "255.255.255.255",
    "::",
    "::1",
    "::127.0.0.1",
    "::8.8.8.8",
    "::ffff:127.0.0.1",
    "::ffff:8.8.8.8",
    "::ffff:0:8.8.8.8",
    "64:ff9b::7f00:1",
    "64:ff9b::808:808",
    "64:ff9b:1::1",
    "100::1",
    "2001::1",
    "2001:0:4136:e378:8000:63bf:3fff:fdd2",
    "2001:2::1",
    "2001:10::1",
    "2001:20::1",
    "2001:db8::1",
    "2002:7f00:1::",
    "2002:808:808::1",
    "2606:4700::5efe:7f00:1",
    "2606:4700::200:5efe:a00:1",
    "3fff::1",
    "5f00::1",
    "fc00::1",
    "fd00:ec2::254",
    "fe80::1",
    "fe80::1%eth0",
    "2606:4700::1111%1",
    "fec0::1",
    "ff02::1",
    # no addresses at all
    "",
    "localhost",
    "127.1",
    "2130706433",
    "0x7f000001",
    "010.8.8.8",
    "8.8.8.8.",
    "8.8.8.8/32",
    "[::1]",
]

HOSTILE = [
    "https://127.0.0.1/x.png",
    "https://127.1/x.png",
    "https://127.0.1/x.png",
    "https://2130706433/x.png",
    "https://0x7f000001/x.png",
    "https://0x7F.0.0.1/x.png",
    "https://0177.0.0.1/x.png",
    "https://017700000001/x.png",
    "https://0/x.png",
    "https://0x/x.png",
    "https://127.0.0.1./x.png",
    "https://127.0.0.0x1/x.png",
    "https://127.000.000.001/x.png",
    "https://8.8.8.8.8/x.png",
    "https://8.8.8/x.png",
    "https://256.256.256.256/x.png",
    "https://10.0.0.5/x.png",
    "https://169.254.169.254/latest/meta-data/",
    "https://100.100.100.200/latest/",
    "https://168.63.129.16/",
    "https://[::1]/x.png",
    "https://[::]/x.png",
    "https://[::ffff:127.0.0.1]/x.png",
    "https://[::ffff:7f00:1]/x.png",
    "https://[64:ff9b::7f00:1]/x.png",
    "https://[2002:7f00:1::]/x.png",
    "https://[fe80::1%25eth0]/x.png",
    "https://[fe80::1%eth0]/x.png",
    "https://[fd00:ec2::254]/x.png",
    "https://[2606:4700::1111]evil.com/x.png",
    "https://[v1.fe80]/x.png",
    "https://[::1/x.png",
    "https://localhost/x.png",
    "https://LOCALHOST/x.png",
    "https://localhost./x.png",
    "https://localhost.localdomain/x.png",
    "https://a.localhost/x.png",
    "https://printer.local/x.png",
    "https://metadata.google.internal/x.png",
    "https://nas.home.arpa/x.png",
    "https://router.lan/x.png",
    "https://router/x.png",
    "https://example.com./x.png",
    "https://example..com/x.png",
    "https://.example.com/x.png",
    "https://-example.com/x.png",
    "https://exa%6dple.com/x.png",
    "https://127.0.0.1%2f.example.com/x.png",
    "https://example.com%00.evil.com/x.png",
    "https://\uff11\uff12\uff17.0.0.1/x.png",
    "https://127。0。0。1/x.png",
    "https://ⓛⓞⓒⓐⓛⓗⓞⓢⓣ/x.png",
    "https://exámple.com/x.png",
    "https://user@example.com/x.png",
    "https://user:secret@example.com/x.png",
    "https://example.com@127.0.0.1/x.png",
    "https://@example.com/x.png",
    "https://example.com\\@127.0.0.1/x.png",
    "https:\\\\example.com/x.png",
    "https://example.com:0/x.png",
    "https://example.com:/x.png",
    "https://example.com:99999/x.png",
    "https://example.com:https/x.png",
    "https:///x.png",
    "https:example.com/x.png",
    "https:/example.com/x.png",
    "//example.com/x.png",
    "example.com/x.png",
    "",
    "https://",
    " https://example.com/x.png",
    "https://example.com/x.png\n",
    "https://exam\tple.com/x.png",
    "https://example.com/\0",
    "https://example.com/\u202e",
    "file:///etc/passwd",
    "file://example.com/etc/passwd",
    "data:image/png;base64,AAAA",
    "javascript:alert(1)",
    "ftp://example.com/x.png",
    "gopher://example.com/",
    "ws://example.com/",
    "https://" + "a" * 64 + ".com/x.png",
    "https://" + "a." * 130 + "com/x.png",
    "https://example.com/" + "a" * 5000,
]


@pytest.mark.parametrize("address", NOT_PUBLIC)
def test_address_that_may_lead_to_a_private_place_is_not_public(address):
    assert not is_public_address(address)


@pytest.mark.parametrize(
    "address", ["1.1.1.1", "8.8.8.8", "93.184.216.34", "172.32.0.1", "192.0.1.1", "2606:4700::1111", "2a00:1450::8"]
)
def test_ordinary_address_is_public(address):
    assert is_public_address(address)


def test_there_are_at_least_45_hostile_addresses():
    assert len(set(NOT_PUBLIC)) >= 45
    assert len(set(HOSTILE)) >= 45


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_link_is_refused(url):
    with pytest.raises(UrlNotAllowed) as refusal:
        check_public_link(url, trusted_origin=API)
    assert "secret" not in str(refusal.value)


@pytest.mark.parametrize("url", HOSTILE)
def test_hostile_link_is_refused_while_no_origin_is_known(url):
    with pytest.raises(UrlNotAllowed):
        check_public_link(url, trusted_origin="")


@pytest.mark.parametrize(
    "url",
    [
        "https://example.com/x.png",
        "HTTPS://Example.COM/x.png?a=b#c",
        "http://example.com/x.png",
        "https://cdn-1.example.co.uk:8443/a_b/%20x.png",
        "https://xn--exmple-qta.com/x.png",
        "https://my_bucket.example.com/x.png",
        "https://1.1.1.1/x.png",
        "https://[2606:4700::1111]:443/x.png",
        "https://3com.com/x.png",
        "https://example.com/héllo.png",
        "https://localhost.example.com/",
        "https://internal.example.com/",
    ],
)
def test_public_link_passes(url):
    check_public_link(url, trusted_origin=API)


def test_scheme_can_be_limited_to_https():
    with pytest.raises(UrlNotAllowed, match="https"):
        check_public_link("http://example.com/x.png", trusted_origin=API, schemes=("https",))


def test_only_the_very_origin_of_the_api_is_trusted_on_loopback():
    local = "http://127.0.0.1:8000/v1"
    check_public_link("http://127.0.0.1:8000/__files/x.png", trusted_origin=local, schemes=("https",))
    check_public_link("http://LOCALHOST:8000/x", trusted_origin="http://localhost:8000")
    check_public_link("https://toapis.com:443/__files/x.png", trusted_origin=API)
    for url in (
        "http://127.0.0.1:8001/x",
        "http://127.0.0.1/x",
        "https://127.0.0.1:8000/x",
        "http://localhost:8000/x",
        "http://u@127.0.0.1:8000/x",
        "http://127.0.0.1:8000@10.0.0.1/x",
        "http://127.1:8000/x",
    ):
        with pytest.raises(UrlNotAllowed):
            check_public_link(url, trusted_origin=local)


def test_origin_is_lower_case_with_its_port():
    assert origin("HTTPS://ToApis.com/v1/") == ("https", "toapis.com", 443)
    assert origin("http://127.0.0.1:8000") == ("http", "127.0.0.1", 8000)
    assert origin("http://[::1]/x") == ("http", "::1", 80)
    for url in ("ftp://toapis.com", "toapis.com", "https://u:p@toapis.com"):
        with pytest.raises(UrlNotAllowed):
            origin(url)


@given(st.text(max_size=60))
def test_any_text_is_either_refused_or_http(text):
    for url in (text, f"https://{text}", f"https://{text}.com/"):
        try:
            check_public_link(url, trusted_origin=API)
        except UrlNotAllowed:
            continue
        assert origin(url)[0] in {"http", "https"}


@given(st.ip_addresses(network="127.0.0.0/8") | st.ip_addresses(network="10.0.0.0/8"))
def test_no_spelling_of_a_private_address_passes(address):
    number = int(address)
    spellings = [str(address), str(number), hex(number), f"0{number:o}", f"::ffff:{address}", f"64:ff9b::{address}"]
    first, rest = number >> 24, number & 0xFFFFFF
    spellings += [f"{first}.{rest}", f"0x{first:x}.{rest >> 16}.{rest & 0xFFFF}", f"0{first:o}.{rest}"]
    for spelling in spellings:
        host = f"[{spelling}]" if ":" in spelling else spelling
        with pytest.raises(UrlNotAllowed):
            check_public_link(f"https://{host}/", trusted_origin=API)


def test_import_loads_no_network_code():
    code = "import sys, sora_mcp.addresses; print(*{'ssl', 'socket', 'httpx', 'asyncio'} & set(sys.modules))"
    # Measuring coverage loads all of them.
    environment = {name: value for name, value in os.environ.items() if not name.startswith("COVERAGE")}
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment)
    assert run.stdout.strip() == ""
