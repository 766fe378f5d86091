// Package versions knows which versions of the API are served.
package versions

import "encoding/json"

// Schema of the configuration: the gateway checks it before it calls Configure.
const Schema = `{
  "type": "object",
  "properties": {
    "versions": {
      "description": "Versions that the upstream serves; requests that name none get the first.",
      "type": "array",
      "items": { "type": "string", "pattern": "^[A-Za-z0-9.-]{1,32}$" },
      "minItems": 1,
      "maxItems": 16
    }
  },
  "required": ["versions"],
  "additionalProperties": false
}`

// Set once in each instance; an instance then serves many requests.
var served []string

// Configure takes the configuration.
func Configure(config string) error {
	var parsed struct {
		Versions []string `json:"versions"`
	}
	if err := json.Unmarshal([]byte(config), &parsed); err != nil {
		return err
	}
	served = parsed.Versions
	return nil
}

// First returns the version of requests that name none.
func First() (version string, known bool) {
	if len(served) == 0 {
		return "", false
	}
	return served[0], true
}

// Find returns the version that is asked for, if it is served.
func Find(asked []byte) (version string, known bool) {
	for _, version := range served {
		if version == string(asked) {
			return version, true
		}
	}
	return "", false
}
