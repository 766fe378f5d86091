// A first Witgate plugin in C. It lets requests with a known API key pass, tells the upstream who calls, and counts the
// calls of each consumer:
//
//     authorization: Bearer KEY   ->   x-consumer: NAME
//                                      x-count: 1, 2, 3 …
//
// first_plugin.h is generated from wit/world.wit; docs/plugins/c.md tells how to build this.

#include "first_plugin.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Checked by the gateway before `configure` runs. A key is what may follow `Bearer` (RFC 6750, section 2.1). Neither
// pattern lets a quote or a backslash through, which makes reading the configuration simple.
static const char CONFIG_SCHEMA[] =
    "{\"type\": \"object\", \"properties\": {\"keys\": {"
    "\"description\": \"Name of each consumer and the key that it sends.\", \"type\": \"object\", \"minProperties\": 1,"
    "\"propertyNames\": {\"pattern\": \"^[a-z0-9_-]{1,64}$\"},"
    "\"additionalProperties\": {\"type\": \"string\", \"pattern\": \"^[A-Za-z0-9._~+/=-]{8,256}$\"}"
    "}}, \"required\": [\"keys\"], \"additionalProperties\": false}";

enum { CONSUMERS_LIMIT = 1000, NAME_LIMIT = 64 };

typedef struct {
  const char *at;
  size_t length;
} text;

// Names of consumers and their keys. Set once in each instance; an instance then serves many requests.
static struct {
  text name, key;
} consumers[CONSUMERS_LIMIT];
static size_t consumer_count;

// Ownership, by the rules of the bindings: what the host hands to us is ours to free, and so is what we ask it for;
// what we hand to the host as the result of an export is freed by the bindings, so it has to come from malloc.

static first_plugin_string_t borrowed(const char *literal) {
  first_plugin_string_t string;
  first_plugin_string_set(&string, literal);
  return string;
}

static first_plugin_string_t owned(const char *literal) {
  first_plugin_string_t string;
  first_plugin_string_dup(&string, literal);
  return string;
}

void exports_witgate_plugin_lifecycle_describe(exports_witgate_plugin_lifecycle_description_t *description) {
  description->name = owned("first-plugin-c");
  description->version = owned("0.1.0");
  description->summary = owned("Lets known API keys pass and counts their requests");
  description->config_schema.is_some = true;
  description->config_schema.val = owned(CONFIG_SCHEMA);
}

// The next string between quotes; advances past it. False at the end.
static bool next_string(const char **at, const char *end, text *string) {
  const char *start = memchr(*at, '"', (size_t)(end - *at));
  if (start == NULL) {
    return false;
  }
  start++;
  const char *stop = memchr(start, '"', (size_t)(end - start));
  if (stop == NULL) {
    return false;
  }
  *string = (text){start, (size_t)(stop - start)};
  *at = stop + 1;
  return true;
}

// `{"keys":{"NAME":"KEY",…}}`: the schema has been checked, so that every other string is a name.
bool exports_witgate_plugin_lifecycle_configure(
    first_plugin_string_t *config, exports_witgate_plugin_lifecycle_interest_t *interest, first_plugin_string_t *error) {
  // Never freed: the consumers point into it.
  const char *at = (const char *)config->ptr, *end = at + config->len;
  text skipped, name, key;
  next_string(&at, end, &skipped); // "keys"
  while (next_string(&at, end, &name) && next_string(&at, end, &key)) {
    if (consumer_count == CONSUMERS_LIMIT) {
      *error = owned("keys: expected at most 1000");
      return false;
    }
    consumers[consumer_count].name = name;
    consumers[consumer_count].key = key;
    consumer_count++;
  }
  interest->request_body = EXPORTS_WITGATE_PLUGIN_LIFECYCLE_BODY_MODE_NONE;
  interest->response_body = EXPORTS_WITGATE_PLUGIN_LIFECYCLE_BODY_MODE_NONE;
  return true;
}

// Looks at every byte, whatever the first difference. `volatile` keeps the compiler from ending the loop early.
static bool equal(text a, text b) {
  if (a.length != b.length) {
    return false;
  }
  volatile unsigned char difference = 0;
  for (size_t at = 0; at < a.length; at++) {
    difference |= (unsigned char)(a.at[at] ^ b.at[at]);
  }
  return difference == 0;
}

