//! Filters, as images are multiplied by them.

/// Filters that are multiplied at one time.
const ROWS: usize = 4;

/// Places of the output that are computed at one time. With as many filters, sums fit the registers of any processor.
pub(super) const WIDTH: usize = 4;

/// Weights of all filters, 64 bits wide, several filters side by side.
#[derive(Debug)]
pub(super) struct Filters {
    groups: usize,
    /// Filters of a group.
    count: usize,
    /// Weights of a filter.
    length: usize,
    /// Filters that lie side by side.
    rows: usize,
    weights: Vec<f64>,
}

fn rows(count: usize) -> usize {
    if count < ROWS { 1 } else { ROWS }
}

impl Filters {
    /// Numbers that are kept of so many groups.
    pub fn size(groups: usize, count: usize, length: usize) -> usize {
        groups.saturating_mul(count.next_multiple_of(rows(count))).saturating_mul(length)
    }

    /// Of a weight for each group, filter and place.
    pub fn new(groups: usize, count: usize, length: usize, weight: impl Fn(usize, usize, usize) -> f64) -> Self {
        let rows = rows(count);
        let mut weights = Vec::with_capacity(Self::size(groups, count, length));
        for group in 0..groups {
            for block in (0..count).step_by(rows) {
                for place in 0..length {
                    let side = (block..block + rows).map(|at| if at < count { weight(group, at, place) } else { 0.0 });
                    weights.extend(side);
                }
            }
        }
        Self { groups, count, length, rows, weights }
    }

    pub fn groups(&self) -> usize {
        self.groups
    }

    /// Filters of all groups.
    pub fn outputs(&self) -> usize {
        self.groups * self.count
    }

    pub fn length(&self) -> usize {
        self.length
    }

    /// Sums of products of a group's filters with [`WIDTH`] columns that lie side by side, each in the order of places.
    /// Tells the filter, counted through all groups, with its sums.
    pub fn multiply(&self, group: usize, columns: &[f64], mut tell: impl FnMut(usize, &[f64; WIDTH])) {
        let block_size = self.rows * self.length;
        let blocks = self.count.div_ceil(self.rows);
        for block in 0..blocks {
            let start = (group * blocks + block) * block_size;
            let weights = self.weights.get(start..start + block_size).unwrap_or_default();
            let first = block * self.rows;
            if self.rows == ROWS {
                let sums = product::<ROWS>(weights, columns);
                let filters = (first..self.count).zip(&sums);
                filters.for_each(|(filter, sums)| tell(group * self.count + filter, sums));
            } else {
                let [sums] = product::<1>(weights, columns);
                tell(group * self.count + first, &sums);
            }
        }
    }
}

fn product<const R: usize>(weights: &[f64], columns: &[f64]) -> [[f64; WIDTH]; R] {
    let mut sums = [[0.0; WIDTH]; R];
    let (weights, columns) = (weights.as_chunks::<R>().0, columns.as_chunks::<WIDTH>().0);
    for (weights, column) in weights.iter().zip(columns) {
        for (sums, weight) in sums.iter_mut().zip(weights) {
            for (sum, number) in sums.iter_mut().zip(column) {
                *sum += weight * number;
            }
        }
    }
    sums
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn filters_meet_columns() {
        for count in [1, 3, 4, 5] {
            let filters = Filters::new(2, count, 2, |group, filter, place| (100 * group + 10 * filter + place) as f64);
            let columns = [1.0, 2.0, 3.0, 4.0, 10.0, 20.0, 30.0, 40.0];
            let mut seen = Vec::new();
            filters.multiply(1, &columns, |filter, sums| seen.push((filter, *sums)));
            let expected = (0..count).map(|filter| {
                let (first, second) = ((100 + 10 * filter) as f64, (101 + 10 * filter) as f64);
                (count + filter, [1.0, 2.0, 3.0, 4.0].map(|number| first * number + second * 10.0 * number))
            });
            assert_eq!(seen, expected.collect::<Vec<_>>());
        }
    }
}
