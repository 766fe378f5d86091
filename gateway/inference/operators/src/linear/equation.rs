//! What an equation of `Einsum` says.

/// Letters of operands and of the output; an ellipsis stands for dimensions that are counted when shapes are known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Equation {
    pub operands: Vec<Vec<Symbol>>,
    pub output: Vec<Symbol>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Symbol {
    Letter(u8),
    Ellipsis,
}

impl Equation {
    pub fn parse(text: &str) -> Result<Self, String> {
        let text: String = text.chars().filter(|letter| *letter != ' ').collect();
        let (left, right) = text.split_once("->").map_or((text.as_str(), None), |(left, right)| (left, Some(right)));
        let operands = left.split(',').map(term).collect::<Result<Vec<_>, _>>()?;
        let output = match right {
            Some(right) => term(right)?,
            None => implied(&operands),
        };
        let is_known = |symbol: &Symbol| operands.iter().flatten().any(|known| known == symbol);
        let is_once = |symbol: &Symbol| output.iter().filter(|other| *other == symbol).count() == 1;
        match output.iter().find(|symbol| !is_known(symbol) || !is_once(symbol)) {
            Some(symbol) => Err(format!("expected each symbol of the output once, and in an operand, got {symbol:?}")),
            None => Ok(Self { operands, output }),
        }
    }
}

fn term(text: &str) -> Result<Vec<Symbol>, String> {
    let (before, after) = text.split_once("...").map_or((text, None), |(before, after)| (before, Some(after)));
    let letters = |text: &str| {
        let symbol = |letter: u8| match letter {
            letter if letter.is_ascii_alphabetic() => Ok(Symbol::Letter(letter)),
            other => Err(format!("expected letters, got '{}'", char::from(other))),
        };
        text.bytes().map(symbol).collect::<Result<Vec<_>, _>>()
    };
    let mut symbols = letters(before)?;
    if let Some(after) = after {
        symbols.push(Symbol::Ellipsis);
        symbols.extend(letters(after)?);
    }
    Ok(symbols)
}

/// Without an arrow: what the ellipsis stands for, then the letters that come once, upper case first.
fn implied(operands: &[Vec<Symbol>]) -> Vec<Symbol> {
    let mut letters: Vec<u8> = operands
        .iter()
        .flatten()
        .filter_map(|symbol| if let Symbol::Letter(letter) = symbol { Some(*letter) } else { None })
        .collect();
    letters.sort_unstable();
    let ellipsis = operands.iter().flatten().find(|symbol| **symbol == Symbol::Ellipsis);
    let is_once = |letter: &u8| letters.iter().filter(|other| *other == letter).count() == 1;
    ellipsis.copied().into_iter().chain(letters.iter().copied().filter(is_once).map(Symbol::Letter)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equations_are_parsed() {
        let parsed = |text: &str| Equation::parse(text).map(|equation| equation.output);
        let letters = |text: &str| text.bytes().map(Symbol::Letter).collect::<Vec<_>>();
        assert_eq!(parsed("ij, jk -> ki"), Ok(letters("ki")));
        assert_eq!(parsed("bA,Ba"), Ok(letters("ABab")));
        assert_eq!(parsed("...ii->...i").map(|output| output.len()), Ok(2));
        assert_eq!(parsed("i,i"), Ok(vec![]));
        for text in ["i->j", "i->ii", "i1", "...i...->i", "i->..."] {
            assert!(parsed(text).is_err(), "{text}");
        }
    }
}