// The consumer that the value of an `authorization` header stands for, if any.
static const text *authenticate(const first_plugin_list_u8_t *authorization) {
  static const char SCHEME[] = "bearer ";
  const size_t scheme_length = sizeof SCHEME - 1;
  const char *value = (const char *)authorization->ptr;
  if (authorization->len <= scheme_length) {
    return NULL;
  }
  for (size_t at = 0; at < scheme_length; at++) {
    // Schemes are case-insensitive (RFC 9110, section 11.1); 0x20 is what tells cases of letters apart.
    if ((value[at] | 0x20) != SCHEME[at]) {
      return NULL;
    }
  }
  const text credential = {value + scheme_length, authorization->len - scheme_length};
  const text *found = NULL;
  for (size_t at = 0; at < consumer_count; at++) {
    if (equal(consumers[at].key, credential)) {
      found = &consumers[at].name;
    }
  }
  return found;
}

static void refuse(exports_witgate_plugin_on_request_headers_action_t *action) {
  witgate_plugin_http_field_t *challenge = malloc(sizeof *challenge);
  if (challenge == NULL) {
    abort();
  }
  challenge->name = owned("www-authenticate");
  const first_plugin_string_t scheme = owned("Bearer");
  challenge->value = (first_plugin_list_u8_t){scheme.ptr, scheme.len};
  action->tag = EXPORTS_WITGATE_PLUGIN_ON_REQUEST_HEADERS_ACTION_REFUSE;
  action->val.refuse = (witgate_plugin_http_refusal_t){
      .code = WITGATE_PLUGIN_HTTP_ERROR_CODE_UNAUTHENTICATED,
      .message = owned("Send a known key: `authorization: Bearer KEY`."),
      .fields = {challenge, 1},
      .retry_after_ms = {.is_some = false},
  };
}

static witgate_plugin_http_field_op_t set(const char *name, const char *value, size_t length) {
  witgate_plugin_http_field_op_t op = {.tag = WITGATE_PLUGIN_HTTP_FIELD_OP_SET};
  op.val.set.name = borrowed(name);
  op.val.set.value = (first_plugin_list_u8_t){(uint8_t *)value, length};
  return op;
}

// Tells the upstream who calls and how often, and keeps the key from it. Whatever fails here is a trap: the client gets
// 500, unless the stage says `on_trap = "skip"`.
static void admit(exports_witgate_plugin_on_request_headers_borrow_request_t request, const text *consumer) {
  char counter[sizeof "count:" + NAME_LIMIT], digits[sizeof "-9223372036854775808"];
  snprintf(counter, sizeof counter, "count:%.*s", (int)consumer->length, consumer->at);
  first_plugin_string_t key = borrowed(counter);
  int64_t count;
  witgate_plugin_kv_kv_error_t kv_error;
  // Atomic: every instance of the plugin counts in the same place.
  if (!witgate_plugin_kv_incr(&key, 1, NULL, &count, &kv_error)) {
    abort();
  }
  const int length = snprintf(digits, sizeof digits, "%" PRId64, count);

  witgate_plugin_http_field_op_t ops[3] = {{.tag = WITGATE_PLUGIN_HTTP_FIELD_OP_REMOVE}};
  ops[0].val.remove = borrowed("authorization");
  ops[1] = set("x-consumer", consumer->at, consumer->length);
  ops[2] = set("x-count", digits, (size_t)length);
  witgate_plugin_http_list_field_op_t edits = {ops, 3};
  witgate_plugin_http_field_error_t field_error;
  if (!witgate_plugin_http_method_request_apply(request, &edits, &field_error)) {
    abort();
  }
}

void exports_witgate_plugin_on_request_headers_handle(
    exports_witgate_plugin_on_request_headers_borrow_request_t request, bool end_of_stream,
    exports_witgate_plugin_on_request_headers_action_t *action) {
  (void)end_of_stream;
  first_plugin_string_t name = borrowed("authorization");
  const text *consumer = NULL;
  // Written by the host only if it returns true: otherwise there is anything in it.
  first_plugin_list_u8_t authorization;
  if (witgate_plugin_http_method_request_get(request, &name, &authorization)) {
    consumer = authenticate(&authorization);
    first_plugin_list_u8_free(&authorization);
  }
  if (consumer == NULL) {
    refuse(action);
  } else {
    admit(request, consumer);
    action->tag = EXPORTS_WITGATE_PLUGIN_ON_REQUEST_HEADERS_ACTION_CONTINUE;
  }
  // The host lent the request for this call: a hook that keeps it is a trap.
  witgate_plugin_http_request_drop_borrow(request);
}
