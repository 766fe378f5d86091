//! Elements of one type.

use half::{bf16, f16};

/// Types of elements (ONNX `TensorProto.DataType`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum DataType {
    Bool,
    Uint8,
    Uint16,
    Uint32,
    Uint64,
    Int8,
    Int16,
    Int32,
    Int64,
    Float16,
    Bfloat16,
    Float32,
    Float64,
    /// UTF-8.
    String,
}

impl DataType {
    pub const ALL: [Self; 14] = [
        Self::Bool,
        Self::Uint8,
        Self::Uint16,
        Self::Uint32,
        Self::Uint64,
        Self::Int8,
        Self::Int16,
        Self::Int32,
        Self::Int64,
        Self::Float16,
        Self::Bfloat16,
        Self::Float32,
        Self::Float64,
        Self::String,
    ];

    /// The type that ONNX counts by this number.
    pub fn from_onnx(number: i64) -> Option<Self> {
        Self::ALL.into_iter().find(|data_type| data_type.onnx() == number)
    }

    /// Number in ONNX.
    pub fn onnx(self) -> i64 {
        match self {
            Self::Float32 => 1,
            Self::Uint8 => 2,
            Self::Int8 => 3,
            Self::Uint16 => 4,
            Self::Int16 => 5,
            Self::Int32 => 6,
            Self::Int64 => 7,
            Self::String => 8,
            Self::Bool => 9,
            Self::Float16 => 10,
            Self::Float64 => 11,
            Self::Uint32 => 12,
            Self::Uint64 => 13,
            Self::Bfloat16 => 16,
        }
    }

    /// Bytes of an element; of a string, those that it takes when it is empty.
    pub fn size(self) -> usize {
        match self {
            Self::Bool | Self::Uint8 | Self::Int8 => 1,
            Self::Uint16 | Self::Int16 | Self::Float16 | Self::Bfloat16 => 2,
            Self::Uint32 | Self::Int32 | Self::Float32 => 4,
            Self::Uint64 | Self::Int64 | Self::Float64 => 8,
            Self::String => size_of::<String>(),
        }
    }

    pub fn is_float(self) -> bool {
        matches!(self, Self::Float16 | Self::Bfloat16 | Self::Float32 | Self::Float64)
    }

    pub fn is_integer(self) -> bool {
        self.is_number() && !self.is_float()
    }

    /// Whether it is neither of truth values nor of texts.
    pub fn is_number(self) -> bool {
        !matches!(self, Self::Bool | Self::String)
    }

    /// Name in the Open Inference Protocol, and in messages.
    pub fn label(self) -> &'static str {
        match self {
            Self::Bool => "BOOL",
            Self::Uint8 => "UINT8",
            Self::Uint16 => "UINT16",
            Self::Uint32 => "UINT32",
            Self::Uint64 => "UINT64",
            Self::Int8 => "INT8",
            Self::Int16 => "INT16",
            Self::Int32 => "INT32",
            Self::Int64 => "INT64",
            Self::Float16 => "FP16",
            Self::Bfloat16 => "BF16",
            Self::Float32 => "FP32",
            Self::Float64 => "FP64",
            Self::String => "BYTES",
        }
    }
}

/// Elements of one type, the last dimension varying fastest.
#[derive(Debug, Clone, PartialEq)]
pub enum Data {
    Bool(Vec<bool>),
    Uint8(Vec<u8>),
    Uint16(Vec<u16>),
    Uint32(Vec<u32>),
    Uint64(Vec<u64>),
    Int8(Vec<i8>),
    Int16(Vec<i16>),
    Int32(Vec<i32>),
    Int64(Vec<i64>),
    Float16(Vec<f16>),
    Bfloat16(Vec<bf16>),
    Float32(Vec<f32>),
    Float64(Vec<f64>),
    String(Vec<String>),
}

/// Runs an expression with the elements, of the types of a list or of whatever type.
macro_rules! each {
    ($data:expr, [$($variant:ident),*], $elements:ident => $body:expr, _ => $other:expr) => {
        match $data {
            $($crate::value::Data::$variant($elements) => $body,)*
            #[allow(unreachable_patterns, reason = "the list may have all types")]
            _ => $other,
        }
    };
    ($data:expr, number, $elements:ident => $body:expr, _ => $other:expr) => {
        $crate::value::each!(
            $data,
            [Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Bfloat16, Float32, Float64],
            $elements => $body,
            _ => $other
        )
    };
    ($data:expr, float, $elements:ident => $body:expr, _ => $other:expr) => {
        $crate::value::each!($data, [Float16, Bfloat16, Float32, Float64], $elements => $body, _ => $other)
    };
    ($data:expr, integer, $elements:ident => $body:expr, _ => $other:expr) => {
        $crate::value::each!(
            $data, [Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64], $elements => $body, _ => $other
        )
    };
    ($data:expr, $elements:ident => $body:expr) => {
        match $data {
            $crate::value::Data::Bool($elements) => $body,
            $crate::value::Data::Uint8($elements) => $body,
            $crate::value::Data::Uint16($elements) => $body,
            $crate::value::Data::Uint32($elements) => $body,
            $crate::value::Data::Uint64($elements) => $body,
            $crate::value::Data::Int8($elements) => $body,
            $crate::value::Data::Int16($elements) => $body,
            $crate::value::Data::Int32($elements) => $body,
            $crate::value::Data::Int64($elements) => $body,
            $crate::value::Data::Float16($elements) => $body,
            $crate::value::Data::Bfloat16($elements) => $body,
            $crate::value::Data::Float32($elements) => $body,
            $crate::value::Data::Float64($elements) => $body,
            $crate::value::Data::String($elements) => $body,
        }
    };
}
pub(crate) use each;

