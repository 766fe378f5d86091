//! Whole numbers with a unit, such as `250ms`.

/// Factor of a unit, by its name; from small to large.
pub(crate) type Units = &'static [(&'static str, u64)];

/// The amount in the smallest unit. None: not a whole number with one of the units, or beyond 64 bits.
pub(crate) fn parse(text: &str, units: Units) -> Option<u64> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at_checked(digits)?;
    let (_, factor) = units.iter().find(|(name, _)| *name == unit)?;
    number.parse::<u64>().ok()?.checked_mul(*factor)
}

/// The amount in the largest unit that needs no fraction.
pub(crate) fn show(amount: u64, units: Units) -> String {
    let exact = units.iter().rev().find(|(_, factor)| amount != 0 && amount.is_multiple_of(*factor)).or(units.first());
    exact.map_or_else(|| amount.to_string(), |(name, factor)| format!("{}{name}", amount / factor))
}

/// What to write instead of a text that has no unit, an unknown one, or a fraction.
pub(crate) fn advise(text: &str, units: Units, example: &str) -> String {
    let names = units.iter().map(|(name, _)| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    let trimmed = text.trim();
    let unit = trimmed.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.' || c == '_').trim();
    let number = trimmed.strip_suffix(unit).map_or("", str::trim);
    if number.contains('.') {
        return format!("fractions are not allowed: use a smaller unit, one of {names}");
    }
    if !number.is_empty() && number.bytes().all(|byte| byte.is_ascii_digit()) {
        if let Some((name, _)) = units.iter().find(|(name, _)| name.eq_ignore_ascii_case(unit)) {
            return format!("write \"{}{name}\"", number);
        }
        return format!("the unit must be one of {names}, for example \"{example}\"");
    }
    format!("write a whole number and a unit, one of {names}, for example \"{example}\"")
}
