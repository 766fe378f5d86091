// A Witgate plugin that settles which version of an API a request is for:
//
//     no x-api-version       ->   x-api-version: the first of the configured versions
//     a configured version   ->   passes
//     anything else          ->   refused
//
// What is exported and imported here is named in wit/world.wit.

const HEADER = 'x-api-version';

// Checked by the gateway before `configure` runs.
const CONFIG_SCHEMA = JSON.stringify({
  type: 'object',
  properties: {
    versions: {
      description: 'Versions that the upstream serves; requests that name none get the first.',
      type: 'array',
      items: { type: 'string', pattern: '^[A-Za-z0-9.-]{1,32}$' },
      minItems: 1,
      maxItems: 16,
    },
  },
  required: ['versions'],
  additionalProperties: false,
});

// Set once in each instance; an instance then serves many requests.
let versions = [];

export const lifecycle = {
  describe() {
    return {
      name: '{{name}}',
      version: '0.1.0',
      summary: 'Settles which version of the API a request is for',
      configSchema: CONFIG_SCHEMA,
    };
  },

  // To refuse a configuration, throw a string: the operator sees it.
  configure(config) {
    versions = JSON.parse(config).versions;
    return { requestBody: 'none', responseBody: 'none' };
  },
};

export const onRequestHeaders = {
  handle(request, _endOfStream) {
    const asked = request.get(HEADER);
    const version = asked === undefined ? versions[0] : versions.find((version) => version === text(asked));
    if (version === undefined) {
      return { tag: 'refuse', val: UNSERVED };
    }
    // In any case: of several fields the upstream gets the one that was checked.
    request.set(HEADER, bytes(version));
    return { tag: 'continue' };
  },
};

const UNSERVED = {
  code: 'invalid-request',
  message: `Ask for a version that is served, or leave \`${HEADER}\` out.`,
  fields: [],
  retryAfterMs: undefined,
};

// Header values are bytes; each becomes the character of its number, so that no two values become the same text.
function text(bytes) {
  return Array.from(bytes, (byte) => String.fromCharCode(byte)).join('');
}

function bytes(text) {
  return Uint8Array.from(text, (character) => character.charCodeAt(0));
}
