"""Where protocols and the model bundles they name are found."""

from difflib import get_close_matches
from pathlib import Path

from trialscan.errors import Fault, ProtocolError
from trialscan.study.faults import PlacedFault, as_faults
from trialscan.study.protocol import Protocol
from trialscan.study.yaml_source import read_yaml


def shipped_folder() -> Path:
    """The folder of the shipped protocols: inside the installed package, else beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    installed = package / "_protocols"
    return installed if installed.is_dir() else package.parent / "protocols"


def find_protocol(name_or_path: str | Path) -> Path:
    """The file of a protocol: a path to an existing file, else the name of a shipped one; raises ProtocolError."""
    given = Path(name_or_path)
    if given.is_file():
        return given
    shipped = {file.stem: file for file in sorted(shipped_folder().glob("*.yaml"))}
    name = str(name_or_path)
    if name in shipped:
        return shipped[name]
    nearest = get_close_matches(name, shipped, n=1)
    hint = f"did you mean '{nearest[0]}'? " if nearest else ""
    found = "is a folder" if given.is_dir() else "is neither a file nor a shipped protocol"
    raise ProtocolError([Fault(name, f"{found}; {hint}Shipped: {', '.join(shipped)}")])


def resolve_model(protocol: Protocol, source: Path) -> Path | None:
    """The bundle folder that a protocol names: in `models/` beside the protocol's file `source`, else the shipped one.

    None where the protocol names no model. Raises ProtocolError where there is no such folder.
    """
    name = protocol.segmentation.model
    if name is None:
        return None
    for folder in (source.resolve().parent, shipped_folder()):
        bundle = folder / "models" / name
        if bundle.is_dir():
            return bundle
    path = ("segmentation", "model")
    message = f"no model bundle '{name}', neither in 'models' beside the protocol nor among the shipped ones"
    place = read_yaml(source).place(path)
    raise ProtocolError(as_faults(source.name, [PlacedFault(place.value, path, message)]))
