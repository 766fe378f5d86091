//! Bytes as text: each character is one byte (Latin-1).
//!
//! Test files hold requests and responses that are no valid UTF-8 once their escapes are read. In this form they can be
//! split, trimmed and searched like any other text, and turn back into the bytes they were.

/// A text whose characters are all below 256.
pub type Text = String;

/// The text of `bytes`.
pub fn from_bytes(bytes: &[u8]) -> Text {
    bytes.iter().map(|byte| char::from(*byte)).collect()
}

/// The bytes of a text; characters that are none become their UTF-8.
pub fn to_bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len());
    for character in text.chars() {
        push(&mut bytes, character);
    }
    bytes
}

fn push(bytes: &mut Vec<u8>, character: char) {
    match u8::try_from(u32::from(character)) {
        Ok(byte) => bytes.push(byte),
        Err(_) => bytes.extend(character.to_string().as_bytes()),
    }
}

/// For people: control characters and bytes beyond ASCII escaped, cut off after `limit` characters.
pub fn show(text: &str, limit: usize) -> String {
    let mut shown: String = text.chars().take(limit).flat_map(char::escape_default).collect();
    if text.chars().nth(limit).is_some() {
        shown.push('…');
    }
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_byte_survives_the_way_there_and_back() {
        let bytes: Vec<u8> = (0..=255).collect();
        assert_eq!(to_bytes(&from_bytes(&bytes)), bytes);
    }

    #[test]
    fn what_is_shown_has_no_control_characters_and_an_end() {
        assert_eq!(show("a\n\u{1}é", 10), "a\\n\\u{1}\\u{e9}");
        assert_eq!(show("abcdef", 3), "abc…");
    }
}
