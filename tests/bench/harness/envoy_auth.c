/* API-key authentication for Envoy's Wasm filter, against the proxy-wasm ABI 0.2.1, with no library and so no
 * allocator, no exception and no start-up code that another implementation would not pay for.
 *
 * The plugin's configuration is the key set: one "KEY IDENTITY" per line. */

typedef unsigned int u32;
typedef unsigned char u8;

#define HOST(name) __attribute__((import_module("env"), import_name(#name))) extern
#define GUEST(name) __attribute__((export_name(#name)))
#define TEXT(literal) literal, sizeof(literal) - 1

enum { OK = 0 };
enum { REQUEST_HEADERS = 0 };      /* map types */
enum { PLUGIN_CONFIGURATION = 7 }; /* buffer types */
enum { CONTINUE = 0, PAUSE = 1 };  /* actions */

HOST(proxy_get_buffer_bytes) u32 get_buffer(u32 type, u32 start, u32 limit, const u8 **bytes, u32 *length);
HOST(proxy_get_header_map_value) u32 get_header(u32 map, const char *name, u32 name_length, const u8 **value, u32 *length);
HOST(proxy_replace_header_map_value) u32 set_header(u32 map, const char *name, u32 name_length, const u8 *value, u32 length);
HOST(proxy_remove_header_map_value) u32 remove_header(u32 map, const char *name, u32 name_length);
HOST(proxy_send_local_response) u32 respond(u32 status, const char *detail, u32 detail_length, const char *body,
                                            u32 body_length, const char *headers, u32 headers_length, u32 grpc_status);

/* What the host hands in goes into an arena. The configuration stays at its bottom; what a request adds is forgotten
 * when the next one begins, since no call outlives the hook that makes it. */
static u8 arena[1 << 18];
static u32 arena_kept, arena_used;

GUEST(proxy_on_memory_allocate) void *allocate(u32 size) {
  u32 start = (arena_used + 7) & ~7u;
  if (size > sizeof arena || start > sizeof arena - size) return 0;
  arena_used = start + size;
  return arena + start;
}

/* Keys, by open addressing. Twice as many slots as keys at the least, so a search always meets a free one. */
enum { SLOTS = 1 << 12, KEYS_LIMIT = SLOTS / 2 };
static struct entry {
  const u8 *key, *identity;
  u32 key_length, identity_length;
} entries[SLOTS];

static int is_same(const u8 *a, const u8 *b, u32 length) {
  for (u32 i = 0; i < length; i++)
    if (a[i] != b[i]) return 0;
  return 1;
}

/* The entry of a key, or the free slot where it belongs. */
static struct entry *find(const u8 *key, u32 length) {
  u32 slot = 2166136261u; /* FNV-1a */
  for (u32 i = 0; i < length; i++) slot = (slot ^ key[i]) * 16777619u;
  for (;; slot++) {
    struct entry *entry = &entries[slot % SLOTS];
    if (!entry->key || (entry->key_length == length && is_same(entry->key, key, length))) return entry;
  }
}

/* Length of what comes before `end_mark`. */
static u32 length_until(const u8 *text, const u8 *end, u8 end_mark) {
  u32 length = 0;
  while (text + length < end && text[length] != end_mark) length++;
  return length;
}

GUEST(proxy_on_configure) u32 on_configure(u32 context, u32 size) {
  const u8 *text = 0;
  u32 length = 0, keys = 0;
  if (get_buffer(PLUGIN_CONFIGURATION, 0, size, &text, &length) != OK) return 0;
  arena_kept = arena_used;
  for (const u8 *end = text + length; text < end; keys++) {
    u32 line = length_until(text, end, '\n');
    u32 key = length_until(text, text + line, ' ');
    if (key == 0 || key + 1 >= line || keys == KEYS_LIMIT) return 0;
    *find(text, key) = (struct entry){text, text + key + 1, key, line - key - 1};
    text += line + 1;
  }
  return 1;
}

GUEST(proxy_on_request_headers) u32 on_request_headers(u32 context, u32 count, u32 end_of_stream) {
  const u8 *key = 0;
  u32 length = 0;
  arena_used = arena_kept;
  struct entry *entry = 0;
  if (get_header(REQUEST_HEADERS, TEXT("x-api-key"), &key, &length) == OK && length > 0) entry = find(key, length);
  if (!entry || !entry->key) {
    respond(401, 0, 0, 0, 0, 0, 0, -1);
    return PAUSE;
  }
  set_header(REQUEST_HEADERS, TEXT("x-consumer"), entry->identity, entry->identity_length);
  remove_header(REQUEST_HEADERS, TEXT("x-api-key"));
  return CONTINUE;
}

GUEST(proxy_abi_version_0_2_1) void abi_version(void) {}
GUEST(_initialize) void initialize(void) {}
GUEST(proxy_on_context_create) void on_context_create(u32 context, u32 parent) {}
GUEST(proxy_on_vm_start) u32 on_vm_start(u32 context, u32 size) { return 1; }
GUEST(proxy_on_done) u32 on_done(u32 context) { return 1; }
GUEST(proxy_on_delete) void on_delete(u32 context) {}
