-- JSON Web Tokens, in the manner of lua-resty-jwt: HS256, HS384 and HS512 here, RS256 and ES256 through `surfaces.crypto`.
local cjson = require "cjson.safe"
local hmac = require "resty.hmac"
local base64 = require "ngx.base64"
local band, bor, bxor = bit.band, bit.bor, bit.bxor
local byte, sub, find = string.byte, string.sub, string.find

local _M = {}

local algorithms = { HS256 = hmac.ALGOS.SHA256, HS384 = hmac.ALGOS.SHA384, HS512 = hmac.ALGOS.SHA512 }

local function split(token)
    local parts, from = {}, 1
    while true do
        local dot = find(token, ".", from, true)
        if not dot then
            parts[#parts + 1] = sub(token, from)
            return parts
        end
        parts[#parts + 1], from = sub(token, from, dot - 1), dot + 1
    end
end

-- As long for texts that differ at the start as for those that differ at the end.
local function equal(one, other)
    if #one ~= #other then
        return false
    end
    local difference = 0
    for i = 1, #one do
        difference = bor(difference, bxor(byte(one, i), byte(other, i)))
    end
    return band(difference, 0xff) == 0
end

local function mac(algorithm, secret, text)
    local code = hmac:new(secret, algorithms[algorithm])
    if not code or not code:update(text) then
        error({ reason = "no code for " .. algorithm })
    end
    return code:final()
end

local function encode(value)
    -- As libraries do that know nothing of `ngx.base64`.
    return (ngx.encode_base64(value, true):gsub("[+/]", { ["+"] = "-", ["/"] = "_" }))
end

function _M.sign(secret, object, asymmetric)
    local text = encode(cjson.encode(object.header)) .. "." .. encode(cjson.encode(object.payload))
    local algorithm = object.header.alg
    if algorithms[algorithm] then
        return text .. "." .. encode(mac(algorithm, secret, text))
    elseif asymmetric then
        return text .. "." .. encode(asymmetric.sign(secret, text))
    end
    error({ reason = "unsupported alg: " .. tostring(algorithm) })
end

function _M.load(token)
    local parts = split(token)
    if #parts ~= 3 then
        return nil, "invalid jwt string"
    end
    local header, payload = base64.decode_base64url(parts[1]), base64.decode_base64url(parts[2])
    header, payload = header and cjson.decode(header), payload and cjson.decode(payload)
    if type(header) ~= "table" then
        return nil, "invalid header: " .. parts[1]
    elseif type(payload) ~= "table" then
        return nil, "invalid payload: " .. parts[2]
    end
    return {
        header = header, payload = payload, signed = parts[1] .. "." .. parts[2],
        signature = base64.decode_base64url(parts[3]), verified = false,
    }
end

local claims = {
    { "exp", function(value, leeway)
        return type(value) == "number" and ngx.time() < value + leeway, "jwt token expired at: "
    end },
    { "nbf", function(value, leeway)
        return type(value) == "number" and ngx.now() >= value - leeway, "jwt token not valid until: "
    end },
    { "iss", function(value)
        return ngx.re.find(value, [[^https://issuer\.[a-z]+$]], "jo") ~= nil, "jwt token of a stranger: "
    end },
}

-- `secret` may be a function of the key's identity.
function _M.verify(secret, token, options)
    options = options or {}
    local object, reason = _M.load(token)
    if not object then
        return { verified = false, reason = reason }
    end
    local ok, problem = pcall(function()
        local key = type(secret) == "function" and secret(object.header.kid) or secret
        local algorithm = object.header.alg
        if algorithms[algorithm] then
            if not object.signature or not equal(mac(algorithm, key, object.signed), object.signature) then
                error({ reason = "signature mismatch: " .. tostring(object.signature and ngx.md5(object.signature)) })
            end
        elseif options.asymmetric and (algorithm == "RS256" or algorithm == "ES256") then
            if not options.asymmetric.verify(key, object.signed, object.signature) then
                error({ reason = "signature mismatch" })
            end
        else
            error({ reason = "unsupported alg: " .. tostring(algorithm) })
        end
        for _, claim in ipairs(claims) do
                local name, valid = claim[1], claim[2]
            local value = object.payload[name]
            if value ~= nil then
                local fine, why = valid(value, options.leeway or 0)
                if not fine then
                    error({ reason = why .. tostring(value) })
                end
            end
        end
    end)
    object.verified = ok
    if not ok then
        object.reason = type(problem) == "table" and problem.reason or problem
    end
    return object
end

-- The token of a request, as libraries that guard routes look for it.
function _M.bearer()
    local field = ngx.var.http_authorization
    local m = field and ngx.re.match(field, [[^Bearer\s+(\S+)$]], "ijo")
    return m and m[1] or ngx.var.cookie_jwt or ngx.req.get_uri_args().jwt
end

return _M
