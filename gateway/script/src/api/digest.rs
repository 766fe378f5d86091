//! Digests, message authentication codes, checksums and random bytes; and in place of the modules of lua-resty-string, which
//! call a library of C, modules with the same functions.

use hmac::{Hmac, KeyInit, Mac};
use md5::Md5;
use mlua::{BString, Lua, LuaString, Table, UserData, UserDataMethods, Value};
use sha1::Sha1;
use sha2::{Digest, Sha224, Sha256, Sha384, Sha512};

use crate::raw::{Answer, Call, Fault, Given, Outcome, function};

/// Most bytes that a script gets of `resty.random` at once.
const RANDOM_LIMIT: f64 = 1024.0 * 1024.0;

pub(crate) fn install(lua: &Lua, ngx: &Table, preload: &Table) -> mlua::Result<()> {
    ngx.raw_set("md5", digest::<Md5>(lua, true)?)?;
    ngx.raw_set("md5_bin", digest::<Md5>(lua, false)?)?;
    ngx.raw_set("sha1_bin", digest::<Sha1>(lua, false)?)?;
    ngx.raw_set("hmac_sha1", function(lua, &[], hmac_sha1)?)?;
    for name in ["crc32_short", "crc32_long"] {
        ngx.raw_set(name, function(lua, &[1], crc32)?)?;
    }

    hasher::<Md5>(lua, preload, "resty.md5")?;
    hasher::<Sha1>(lua, preload, "resty.sha1")?;
    hasher::<Sha224>(lua, preload, "resty.sha224")?;
    hasher::<Sha256>(lua, preload, "resty.sha256")?;
    hasher::<Sha384>(lua, preload, "resty.sha384")?;
    hasher::<Sha512>(lua, preload, "resty.sha512")?;
    super::preload(lua, preload, "resty.sha", |lua| lua.create_table())?;
    super::preload(lua, preload, "resty.hmac", authenticators)?;
    super::preload(lua, preload, "resty.string", |lua| {
        let module = lua.create_table()?;
        module.raw_set("_VERSION", STRING_VERSION)?;
        module.raw_set("to_hex", function(lua, &[], to_hex)?)?;
        module.raw_set("atoi", function(lua, &[], atoi)?)?;
        Ok(module)
    })?;
    super::preload(lua, preload, "resty.random", |lua| {
        let module = lua.create_table()?;
        module.raw_set("_VERSION", STRING_VERSION)?;
        module.raw_set("bytes", function(lua, &[], random_bytes)?)?;
        Ok(module)
    })
}

/// The version of lua-resty-string whose modules are stood in for.
const STRING_VERSION: &str = "0.15";

fn digest<D: Digest>(lua: &Lua, in_hex: bool) -> mlua::Result<mlua::Function> {
    function(lua, &[1], move |call, answer| {
        let digest = D::digest(call.text(1).unwrap_or_default());
        if in_hex {
            hex_into(&digest, &mut answer.text);
            answer.written(0);
        } else {
            answer.bytes(&digest);
        }
        Ok(())
    })
}

fn hex_into(bytes: &[u8], to: &mut Vec<u8>) {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    for byte in bytes {
        for digit in [byte >> 4, byte & 15] {
            to.push(DIGITS.get(usize::from(digit)).copied().unwrap_or(b'0'));
        }
    }
}

fn hmac_sha1(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    if call.count() != 2 {
        return Err(Fault::new(format!("expecting 2 arguments, but got {}", call.count())));
    }
    let mut numbers = [String::new(), String::new()];
    for (index, number) in (1..).zip(&mut numbers) {
        match call.given(index) {
            Given::Text(_) => {}
            Given::Number(value) => *number = super::number_text(value),
            given => return Err(Fault::expected(index, "string", given)),
        }
    }
    let [secret, message] = numbers;
    let mut mac: Hmac<Sha1> = keyed(call.text(1).unwrap_or(secret.as_bytes()));
    mac.update(call.text(2).unwrap_or(message.as_bytes()));
    answer.bytes(&mac.finalize().into_bytes());
    Ok(())
}

#[expect(clippy::expect_used, reason = "HMAC takes keys of every length; the error type serves other MACs")]
fn keyed<M: KeyInit>(secret: &[u8]) -> M {
    M::new_from_slice(secret).expect("HMAC takes keys of every length")
}

fn crc32(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    answer.number(f64::from(crc32fast::hash(call.text(1).unwrap_or_default())));
    Ok(())
}

