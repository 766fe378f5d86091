"""The features of Witgate's gateway.toml, extracted as the gateway does."""

from ._config import ConfigError, WIDTH_LIMIT, load, loads
from ._extract import FeatureSet
from ._request import RequestError, from_json, from_record
from ._samples import SamplesError, attach_samples, write_samples

__all__ = [
    "ConfigError",
    "FeatureSet",
    "RequestError",
    "SamplesError",
    "WIDTH_LIMIT",
    "attach_samples",
    "from_json",
    "from_record",
    "load",
    "loads",
    "write_samples",
]
