//! Which number of a model's answer is the score: never a guess.

use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use crate::{Classes, DataType, Dimension, Metadata, StageMistake, TensorInfo};

/// Choices that a message lists.
const LISTED: usize = 8;

/// What a configuration calls the score.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wanted {
    /// Name of an output.
    pub output: String,
    /// None: the only number of its row, or the last of a classifier that says yes or no.
    pub element: Option<Element>,
}

/// Which number of a row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Element {
    /// The column, counted from 0.
    Column(usize),
    /// The column of this class.
    Class(String),
}

impl FromStr for Wanted {
    type Err = ();

    /// As the configuration has it: in brackets stands a column's number, or a class, in quotes if it looks like a number or has
    /// brackets.
    fn from_str(text: &str) -> Result<Self, ()> {
        let quoted = text.strip_suffix("\"]").and_then(|text| text.split_once("[\""));
        let plain = || text.strip_suffix(']').and_then(|text| text.rsplit_once('['));
        let (output, element) = match (quoted, plain()) {
            (Some((output, class)), _) => (output, Some(Element::Class(class.to_owned()))),
            (None, Some((output, column))) => match column.parse() {
                Ok(column) => (output, Some(Element::Column(column))),
                Err(_) => (output, Some(Element::Class(column.to_owned()))),
            },
            (None, None) => (text, None),
        };
        let is_empty = output.is_empty() || matches!(&element, Some(Element::Class(class)) if class.is_empty());
        // Written again, the class would stand in quotes, and those of the output would be read as its beginning.
        let is_other = output.contains("[\"") && matches!(&element, Some(Element::Class(class)) if !is_plain(class));
        if is_empty || is_other { Err(()) } else { Ok(Self { output: output.to_owned(), element }) }
    }
}

impl Display for Wanted {
    /// As in the configuration.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self { output, element } = self;
        match element {
            None => f.write_str(output),
            Some(Element::Column(column)) => write!(f, "{output}[{column}]"),
            Some(Element::Class(class)) if is_plain(class) => write!(f, "{output}[{class}]"),
            Some(Element::Class(class)) => write!(f, "{output}[\"{class}\"]"),
        }
    }
}

/// Whether a class can stand in brackets without quotes and is not taken for a column.
fn is_plain(class: &str) -> bool {
    !class.is_empty() && !class.contains(['"', '[', ']']) && class.parse::<usize>().is_err()
}

/// A number of a model's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chosen {
    /// Index of the output.
    pub output: usize,
    /// Its place in the row.
    pub column: usize,
    /// Numbers of the row; none: not known before a request.
    pub columns: Option<usize>,
    name: String,
    class: Option<String>,
}

impl Display for Chosen {
    /// `probabilities[1]`, the class `bot`
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.columns {
            Some(1) => write!(f, "`{}`", self.name)?,
            _ => write!(f, "`{}[{}]`", self.name, self.column)?,
        }
        self.class.as_ref().map_or(Ok(()), |class| write!(f, ", the class `{class}`"))
    }
}

impl Chosen {
    /// The class that its column stands for.
    pub fn class(&self) -> Option<&str> {
        self.class.as_deref()
    }

    /// Name of its output.
    pub fn name(&self) -> &str {
        &self.name
    }
}

/// How many numbers an output has for one row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Columns {
    Known(usize),
    Unknown,
    /// It has no row of numbers for a row that goes in.
    Other,
}

/// Outputs of a model when one row went in.
pub(crate) struct Outputs<'a> {
    name: &'a str,
    metadata: &'a Metadata,
    /// Shapes that they had; none: the model was not run, and what the file declares has to do.
    shapes: Option<&'a [Vec<usize>]>,
}

impl<'a> Outputs<'a> {
    /// `name`: of the model.
    pub fn new(name: &'a str, metadata: &'a Metadata, shapes: Option<&'a [Vec<usize>]>) -> Self {
        Self { name, metadata, shapes }
    }

    /// The score.
    ///
    /// # Errors
    /// There is no such number, or several could be meant.
    pub fn choose(&self, wanted: Option<&Wanted>) -> Result<Chosen, StageMistake> {
        match wanted {
            Some(wanted) => self.named(wanted),
            None => self.default(),
        }
    }

    /// Whether an output of this name is text.
    pub fn is_text(&self, name: &str) -> bool {
        self.metadata.signature.outputs.iter().any(|info| info.name == name && info.data_type == DataType::String)
    }

