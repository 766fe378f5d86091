-- Sets a hook from within a compiled loop and gives true if the loop goes on nevertheless.
local set = require("ffi").cast("void (*)(int)", (...))
local count = 0
local function loop(times, at)
    for i = 1, times do
        if i == at then
            set(0)
        end
        count = count + 1
    end
end
-- Often enough to be compiled.
for _ = 1, 100 do
    loop(100, 0)
end
loop(1e6, 1e5)
return true