/// Runs an expression with elements of two sets, if they are of one type.
macro_rules! pair {
    ($one:expr, $other:expr, [$($variant:ident),*], $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        match ($one, $other) {
            $(($crate::value::Data::$variant($elements), $crate::value::Data::$variant($others)) => $body,)*
            #[allow(unreachable_patterns, reason = "the list may have all types")]
            _ => $unlike,
        }
    };
    ($one:expr, $other:expr, any, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!(
            $one,
            $other,
            [
                Bool, Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Bfloat16, Float32, Float64,
                String
            ],
            $elements, $others => $body,
            _ => $unlike
        )
    };
    // Types that others can be computed by way of, see `common`.
    ($one:expr, $other:expr, common, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!(
            $one, $other, [Int32, Int64, Uint64, Float32, Float64], $elements, $others => $body, _ => $unlike
        )
    };
    ($one:expr, $other:expr, common integer, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!($one, $other, [Int32, Int64, Uint64], $elements, $others => $body, _ => $unlike)
    };
    ($one:expr, $other:expr, number, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!(
            $one,
            $other,
            [Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64, Float16, Bfloat16, Float32, Float64],
            $elements, $others => $body,
            _ => $unlike
        )
    };
    ($one:expr, $other:expr, float, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!(
            $one, $other, [Float16, Bfloat16, Float32, Float64], $elements, $others => $body, _ => $unlike
        )
    };
    ($one:expr, $other:expr, integer, $elements:ident, $others:ident => $body:expr, _ => $unlike:expr) => {
        $crate::value::pair!(
            $one, $other, [Uint8, Uint16, Uint32, Uint64, Int8, Int16, Int32, Int64],
            $elements, $others => $body, _ => $unlike
        )
    };
}
pub(crate) use pair;

/// Makes elements of elements, of the same type.
macro_rules! alike {
    ($data:expr, $elements:ident => $body:expr) => {
        $crate::value::each!($data, $elements => $crate::value::Element::into_data($body))
    };
}
pub(crate) use alike;

impl Data {
    /// Elements of a type, all zero: `false`, empty strings.
    pub fn zeros(data_type: DataType, count: usize) -> Self {
        match data_type {
            DataType::Bool => Self::Bool(vec![false; count]),
            DataType::Uint8 => Self::Uint8(vec![0; count]),
            DataType::Uint16 => Self::Uint16(vec![0; count]),
            DataType::Uint32 => Self::Uint32(vec![0; count]),
            DataType::Uint64 => Self::Uint64(vec![0; count]),
            DataType::Int8 => Self::Int8(vec![0; count]),
            DataType::Int16 => Self::Int16(vec![0; count]),
            DataType::Int32 => Self::Int32(vec![0; count]),
            DataType::Int64 => Self::Int64(vec![0; count]),
            DataType::Float16 => Self::Float16(vec![f16::ZERO; count]),
            DataType::Bfloat16 => Self::Bfloat16(vec![bf16::ZERO; count]),
            DataType::Float32 => Self::Float32(vec![0.0; count]),
            DataType::Float64 => Self::Float64(vec![0.0; count]),
            DataType::String => Self::String(vec![String::new(); count]),
        }
    }

    pub fn data_type(&self) -> DataType {
        match self {
            Self::Bool(_) => DataType::Bool,
            Self::Uint8(_) => DataType::Uint8,
            Self::Uint16(_) => DataType::Uint16,
            Self::Uint32(_) => DataType::Uint32,
            Self::Uint64(_) => DataType::Uint64,
            Self::Int8(_) => DataType::Int8,
            Self::Int16(_) => DataType::Int16,
            Self::Int32(_) => DataType::Int32,
            Self::Int64(_) => DataType::Int64,
            Self::Float16(_) => DataType::Float16,
            Self::Bfloat16(_) => DataType::Bfloat16,
            Self::Float32(_) => DataType::Float32,
            Self::Float64(_) => DataType::Float64,
            Self::String(_) => DataType::String,
        }
    }

    pub fn len(&self) -> usize {
        each!(self, elements => elements.len())
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Memory of the elements, with the texts of strings.
    pub fn bytes(&self) -> usize {
        let texts = if let Self::String(texts) = self { texts.iter().map(String::len).sum() } else { 0 };
        self.len() * self.data_type().size() + texts
    }
}