fn to_hex(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return Err(Fault::expected(1, "string", call.given(1))) };
    if answer.fits(text.len().saturating_mul(2)) {
        hex_into(text, &mut answer.text);
        answer.written(0);
    }
    Ok(())
}

/// A whole number of decimal digits alone, or -1.
fn atoi(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let Given::Text(text) = call.given(1) else { return Err(Fault::expected(1, "string", call.given(1))) };
    let digits = text.iter().all(u8::is_ascii_digit);
    let number: Option<i64> = std::str::from_utf8(text).ok().filter(|_| digits).and_then(|text| text.parse().ok());
    answer.number(number.unwrap_or(-1) as f64);
    Ok(())
}

fn random_bytes(call: &Call<'_>, answer: &mut Answer) -> Outcome {
    let len = call.given(1).number().ok_or_else(|| Fault::expected(1, "number", call.given(1)))?;
    if !(0.0..=RANDOM_LIMIT).contains(&len) {
        return Err(Fault::argument(1, format!("between 0 and {RANDOM_LIMIT} bytes can be had at once")));
    }
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "within the limit")]
    answer.text.resize(len as usize, 0);
    // From the system's generator, weak ones as well: nothing else is unguessable. It does not fail where Linux runs.
    if getrandom::fill(&mut answer.text).is_err() {
        answer.text.clear();
        answer.nil();
    } else {
        answer.written(0);
    }
    Ok(())
}

/// What `new` of the modules for digests gives.
struct Hasher<D>(D);

impl<D: Digest + Clone + 'static> UserData for Hasher<D> {
    fn add_methods<M: UserDataMethods<Self>>(methods: &mut M) {
        methods.add_method_mut("update", |_, this, (data, len): (LuaString, Option<usize>)| {
            let data = data.as_bytes();
            this.0.update(data.get(..len.unwrap_or(data.len())).unwrap_or(&data));
            Ok(true)
        });
        methods.add_method("final", |_, this, ()| Ok(BString::from(this.0.clone().finalize().to_vec())));
        methods.add_method_mut("reset", |_, this, ()| {
            this.0 = D::new();
            Ok(true)
        });
    }
}

fn hasher<D: Digest + Clone + 'static>(lua: &Lua, preload: &Table, name: &str) -> mlua::Result<()> {
    super::preload(lua, preload, name, |lua| {
        let module = lua.create_table()?;
        module.raw_set("_VERSION", STRING_VERSION)?;
        module.raw_set("new", lua.create_function(|_, _: Value| Ok(Hasher(D::new())))?)?;
        Ok(module)
    })
}

/// What `resty.hmac.new` gives. The key is kept ready, for `reset`.
struct Authenticator<M> {
    fresh: M,
    now: M,
}

impl<M: Mac + Clone + 'static> Authenticator<M> {
    fn new(fresh: M) -> Self {
        Self { now: fresh.clone(), fresh }
    }
}

fn code<M: Mac + Clone>(mac: &M, in_hex: bool) -> BString {
    let code = mac.clone().finalize().into_bytes();
    if !in_hex {
        return BString::from(code.to_vec());
    }
    let mut hex = Vec::with_capacity(2 * code.len());
    hex_into(&code, &mut hex);
    BString::from(hex)
}

impl<M: Mac + Clone + 'static> UserData for Authenticator<M> {
    fn add_methods<Methods: UserDataMethods<Self>>(methods: &mut Methods) {
        methods.add_method_mut("update", |_, this, data: LuaString| {
            this.now.update(&data.as_bytes());
            Ok(true)
        });
        methods.add_method_mut("final", |_, this, (data, in_hex): (Option<LuaString>, Option<bool>)| {
            if let Some(data) = data {
                this.now.update(&data.as_bytes());
            }
            Ok(code(&this.now, in_hex.unwrap_or(false)))
        });
        methods.add_method_mut("reset", |_, this, ()| {
            this.now = this.fresh.clone();
            Ok(true)
        });
    }
}

