-- Sessions in cookies, in the manner of lua-resty-session: identity, expiry and data, encrypted where there is FFI, signed
-- everywhere, kept in the cookie or in a shared dictionary.
local cjson = require "cjson"
local random = require "resty.random"
local hmac = require "resty.hmac"
local base64 = require "ngx.base64"
local has_ffi, crypto = pcall(require, "surfaces.crypto")

local _M = {}
_M.__index = _M

local function code_of(key, text)
    return hmac:new(key, hmac.ALGOS.SHA256):final(text)
end

-- Plain data where there is no libcrypto: what is signed cannot be changed, either.
local function seal(self, id, expires, data)
    local also = id .. expires
    if not has_ffi then
        return data, code_of(self.secret, also .. data)
    end
    local key = code_of(self.secret, "key" .. id)
    local iv = code_of(self.secret, "iv" .. also):sub(1, 12)
    return crypto.encrypt(key, iv, data, also)
end

local function open(self, id, expires, sealed, tag)
    local also = id .. expires
    if not has_ffi then
        if code_of(self.secret, also .. sealed) ~= tag then
            return nil, "the signature does not fit"
        end
        return sealed
    end
    local key = code_of(self.secret, "key" .. id)
    local iv = code_of(self.secret, "iv" .. also):sub(1, 12)
    return crypto.decrypt(key, iv, sealed, also, tag)
end

local storages = {
    cookie = {
        save = function(_, _, value)
            return value
        end,
        read = function(_, _, value)
            return value
        end,
        delete = function() end,
    },
    shared = {
        save = function(self, id, value)
            assert(self.dict:set("session:" .. id, value, self.lifetime))
            return ""
        end,
        read = function(self, id)
            return self.dict:get("session:" .. id)
        end,
        delete = function(self, id)
            self.dict:delete("session:" .. id)
        end,
    },
}

function _M.new(options)
    local self = setmetatable({
        name = options.name or "session",
        secret = assert(options.secret),
        lifetime = options.lifetime or 3600,
        dict = options.dict and ngx.shared[options.dict],
        data = {},
    }, _M)
    self.storage = storages[self.dict and "shared" or "cookie"]
    return self
end

local function set_cookie(self, value, lifetime)
    local parts = { self.name, "=", value, "; Path=/; SameSite=Lax; HttpOnly" }
    if ngx.var.scheme == "https" then
        parts[#parts + 1] = "; Secure"
    end
    parts[#parts + 1] = "; Expires=" .. ngx.cookie_time(ngx.time() + lifetime) .. "; Max-Age=" .. lifetime
    local cookie = table.concat(parts)
    -- Other cookies of the response stay; an earlier one of this name goes.
    local present = ngx.header["Set-Cookie"]
    if type(present) == "string" then
        present = { present }
    end
    local kept = {}
    for _, each in ipairs(present or {}) do
        if each:sub(1, #self.name + 1) ~= self.name .. "=" then
            kept[#kept + 1] = each
        end
    end
    kept[#kept + 1] = cookie
    ngx.header["Set-Cookie"] = #kept == 1 and cookie or kept
    return cookie
end

function _M.start(options)
    local self = _M.new(options)
    local cookie = ngx.var["cookie_" .. self.name]
    local parts = {}
    for part in ((cookie or "") .. "|"):gmatch("([^|]*)|") do
        parts[#parts + 1] = base64.decode_base64url(part)
    end
    local id, expires, sealed, tag = parts[1], tonumber(parts[2]), parts[3], parts[4]
    if not tag then
        self.id, self.present = random.bytes(16, true), false
        return self, cookie and "the cookie is broken"
    elseif not expires or expires < ngx.time() then
        self.id, self.present = random.bytes(16, true), false
        return self, "expired"
    end
    local stored = self.storage.read(self, id, sealed)
    local data, err
    if stored then
        data, err = open(self, id, parts[2], stored, tag)
    end
    if not data then
        self.id, self.present = random.bytes(16, true), false
        return self, err or "nothing is stored"
    end
    self.id, self.present, self.data, self.expires = id, true, cjson.decode(data), expires
    return self
end

function _M.save(self)
    self.expires = ngx.time() + self.lifetime
    local sealed, tag = seal(self, self.id, tostring(self.expires), cjson.encode(self.data))
    local inside = self.storage.save(self, self.id, sealed)
    local parts = {}
    for i, part in ipairs { self.id, tostring(self.expires), inside, tag } do
        parts[i] = base64.encode_base64url(part)
    end
    return set_cookie(self, table.concat(parts, "|"), self.lifetime)
end

-- Another identity for the same data, as after a login.
function _M.regenerate(self)
    self.storage.delete(self, self.id)
    self.id = random.bytes(16, true)
    return self:save()
end

function _M.destroy(self)
    self.storage.delete(self, self.id)
    self.data = {}
    return set_cookie(self, "", -1)
end

_M.is_encrypted = has_ffi
return _M
