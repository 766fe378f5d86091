//! The Lua tables that scripts see, one file for each theme, and their parts in Lua in `../lua`.

pub(crate) mod builtin;
pub(crate) mod digest;
pub(crate) mod encoding;
mod host;
pub(crate) mod install;
pub(crate) mod json;
mod location;
pub(crate) mod log;
mod module;
mod output;
pub(crate) mod pattern;
pub(crate) mod re;
mod request;
pub(crate) mod resty_core;
pub(crate) mod shared;
mod socket;
mod store;
pub(crate) mod time;
mod timer;
mod var;
mod wait;
mod worker;

use std::rc::Rc;

use mlua::{Lua, Table, Value};

use crate::phase::{Moment, Phase};
use crate::raw::Fault;
use crate::request::Request;
use crate::vm::Core;

/// The version of lua-resty-core whose modules are stood in for.
pub(crate) const CORE_VERSION: &str = "0.1.27";

/// The bits of the phases in which a script can see the request, which are all, and of those in which it can change it.
pub(crate) const SEES_REQUEST: u8 = u8::MAX;
pub(crate) const CHANGES_REQUEST: u8 = !Phase::Log.bit();

/// The request that a function is about, which is for these phases only. As `core.only_in` in Lua.
pub(crate) fn request_in(core: &Core, phases: u8) -> Result<Rc<Request>, Fault> {
    let request = core.request().map_err(|_| Fault::new("no request found"))?;
    let name = match request.moment.get() {
        Moment::Phase(phase) if phases & phase.bit() != 0 => return Ok(request),
        Moment::Phase(phase) => phase.name(),
        Moment::Init => "init",
        Moment::InitWorker => "init_worker",
        Moment::Timer => return Err(Fault::new("API disabled in the current context")),
        Moment::Nothing => return Err(Fault::new("no request found")),
    };
    Err(Fault::new(format!("API disabled in the context of {name}_by_lua*")))
}

/// Lets `require` find a module, which is made when it is first wanted.
pub(crate) fn preload(
    lua: &Lua,
    preload: &Table,
    name: &str,
    make: impl Fn(&Lua) -> mlua::Result<Table> + 'static,
) -> mlua::Result<()> {
    preload.raw_set(name, lua.create_function(move |lua, _: Value| make(lua))?)
}

/// A number as Lua makes a string of it.
pub(crate) fn number_text(number: f64) -> String {
    let mut text = Vec::with_capacity(24);
    number_into(number, 14, &mut text);
    String::from_utf8(text).unwrap_or_default()
}

/// Appends a number with so many significant digits, as C's `%g` has it. Whole numbers of up to 14 digits, the usual case, are
/// quick.
pub(crate) fn number_into(number: f64, digits: usize, to: &mut Vec<u8>) {
    use std::io::Write;
    if number.fract() == 0.0 && number.abs() < 1e14 && digits >= 14 {
        if number == 0.0 && number.is_sign_negative() {
            to.push(b'-');
        }
        #[expect(clippy::cast_possible_truncation, reason = "whole and small")]
        to.extend_from_slice(itoa::Buffer::new().format(number as i64).as_bytes());
        return;
    }
    if !number.is_finite() {
        let text: &[u8] = match (number.is_nan(), number.is_sign_negative()) {
            (true, false) => b"nan",
            (true, true) => b"-nan",
            (false, false) => b"inf",
            (false, true) => b"-inf",
        };
        to.extend_from_slice(text);
        return;
    }
    let digits = digits.max(1);
    let scientific = format!("{number:.*e}", digits - 1);
    let (mantissa, exponent) = scientific.split_once('e').unwrap_or((&scientific, "0"));
    let exponent: i32 = exponent.parse().unwrap_or(0);
    let trim = |text: &str| -> usize {
        if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.').len() } else { text.len() }
    };
    // Writing to a vector does not fail.
    if exponent < -4 || i64::from(exponent) >= digits as i64 {
        let mantissa = mantissa.get(..trim(mantissa)).unwrap_or_default();
        let sign = if exponent < 0 { '-' } else { '+' };
        let _ = write!(to, "{mantissa}e{sign}{:02}", exponent.abs());
    } else {
        let places = usize::try_from(digits as i64 - 1 - i64::from(exponent)).unwrap_or(0);
        let fixed = format!("{number:.places$}");
        to.extend_from_slice(fixed.get(..trim(&fixed)).unwrap_or_default().as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn numbers_look_as_lua_prints_them(number in any::<f64>(), small in -1e6f64..1e6, digits in 1usize..17) {
            let lua = Lua::new();
            let tostring: mlua::Function = lua.globals().get("tostring").unwrap();
            let format: mlua::Function = lua.load("return string.format").eval().unwrap();
            for number in [number, small, small.round(), number.trunc(), 0.0, -0.0, 1e14, 1e15, -1e-5, 123456.0] {
                let mut text = Vec::new();
                number_into(number, digits, &mut text);
                let text = String::from_utf8(text).unwrap();
                let told: String = tostring.call(number).unwrap();
                let formatted: String = format.call((format!("%.{digits}g"), number)).unwrap();
                for (own, its, digits) in [(number_text(number), told, 14), (text, formatted, digits)] {
                    // LuaJIT calculates with a few digits too few where exponents are large, and may round the last one
                    // the other way.
                    let is_large = !(1e-60..1e60).contains(&number.abs()) && number.is_finite();
                    let near = || {
                        let (own, its): (f64, f64) = (own.parse().unwrap(), its.parse().unwrap());
                        (own - its).abs() <= its.abs() * 1.01 * 0.1f64.powi(digits as i32 - 1)
                    };
                    prop_assert!(own == its || is_large && near(), "{} {}", own, its);
                }
            }
        }
    }
}
