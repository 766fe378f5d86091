"""The features of Witgate's gateway.toml, extracted as the gateway does."""

from ._config import ConfigError, WIDTH_LIMIT, load, loads
from ._extract import FeatureSet
from ._request import RequestError, from_json, from_record

__all__ = ["ConfigError", "FeatureSet", "RequestError", "WIDTH_LIMIT", "from_json", "from_record", "load", "loads"]
