//! Names of fields that scripts write, parsed once: a script uses the same few again and again.

use std::cell::RefCell;

use http::header::HeaderName;

/// Names that are remembered, each in the one place where it may be.
const PLACES: usize = 64;
/// Longest name that is remembered, in bytes.
const LENGTH: usize = 64;

/// The names that a VM's scripts have used last.
pub(crate) struct FieldNames(RefCell<[Option<Known>; PLACES]>);

struct Known {
    written: Box<[u8]>,
    name: HeaderName,
}

impl Default for FieldNames {
    fn default() -> Self {
        Self(RefCell::new([const { None }; PLACES]))
    }
}

impl FieldNames {
    /// Looks at a name as a script writes it, in which underscores are dashes; none: no field can have it.
    pub fn with<T>(&self, written: &[u8], look: impl FnOnce(&HeaderName) -> T) -> Option<T> {
        let places = &mut *self.0.borrow_mut();
        let Some(place) = places.get_mut(place_of(written)).filter(|_| written.len() <= LENGTH) else {
            return parse(written).map(|name| look(&name));
        };
        if place.as_ref().is_none_or(|known| *known.written != *written) {
            *place = Some(Known { written: written.into(), name: parse(written)? });
        }
        place.as_ref().map(|known| look(&known.name))
    }
}

/// By the length and the ends: enough for the few that scripts use.
fn place_of(written: &[u8]) -> usize {
    let part = |part: Option<&[u8; 4]>| part.map_or(0, |part| u32::from_le_bytes(*part));
    let ends = part(written.first_chunk()) ^ part(written.last_chunk()).rotate_left(13);
    let mixed = (ends ^ u32::try_from(written.len()).unwrap_or(0)).wrapping_mul(0x9E37_79B1);
    // The upper bits are those that all others have a part in.
    usize::try_from(mixed >> 26).unwrap_or(0) % PLACES
}

fn parse(written: &[u8]) -> Option<HeaderName> {
    let mut name = written.to_vec();
    name.iter_mut().filter(|byte| **byte == b'_').for_each(|byte| *byte = b'-');
    HeaderName::from_bytes(&name).ok()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn names_are_those_that_are_written(all in proptest::collection::vec("[A-Za-z_:\u{fc} -]{0,80}", 0..200)) {
            let names = FieldNames::default();
            for written in all.iter().chain(&all) {
                let wanted = HeaderName::from_bytes(written.replace('_', "-").as_bytes()).ok();
                prop_assert_eq!(names.with(written.as_bytes(), HeaderName::clone), wanted);
            }
        }
    }
}
