//! What calls of the library cost: `cargo bench -p witgate-script --bench library [FILTER]`.

#![expect(
    clippy::unwrap_used,
    clippy::print_stdout,
    clippy::indexing_slicing,
    reason = "a benchmark tells and may fail"
)]

use std::sync::Arc;
use std::time::Instant;

use mlua::Lua;
use witgate_script::{dict::Dict, library};

const CALLS: u32 = 1_000_000;
const ROUNDS: usize = 7;

const CASES: &[(&str, &str, &str)] = &[
    ("nothing", "", ""),
    ("dict get number", "d:set('n', 1)", "d:get('n')"),
    ("dict get string of 100 bytes", "d:set('s', string.rep('x', 100))", "d:get('s')"),
    ("dict get with ttl", "d:set('t', 1, 100)", "d:get('t')"),
    (
        "dict get of 1000 keys",
        "local k = {} for j = 1, 1000 do k[j] = 'key' .. j d:set(k[j], j) end",
        "d:get(k[i % 1000 + 1])",
    ),
    ("dict set string", "", "d:set('s2', 'value')"),
    ("dict incr", "d:set('c', 0)", "d:incr('c', 1)"),
    ("dict incr with init", "", "d:incr('c2', 1, 0, 60)"),
    ("ngx.re.match", "local s = 'GET /users/1234?page=2'", "ngx.re.match(s, [[/users/(\\d+)]], 'jo')"),
    ("ngx.re.find", "local s = 'GET /users/1234?page=2'", "ngx.re.find(s, [[/users/(\\d+)]], 'jo')"),
    ("ngx.re.gsub template", "local s = 'a,b,c,d'", "ngx.re.gsub(s, ',', ';', 'jo')"),
    (
        "ngx.re.gsub function",
        "local s = 'a,b,c,d' local f = function(m) return m[0] end",
        "ngx.re.gsub(s, ',', f, 'jo')",
    ),
    ("ngx.escape_uri", "local s = 'a b&c'", "ngx.escape_uri(s)"),
    ("ngx.md5", "local s = 'hello'", "ngx.md5(s)"),
    ("ngx.now", "", "ngx.now()"),
    ("ngx.encode_base64", "local s = 'hello, world'", "ngx.encode_base64(s)"),
    ("ngx.decode_args", "local s = 'a=1&b=2&c=3'", "ngx.decode_args(s)"),
    (
        "cjson decode",
        "local c = require 'cjson' local s = '{\"name\":\"x\",\"list\":[1,2,3],\"ok\":true}'",
        "c.decode(s)",
    ),
    ("cjson encode", "local c = require 'cjson' local t = {name = 'x', list = {1, 2, 3}, ok = true}", "c.encode(t)"),
    ("string.find literal", "local s = 'GET /users/1234?page=2'", "s:find('/users/', 1, true)"),
    ("string.match", "local s = 'GET /users/1234?page=2'", "s:match('^%u+ ([^?]*)')"),
    ("string.gsub", "local s = 'a,b,c,d'", "s:gsub(',', ';')"),
    ("string.gmatch", "local s = 'a,b,c,d'", "for w in s:gmatch('[^,]+') do end"),
    ("table.insert", "local t = {}", "if i % 100 == 0 then t = {} end table.insert(t, i)"),
];

fn main() {
    let filter = std::env::args().skip(1).find(|argument| !argument.starts_with('-')).unwrap_or_default();
    let lua = Lua::new();
    lua.set_memory_limit(1 << 30).unwrap();
    let ngx = lua.create_table().unwrap();
    let dict = Arc::new(Dict::new("d", 10 << 20));
    library::install(&lua, &ngx, &[("d".to_owned(), dict.clone())]).unwrap();
    lua.globals().set("ngx", ngx).unwrap();
    lua.globals().set("CALLS", CALLS).unwrap();
    for (name, before, call) in CASES.iter().filter(|(name, ..)| name.contains(&filter)) {
        let code =
            format!("local ngx, d = ngx, ngx.shared.d {before} return function() for i = 1, CALLS do {call} end end");
        let run: mlua::Function = lua.load(code).eval().unwrap();
        let mut rounds: Vec<f64> = (0..ROUNDS)
            .map(|_| {
                let begun = Instant::now();
                run.call::<()>(()).unwrap();
                begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS)
            })
            .collect();
        rounds.sort_by(f64::total_cmp);
        println!("{name:40} {:8.1} ns", rounds[ROUNDS / 2]);
    }
    if "vm".contains(&filter) {
        let begun = Instant::now();
        for _ in 0..1000 {
            let lua = Lua::new();
            let ngx = lua.create_table().unwrap();
            library::install(&lua, &ngx, &[]).unwrap();
        }
        println!("{:40} {:8.1} us", "a VM with the library", begun.elapsed().as_secs_f64() * 1e3);
        let begun = Instant::now();
        for _ in 0..1000 {
            drop(Lua::new());
        }
        println!("{:40} {:8.1} us", "a VM without", begun.elapsed().as_secs_f64() * 1e3);
    }
    if "threads".contains(&filter) {
        for threads in [1, 2, 4] {
            let begun = Instant::now();
            std::thread::scope(|scope| {
                for _ in 0..threads {
                    scope.spawn(|| {
                        for _ in 0..CALLS {
                            dict.increment(b"count", 1.0, Some(0.0), 0);
                        }
                    });
                }
            });
            let each = begun.elapsed().as_secs_f64() * 1e9 / f64::from(CALLS) / f64::from(threads);
            println!("{:40} {each:8.1} ns", format!("increment from Rust, {threads} threads at once"));
        }
    }
}
