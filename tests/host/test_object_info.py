"""The nodes as the real host sees them, against the recorded copy and against docs/nodes.md."""

from __future__ import annotations

import json
import os
import re
import urllib.request

from . import object_info


def test_every_node_is_there_and_as_recorded(host_server, client):
    """An extension that fails to load is only a line in the host's log: so look for every node by name."""
    nodes = object_info.of_pack(client.object_info(), host_server.pack_folder)
    assert nodes, host_server.log_tail()
    if os.environ.get("GREFINE_RECORD"):
        object_info.write(nodes)
    recorded = object_info.read()
    assert sorted(nodes) == sorted(recorded), host_server.log_tail()
    for name, info in nodes.items():
        assert info == recorded[name], name


def test_every_input_and_output_has_a_tooltip(host_server, client):
    for name, info in object_info.of_pack(client.object_info(), host_server.pack_folder).items():
        assert info["description"], name
        for texts in (object_info.texts({name: info})[name][side] for side in ("inputs", "outputs")):
            for key, text in texts.items():
                assert text["tooltip"], f"{name}: {key}"


def test_texts_reach_the_frontend(client):
    translations = client.get("/i18n")
    for name, texts in object_info.texts(object_info.read()).items():
        assert translations["en"]["nodeDefs"][name] == texts
    languages = [path.name for path in object_info.LOCALE.parents[1].iterdir()]
    assert len(languages) > 5
    for language in languages:
        for file in (object_info.LOCALE.parents[1] / language).iterdir():
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
