// A Witgate plugin that settles which version of an API a request is for:
//
//     no x-api-version       ->   x-api-version: the first of the configured versions
//     a configured version   ->   passes
//     anything else          ->   refused
//
// guest.h is generated from wit/world.wit.

#include "guest.h"

#include <stdlib.h>
#include <string.h>

#define HEADER "x-api-version"

// Checked by the gateway before `configure` runs. The pattern lets neither a quote nor a backslash through, which makes
// reading the configuration simple.
static const char CONFIG_SCHEMA[] =
    "{\"type\": \"object\", \"properties\": {\"versions\": {"
    "\"description\": \"Versions that the upstream serves; requests that name none get the first.\","
    "\"type\": \"array\", \"items\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9.-]{1,32}$\"},"
    "\"minItems\": 1, \"maxItems\": 16"
    "}}, \"required\": [\"versions\"], \"additionalProperties\": false}";

enum { VERSIONS_LIMIT = 16 };

// Set once in each instance; an instance then serves many requests.
static guest_list_u8_t versions[VERSIONS_LIMIT];
static size_t version_count;

// Ownership, by the rules of the bindings: what the host hands to us is ours to free, and so is what we ask it for;
// what we hand to the host as the result of an export is freed by the bindings, so it has to come from malloc.

static guest_string_t borrowed(const char *literal) {
  guest_string_t string;
  guest_string_set(&string, literal);
  return string;
}

static guest_string_t owned(const char *literal) {
  guest_string_t string;
  guest_string_dup(&string, literal);
  return string;
}

void exports_witgate_plugin_lifecycle_describe(exports_witgate_plugin_lifecycle_description_t *description) {
  description->name = owned("{{name}}");
  description->version = owned("0.1.0");
  description->summary = owned("Settles which version of the API a request is for");
  description->config_schema.is_some = true;
  description->config_schema.val = owned(CONFIG_SCHEMA);
}

// The next string between quotes; advances past it. False at the end.
static bool next_string(uint8_t **at, const uint8_t *end, guest_list_u8_t *string) {
  uint8_t *start = memchr(*at, '"', (size_t)(end - *at));
  if (start == NULL) {
    return false;
  }
  start++;
  uint8_t *stop = memchr(start, '"', (size_t)(end - start));
  if (stop == NULL) {
    return false;
  }
  *string = (guest_list_u8_t){start, (size_t)(stop - start)};
  *at = stop + 1;
  return true;
}

// `{"versions":["VERSION",…]}`: the schema has been checked, so that every string but the first is a version.
bool exports_witgate_plugin_lifecycle_configure(
    guest_string_t *config, exports_witgate_plugin_lifecycle_interest_t *interest, guest_string_t *error) {
  // Never freed: the versions point into it.
  uint8_t *at = config->ptr;
  const uint8_t *end = at + config->len;
  guest_list_u8_t text;
  next_string(&at, end, &text); // "versions"
  while (next_string(&at, end, &text)) {
    if (version_count == VERSIONS_LIMIT) {
      *error = owned("versions: expected at most 16");
      return false;
    }
    versions[version_count++] = text;
  }
  interest->request_body = EXPORTS_WITGATE_PLUGIN_LIFECYCLE_BODY_MODE_NONE;
  interest->response_body = EXPORTS_WITGATE_PLUGIN_LIFECYCLE_BODY_MODE_NONE;
  return true;
}

// The configured version that is asked for, if it is one.
static guest_list_u8_t *find(const guest_list_u8_t *asked) {
  for (size_t at = 0; at < version_count; at++) {
    if (versions[at].len == asked->len && memcmp(versions[at].ptr, asked->ptr, asked->len) == 0) {
      return &versions[at];
    }
  }
  return NULL;
}

void exports_witgate_plugin_on_request_headers_handle(
    exports_witgate_plugin_on_request_headers_borrow_request_t request, bool end_of_stream,
    exports_witgate_plugin_on_request_headers_action_t *action) {
  (void)end_of_stream;
  guest_string_t header = borrowed(HEADER);
  guest_list_u8_t *version = version_count > 0 ? &versions[0] : NULL;
  // Written by the host only if it returns true: otherwise there is anything in it.
  guest_list_u8_t asked;
  if (witgate_plugin_http_method_request_get(request, &header, &asked)) {
    version = find(&asked);
    guest_list_u8_free(&asked);
  }
  if (version == NULL) {
    action->tag = EXPORTS_WITGATE_PLUGIN_ON_REQUEST_HEADERS_ACTION_REFUSE;
    action->val.refuse = (witgate_plugin_http_refusal_t){
        .code = WITGATE_PLUGIN_HTTP_ERROR_CODE_INVALID_REQUEST,
        .message = owned("Ask for a version that is served, or leave `" HEADER "` out."),
        .fields = {NULL, 0},
        .retry_after_ms = {.is_some = false},
    };
  } else {
    // In any case: of several fields the upstream gets the one that was checked. A failure here is a trap: the client
    // gets 500, unless the stage says `on_trap = "skip"`.
    witgate_plugin_http_field_error_t error;
    if (!witgate_plugin_http_method_request_set(request, &header, version, &error)) {
      abort();
    }
    action->tag = EXPORTS_WITGATE_PLUGIN_ON_REQUEST_HEADERS_ACTION_CONTINUE;
  }
  // The host lent the request for this call: a hook that keeps it is a trap.
  witgate_plugin_http_request_drop_borrow(request);
}
