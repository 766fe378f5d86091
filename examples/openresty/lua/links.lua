-- Links in Redis, in the hash `links`.
local redis = require "redis"

local links = {}

function links.set(name, url)
    return redis.call("HSET", "links", name, url)
end

function links.get(name)
    local url, message = redis.call("HGET", "links", name)
    if url == ngx.null then
        return nil
    end
    return url, message
end

function links.all()
    local pairs, message = redis.call("HGETALL", "links")
    if not pairs then
        return nil, message
    end
    local all = {}
    for i = 1, #pairs, 2 do
        all[#all + 1] = { name = pairs[i], url = pairs[i + 1] }
    end
    table.sort(all, function(one, other) return one.name < other.name end)
    return all
end

return links
