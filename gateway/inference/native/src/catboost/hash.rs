//! How CatBoost makes numbers of categories: the first version of CityHash, of which 32 bits are kept. A hash of another
//! version has other numbers, so this cannot come from a crate that goes with the times.

const K0: u64 = 0xc3a5_c85c_97cb_3127;
const K1: u64 = 0xb492_b66f_be98_f273;
const K2: u64 = 0x9ae1_6a3b_2f90_404f;
const K3: u64 = 0xc949_d7c7_509e_6557;
const MIX: u64 = 0x9ddf_ea08_eb38_2d69;
/// Of hashes of combinations.
const COMBINE: u64 = 0x4906_ba49_4954_cb65;

/// Of a category as text.
pub(crate) fn hash(text: &[u8]) -> u32 {
    city(text) as u32
}

/// Of a category that is a whole number: that of its decimal digits.
pub(crate) fn hash_integer(integer: i64) -> u32 {
    hash(integer.to_string().as_bytes())
}

/// Of a combination of which `hash` is that of the values so far.
pub(super) fn combine(hash: u64, value: u64) -> u64 {
    COMBINE.wrapping_mul(hash.wrapping_add(COMBINE.wrapping_mul(value)))
}

/// Eight bytes, little-endian; what is beyond the end is zero, which does not happen.
fn eight(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u64::from_le_bytes(*bytes))
}

fn four(bytes: &[u8], at: usize) -> u64 {
    bytes.get(at..).and_then(|rest| rest.first_chunk()).map_or(0, |bytes| u32::from_le_bytes(*bytes).into())
}

fn fold(value: u64) -> u64 {
    value ^ value >> 47
}

/// Two numbers to one.
fn pair(low: u64, high: u64) -> u64 {
    let first = fold((low ^ high).wrapping_mul(MIX));
    fold((high ^ first).wrapping_mul(MIX)).wrapping_mul(MIX)
}

fn city(text: &[u8]) -> u64 {
    match text.len() {
        0..=16 => up_to_16(text),
        17..=32 => up_to_32(text),
        33..=64 => up_to_64(text),
        _ => beyond_64(text),
    }
}

fn up_to_16(text: &[u8]) -> u64 {
    let length = text.len();
    let long = length as u64;
    let byte = |at: usize| u32::from(text.get(at).copied().unwrap_or_default());
    match length {
        0 => K2,
        1..=3 => {
            let y = byte(0).wrapping_add(byte(length >> 1) << 8);
            let z = (length as u32).wrapping_add(byte(length - 1) << 2);
            fold(u64::from(y).wrapping_mul(K2) ^ u64::from(z).wrapping_mul(K3)).wrapping_mul(K2)
        }
        4..=8 => pair(long.wrapping_add(four(text, 0) << 3), four(text, length - 4)),
        _ => {
            let last = eight(text, length - 8);
            pair(eight(text, 0), last.wrapping_add(long).rotate_right(length as u32)) ^ last
        }
    }
}

fn up_to_32(text: &[u8]) -> u64 {
    let length = text.len();
    let a = eight(text, 0).wrapping_mul(K1);
    let b = eight(text, 8);
    let c = eight(text, length - 8).wrapping_mul(K2);
    let d = eight(text, length - 16).wrapping_mul(K0);
    let low = a.wrapping_sub(b).rotate_right(43).wrapping_add(c.rotate_right(30)).wrapping_add(d);
    let high = a.wrapping_add((b ^ K3).rotate_right(20)).wrapping_sub(c).wrapping_add(length as u64);
    pair(low, high)
}

/// One half of [`up_to_64`]: 32 bytes from `at` on, of which the last eight count with what was before.
fn half(text: &[u8], at: usize, start: u64, last: u64) -> (u64, u64) {
    let mut a = start;
    let b = a.wrapping_add(last).rotate_right(52);
    let mut c = a.rotate_right(37);
    a = a.wrapping_add(eight(text, at + 8));
    c = c.wrapping_add(a.rotate_right(7));
    a = a.wrapping_add(eight(text, at + 16));
    (a.wrapping_add(last), b.wrapping_add(a.rotate_right(31)).wrapping_add(c))
}

fn up_to_64(text: &[u8]) -> u64 {
    let length = text.len();
    let last = eight(text, 24);
    let start = (length as u64).wrapping_add(eight(text, length - 16)).wrapping_mul(K0).wrapping_add(eight(text, 0));
    let (first_low, first_high) = half(text, 0, start, last);
    let end = length - 32;
    let start = eight(text, 16).wrapping_add(eight(text, end));
    let (second_low, second_high) = half(text, end, start, eight(text, length - 8));
    let mixed = first_low.wrapping_add(second_high).wrapping_mul(K2);
    let mixed = fold(mixed.wrapping_add(second_low.wrapping_add(first_high).wrapping_mul(K0)));
    fold(mixed.wrapping_mul(K0).wrapping_add(first_high)).wrapping_mul(K2)
}

/// 32 bytes from `at` on, and two numbers, to two numbers.
fn weak(text: &[u8], at: usize, a: u64, b: u64) -> (u64, u64) {
    let last = eight(text, at + 24);
    let a = a.wrapping_add(eight(text, at));
    let b = b.wrapping_add(a).wrapping_add(last).rotate_right(21);
    let sum = a.wrapping_add(eight(text, at + 8)).wrapping_add(eight(text, at + 16));
    (sum.wrapping_add(last), b.wrapping_add(sum.rotate_right(44)).wrapping_add(a))
}

fn beyond_64(text: &[u8]) -> u64 {
    let length = text.len();
    let long = length as u64;
    let mut x = eight(text, 0);
    let mut y = eight(text, length - 16) ^ K1;
    let mut z = eight(text, length - 56) ^ K0;
    let mut v = weak(text, length - 64, long, y);
    let mut w = weak(text, length - 32, long.wrapping_mul(K1), K0);
    z = z.wrapping_add(fold(v.1).wrapping_mul(K1));
    x = z.wrapping_add(x).rotate_right(39).wrapping_mul(K1);
    y = y.rotate_right(33).wrapping_mul(K1);
    for at in (0..(length - 1) & !63).step_by(64) {
        let sum = x.wrapping_add(y).wrapping_add(v.0).wrapping_add(eight(text, at + 16));
        x = sum.rotate_right(37).wrapping_mul(K1) ^ w.1;
        let sum = y.wrapping_add(v.1).wrapping_add(eight(text, at + 48));
        y = sum.rotate_right(42).wrapping_mul(K1) ^ v.0;
        z = (z ^ w.0).rotate_right(33);
        v = weak(text, at, v.1.wrapping_mul(K1), x.wrapping_add(w.0));
        w = weak(text, at + 32, z.wrapping_add(w.1), y);
        std::mem::swap(&mut z, &mut x);
    }
    let low = pair(v.0, w.0).wrapping_add(fold(y).wrapping_mul(K1)).wrapping_add(z);
    pair(low, pair(v.1, w.1).wrapping_add(x))
}
