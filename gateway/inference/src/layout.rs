//! How the numbers of feature sets become the inputs of a model.

use std::collections::HashMap;

use crate::features::{FeatureError, FeatureSet, plain};
use crate::onnx::Exporter;
use crate::{DataType, Dimension, StageMistake, StageSpec, Tensor, TensorInfo};

/// Names that a message lists.
const LISTED: usize = 5;

/// Of each input of a model, which numbers go into it.
#[derive(Debug)]
pub(crate) struct Layout(Vec<Place>);

#[derive(Debug)]
struct Place {
    data_type: DataType,
    shape: Vec<usize>,
    /// Of the numbers of all sets together.
    from: usize,
    count: usize,
}

impl Layout {
    /// # Errors
    /// The feature sets and the inputs do not go together.
    pub fn new(spec: &StageSpec) -> Result<Self, StageMistake> {
        let inputs = &spec.version.metadata.signature.inputs;
        for info in inputs {
            if let Err(error) = FeatureSet::in_type(Vec::new(), info.data_type) {
                let exporter = Exporter::of(&spec.version.metadata.producer);
                return Err(StageMistake {
                    message: format!("model `{}` takes {info}: {error}", spec.version.name),
                    help: exporter.with_numbers().to_owned(),
                });
            }
        }
        if inputs.len() == spec.inputs.len() {
            let places = by_place(spec)?;
            named_alike(spec)?;
            return Ok(Self(places));
        }
        if inputs.len() > 1 && inputs.iter().all(is_column) { by_name(spec).map(Self) } else { Err(wrong_count(spec)) }
    }

    /// One row of numbers of all sets, as the model takes them.
    ///
    /// # Errors
    /// There are too few, which sets of a [`StageSpec`] do not give.
    pub fn tensors(&self, numbers: Vec<f32>) -> Result<Vec<Tensor>, FeatureError> {
        if let [place] = &self.0[..]
            && place.count == numbers.len()
        {
            return Ok(vec![place.tensor(numbers)?]);
        }
        let tensor = |place: &Place| {
            place.tensor(numbers.get(place.from..place.from + place.count).unwrap_or_default().to_vec())
        };
        self.0.iter().map(tensor).collect()
    }
}

impl Place {
    fn tensor(&self, numbers: Vec<f32>) -> Result<Tensor, FeatureError> {
        let data = FeatureSet::in_type(numbers, self.data_type)?;
        Tensor::new(self.shape.clone(), data).map_err(|_| FeatureError::Empty)
    }
}

/// What stages can give to a model, in words.
///
/// # Errors
/// Why they can give it nothing.
pub(crate) fn takes(inputs: &[TensorInfo]) -> Result<String, String> {
    for info in inputs {
        FeatureSet::in_type(Vec::new(), info.data_type).map_err(|error| format!("{error} (`{}`)", info.name))?;
    }
    let width = |info: &TensorInfo| match info.shape.as_deref() {
        Some([Dimension::Any | Dimension::Named(_) | Dimension::Fixed(1), columns]) => Ok(match columns {
            Dimension::Fixed(1) => "1 number".to_owned(),
            Dimension::Fixed(columns) => format!("{columns} numbers"),
            Dimension::Any | Dimension::Named(_) => "any number of them".to_owned(),
        }),
        None => Ok("any number of them".to_owned()),
        Some(_) => Err(format!("they are one row of numbers, and it takes {info}")),
    };
    match inputs {
        [] => Err("it has no inputs".to_owned()),
        [info] => Ok(format!("a set of {}", width(info)?)),
        _ if inputs.iter().all(is_column) => Ok(format!("a number for each of {} inputs, by its name", inputs.len())),
        _ => {
            let widths = inputs.iter().map(width).collect::<Result<Vec<_>, _>>()?;
            Ok(format!("{} sets: of {}", widths.len(), widths.join(", of ")))
        }
    }
}

/// Whether one number for each row goes in.
fn is_column(info: &TensorInfo) -> bool {
    matches!(
        info.shape.as_deref(),
        Some(
            [Dimension::Any | Dimension::Named(_) | Dimension::Fixed(1)]
                | [Dimension::Any | Dimension::Named(_) | Dimension::Fixed(1), Dimension::Fixed(1)]
        )
    )
}

