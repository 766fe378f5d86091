-- What libraries bind of libcrypto by FFI: signatures by RSA and by elliptic curves, and AES.
local ffi = require "ffi"
local C = ffi.C

ffi.cdef [[
typedef struct evp_pkey_st EVP_PKEY;
typedef struct evp_md_st EVP_MD;
typedef struct evp_md_ctx_st EVP_MD_CTX;
typedef struct evp_cipher_st EVP_CIPHER;
typedef struct evp_cipher_ctx_st EVP_CIPHER_CTX;
typedef struct bio_st BIO;
typedef struct engine_st ENGINE;

BIO *BIO_new_mem_buf(const void *buf, int len);
int BIO_free(BIO *a);
EVP_PKEY *PEM_read_bio_PUBKEY(BIO *bp, EVP_PKEY **x, void *cb, void *u);
EVP_PKEY *EVP_PKEY_Q_keygen(void *libctx, const char *propq, const char *type, ...);
void EVP_PKEY_free(EVP_PKEY *pkey);

const EVP_MD *EVP_sha256(void);
EVP_MD_CTX *EVP_MD_CTX_new(void);
void EVP_MD_CTX_free(EVP_MD_CTX *ctx);
int EVP_DigestSignInit(EVP_MD_CTX *ctx, void *pctx, const EVP_MD *type, ENGINE *e, EVP_PKEY *pkey);
int EVP_DigestSign(EVP_MD_CTX *ctx, unsigned char *sigret, size_t *siglen, const unsigned char *tbs, size_t tbslen);
int EVP_DigestVerifyInit(EVP_MD_CTX *ctx, void *pctx, const EVP_MD *type, ENGINE *e, EVP_PKEY *pkey);
int EVP_DigestVerify(EVP_MD_CTX *ctx, const unsigned char *sigret, size_t siglen, const unsigned char *tbs, size_t tbslen);

const EVP_CIPHER *EVP_aes_256_gcm(void);
EVP_CIPHER_CTX *EVP_CIPHER_CTX_new(void);
void EVP_CIPHER_CTX_free(EVP_CIPHER_CTX *a);
int EVP_CIPHER_CTX_ctrl(EVP_CIPHER_CTX *ctx, int type, int arg, void *ptr);
int EVP_EncryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl, const unsigned char *key, const unsigned char *iv);
int EVP_EncryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl);
int EVP_EncryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl);
int EVP_DecryptInit_ex(EVP_CIPHER_CTX *ctx, const EVP_CIPHER *cipher, ENGINE *impl, const unsigned char *key, const unsigned char *iv);
int EVP_DecryptUpdate(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl, const unsigned char *in, int inl);
int EVP_DecryptFinal_ex(EVP_CIPHER_CTX *ctx, unsigned char *out, int *outl);

unsigned long ERR_get_error(void);
void ERR_error_string_n(unsigned long e, char *buf, size_t len);
int RAND_bytes(unsigned char *buf, int num);
]]

local _M = {}

local function reason()
    local buffer = ffi.new("char[256]")
    C.ERR_error_string_n(C.ERR_get_error(), buffer, 256)
    return ffi.string(buffer)
end

local function context()
    return ffi.gc(C.EVP_MD_CTX_new(), C.EVP_MD_CTX_free)
end

function _M.public_key(pem)
    local bio = ffi.gc(C.BIO_new_mem_buf(pem, #pem), C.BIO_free)
    local key = C.PEM_read_bio_PUBKEY(bio, nil, nil, nil)
    if key == nil then
        return nil, reason()
    end
    return ffi.gc(key, C.EVP_PKEY_free)
end

function _M.generate(kind, parameter)
    local key = C.EVP_PKEY_Q_keygen(nil, nil, kind, type(parameter) == "number" and ffi.cast("size_t", parameter) or parameter)
    assert(key ~= nil, "no key")
    return ffi.gc(key, C.EVP_PKEY_free)
end

function _M.sign(key, text)
    local digest, size = context(), ffi.new("size_t[1]")
    assert(C.EVP_DigestSignInit(digest, nil, C.EVP_sha256(), nil, key) == 1)
    assert(C.EVP_DigestSign(digest, nil, size, text, #text) == 1)
    local signature = ffi.new("unsigned char[?]", size[0])
    assert(C.EVP_DigestSign(digest, signature, size, text, #text) == 1)
    return ffi.string(signature, size[0])
end

function _M.verify(key, text, signature)
    if type(key) == "string" then
        key = assert(_M.public_key(key))
    end
    local digest = context()
    assert(C.EVP_DigestVerifyInit(digest, nil, C.EVP_sha256(), nil, key) == 1)
    return C.EVP_DigestVerify(digest, signature, #signature, text, #text) == 1
end

local SET_TAG, GET_TAG = 0x11, 0x10

function _M.random(bytes)
    local buffer = ffi.new("unsigned char[?]", bytes)
    assert(C.RAND_bytes(buffer, bytes) == 1)
    return ffi.string(buffer, bytes)
end

local function cipher()
    return ffi.gc(C.EVP_CIPHER_CTX_new(), C.EVP_CIPHER_CTX_free), ffi.new("int[1]")
end

-- Gives the ciphertext and the tag.
function _M.encrypt(key, iv, text, also)
    local ctx, n = cipher()
    assert(C.EVP_EncryptInit_ex(ctx, C.EVP_aes_256_gcm(), nil, key, iv) == 1)
    assert(C.EVP_EncryptUpdate(ctx, nil, n, also, #also) == 1)
    local out = ffi.new("unsigned char[?]", #text + 16)
    assert(C.EVP_EncryptUpdate(ctx, out, n, text, #text) == 1)
    local size = n[0]
    assert(C.EVP_EncryptFinal_ex(ctx, out + size, n) == 1)
    size = size + n[0]
    local tag = ffi.new("unsigned char[16]")
    assert(C.EVP_CIPHER_CTX_ctrl(ctx, GET_TAG, 16, tag) == 1)
    return ffi.string(out, size), ffi.string(tag, 16)
end

function _M.decrypt(key, iv, text, also, tag)
    local ctx, n = cipher()
    assert(C.EVP_DecryptInit_ex(ctx, C.EVP_aes_256_gcm(), nil, key, iv) == 1)
    assert(C.EVP_DecryptUpdate(ctx, nil, n, also, #also) == 1)
    local out = ffi.new("unsigned char[?]", #text + 16)
    assert(C.EVP_DecryptUpdate(ctx, out, n, text, #text) == 1)
    local size = n[0]
    assert(C.EVP_CIPHER_CTX_ctrl(ctx, SET_TAG, 16, ffi.cast("void *", tag)) == 1)
    if C.EVP_DecryptFinal_ex(ctx, out + size, n) ~= 1 then
        return nil, "the tag does not fit"
    end
    return ffi.string(out, size + n[0])
end

return _M
