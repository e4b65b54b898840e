"""A real ComfyUI in a subprocess, with this pack (and the test doubles) as its only custom nodes."""

from __future__ import annotations

from pathlib import Path

from grefine_core.comfyui import host_server

HERE = Path(__file__).resolve().parent
PACK = HERE.parents[1]
DOUBLES = {"grefine_test_doubles": HERE / "doubles", "grefine_text_double": HERE / "text_double"}

# Not the repository's own name, and not a Python identifier: nothing may depend on what a user calls the folder.
PACK_FOLDER = "pack-under.another-name"


def find_host() -> tuple[Path | None, str]:
    """The ComfyUI to test with, and in words where it was looked for."""
    return host_server.find_host(PACK)


class HostServer(host_server.HostServer):
    """The library's server with this pack under another name, and with the packs that only tests need."""

    def __init__(
        self,
        host: Path,
        base: Path,
        *,
        doubles: bool = True,
        pack_folder: str = PACK_FOLDER,
        arguments: tuple[str, ...] = (),
        environment: dict[str, str] | None = None,
    ) -> None:
        self.pack_folder = pack_folder
        packs = {pack_folder: PACK, **(DOUBLES if doubles else {})}
        super().__init__(host, base, packs=packs, arguments=arguments, environment=environment)