    /// An output of text with one for each row: a label, which is no score. Its index, its column, and its name.
    ///
    /// # Errors
    /// It has several for a row.
    pub fn text(&self, name: &str) -> Result<(usize, usize, String), StageMistake> {
        let mut outputs = self.metadata.signature.outputs.iter().enumerate();
        match outputs.find(|(index, info)| info.name == name && self.columns(*index, info) == Columns::Known(1)) {
            Some((index, _)) => Ok((index, 0, format!("`{name}`"))),
            None => Err(self.mistake(format!("the output `{name}` has no single text for a row"))),
        }
    }

    /// What could be meant, as the configuration would say it: those of floats first.
    pub fn choices(&self) -> Vec<String> {
        let mut outputs: Vec<_> = self.metadata.signature.outputs.iter().enumerate().collect();
        outputs.retain(|(_, info)| info.data_type != DataType::String);
        outputs.sort_by_key(|(_, info)| !info.data_type.is_float());
        outputs.into_iter().flat_map(|(index, info)| self.choices_of(index, info)).collect()
    }

    fn choices_of(&self, index: usize, info: &TensorInfo) -> Vec<String> {
        let of = |element| Wanted { output: info.name.clone(), element }.to_string();
        match (self.columns(index, info), self.classes(index, info)) {
            (Columns::Other, _) => Vec::new(),
            (Columns::Known(1), _) => vec![of(None)],
            (_, Some(classes)) => {
                let element = |(column, class): (usize, String)| match class.parse::<usize>() {
                    Ok(number) if number == column => Element::Column(column),
                    _ => Element::Class(class),
                };
                classes.labels().into_iter().enumerate().map(|it| of(Some(element(it)))).collect()
            }
            // More than are listed; the columns are all alike.
            (Columns::Known(columns), None) => {
                (0..columns.min(LISTED + 1)).map(|column| of(Some(Element::Column(column)))).collect()
            }
            (Columns::Unknown, None) => vec![of(Some(Element::Column(0)))],
        }
    }

    fn columns(&self, index: usize, info: &TensorInfo) -> Columns {
        if let Some(shapes) = self.shapes {
            return match shapes.get(index).map(Vec::as_slice) {
                Some([]) => Columns::Known(1),
                Some([leading @ .., last]) if leading.iter().all(|size| *size == 1) => Columns::Known(*last),
                _ => Columns::Other,
            };
        }
        match info.shape.as_deref() {
            None => Columns::Unknown,
            Some([] | [Dimension::Any | Dimension::Named(_)]) => Columns::Known(1),
            Some([leading @ .., last]) => {
                let rows = leading.iter().all(|size| !matches!(size, Dimension::Fixed(size) if *size != 1));
                match (rows, last) {
                    (false, _) => Columns::Other,
                    (true, Dimension::Fixed(columns)) => Columns::Known(*columns),
                    (true, _) => Columns::Unknown,
                }
            }
        }
    }

