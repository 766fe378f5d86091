//! Functions of nginx that libraries call through LuaJIT's `ffi`, for trusted scripts.

#![expect(unsafe_code, reason = "called by code that gives addresses and lengths, as C does")]

use std::ffi::c_void;

use mlua::{LightUserData, Lua, Table};

/// A table of their names, types and addresses.
pub(crate) fn table(lua: &Lua) -> mlua::Result<Table> {
    let symbols = lua.create_table()?;
    let add = |name: &str, kind: &str, address: *mut c_void| {
        let symbol = lua.create_table()?;
        symbol.raw_set("type", kind)?;
        symbol.raw_set("address", LightUserData(address))?;
        symbols.raw_set(name, symbol)
    };
    add(
        "ngx_hex_dump",
        "unsigned char *(*)(unsigned char *, const unsigned char *, size_t)",
        ngx_hex_dump as *mut c_void,
    )?;
    add("ngx_atoi", "intptr_t (*)(const unsigned char *, size_t)", ngx_atoi as *mut c_void)?;
    Ok(symbols)
}

/// Writes two hexadecimal digits for each byte, and gives the address behind them.
///
/// # Safety
/// There have to be `len` bytes to read and twice as many to write.
unsafe extern "C" fn ngx_hex_dump(to: *mut u8, from: *const u8, len: usize) -> *mut u8 {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |value: u8| DIGITS.get(usize::from(value)).copied().unwrap_or(b'0');
    // SAFETY: within the lengths of the contract.
    unsafe {
        for at in 0..len {
            let byte = from.add(at).read();
            to.add(2 * at).write(digit(byte >> 4));
            to.add(2 * at + 1).write(digit(byte & 15));
        }
        to.add(2 * len)
    }
}

/// The number that decimal digits make, or -1.
///
/// # Safety
/// There have to be `len` bytes to read.
unsafe extern "C" fn ngx_atoi(from: *const u8, len: usize) -> isize {
    if from.is_null() || len == 0 {
        return -1;
    }
    // SAFETY: by the contract.
    let text = unsafe { std::slice::from_raw_parts(from, len) };
    let add = |sum: isize, byte: &u8| {
        let digit = isize::try_from(char::from(*byte).to_digit(10)?).ok()?;
        sum.checked_mul(10)?.checked_add(digit)
    };
    text.iter().try_fold(0, add).unwrap_or(-1)
}
