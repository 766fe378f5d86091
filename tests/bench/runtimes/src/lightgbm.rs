//! LightGBM through its C interface.

use std::ffi::{CString, c_char, c_int, c_void};
use std::path::Path;
use std::ptr;
use std::rc::Rc;

use libloading::{Library, Symbol};

use crate::Failed;
use crate::contender::Contender;
use crate::rows::{Batch, Rows};

const FLOAT64: c_int = 1;
const NORMAL: c_int = 0;
const PARAMETERS: &std::ffi::CStr = c"num_threads=1";

type Handle = *mut c_void;
type Create = unsafe extern "C" fn(*const c_char, *mut c_int, *mut Handle) -> c_int;
type FastInit = unsafe extern "C" fn(Handle, c_int, c_int, c_int, c_int, i32, *const c_char, *mut Handle) -> c_int;
type Fast = unsafe extern "C" fn(Handle, *const c_void, *mut i64, *mut f64) -> c_int;
type Predict = unsafe extern "C" fn(
    Handle,
    *const c_void,
    c_int,
    i32,
    i32,
    c_int,
    c_int,
    c_int,
    c_int,
    *const c_char,
    *mut i64,
    *mut f64,
) -> c_int;

/// One row by `LGBM_BoosterPredictForMatSingleRowFast`, which has looked at parameters before; more by
/// `LGBM_BoosterPredictForMat`. Rows are doubles, as it computes with.
pub struct LightGbm {
    booster: Handle,
    configuration: Handle,
    fast: Fast,
    predict: Predict,
    rows: Rc<Rows>,
    // The functions are in it.
    _library: Rc<Library>,
}

impl LightGbm {
    pub fn load(library: &Rc<Library>, file: &Path, rows: &Rc<Rows>) -> Result<Self, Failed> {
        let path = CString::new(file.as_os_str().as_encoded_bytes())?;
        let (mut booster, mut configuration, mut rounds) = (ptr::null_mut(), ptr::null_mut(), 0);
        // SAFETY: the signatures are those of LightGBM 4's `c_api.h`; texts end with a zero and outlive the calls.
        unsafe {
            let create: Symbol<'_, Create> = library.get(b"LGBM_BoosterCreateFromModelfile")?;
            let init: Symbol<'_, FastInit> = library.get(b"LGBM_BoosterPredictForMatSingleRowFastInit")?;
            done(create(path.as_ptr(), &mut rounds, &mut booster))?;
            let (width, text) = (i32::try_from(rows.width)?, PARAMETERS.as_ptr());
            done(init(booster, NORMAL, 0, -1, FLOAT64, width, text, &mut configuration))?;
            let fast = *library.get::<Fast>(b"LGBM_BoosterPredictForMatSingleRowFast")?;
            let predict = *library.get::<Predict>(b"LGBM_BoosterPredictForMat")?;
            Ok(Self { booster, configuration, fast, predict, rows: Rc::clone(rows), _library: Rc::clone(library) })
        }
    }
}

impl Contender for LightGbm {
    fn score(&mut self, batch: Batch, scores: &mut [f64]) -> Result<(), Failed> {
        let mut length = 0;
        let numbers = self.rows.double(batch).as_ptr().cast();
        let (count, width) = (i32::try_from(batch.count)?, i32::try_from(self.rows.width)?);
        // SAFETY: there are as many numbers as said, and room for a score of each row: the models have one output.
        done(unsafe {
            if batch.count == 1 {
                (self.fast)(self.configuration, numbers, &mut length, scores.as_mut_ptr())
            } else {
                let (text, out) = (PARAMETERS.as_ptr(), scores.as_mut_ptr());
                (self.predict)(self.booster, numbers, FLOAT64, count, width, 1, NORMAL, 0, -1, text, &mut length, out)
            }
        })
    }
}

fn done(status: c_int) -> Result<(), Failed> {
    if status == 0 { Ok(()) } else { Err(format!("LightGBM gives {status}").into()) }
}
