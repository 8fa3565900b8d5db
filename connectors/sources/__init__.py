"""Where events come from: real edge lists and activity files, and generated crowds."""

from connectors.sources.activity import endless_activity, generate_activity
from connectors.sources.edges import FollowFile, follow_events, load_follows, read_follows
from connectors.sources.files import FileKind, SourceError, kind_of
from connectors.sources.higgs import HiggsSpan, higgs_span, load_higgs
from connectors.sources.network import generate_network, profile_events, reading_events
from connectors.sources.upheaval import Upheaval

__all__ = [
    "FileKind",
    "FollowFile",
    "HiggsSpan",
    "SourceError",
    "Upheaval",
    "endless_activity",
    "follow_events",
    "generate_activity",
    "generate_network",
    "higgs_span",
    "kind_of",
    "load_follows",
    "load_higgs",
    "profile_events",
    "read_follows",
    "reading_events",
]
