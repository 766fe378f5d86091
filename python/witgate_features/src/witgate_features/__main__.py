"""Prints the features of requests: `python3 -m witgate_features gateway.toml NAME < requests.jsonl`."""

import argparse
import json
import sys

from . import ConfigError, RequestError, from_json, from_record, load


def main():
    parser = argparse.ArgumentParser(prog="python3 -m witgate_features", description=__doc__)
    parser.add_argument("file", help="the gateway's configuration")
    parser.add_argument("name", help="the section: NAME of [features.NAME]")
    parser.add_argument("--records", action="store_true", help="lines are access records of the gateway")
    parser.add_argument("--names", action="store_true", help="print the names of the numbers and exit")
    arguments = parser.parse_args()
    try:
        features = load(arguments.file, arguments.name)
    except (ConfigError, OSError) as error:
        parser.exit(1, f"error: {error}\n")
    if arguments.names:
        print("\n".join(features.names()))
        return
    for number, line in enumerate(sys.stdin, 1):
        try:
            value = json.loads(line)
            request = from_record(value) if arguments.records else from_json(value)
            print(json.dumps(features.extract(request)))
        except (RequestError, ValueError) as error:
            parser.exit(1, f"error: line {number}: {error}\n")


if __name__ == "__main__":
    main()
