// A first Witgate plugin in JavaScript. It lets requests with a known API key pass, tells the upstream who calls, and
// counts the calls of each consumer:
//
//     authorization: Bearer KEY   ->   x-consumer: NAME
//                                      x-count: 1, 2, 3 …
//
// What is exported and imported here is named in wit/world.wit; docs/plugins/js.md tells how to build it.

import * as kv from 'witgate:plugin/kv@0.1.0';

// Checked by the gateway before `configure` runs. A key is what may follow `Bearer` (RFC 6750, section 2.1).
const CONFIG_SCHEMA = JSON.stringify({
  type: 'object',
  properties: {
    keys: {
      description: 'Name of each consumer and the key that it sends.',
      type: 'object',
      minProperties: 1,
      propertyNames: { pattern: '^[a-z0-9_-]{1,64}$' },
      additionalProperties: { type: 'string', pattern: '^[A-Za-z0-9._~+/=-]{8,256}$' },
    },
  },
  required: ['keys'],
  additionalProperties: false,
});

// Names of consumers and their keys. Set once in each instance; an instance then serves many requests.
let consumers = [];

export const lifecycle = {
  describe() {
    return {
      name: 'first-plugin-js',
      version: '0.1.0',
      summary: 'Lets known API keys pass and counts their requests',
      configSchema: CONFIG_SCHEMA,
    };
  },

  // To refuse a configuration, throw a string: the operator sees it.
  configure(config) {
    consumers = Object.entries(JSON.parse(config).keys).map(([name, key]) => ({ name, key: bytes(key) }));
    return { requestBody: 'none', responseBody: 'none' };
  },
};

export const onRequestHeaders = {
  handle(request, _endOfStream) {
    const consumer = authenticate(request.get('authorization'));
    if (consumer === undefined) {
      return { tag: 'refuse', val: UNAUTHENTICATED };
    }
    // Atomic: every instance of the plugin counts in the same place. If `incr` fails it throws, and so does this hook:
    // the client then gets 500, unless the stage says `on_trap = "skip"`.
    const count = kv.incr(`count:${consumer}`, 1n, undefined);
    request.apply([
      { tag: 'remove', val: 'authorization' },
      { tag: 'set', val: field('x-consumer', consumer) },
      { tag: 'set', val: field('x-count', String(count)) },
    ]);
    return { tag: 'continue' };
  },
};

// Header values are bytes. All that are made here are ASCII.
function bytes(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}

function field(name, value) {
  return { name, value: bytes(value) };
}

const UNAUTHENTICATED = {
  code: 'unauthenticated',
  message: 'Send a known key: `authorization: Bearer KEY`.',
  fields: [field('www-authenticate', 'Bearer')],
  retryAfterMs: undefined,
};

const SCHEME = bytes('bearer ');

// The consumer that the value of an `authorization` header stands for, if any.
function authenticate(authorization) {
  if (authorization === undefined || authorization.length <= SCHEME.length) {
    return undefined;
  }
  // Schemes are case-insensitive (RFC 9110, section 11.1); 0x20 is what tells cases of letters apart.
  if (!SCHEME.every((byte, at) => (authorization[at] | 0x20) === byte)) {
    return undefined;
  }
  const credential = authorization.subarray(SCHEME.length);
  let found;
  for (const { name, key } of consumers) {
    if (equal(key, credential)) {
      found = name;
    }
  }
  return found;
}

// Looks at every byte, whatever the first difference. That takes out the plain timing channel; an engine that compiles
// as it likes cannot promise more. (To be sure, let the gateway compare: `identify` of the capability `crypto`.)
function equal(a, b) {
  let difference = a.length ^ b.length;
  for (let at = 0; at < a.length; at++) {
    difference |= a[at] ^ (b[at] ?? 0);
  }
  return difference === 0;
}
