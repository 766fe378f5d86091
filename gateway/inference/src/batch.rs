//! Puts rows of several requests together for one run, and takes the answer apart again.

use crate::{Data, Tensor};

/// Whether inputs can be in one run: everything but the number of rows is the same.
pub fn fits(one: &[Tensor], other: &[Tensor]) -> bool {
    one.len() == other.len()
        && one.iter().zip(other).all(|(one, other)| {
            one.data_type() == other.data_type()
                && one.shape().get(1..).is_some_and(|row| other.shape().get(1..) == Some(row))
        })
}

/// Rows of inputs that have the same number of them; none: they have not, or one has no dimension.
pub fn rows(inputs: &[Tensor]) -> Option<usize> {
    let mut rows = inputs.iter().map(|tensor| tensor.shape().first().copied());
    let first = rows.next()??;
    rows.all(|other| other == Some(first)).then_some(first)
}

/// Inputs of several requests, which [`fits`] holds for, one after the other.
pub fn join<'t>(requests: impl Iterator<Item = &'t [Tensor]>) -> Vec<Tensor> {
    let mut joined: Vec<(Vec<usize>, Data)> = Vec::new();
    for request in requests {
        if joined.is_empty() {
            joined = request.iter().cloned().map(Tensor::into_parts).collect();
            continue;
        }
        for ((shape, data), tensor) in joined.iter_mut().zip(request) {
            if let (Some(rows), Some(more)) = (shape.first_mut(), tensor.shape().first()) {
                *rows += more;
            }
            append(data, tensor.data());
        }
    }
    joined.into_iter().filter_map(|(shape, data)| Tensor::new(shape, data).ok()).collect()
}

fn append(data: &mut Data, more: &Data) {
    macro_rules! append {
        ($($variant:ident)*) => {
            match (data, more) {
                $((Data::$variant(data), Data::$variant(more)) => data.extend_from_slice(more),)*
                // Excluded by `fits`.
                _ => {}
            }
        };
    }
    append!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Float16 Bfloat16 Float32 Float64 String);
}

/// Takes outputs apart by the rows of each request; none: they do not have a row for each row that went in.
pub fn split(outputs: &[Tensor], rows: &[usize]) -> Option<Vec<Vec<Tensor>>> {
    let total: usize = rows.iter().sum();
    if outputs.iter().any(|output| output.shape().first() != Some(&total)) {
        return None;
    }
    let mut from = 0;
    rows.iter()
        .map(|count| {
            let part = outputs.iter().map(|output| part(output, from, *count)).collect::<Option<Vec<_>>>();
            from += count;
            part
        })
        .collect()
}

fn part(tensor: &Tensor, from: usize, rows: usize) -> Option<Tensor> {
    let width: usize = tensor.shape().get(1..)?.iter().product();
    let range = from * width..(from + rows) * width;
    macro_rules! part {
        ($($variant:ident)*) => {
            match tensor.data() {
                $(Data::$variant(elements) => Data::$variant(elements.get(range)?.to_vec()),)*
            }
        };
    }
    let data = part!(Bool Uint8 Uint16 Uint32 Uint64 Int8 Int16 Int32 Int64 Float16 Bfloat16 Float32 Float64 String);
    let mut shape = tensor.shape().to_vec();
    *shape.first_mut()? = rows;
    Tensor::new(shape, data).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DataType;

    fn floats(shape: &[usize], elements: &[f32]) -> Tensor {
        Tensor::new(shape, Data::Float32(elements.to_vec())).unwrap()
    }

    #[test]
    fn rows_that_were_joined_come_apart_again() {
        let strings = |words: &[&str]| {
            Tensor::new([words.len()], Data::String(words.iter().map(|word| (*word).to_owned()).collect())).unwrap()
        };
        let one = vec![floats(&[1, 2], &[1.0, 2.0]), strings(&["a"])];
        let two = vec![floats(&[2, 2], &[3.0, 4.0, 5.0, 6.0]), strings(&["b", "c"])];
        assert!(fits(&one, &two));
        let joined = join([&one[..], &two[..]].into_iter());
        assert_eq!(joined[0], floats(&[3, 2], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]));
        assert_eq!(split(&joined, &[1, 2]).unwrap(), [one, two]);
    }

    #[test]
    fn only_what_differs_in_rows_alone_is_joined() {
        let base = [floats(&[1, 2], &[0.0; 2])];
        assert!(!fits(&base, &[floats(&[1, 3], &[0.0; 3])]));
        assert!(!fits(&base, &[floats(&[1, 2, 1], &[0.0; 2])]));
        assert!(!fits(&base, &[Tensor::new([1, 2], Data::zeros(DataType::Float64, 2)).unwrap()]));
        let scalar = [floats(&[], &[0.0])];
        assert!(!fits(&scalar, &scalar));
    }

    #[test]
    fn rows_have_to_agree() {
        assert_eq!(rows(&[floats(&[2, 1], &[0.0; 2]), floats(&[2], &[0.0; 2])]), Some(2));
        assert_eq!(rows(&[floats(&[2, 1], &[0.0; 2]), floats(&[1], &[0.0])]), None);
        assert_eq!(rows(&[floats(&[], &[0.0])]), None);
    }

    #[test]
    fn an_answer_without_a_row_for_each_is_not_taken_apart() {
        assert_eq!(split(&[floats(&[1, 3], &[0.0; 3])], &[1, 2]), None);
    }
}
