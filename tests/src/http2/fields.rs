//! Field blocks (RFC 7541): what is sent is never compressed, and of what comes the status is read.

/// Fields of a GET, with more behind them.
pub fn get<'f>(path: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    asking("GET", path, more)
}

/// Fields of a request to `a.example`, with more behind them.
pub fn asking<'f>(method: &'f str, path: &'f str, more: &[(&'f str, &'f str)]) -> Vec<(&'f str, &'f str)> {
    let head = [(":method", method), (":scheme", "http"), (":authority", "a.example"), (":path", path)];
    [&head[..], more].concat()
}

/// A field block of literals that touch no table (RFC 7541, section 6.2.2), valid or not.
pub fn block(fields: &[(&str, &str)]) -> Vec<u8> {
    let mut block = Vec::new();
    for (name, value) in fields {
        block.push(0);
        for text in [name, value] {
            length(&mut block, text.len());
            block.extend_from_slice(text.as_bytes());
        }
    }
    block
}

/// RFC 7541, section 5.1, with seven bits in the first octet.
fn length(block: &mut Vec<u8>, length: usize) {
    let mut rest = match length {
        0..127 => return block.push(length as u8),
        _ => length - 127,
    };
    block.push(127);
    while rest >= 128 {
        block.push((rest % 128) as u8 | 128);
        rest /= 128;
    }
    block.push(rest as u8);
}

/// A literal as the gateway's own answers have it: its length in one octet, and no Huffman's code.
pub(super) fn text(rest: &mut &[u8]) -> String {
    let (text, after) = rest[1..].split_at(usize::from(rest[0]));
    *rest = after;
    String::from_utf8_lossy(text).into_owned()
}

/// The status at the front of a response's field block.
pub(super) fn status(block: &[u8]) -> u16 {
    // Sizes of the dynamic table may come first.
    let block = &block[block.iter().take_while(|octet| **octet & 0xe0 == 0x20).count()..];
    match block {
        // Indexed: the static table has these.
        [octet @ 0x88..=0x8e, ..] => [200, 204, 206, 304, 400, 404, 500][usize::from(octet - 0x88)],
        // A literal behind a name of the static table, in plain or Huffman's code.
        [0x08..=0x0e | 0x18..=0x1e | 0x48..=0x4e, length, value @ ..] => {
            let value = &value[..usize::from(length & 0x7f)];
            let digits = if length & 0x80 == 0 { value.to_vec() } else { huffman(value) };
            digits.iter().fold(0, |status, digit| status * 10 + u16::from(digit - b'0'))
        }
        _ => panic!("no status at the front of {block:02x?}"),
    }
}

/// Digits in Huffman's code (RFC 7541, appendix B): `0` to `2` have five bits, `3` to `9` have six.
fn huffman(bytes: &[u8]) -> Vec<u8> {
    let bits: Vec<u8> = bytes.iter().flat_map(|byte| (0..8).rev().map(move |at| byte >> at & 1)).collect();
    let code = |bits: &[u8]| bits.iter().fold(0, |code, bit| code << 1 | bit);
    let (mut digits, mut at) = (Vec::new(), 0);
    while let Some(five) = bits.get(at..at + 5).map(code) {
        if five < 3 {
            digits.push(b'0' + five);
            at += 5;
        } else if let Some(six @ 0x19..=0x1f) = bits.get(at..at + 6).map(code) {
            digits.push(b'3' + six - 0x19);
            at += 6;
        } else {
            break;
        }
    }
    digits
}

#[test]
fn statuses_are_read_in_every_form() {
    assert_eq!(status(&[0x88, 0x5f]), 200);
    assert_eq!(status(&[0x20, 0x48, 0x83, 0x68, 0x0d, 0xff]), 405, "in Huffman's code");
    assert_eq!(status(&[0x08, 3, b'4', b'3', b'1']), 431);
}
