//! What differs between two texts.

/// Most lines that are shown of either side.
const LINES_LIMIT: usize = 20;

/// The lines in which two texts differ, `-` for those expected and `+` for those got, between what they have in common.
pub(crate) fn lines(expected: &str, got: &str) -> Vec<String> {
    let (expected, got): (Vec<&str>, Vec<&str>) = (expected.lines().collect(), got.lines().collect());
    let same_front = expected.iter().zip(&got).take_while(|(a, b)| a == b).count();
    let (left, right) = (expected.get(same_front..).unwrap_or_default(), got.get(same_front..).unwrap_or_default());
    let same_back = left.iter().rev().zip(right.iter().rev()).take_while(|(a, b)| a == b).count();
    let middle = |lines: &[&str], sign: char| -> Vec<String> {
        let lines = lines.get(..lines.len() - same_back).unwrap_or_default();
        let shown = lines.iter().take(LINES_LIMIT).map(|line| format!("{sign} {}", line.escape_debug()));
        let left_off = lines.len().saturating_sub(LINES_LIMIT);
        shown.chain((left_off > 0).then(|| format!("{sign} … {left_off} more lines"))).collect()
    };
    let mut out = Vec::new();
    if same_front > 0 {
        out.push(format!("  … {same_front} equal {}", if same_front == 1 { "line" } else { "lines" }));
    }
    out.extend(middle(left, '-'));
    out.extend(middle(right, '+'));
    if same_back > 0 {
        out.push(format!("  … {same_back} equal {}", if same_back == 1 { "line" } else { "lines" }));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::lines;

    #[test]
    fn only_the_lines_that_differ_are_shown() {
        assert_eq!(
            lines("a\nb\nc\nd", "a\nx\ny\nd"),
            ["  … 1 equal line", "- b", "- c", "+ x", "+ y", "  … 1 equal line"]
        );
        assert_eq!(lines("a\nb", "a"), ["  … 1 equal line", "- b"]);
        assert_eq!(lines("a\na", "a"), ["  … 1 equal line", "- a"]);
    }
}
