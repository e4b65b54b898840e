"""The nodes as the real host sees them, against the recorded copy."""

from __future__ import annotations

import json
import re
import urllib.request

from ..tooling import tool

object_info = tool("node_record")
LOCALES = object_info.ROOT / "locales"


def test_every_node_is_there_and_as_recorded(host_server, client):
    """An extension that fails to load is only a line in the host's log: so look for every node by name."""
    nodes = object_info.of_pack(client.object_info(), host_server.pack_folder)
    assert nodes, host_server.log_tail()
    recorded = object_info.read()
    if not object_info.is_newer(nodes):
        recorded = object_info.as_older(recorded)
    assert sorted(nodes) == sorted(recorded), host_server.log_tail()
    for name, info in nodes.items():
        assert info == recorded[name], name


def test_every_input_and_output_has_a_tooltip(host_server, client):
    for name, info in object_info.of_pack(client.object_info(), host_server.pack_folder).items():
        assert info["description"], name
        for key, (_, options) in object_info.inputs(info).items():
            assert options.get("tooltip"), f"{name}: {key}"
        assert all(info["output_tooltips"]), name


def test_texts_reach_the_frontend(client):
    translations = client.get("/i18n")
    languages = [path.name for path in LOCALES.iterdir()]
    assert len(languages) >= 5
    for language in languages:
        for file in (LOCALES / language).iterdir():
            texts = json.loads(file.read_text(encoding="utf-8"))
            served = translations[language] if file.name == "main.json" else translations[language][file.stem]
            for key, text in texts.items():
                assert served[key] == text, f"{language}: {key}"


def test_help_pages_are_served_with_their_pictures(host_server, client):
    """The host's page asks for relative addresses under `/extensions/<folder>/docs/`."""
    docs = f"{client.url}/extensions/{host_server.pack_folder}/docs"
    for name in object_info.read():
        with urllib.request.urlopen(f"{docs}/{name}.md", timeout=30) as answer:
            page = answer.read().decode()
        assert object_info.read()[name]["display_name"] in page
        addresses = re.findall(r"!\[[^\]]*\]\(([^)]*)\)", page)
        assert addresses
        for address in addresses:
            with urllib.request.urlopen(f"{docs}/{address}", timeout=30) as answer:
                assert answer.headers["Content-Type"] == "image/jpeg", address
                assert answer.read(2) == b"\xff\xd8", address
