-- Pages from text with {{names}}: what is put in is escaped.
local template = {}

local ESCAPES = { ["&"] = "&amp;", ["<"] = "&lt;", [">"] = "&gt;", ['"'] = "&quot;", ["'"] = "&#39;" }

local function fill(text, values)
    return (text:gsub("{{(%w+)}}", function(name)
        return (tostring(values[name]):gsub("[&<>\"']", ESCAPES))
    end))
end

local HEAD = [[
<!doctype html>
<title>Short links</title>
<style>body { font: 16px sans-serif; max-width: 40em; margin: 2em auto } td { padding: .2em 1em .2em 0 }</style>
<h1>Short links</h1>
<table>
<tr><th>Name<th>Leads to<th>Followed
]]
local ROW = [[
<tr><td><a href="/go/{{name}}">{{name}}</a><td>{{url}}<td>{{follows}}
]]

function template.page(values)
    local parts = { HEAD }
    for _, link in ipairs(values.links) do
        parts[#parts + 1] = fill(ROW, link)
    end
    parts[#parts + 1] = "</table>\n"
    return table.concat(parts)
end

return template
