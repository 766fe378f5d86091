//! Tables that fit: what is least important goes first.

/// Between two columns.
const GAP: usize = 2;
/// Names and lists beyond this are cut where the width is limited; a name may have 64 characters.
const CELL: usize = 28;

/// A column: its head, and whether it holds figures, which stand to the right.
#[derive(Debug, Clone, Copy)]
pub struct Column {
    pub head: &'static str,
    pub right: bool,
    /// Which columns go if not all fit: the greatest first; 0 stays.
    pub spare: u8,
}

/// Rows of cells in ASCII; each row has a cell for each column.
#[derive(Debug)]
pub struct Table<'a> {
    pub columns: &'a [Column],
    pub rows: Vec<Vec<String>>,
}

impl Table<'_> {
    /// The head and this many rows, no line wider than `width`.
    pub fn lines(&self, width: Option<usize>, rows: usize) -> Vec<String> {
        let widths: Vec<usize> = (0..self.columns.len()).map(|at| self.width(at, width.is_some())).collect();
        let shown = self.chosen(&widths, width);
        let head = shown.iter().filter_map(|at| self.columns.get(*at)).map(|column| column.head.to_owned()).collect();
        let rows = self.rows.iter().take(rows);
        let rows = rows.map(|row| shown.iter().filter_map(|at| row.get(*at)).cloned().collect::<Vec<_>>());
        let line = |cells: Vec<String>| {
            let cells = cells.iter().zip(&shown).map(|(cell, at)| {
                let space = widths.get(*at).copied().unwrap_or_default();
                let cell = cut(cell, space);
                let right = self.columns.get(*at).is_some_and(|column| column.right);
                if right { format!("{cell:>space$}") } else { format!("{cell:<space$}") }
            });
            let line = cells.collect::<Vec<_>>().join(&" ".repeat(GAP));
            width.map_or_else(|| line.trim_end().to_owned(), |width| cut(line.trim_end(), width))
        };
        std::iter::once(head).chain(rows).map(line).collect()
    }

    fn width(&self, at: usize, limited: bool) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(at)).map(String::len);
        let widest = cells.max().unwrap_or_default();
        let widest = if limited { widest.min(CELL) } else { widest };
        widest.max(self.columns.get(at).map_or(0, |column| column.head.len()))
    }

    /// Positions of the columns that fit. Those that say nothing in any row go before all others.
    fn chosen(&self, widths: &[usize], width: Option<usize>) -> Vec<usize> {
        let mut shown: Vec<usize> = (0..self.columns.len()).collect();
        let Some(width) = width else { return shown };
        let says_nothing =
            |at: usize| self.rows.iter().all(|row| row.get(at).is_none_or(|cell| cell == "-" || cell == "0"));
        loop {
            let total: usize = shown.iter().filter_map(|at| widths.get(*at)).map(|width| width + GAP).sum();
            let spare = shown.iter().filter_map(|at| Some((*at, self.columns.get(*at)?.spare)));
            let next = spare.filter(|(_, spare)| *spare > 0).max_by_key(|(at, spare)| (says_nothing(*at), *spare));
            match next {
                Some((next, _)) if total > width + GAP => shown.retain(|at| *at != next),
                _ => return shown,
            }
        }
    }
}

/// The text, ending in `~` if something had to go.
pub fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let kept = text.chars().take(width.saturating_sub(1));
    kept.chain("~".chars().take(width)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: [Column; 4] = [
        Column { head: "NAME", right: false, spare: 0 },
        Column { head: "A", right: true, spare: 1 },
        Column { head: "B", right: true, spare: 2 },
        Column { head: "NOTE", right: false, spare: 3 },
    ];

    fn lines(rows: &[[&str; 4]], width: Option<usize>) -> Vec<String> {
        let rows: Vec<_> = rows.iter().map(|row| row.map(str::to_owned).to_vec()).collect();
        let count = rows.len();
        Table { columns: &COLUMNS, rows }.lines(width, count)
    }

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let shown = lines(&[["x", "1", "200", "y"], ["long-one", "10", "2", "-"]], None);
        assert_eq!(shown, ["NAME       A    B  NOTE", "x          1  200  y", "long-one  10    2  -"]);
    }

    #[test]
    fn what_does_not_fit_goes_in_its_order_and_first_what_says_nothing() {
        assert_eq!(lines(&[["x", "1", "2", "y"]], Some(16)), ["NAME  A  B  NOTE", "x     1  2  y"]);
        assert_eq!(lines(&[["x", "1", "2", "y"]], Some(15)), ["NAME  A  B", "x     1  2"]);
        assert_eq!(lines(&[["x", "0", "2", "y"]], Some(15)), ["NAME  B  NOTE", "x     2  y"]);
        assert_eq!(lines(&[["x", "1", "2", "y"]], Some(3)), ["NA~", "x"]);
    }

    #[test]
    fn a_long_cell_is_cut_only_where_the_width_is_limited() {
        let name = "n".repeat(64);
        assert_eq!(lines(&[[&name, "1", "2", "y"]], None)[1], format!("{name}  1  2  y"));
        let limited = lines(&[[&name, "1", "2", "y"]], Some(80));
        assert!(limited[1].starts_with(&format!("{}~  1", "n".repeat(CELL - 1))), "{limited:?}");
    }

    #[test]
    fn a_cut_text_is_never_wider() {
        for width in 0..6 {
            assert_eq!(cut("äbcd", width).chars().count(), width.min(4), "{width}");
        }
    }
}
