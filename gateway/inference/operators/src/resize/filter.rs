//! How much the places nearby count.

use super::coordinate::{Coordinate, Length};

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Nearest {
    Ceil,
    Floor,
    RoundPreferCeil,
    RoundPreferFloor,
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Filter {
    Nearest(Nearest),
    Linear,
    /// With the slope of its ends.
    Cubic(f64),
}

/// What an output is made of along an axis.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Taps {
    /// What stands outside.
    Outside,
    /// Places with their weights; weights outside the input are those of its ends.
    Inside(Vec<(usize, f64)>),
}

/// How weights are made.
#[derive(Debug, Clone, Copy)]
pub(super) struct Weighing {
    pub filter: Filter,
    pub coordinate: Coordinate,
    /// Whether weights outside the input are left out.
    pub excludes_outside: bool,
    /// Whether a filter is as wide as what an output covers.
    pub is_wide: bool,
}

impl Nearest {
    fn of(self, at: f64) -> f64 {
        match self {
            Self::Ceil => at.ceil(),
            Self::Floor => at.floor(),
            Self::RoundPreferCeil => (at + 0.5).floor(),
            Self::RoundPreferFloor => (at - 0.5).ceil(),
        }
    }
}

impl Filter {
    /// The weight of what is at a distance.
    fn weight(self, distance: f64) -> f64 {
        let x = distance.abs();
        match self {
            Self::Nearest(_) => 1.0,
            Self::Linear => (1.0 - x).max(0.0),
            Self::Cubic(a) if x <= 1.0 => ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0,
            Self::Cubic(a) if x < 2.0 => ((a * x - 5.0 * a) * x + 8.0 * a) * x - 4.0 * a,
            Self::Cubic(_) => 0.0,
        }
    }

    fn reach(self) -> f64 {
        if let Self::Cubic(_) = self { 2.0 } else { 1.0 }
    }
}

impl Weighing {
    /// By how much a filter is made narrower than the places of the input.
    fn narrowing(&self, length: &Length) -> f64 {
        if self.is_wide { length.scale.wide().min(1.0) } else { 1.0 }
    }

    /// Places that an output is made of, at most.
    pub fn width(&self, length: &Length) -> usize {
        match self.filter {
            Filter::Nearest(_) => 1,
            filter => (2.0 * filter.reach() / self.narrowing(length)).ceil() as usize + 2,
        }
    }

    pub fn taps(&self, length: &Length, place: usize) -> Taps {
        let (at, last) = (self.coordinate.of(length, place), length.input.saturating_sub(1));
        if self.coordinate == Coordinate::Crop && !(0.0..=last as f64).contains(&at) {
            return Taps::Outside;
        }
        let inside = |at: f64| at.clamp(0.0, last as f64) as usize;
        if let Filter::Nearest(nearest) = self.filter {
            return Taps::Inside(vec![(inside(nearest.of(at)), 1.0)]);
        }
        let narrowing = self.narrowing(length);
        let reach = self.filter.reach() / narrowing;
        let (mut taps, mut sum) = (Vec::new(), 0.0);
        let mut near = (at - reach).floor();
        while near <= at + reach {
            let is_outside = near < 0.0 || near > last as f64;
            let weight = self.filter.weight((near - at) * narrowing);
            if weight != 0.0 && !(is_outside && self.excludes_outside) {
                taps.push((inside(near), weight));
                sum += weight;
            }
            near += 1.0;
        }
        if self.is_wide || self.excludes_outside {
            taps.iter_mut().for_each(|(_, weight)| *weight /= sum);
        }
        Taps::Inside(taps)
    }
}

#[cfg(test)]
mod tests {
    use super::super::coordinate::Scale;
    use super::*;

    fn weighing(filter: Filter) -> Weighing {
        Weighing { filter, coordinate: Coordinate::HalfPixel, excludes_outside: false, is_wide: false }
    }

    fn length(input: usize, output: usize) -> Length {
        Length { input, output, scale: Scale::Of(output as f64 / input as f64), start: 0.0, end: 1.0 }
    }

    #[test]
    fn weights_are_those_of_the_places_nearby() {
        let linear = weighing(Filter::Linear);
        assert_eq!(linear.taps(&length(2, 4), 1), Taps::Inside(vec![(0, 0.75), (1, 0.25)]));
        assert_eq!(linear.taps(&length(2, 4), 0), Taps::Inside(vec![(0, 0.25), (0, 0.75)]));
        assert_eq!(linear.taps(&length(3, 3), 1), Taps::Inside(vec![(1, 1.0)]));
        let Taps::Inside(cubic) = weighing(Filter::Cubic(-0.75)).taps(&length(4, 8), 3) else { panic!("inside") };
        assert!((cubic.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
        assert_eq!(cubic.len(), 4);
    }

    #[test]
    fn halves_are_rounded_as_told() {
        let nearest = |nearest: Nearest, at: f64| nearest.of(at) as i64;
        let all = [Nearest::RoundPreferFloor, Nearest::RoundPreferCeil, Nearest::Floor, Nearest::Ceil];
        assert_eq!(all.map(|mode| nearest(mode, 1.5)), [1, 2, 1, 2]);
        assert_eq!(all.map(|mode| nearest(mode, 1.25)), [1, 1, 1, 2]);
    }

    #[test]
    fn wide_filters_cover_what_an_output_covers() {
        let wide = Weighing { is_wide: true, ..weighing(Filter::Linear) };
        let Taps::Inside(taps) = wide.taps(&length(8, 2), 0) else { panic!("inside") };
        assert!(taps.len() <= wide.width(&length(8, 2)));
        assert!((taps.iter().map(|(_, weight)| weight).sum::<f64>() - 1.0).abs() < 1e-12);
    }
}