    /// Of the columns that there are.
    fn classes(&self, index: usize, info: &TensorInfo) -> Option<&'a Classes> {
        let classes = self.metadata.classes.get(&info.name)?;
        match self.columns(index, info) {
            Columns::Known(columns) if columns != classes.len() => None,
            Columns::Other => None,
            Columns::Known(_) | Columns::Unknown => Some(classes),
        }
    }

    fn default(&self) -> Result<Chosen, StageMistake> {
        let outputs = self.metadata.signature.outputs.iter().enumerate();
        let floats: Vec<_> = outputs.filter(|(_, info)| info.data_type.is_float()).collect();
        let chosen = match floats[..] {
            [(index, info)] => self.only(index, info),
            _ => None,
        };
        chosen.ok_or_else(|| {
            self.mistake(format!(
                "expected `output`: model `{}` does not say which of its numbers is the score",
                self.name
            ))
        })
    }

    /// The number of an output that no element has to be named of.
    fn only(&self, index: usize, info: &TensorInfo) -> Option<Chosen> {
        match (self.columns(index, info), self.classes(index, info)) {
            (Columns::Known(1), _) => Some(self.chosen(index, info, 0)),
            (Columns::Known(2), Some(classes)) if classes.is_yes_or_no() => Some(self.chosen(index, info, 1)),
            _ => None,
        }
    }

    fn chosen(&self, index: usize, info: &TensorInfo, column: usize) -> Chosen {
        let columns = match self.columns(index, info) {
            Columns::Known(columns) => Some(columns),
            Columns::Unknown | Columns::Other => None,
        };
        let class = self.classes(index, info).and_then(|classes| classes.labels().get(column).cloned());
        Chosen { output: index, column, columns, name: info.name.clone(), class }
    }

    fn named(&self, wanted: &Wanted) -> Result<Chosen, StageMistake> {
        let find = |name: &str| self.metadata.signature.outputs.iter().enumerate().find(|(_, info)| info.name == name);
        // Names of outputs may have brackets themselves.
        let (whole, element) = (wanted.to_string(), wanted.element.as_ref());
        let found = find(&whole).map(|found| (found, None));
        let Some(((index, info), element)) = found.or_else(|| Some((find(&wanted.output)?, element))) else {
            return Err(self.mistake(format!("model `{}` has no output `{}`", self.name, wanted.output)));
        };
        if info.data_type == DataType::String {
            let message = format!("the output {info} of model `{}` is text, and a score is a number", self.name);
            return Err(self.mistake(message));
        }
        let columns = self.columns(index, info);
        if columns == Columns::Other {
            let shape = match self.shapes.and_then(|shapes| shapes.get(index)) {
                Some(shape) => format!("`{}` {} {shape:?}", info.name, info.data_type.label()),
                None => info.to_string(),
            };
            let message =
                format!("the output {shape} of model `{}` is no row of numbers for one row of features", self.name);
            return Err(self.mistake(message));
        }
        let Some(element) = element else {
            return self.only(index, info).ok_or_else(|| {
                let several = match columns {
                    Columns::Known(columns) => format!("has {columns} numbers"),
                    Columns::Unknown | Columns::Other => "may have several numbers".to_owned(),
                };
                let message = format!("expected which number of `{}` is the score: it {several}", info.name);
                self.mistake(message)
            });
        };
        let column = self.column(info, element, (columns, self.classes(index, info)))?;
        Ok(self.chosen(index, info, column))
    }

    fn column(
        &self,
        info: &TensorInfo,
        element: &Element,
        (columns, classes): (Columns, Option<&Classes>),
    ) -> Result<usize, StageMistake> {
        let labels = classes.map(Classes::labels).unwrap_or_default();
        let of_class = |class: &str| labels.iter().position(|label| label == class);
        match (element, columns) {
            (Element::Class(class), _) => of_class(class).ok_or_else(|| {
                let knows =
                    if labels.is_empty() { "names no classes".to_owned() } else { format!("has {}", listed(&labels)) };
                self.mistake(format!(
                    "the output `{}` of model `{}` has no class `{class}`: it {knows}",
                    info.name, self.name
                ))
            }),
            (Element::Column(column), Columns::Known(columns)) if *column >= columns => Err(self.mistake(format!(
                "the output `{}` of model `{}` has no column {column}: it has {columns}, counted from 0",
                info.name, self.name
            ))),
            (Element::Column(column), _) => match of_class(&column.to_string()) {
                // Whoever counts classes from 1 means another column than the gateway, which counts columns from 0.
                Some(other) if other != *column => {
                    let quoted = |class: &str| format!("'{}[\"{class}\"]'", info.name);
                    let here = labels.get(*column).map_or("", String::as_str);
                    Err(StageMistake {
                        message: format!(
                            "`{}[{column}]` can be the column {column}, which is the class `{here}`, or the class \
                             `{column}`, which is the column {other}",
                            info.name
                        ),
                        help: format!(
                            "write `output = {}` or `output = {}`",
                            quoted(here),
                            quoted(&column.to_string())
                        ),
                    })
                }
                _ => Ok(*column),
            },
        }
    }

    fn mistake(&self, message: String) -> StageMistake {
        let choices = self.choices();
        let help = match &choices[..] {
            [] => {
                let outputs: Vec<_> = self.metadata.signature.outputs.iter().map(ToString::to_string).collect();
                format!("export a model with an output that has numbers for each row; it has {}", outputs.join(", "))
            }
            [only] => format!("write `output = {}`", quoted(only)),
            several => format!(
                "write `output = {}` for the one that is meant: it can be {}",
                quoted(several.first().map_or("", String::as_str)),
                listed(several)
            ),
        };
        StageMistake { message, help }
    }
}

/// A value of the configuration's language.
pub(crate) fn quoted(text: &str) -> String {
    match (text.contains('"'), text.contains('\'')) {
        (false, _) => format!("\"{text}\""),
        (true, false) => format!("'{text}'"),
        (true, true) => format!("{text:?}"),
    }
}

fn listed(texts: &[String]) -> String {
    let mut listed: Vec<_> = texts.iter().take(LISTED).map(|text| format!("`{text}`")).collect();
    if texts.len() > LISTED {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_wanted_is_read_as_it_is_written() {
        for text in ["score", "p[1]", "a[b][0]", "p[bot]", "p[-1]", "p[\"1\"]"] {
            assert_eq!(text.parse::<Wanted>().map(|wanted| wanted.to_string()).as_deref(), Ok(text));
        }
        for text in ["", "[1]", "p[]", "p[\"\"]", "[bot]", "p[\"a[b]c]", "p[\"a[\"b]"] {
            assert_eq!(text.parse::<Wanted>(), Err(()), "{text}");
        }
    }
}
