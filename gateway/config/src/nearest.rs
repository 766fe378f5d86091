//! What somebody may have meant.

/// "did you mean `x`?" for the candidate closest to `wrong`, or `otherwise` if none is close.
pub fn did_you_mean<'a>(
    wrong: &str,
    candidates: impl IntoIterator<Item = &'a str>,
    otherwise: impl FnOnce() -> String,
) -> String {
    nearest(wrong, candidates).map_or_else(otherwise, |(_, near)| format!("did you mean `{near}`?"))
}

/// The candidate with the fewest typing errors, and how many there are, if they are at most a third of its letters (and one in short words).
pub(crate) fn nearest<'a>(wrong: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<(usize, &'a str)> {
    // The distance is quadratic, and nobody mistypes a name by hundreds of letters.
    let wrong: Vec<char> = wrong.to_lowercase().chars().map(dashed).take(100).collect();
    candidates
        .into_iter()
        .filter_map(|candidate| {
            let letters: Vec<char> = candidate.chars().map(dashed).collect();
            let distance = distance(&wrong, &letters);
            (distance <= (letters.len() / 3).max(1) && distance < letters.len()).then_some((distance, candidate))
        })
        .min()
}

/// `-` and `_` are confused rather than mistyped.
fn dashed(letter: char) -> char {
    if letter == '-' { '_' } else { letter }
}

/// Insertions, deletions, replacements and swaps of neighbours that turn one word into the other (optimal string
/// alignment: three rows of the matrix suffice).
fn distance(a: &[char], b: &[char]) -> usize {
    let mut before_last: Vec<usize> = Vec::new();
    let mut last: Vec<usize> = (0..=b.len()).collect();
    let at = |row: &[usize], index: usize| row.get(index).copied().unwrap_or(usize::MAX / 2);
    for (i, letter) in a.iter().enumerate() {
        let mut row = vec![i + 1];
        for (j, other) in b.iter().enumerate() {
            let replaced = at(&last, j) + usize::from(letter != other);
            let mut best = replaced.min(at(&last, j + 1) + 1).min(at(&row, j) + 1);
            let swapped = i > 0 && j > 0 && a.get(i - 1) == Some(other) && b.get(j - 1) == Some(letter);
            if swapped {
                best = best.min(at(&before_last, j - 1) + 1);
            }
            row.push(best);
        }
        before_last = std::mem::replace(&mut last, row);
    }
    at(&last, b.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_word_with_the_fewest_typing_errors_is_suggested() {
        let keys = ["header_limit", "header_timeout", "idle_timeout", "path", "env"];
        for (wrong, right) in [
            ("header-limit", Some("header_limit")),
            ("header_limits", Some("header_limit")),
            ("haeder_timeout", Some("header_timeout")),
            ("Idle_Timeout", Some("idle_timeout")),
            ("pth", Some("path")),
            ("evn", Some("env")),
            ("colour", None),
            ("", None),
        ] {
            assert_eq!(nearest(wrong, keys).map(|(_, near)| near), right, "{wrong}");
        }
    }

    #[test]
    fn distances_count_typing_errors() {
        let letters = |text: &str| text.chars().collect::<Vec<_>>();
        for (a, b, expected) in
            [("", "", 0), ("abc", "", 3), ("", "abc", 3), ("abc", "acb", 1), ("abc", "xbc", 1), ("ab", "abc", 1)]
        {
            assert_eq!(distance(&letters(a), &letters(b)), expected, "{a} {b}");
        }
    }
}
