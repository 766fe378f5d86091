//! Letters large and small.

/// What happens to the case of a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Case {
    Keep,
    Lower,
    Upper,
}

impl Case {
    /// By Unicode's full mapping, which no locale changes: `ß` becomes `SS`, and a sigma at the end of a word its final
    /// form. So does Python, with which text models are trained.
    pub fn change(self, text: String) -> String {
        match self {
            Self::Keep => text,
            Self::Lower if text.is_ascii() => {
                let mut text = text;
                text.make_ascii_lowercase();
                text
            }
            Self::Upper if text.is_ascii() => {
                let mut text = text;
                text.make_ascii_uppercase();
                text
            }
            Self::Lower => text.to_lowercase(),
            Self::Upper => text.to_uppercase(),
        }
    }
}

/// Whether a locale's name is one of a language that maps letters like all others. Turkish, Azerbaijani and Lithuanian do
/// not.
pub(super) fn is_ordinary_locale(name: &str) -> bool {
    let language: String = name.chars().take_while(|letter| letter.is_alphabetic()).collect();
    !["tr", "az", "lt", "turkish", "azeri", "azerbaijani", "lithuanian"].contains(&language.to_lowercase().as_str())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn letters_change_as_unicode_says() {
        assert_eq!(Case::Lower.change("ÉLAN ΑΣ K".to_owned()), "élan ας k");
        assert_eq!(Case::Upper.change("straße ﬁ".to_owned()), "STRASSE FI");
        assert_eq!(Case::Lower.change("İ".to_owned()), "i̇");
    }

    #[test]
    fn languages_with_letters_of_their_own_are_known() {
        assert!(is_ordinary_locale("en_US.UTF-8") && is_ordinary_locale("C") && is_ordinary_locale(""));
        assert!(!is_ordinary_locale("tr_TR.UTF-8") && !is_ordinary_locale("az") && !is_ordinary_locale("lt-LT"));
    }
}
