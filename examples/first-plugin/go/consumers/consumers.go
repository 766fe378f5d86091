// Package consumers knows who may call, by which key.
package consumers

import (
	"bytes"
	"crypto/subtle"
	"encoding/json"
)

// Schema of the configuration: the gateway checks it before it calls Configure. A key is what may follow `Bearer`
// (RFC 6750, section 2.1).
const Schema = `{
  "type": "object",
  "properties": {
    "keys": {
      "description": "Name of each consumer and the key that it sends.",
      "type": "object",
      "minProperties": 1,
      "propertyNames": { "pattern": "^[a-z0-9_-]{1,64}$" },
      "additionalProperties": { "type": "string", "pattern": "^[A-Za-z0-9._~+/=-]{8,256}$" }
    }
  },
  "required": ["keys"],
  "additionalProperties": false
}`

// Name of each consumer and its key. Set once in each instance; an instance then serves many requests.
var keys map[string]string

// Configure takes the configuration.
func Configure(config string) error {
	var parsed struct {
		Keys map[string]string `json:"keys"`
	}
	if err := json.Unmarshal([]byte(config), &parsed); err != nil {
		return err
	}
	keys = parsed.Keys
	return nil
}

var scheme = []byte("bearer ")

// Authenticate returns the consumer that the value of an `authorization` header stands for.
func Authenticate(authorization []byte) (consumer string, known bool) {
	// Schemes are case-insensitive (RFC 9110, section 11.1).
	if len(authorization) < len(scheme) || !bytes.EqualFold(authorization[:len(scheme)], scheme) {
		return "", false
	}
	credential := authorization[len(scheme):]
	// In constant time, and every key is compared: the time tells neither how much of a key was right nor which.
	for name, key := range keys {
		if subtle.ConstantTimeCompare([]byte(key), credential) == 1 {
			consumer, known = name, true
		}
	}
	return consumer, known
}