/// The module `resty.hmac`.
fn authenticators(lua: &Lua) -> mlua::Result<Table> {
    let module = lua.create_table()?;
    module.raw_set("_VERSION", "0.06")?;
    let algorithms = lua.create_table()?;
    for name in ["MD5", "SHA1", "SHA224", "SHA256", "SHA384", "SHA512"] {
        algorithms.raw_set(name, name)?;
    }
    module.raw_set("ALGOS", algorithms)?;
    let new = lua.create_function(|lua, (_, key, algorithm): (Value, LuaString, Option<LuaString>)| {
        let key = key.as_bytes();
        match algorithm.as_ref().map(|name| name.to_string_lossy()).as_deref() {
            None | Some("MD5") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Md5>>(&key))),
            Some("SHA1") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Sha1>>(&key))),
            Some("SHA224") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Sha224>>(&key))),
            Some("SHA256") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Sha256>>(&key))),
            Some("SHA384") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Sha384>>(&key))),
            Some("SHA512") => lua.create_userdata(Authenticator::new(keyed::<Hmac<Sha512>>(&key))),
            Some(_) => return Ok(None),
        }
        .map(Some)
    })?;
    module.raw_set("new", new)?;
    Ok(module)
}

#[cfg(test)]
mod tests {
    use crate::testing::{check, vm};

    #[test]
    fn digests_agree_with_published_ones() {
        let lua = vm();
        for (code, expected) in [
            (
                "return ngx.md5('hello'), ngx.md5(45)",
                "5d41402abc4b2a76b9719d911017c592 6c8349cc7260ae62e3b1396831a8398f",
            ),
            ("return ngx.md5(nil), ngx.md5('')", "d41d8cd98f00b204e9800998ecf8427e d41d8cd98f00b204e9800998ecf8427e"),
            ("return ngx.encode_base64(ngx.md5_bin('hello'))", "XUFAKrxLKna5cZ2REBfFkg=="),
            (
                "return ngx.encode_base64(ngx.sha1_bin('hello')), ngx.encode_base64(ngx.sha1_bin())",
                "qvTGHdzF6KLavt4PO0gs2a6pQ00= 2jmj7l5rSw0yVb/vlWAYkK/YBwk=",
            ),
            (
                "return ngx.crc32_short('123456789'), ngx.crc32_long('123456789'), ngx.crc32_long('')",
                "3421780262 3421780262 0",
            ),
            // RFC 2202, case 2
            (
                "return require('resty.string').to_hex(ngx.hmac_sha1('Jefe', 'what do ya want for nothing?'))",
                "effcdf6ae5eb2fa2d27416d5f184df9c259a7c79",
            ),
            ("return select(2, pcall(ngx.hmac_sha1, 'key'))", "expecting 2 arguments, but got 1"),
            (
                "return select(2, pcall(ngx.hmac_sha1, 'key', {}))",
                "bad argument #2 to '?' (string expected, got table)",
            ),
        ] {
            check(&lua, code, expected);
        }
    }

    #[test]
    fn modules_of_lua_resty_string_are_there() {
        let lua = vm();
        let abc = "local hash = require('resty.NAME'):new()
            assert(hash:update('a') and hash:update('bcd', 2))
            local first = hash:final()
            assert(hash:reset() and hash:update('abc'))
            assert(hash:final() == first)
            return require('resty.string').to_hex(first)";
        for (name, expected) in [
            ("md5", "900150983cd24fb0d6963f7d28e17f72"),
            ("sha1", "a9993e364706816aba3e25717850c26c9cd0d89d"),
            ("sha224", "23097d223405d8228642a477bda255b32aadbce4bda0b3f7e36c9da7"),
            ("sha256", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
        ] {
            check(&lua, &abc.replace("NAME", name), expected);
        }
        for (name, bytes) in [("sha384", 48), ("sha512", 64)] {
            check(&lua, &format!("return #require('resty.{name}'):new():final()"), &bytes.to_string());
        }
        check(&lua, "local s = require 'resty.string' return s.atoi('42'), s.atoi('-1'), s.atoi('')", "42 -1 -1");
        let random = "local bytes = require('resty.random').bytes
            return #bytes(16), #bytes(0, true), bytes(16) ~= bytes(16), pcall(bytes, 1e9)";
        check(&lua, random, "16 0 true false bad argument #1 to '?' (between 0 and 1048576 bytes can be had at once)");
        // RFC 4231, case 2
        let mac = "local hmac = require 'resty.hmac'
            local mac = hmac:new('Jefe', hmac.ALGOS.SHA256)
            mac:update('what do ya want ')
            local code = mac:final('for nothing?', true)
            mac:reset()
            assert(mac:final('what do ya want for nothing?', true) == code)
            return code, hmac:new('key', 'CRC')";
        check(&lua, mac, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843 nil");
    }
}