/// A set for each input, in their order.
fn by_place(spec: &StageSpec) -> Result<Vec<Place>, StageMistake> {
    let version = &spec.version;
    let mut from = 0;
    let place = |(features, info): (&std::sync::Arc<FeatureSet>, &TensorInfo)| {
        let width = features.width();
        let goes = match info.shape.as_deref() {
            None => true,
            Some([rows, columns]) => {
                !matches!(rows, Dimension::Fixed(rows) if *rows != 1)
                    && !matches!(columns, Dimension::Fixed(columns) if *columns != width)
            }
            Some(_) => false,
        };
        if !goes {
            return Err(StageMistake {
                message: format!(
                    "the features are one row of {width} numbers, and model `{}` takes {info}",
                    version.name
                ),
                help:
                    "give features for as many numbers as the model takes, in the order in which it was trained on them"
                        .to_owned(),
            });
        }
        let place = Place { data_type: info.data_type, shape: vec![1, width], from, count: width };
        from += width;
        Ok(place)
    };
    spec.inputs.iter().zip(&version.metadata.signature.inputs).map(place).collect()
}

/// Holds the columns that a file of a library names to the features. A team may have names of its own; but where one of them is
/// a feature's, all are meant to be, and each has to be at its place.
fn named_alike(spec: &StageSpec) -> Result<(), StageMistake> {
    let native = spec.version.metadata.native.as_ref();
    let Some(columns) = native.and_then(|native| native.names.as_ref()) else { return Ok(()) };
    let numbers: Vec<&str> = spec.inputs.iter().flat_map(|features| features.names()).map(String::as_str).collect();
    let columns: Vec<String> = columns.iter().map(|column| plain(column)).collect();
    let places: HashMap<&str, usize> = numbers.iter().enumerate().map(|(at, number)| (*number, at)).collect();
    if !columns.iter().any(|column| places.contains_key(column.as_str())) {
        return Ok(());
    }
    let mut pairs = columns.iter().zip(&numbers).enumerate();
    let Some((at, (column, number))) = pairs.find(|(_, (column, number))| column != *number) else { return Ok(()) };
    let place = match places.get(column.as_str()) {
        Some(place) => format!("which is the number {place} of the features"),
        None => "which none of the features is called".to_owned(),
    };
    Err(StageMistake {
        message: format!(
            "column {at} of model `{}`, counted from 0, is `{column}`, {place}; they have `{number}` there",
            spec.version.name
        ),
        help: "give the features in the order of the columns that the model was trained on, as `features.names()` of \
               witgate_features gives them; or train it on columns that have no names of features"
            .to_owned(),
    })
}

/// An input for each number, by its name: exporters make them of the columns of a table.
fn by_name(spec: &StageSpec) -> Result<Vec<Place>, StageMistake> {
    let version = &spec.version;
    let mut numbers = HashMap::new();
    let names = spec.inputs.iter().flat_map(|features| features.names());
    for (at, name) in names.clone().enumerate() {
        if numbers.insert(name.as_str(), at).is_some() {
            return Err(StageMistake {
                message: format!(
                    "two of the feature sets have a number `{name}`, and model `{}` has an input for each number, \
                     by its name",
                    version.name
                ),
                help: "put the features into one set, where each has a name of its own".to_owned(),
            });
        }
    }
    let inputs = &version.metadata.signature.inputs;
    let find = |info: &TensorInfo| numbers.get(plain(&info.name).as_str()).copied();
    let missing: Vec<_> = inputs.iter().filter(|info| find(info).is_none()).map(|info| info.name.as_str()).collect();
    if !missing.is_empty() {
        return Err(StageMistake {
            message: format!(
                "model `{}` has an input for each number, by its name, and the features have no {}",
                version.name,
                listed(missing.iter().copied())
            ),
            help: format!(
                "train it on columns that are named as the features are: `pandas.DataFrame(rows, columns=features.names())`. \
                 These are {}",
                listed(names.map(String::as_str))
            ),
        });
    }
    let place = |info: &TensorInfo| {
        let shape = vec![1; info.shape.as_ref().map_or(2, Vec::len)];
        Some(Place { data_type: info.data_type, shape, from: find(info)?, count: 1 })
    };
    Ok(inputs.iter().filter_map(place).collect())
}

fn wrong_count(spec: &StageSpec) -> StageMistake {
    let (version, inputs) = (&spec.version, &spec.version.metadata.signature.inputs);
    let takes: Vec<_> = inputs.iter().map(ToString::to_string).collect();
    StageMistake {
        message: format!(
            "expected one feature set for each input of model `{}`, got {} for {}",
            version.name,
            spec.inputs.len(),
            inputs.len()
        ),
        help: format!("it takes {}", takes.join(", ")),
    }
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    let names: Vec<_> = names.collect();
    let mut listed: Vec<_> = names.iter().take(LISTED).map(|name| format!("`{name}`")).collect();
    if names.len() > LISTED {
        listed.push("…".to_owned());
    }
    listed.join(", ")
}
